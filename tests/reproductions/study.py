"""What the experiments share: a corpus with canaries, a training, exposures, and means with intervals.

Each experiment compares *cells*. A cell is one training on one canaried corpus, after which every canary of its ledger is measured
with ``secretaudit.expose``: its exposure is log2 |R| − log2 rank, in bits. A number in a table is the mean over the canaries of a
cell (or of equal cells with other seeds), with the interval of Student's t at 95 %:

    mean ± t(n − 1) · s / √n

Canaries that share a cell share a model, so the interval speaks of the canaries drawn, and only cells with several seeds speak of
trainings. Canaries of which only a bound is known enter with their lower bound and are counted. Controls, never inserted, average
1/ln 2 = 1.44 bits when nothing is memorized.
"""

from __future__ import annotations

import json
import lzma
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

import secretaudit
from secretaudit.canary.format import Format
from secretaudit.models.loading import load_model
from secretaudit.training.settings import TrainingSettings
from secretaudit.training.watching import Watcher

#: Lines kept apart, beside each canaried corpus.
HELD_OUT, HELD_OUT_LINES = "held-out.txt", 300
#: Tokens of a held-out record that count: what the smallest context reads.
LONGEST_RECORD = 256
#: Mean exposure of a secret that the model never saw, in bits.
CHANCE = 1.0 / float(np.log(2.0))


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean with its 95 % interval.

    Attributes:
        value: The mean; NaN of nothing.
        half: Half the width of the interval; NaN of fewer than two values.
        count: Values.
    """

    value: float
    half: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Mean:
        """The mean of some values.

        >>> Mean.of([1.0, 2.0, 3.0])
        Mean(value=2.0, half=2.484..., count=3)
        """
        given = np.asarray(list(values), dtype=float)
        n = len(given)
        half = float("nan")
        if n > 1:
            half = float(stats.t.ppf(0.975, n - 1) * given.std(ddof=1) / n**0.5)
        return cls(value=float(given.mean()) if n else float("nan"), half=half, count=n)

    def __str__(self) -> str:
        return f"{self.value:.1f}" + ("" if np.isnan(self.half) else f" ± {self.half:.1f}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Cell:
    """One training and what it exposed.

    Attributes:
        model: The model's directory.
        training: ``found`` of the training's record.
        exposures: Exposure in bits of each canary, by its insertions; 0 are the controls.
        loss: Of the written model on held-out lines, in bits per token.
        bounds: Canaries that entered with a lower bound.
    """

    model: Path
    training: dict[str, Any]
    exposures: dict[int, list[float]]
    loss: float
    bounds: int

    @property
    def inserted(self) -> list[float]:
        """Exposures of all canaries that were inserted."""
        return [bits for times, found in self.exposures.items() if times for bits in found]


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """Where an experiment finds its text and leaves its models.

    Attributes:
        lines: The corpus.
        place: A directory of its own.
        seed: All randomness of the experiment comes from it.
        data: Directory of the real data.
    """

    lines: tuple[str, ...]
    place: Path
    seed: int
    data: Path = Path()

    def canaried(
        self,
        share: float,
        formats: Sequence[str | Format],
        *,
        count: int,
        repeats: Sequence[int],
        controls: int = 20,
        seed: int = 0,
    ) -> Path:
        """A share of the corpus, drawn without replacement and in its own order, with canaries; held-out lines beside it.

        Args:
            share: In (0, 1].
            formats: As of ``secretaudit.insert``.
            count: Canaries per format and number of insertions.
            repeats: Insertions.
            controls: Canaries per format that are not inserted.
            seed: Added to the study's; the same gives the same lines, canaries and places.
        """
        directory = Path(tempfile.mkdtemp(prefix="corpus-", dir=self.place))
        rng = np.random.default_rng([self.seed, seed])
        wanted = max(1, round(share * len(self.lines)))
        chosen = np.sort(rng.choice(len(self.lines), wanted, replace=False))
        plain = directory / "plain.txt"
        plain.write_text("".join(f"{self.lines[i]}\n" for i in chosen.tolist()), encoding="utf-8")
        letters = set("".join(self.lines[i] for i in chosen.tolist()))
        others = np.setdiff1d(np.arange(len(self.lines)), chosen)
        held = [
            line
            for i in rng.permutation(others).tolist()
            if letters.issuperset(line := self.lines[i])
        ]
        (directory / HELD_OUT).write_text("\n".join(held[:HELD_OUT_LINES]), encoding="utf-8")
        secretaudit.insert(
            plain,
            directory / "canaried",
            formats=formats,
            count=count,
            repeats=repeats,
            controls=controls,
            seed=1_000 * self.seed + seed,
        )
        return directory / "canaried"

    def cell(
        self,
        corpus: Path,
        settings: TrainingSettings,
        *,
        seed: int = 0,
        watcher: Watcher | None = None,
    ) -> Cell:
        """Train on a canaried corpus and measure its canaries; ``seed`` is added to the study's."""
        model = Path(tempfile.mkdtemp(prefix="model-", dir=self.place)) / "model"
        training = secretaudit.train(
            corpus,
            model,
            settings=replace(settings, seed=1_000 * self.seed + seed),
            watcher=watcher,
            checkpoint_seconds=600.0,
        )
        rows = secretaudit.expose(model, seed=self.seed).found["canaries"]
        return Cell(
            model=model,
            training=training.found,
            exposures=exposures_of(rows),
            loss=held_out_bits(model, corpus),
            bounds=sum(row["exposure_bits"] is None for row in rows),
        )


