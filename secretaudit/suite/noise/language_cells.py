"""One training of the language part: on real text, on noise made of it, or on a mixture, with or without a regularizer.

What a training leaves (plain JSON):

    curve        per epoch: bits per token and next-token accuracy on the lines trained on, on fresh lines of the same kind, on clean lines held out
    final        the same under the model that is kept
    memorized    of random text: Σ over its lines of (bits under the distribution it was drawn from − bits under the model)
    exposures    of the canaries in the same training

*Bits memorized.* Random lines x are drawn unit by unit from a known p. Whoever knows p and not x needs U(x) = −Σ log2 p(u) bits to write x down; whoever
also has the model needs M(x) = −Σ log2 of the model's probabilities. A code that is made with the help of the model cannot be shorter, on
average, than what remains unknown of x, so the mean of U − M is at most what the model's weights know of x: a lower bound on memorization, in bits. (Ours,
and elementary. Morris et al. 2025, *How much do language models memorize?*, define "unintended memorization" in bits and measure the capacity of
GPT-style models on uniformly random data, about 3.6 bits per parameter: abstract and figure 1 [read], the rest of that paper not.) The token that closes
a line is left out: line lengths are those of the real text, not drawn from p.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from secretaudit.canary.ledger import Ledger
from secretaudit.errors import CouldNotMeasure
from secretaudit.suite.language.noise_text import noisy_lines, unigram_bits
from secretaudit.suite.language.records import (
    Records,
    TokenLosses,
    open_records,
    record_nats,
    records_of,
)
from secretaudit.suite.language.task import LanguageTask
from secretaudit.suite.language.training import TrainedModel, exposures, train_model
from secretaudit.suite.noise.settings import NoiseSettings
from secretaudit.training.settings import PrivacySettings, TrainingSettings
from secretaudit.training.watching import Moment, Sight

__all__ = ["KINDS", "REGULARIZERS", "Shared", "Text", "noise_of", "one_training", "regularized"]

#: What lines are made into; "real" leaves them.
KINDS = ("real", "tokens", "shuffled")
REGULARIZERS = ("none", "dropout", "weight decay", "early stopping", "privacy")
_LN2 = float(np.log(2.0))


@dataclass(frozen=True, kw_only=True, eq=False)
class Shared:
    """What all trainings of the part have in common.

    Attributes:
        task: The text, cut to the number of lines that is asked for.
        training: The recipe.
        settings: The dials.
        unit: "character" or "word".
        place: Where models lie while they are looked at; ``None``: the system's place for temporary files.
    """

    task: LanguageTask
    training: TrainingSettings
    settings: NoiseSettings
    unit: str
    place: Path | None


@dataclass(frozen=True, kw_only=True)
class Text:
    """Lines of one condition.

    Attributes:
        train: To train on.
        fresh: Of the same kind, not trained on.
        random: Which of ``train`` are random text; empty where the kind has no known entropy.
    """

    train: tuple[str, ...]
    fresh: tuple[str, ...]
    random: tuple[int, ...]


def one_training(
    shared: Shared,
    *,
    kind: str,
    share: float,
    regularizer: str,
    value: float,
    seed: int,
    looks: bool,
) -> dict[str, Any]:
    """Train once and look; a cell.

    Args:
        shared: What all have in common.
        kind: One of ``KINDS``.
        share: Of the lines that are of this kind; the others are real.
        regularizer: One of ``REGULARIZERS``.
        value: Its strength.
        seed: Of noise, canaries and training.
        looks: Whether to look after every epoch.
    """
    text = noise_of(shared.task, kind, share, shared.unit, seed)
    settings = regularized(shared.training, regularizer, value, shared.settings)
    watcher = _EpochWatcher(text, shared.task.held_out) if looks else None
    with tempfile.TemporaryDirectory(dir=shared.place, prefix="language-") as place:
        try:
            trained = train_model(
                shared.task, text.train, settings, seed, Path(place) / "run", watcher
            )
            return _looked_at(shared, text, trained, seed)
        except CouldNotMeasure as error:
            return {"failed": str(error)}


def noise_of(task: LanguageTask, kind: str, share: float, unit: str, seed: int) -> Text:
    """Lines of a condition; those of a smaller share of noise are among those of a larger.

    Noise is made of all lines of the task together, so that lines to train on and fresh lines are drawn from the same distribution.
    """
    if kind == "real":
        return Text(train=task.train, fresh=task.held_out, random=())
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    noise = noisy_lines((*task.train, *task.held_out), kind, unit, 1.0, rng)
    count = len(task.train)
    chosen = sorted(rng.permutation(count)[: round(share * count)].tolist())
    train = list(task.train)
    for place in chosen:
        train[place] = noise[place]
    return Text(
        train=tuple(train),
        fresh=noise[count:],
        random=tuple(chosen) if kind == "tokens" else (),
    )


def regularized(
    training: TrainingSettings, regularizer: str, value: float, settings: NoiseSettings
) -> TrainingSettings:
    """The recipe with one thing changed."""
    match regularizer:
        case "none":
            return training
        case "dropout":
            return replace(training, dropout=value)
        case "weight decay":
            return replace(training, weight_decay=value)
        case "early stopping":
            return replace(
                training,
                patience=int(value),
                keep="best",
                validation=settings.language_validation,
            )
        case "privacy":
            privacy = PrivacySettings(noise_multiplier=value, max_grad_norm=settings.language_clip)
            return replace(training, privacy=privacy, layout="records")
        case _:
            raise ValueError(f"unknown regularizer {regularizer!r}")


def _looked_at(shared: Shared, text: Text, trained: TrainedModel, seed: int) -> dict[str, Any]:
    """What the model that was kept, and its training, have to say."""
    records = open_records(trained.directory, text.train)
    losses = record_nats(records)
    own = {"training": losses, "fresh": record_nats(records.of(text.fresh))}
    if text.fresh is not shared.task.held_out:
        own["clean"] = record_nats(records.of(shared.task.held_out))
    every = (*shared.task.train, *shared.task.held_out)
    known = {
        part: unigram_bits(lines, every, shared.unit)
        for part, lines in (("training", text.train), ("fresh", text.fresh))
    }
    privacy = trained.found["privacy"] or {}
    return {
        "parameters": trained.found["trained_parameters"],
        "epochs": trained.found["epochs"],
        "stopped": trained.found["stopped"],
        "lines_cut": records.cut,
        "curve": [_without_clock(entry) for entry in trained.found["watched"]],
        "final": {name: _summed(found) for name, found in own.items()},
        "memorized": _memorized(records, losses, known["training"], text.random),
        "fresh_excess": _memorized(
            records.of(text.fresh), own["fresh"], known["fresh"], range(len(text.fresh))
        )
        if text.random
        else None,
        "exposures": exposures(trained, seed),
        "epsilon": privacy.get("epsilon"),
        "ledger_canaries": len(Ledger.read(trained.ledger).canaries),
    }


def _memorized(
    records: Records, losses: TokenLosses, known_bits: Sequence[float], chosen: Sequence[int]
) -> dict[str, Any] | None:
    """Σ (U − M) over whole lines of random text, in bits."""
    if not len(chosen):
        return None
    closing = len(records.framing.after)
    lengths = records.lengths.numpy()
    whole = [
        row for row in chosen if records.context is None or int(lengths[row]) < records.context
    ]
    under_p = float(sum(known_bits[row] for row in whole))
    under_model = 0.0
    for row in whole:
        end = int(lengths[row]) - 1 - closing
        under_model += float(losses.nats[row, :end].sum()) / _LN2
    return {
        "bits": under_p - under_model,
        "entropy_bits": under_p,
        "lines": len(whole),
    }


def _summed(losses: TokenLosses) -> dict[str, float]:
    return {"bits": losses.nats_per_token / _LN2, "accuracy": losses.accuracy}


def _without_clock(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name != "step"}


class _EpochWatcher:
    """Looks at the model after every epoch; a ``Watcher``.

    Args:
        text: What is trained on.
        clean: Real lines that are held out.
    """

    def __init__(self, text: Text, clean: Sequence[str]) -> None:
        self._lines = {"training": text.train, "fresh": text.fresh}
        if text.fresh is not clean:
            self._lines["clean"] = tuple(clean)
        self._records: dict[str, Records] = {}

    def begin(
        self,
        ledger: Ledger | None,  # noqa: ARG002  (canaries are asked for at the end)
        language_model: Callable[[], object],
        earlier: list[dict[str, Any]],  # noqa: ARG002  (nothing is resumed here)
    ) -> None:
        """Encode the lines; the module is the one that trains."""
        first, *others = self._lines
        records = records_of(language_model(), self._lines[first])
        self._records = {first: records} | {o: records.of(self._lines[o]) for o in others}

    def wants(self, moment: Moment) -> bool:
        """At the end of every epoch."""
        return moment.ends_epoch

    def look(self, moment: Moment) -> Sight:  # noqa: ARG002  (every look is the same)
        """Bits per token and accuracy of each kind of lines."""
        seen = {name: _summed(record_nats(records)) for name, records in self._records.items()}
        return Sight(entry=seen, figures={})

    def asked(self) -> dict[str, Any]:
        """Nothing to set."""
        return {}
