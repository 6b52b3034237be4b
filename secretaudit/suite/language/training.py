"""Small trainings of language models for the suite, with canaries in every one.

``train_model`` does what a user of the program does: it inserts canaries into the lines (``secretaudit.insert``) and trains on the result
(``secretaudit.train``). So every model of the suite can be asked for the exposure of its canaries, and every other measure can be held against it.

Three things are fixed so that trainings on real text and on noise made of it can be compared:

- the tokenizer is made of the task's own lines and the canaries, whatever lines are trained on: the same tokens, the same number of parameters;
- a row is a record (layout "records", unless the settings say otherwise): a model reads each line from its beginning, as an audit does;
- no line is kept out for validation (the task has lines held out), unless the settings stop early or keep the best model.

One seed gives canaries, their places, weights, order and dropout. Trainings that differ in one dial and share the seed are a pair.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from secretaudit.canary.ledger import Ledger
from secretaudit.corpus.canaried import CanariedCorpus
from secretaudit.exposure.audit import expose
from secretaudit.insertion import LEDGER_NAME, insert
from secretaudit.suite.language.task import LanguageTask
from secretaudit.training.data import TrainingCorpus, make_tokenizer
from secretaudit.training.run import train
from secretaudit.training.settings import TrainingSettings
from secretaudit.training.watching import Watcher

__all__ = ["TrainedModel", "exposures", "train_model"]

#: What a row of ``exposures`` has.
_COLUMNS = (
    "id", "format", "insertions", "copies_seen", "exposure_bits", "exposure_low_bits", "exposure_high_bits", "log_perplexity_bits", "method", "status",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A model that was trained, with its canaries.

    Attributes:
        directory: The model, as ``secretaudit.train`` wrote it.
        canaried: The directory that ``secretaudit.insert`` wrote.
        found: ``found`` of the training's record.
        settings: With which it was trained.
    """

    directory: Path
    canaried: Path
    found: dict[str, Any]
    settings: TrainingSettings

    @property
    def ledger(self) -> Path:
        """The ledger of its canaries."""
        return self.canaried / LEDGER_NAME


def train_model(
    task: LanguageTask,
    lines: Sequence[str],
    settings: TrainingSettings,
    seed: int,
    place: Path,
    watcher: Watcher | None = None,
) -> TrainedModel:
    """Insert the task's canaries into lines and train on them.

    Args:
        task: Gives the canaries and the text of the tokenizer.
        lines: What is trained on: the task's own, or noise made of them.
        settings: The dials; the seed, and what the module's text names, are filled in.
        seed: Of the canaries and of the training.
        place: A directory that is made, with ``canaried`` and ``model`` in it.
        watcher: Looks at the model while it trains.

    Returns:
        Where the model is, and what its training found.

    Raises:
        CorpusError: A canary stands in the lines already.
        FormatError: A format of the task is not known, or has too few secrets.
        UsageError: ``place`` is used already, or the settings contradict each other.
        ModelError: The tokenizer lacks something that stands in the lines.
        TrainingError: The training diverged.
    """
    place.mkdir(parents=True, exist_ok=True)
    plain = _written(place / "plain.jsonl", lines)
    insert(
        plain,
        place / "canaried",
        formats=task.formats,
        count=task.canaries,
        repeats=task.repeats,
        controls=task.controls,
        seed=seed,
    )
    judged = settings.patience is not None or settings.keep == "best"
    settings = replace(
        settings,
        seed=seed,
        layout=settings.layout or "records",
        validation=settings.validation if judged else 0.0,
    )
    settings = _with_tokenizer(task, lines, settings, place)
    record = train(place / "canaried", place / "model", settings=settings, watcher=watcher)
    return TrainedModel(
        directory=place / "model",
        canaried=place / "canaried",
        found=record.found,
        settings=settings,
    )


def exposures(trained: TrainedModel, seed: int) -> list[dict[str, Any]]:
    """Exposure of each canary and control, in the order of the ledger.

    Args:
        trained: A model with canaries.
        seed: Of the draws, where the secrets are too many to be counted.

    Returns:
        Rows with id, format, insertions, exposure_bits (``None`` where there is none) with its 95 % interval, log_perplexity_bits, method and status.
        Never a secret.

    Raises:
        ModelError: The model gives no usable probabilities.
    """
    rows = expose(trained.directory, canaries=trained.ledger, seed=seed).found["canaries"]
    return [{name: row.get(name) for name in _COLUMNS} for row in rows]


def _with_tokenizer(
    task: LanguageTask, lines: Sequence[str], settings: TrainingSettings, place: Path
) -> TrainingSettings:
    """The settings with a tokenizer made of the task's text and the canaries; a base, or a tokenizer that is there already, keeps its own."""
    kind = settings.tokenizer or "char"
    if settings.base is not None or kind not in ("char", "word", "bpe"):
        return settings
    ledger = Ledger.read(place / "canaried" / LEDGER_NAME)
    texts = [*task.train, *task.held_out, *(canary.text for canary in ledger.canaries)]
    if kind == "char":  # whatever is trained on can be read; of noise this adds no character
        texts += lines
    source = CanariedCorpus(corpus=_written(place / "vocabulary.jsonl", texts))
    tokenizer = make_tokenizer(TrainingCorpus(source=source, ledger=ledger), settings)
    tokenizer.save_pretrained(place / "tokenizer")
    return replace(
        settings,
        tokenizer=str(place / "tokenizer"),
        vocabulary_size=None,
        minimum_frequency=1,
    )


def _written(path: Path, lines: Sequence[str]) -> Path:
    """JSON lines, which take any text."""
    rows = (json.dumps({"text": line}, ensure_ascii=False) for line in lines)
    path.write_text("\n".join(rows) + "\n", "utf-8")
    return path