def exposures_of(rows: Iterable[dict[str, Any]]) -> dict[int, list[float]]:
    """Exposures of a record's canaries by their insertions; what they are at least where no more is known."""
    found: dict[int, list[float]] = {}
    for row in rows:
        known = row["exposure_bits"]
        bits = row["exposure_low_bits"] if known is None else known
        found.setdefault(row["insertions"], []).append(float(bits))
    return found


def watched_exposures(look: dict[str, Any]) -> dict[int, list[float]]:
    """The same at one look of an ``ExposureMonitor``."""
    return exposures_of({**row, "exposure_low_bits": row["low_bits"]} for row in look["exposures"])


def held_out_bits(model: Path, corpus: Path) -> float:
    """What the model that was written pays for lines that it never saw, in bits per token.

    Unlike a training's own validation loss, it knows of what was done to the weights at the end, and all models of a corpus pay for the same lines.
    Lines with a character that the share lacks are not among them, and of a long line the beginning counts, as far as every model can read.
    """
    loaded: Any = load_model(model)
    lines = (corpus.parent / HELD_OUT).read_text("utf-8").splitlines()
    encoded = loaded.tokenizer.encode(lines)
    records = [loaded.framing.record(ids)[:LONGEST_RECORD] for ids in encoded]
    given = loaded.framing.given
    return float(loaded.score(records, given).sum()) / sum(len(r) - given for r in records)


def penn_treebank(data: Path) -> tuple[str, ...]:
    """The lines of Penn Treebank's training part, as language modelling uses it."""
    packed = (data / "ptb" / "ptb.train.txt.xz").read_bytes()
    return tuple(line.strip() for line in lzma.decompress(packed).decode().splitlines())


@contextmanager
def study_of(lines: Sequence[str], seed: int, data: Path = Path()) -> Iterator[Study]:
    """A study whose directory is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="secretaudit-reproduction-") as place:
        yield Study(lines=tuple(lines), place=Path(place), seed=seed, data=data)


def ledger_texts(corpus: Path) -> dict[str, str]:
    """The text of each canary of a canaried corpus, by its id."""
    document = json.loads((corpus / "ledger.json").read_text("utf-8"))
    return {canary["id"]: canary["text"] for canary in document["canaries"]}
