"""From what a user names to a subject: data and a model by path or name.

Data: ``digits``; an ``.npz`` file; a table (``.csv``, ``.tsv``, ``.jsonl``); a folder of class folders of images or clips; joint tracks; a saved
``datasets`` directory. Text to be modelled rather than classified: a ``.txt`` file, a directory made by ``secretaudit insert``, or any corpus together with
a language model.

Model: the name of an architecture; a ``transformers`` directory; ``package.module:function``, a function that makes a torch module (given the task
when it takes an argument), with ``weights`` for one that was trained; of language models, an architecture of ``secretaudit train`` or a model directory. A directory
that ``secretaudit train`` wrote is trained again by its own settings, any other one is fine-tuned.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from secretaudit import _checks
from secretaudit.corpus.canaried import RECORD_NAME as INSERTED
from secretaudit.errors import ModelError, UsageError
from secretaudit.suite.data.arrays import digits, read_arrays
from secretaudit.suite.data.tables import LONGEST, TABLES, read_table
from secretaudit.suite.labelled import Labelled, Task
from secretaudit.suite.learner import Architecture, Learner
from secretaudit.suite.networks import ARCHITECTURES
from secretaudit.suite.subject import ClassifierSubject, LanguageSubject, Subject
from secretaudit.suite.transformers_learner import OfDirectory, is_classifier_directory
from secretaudit.suite.unread import refuse_unread
from secretaudit.suite.users_function import learner_of_function
from secretaudit.training.settings import ARCHITECTURES as LANGUAGE_ARCHITECTURES
from secretaudit.training.settings import LoraSettings, PrivacySettings, TrainingSettings

__all__ = ["Reading", "open_learner", "open_subject", "open_task"]

#: Most examples of each part that are used when nothing else is asked for.
LIMIT = 2000
_OF_TABLES = ("text_column", "label_column", "held_out", "longest")
_OF_CLIPS = ("size", "frames", "undecodable")
_OF_SAVED = ("text_column", "label_column", "longest", *_OF_CLIPS)
#: Lines of a corpus, likewise.
LINES = 600
#: How language models are trained when nothing else is asked for: small, one record per row, and fast enough to memorize some noise.
SMALL_LSTM = TrainingSettings(
    arch="lstm",
    layers=1,
    units=96,
    tokenizer="char",
    epochs=20,
    batch_size=16,
    learning_rate=1e-2,
    layout="records",
)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How data is read.

    Attributes:
        kind: "classifier", "language", or "auto": by what the data and the model are.
        text_column: Column of the text in a table.
        label_column: Column of the labels.
        held_out: A file with the held-out part, of the same kind as the data.
        limit: Most training examples (lines of a corpus); the held-out part is cut likewise. ``None``: 2,000 (600 lines).
        longest: Tokens that count of each text.
        size: Pixels a side to which images and clips are brought; ``None``: 32.
        frames: Frames taken of each clip.
        undecodable: Clips that do not decode: "refuse", or "report" to leave them out and say so.
        formats: Of a corpus: formats of the canaries that go in; none named: those of its ledger, else random-number.
        seed: Of splits and samples.
    """

    kind: str = "auto"
    text_column: str | None = None
    label_column: str = "label"
    held_out: Path | None = None
    limit: int | None = None
    longest: int = LONGEST
    size: int | None = None
    frames: int = 8
    undecodable: str = "refuse"
    formats: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        _checks.one_of("kind", self.kind, ("auto", "classifier", "language"))
        _checks.one_of("undecodable", self.undecodable, ("refuse", "report"))
        if self.limit is not None:
            _checks.at_least("limit", self.limit, 4)
        _checks.at_least("longest", self.longest, 1)
        _checks.at_least("frames", self.frames, 1)


@dataclass(frozen=True, kw_only=True)
class Dials:
    """How what is trained looks.

    Attributes:
        options: Dials of one of the suite's architectures, by name.
        weights: A safetensors file for the module that a function makes.
        training: Fields of ``TrainingSettings`` for language models, by name.
    """

    options: dict[str, Any] = field(default_factory=dict)
    weights: Path | None = None
    training: dict[str, Any] = field(default_factory=dict)


def open_subject(
    data: str | Path,
    model: str | None = None,
    *,
    reading: Reading | None = None,
    dials: Dials | None = None,
) -> Subject:
    """Data and model, ready for ``run_suite``.

    Args:
        data: See above.
        model: See above; ``None`` takes the usual small one for the kind of data.
        reading: How data is read.
        dials: How what is trained looks.

    Raises:
        UsageError: The data cannot be read as asked.
        ModelError: The model cannot be opened, or does not fit the data.
    """
    reading, dials = reading or Reading(), dials or Dials()
    if _is_language(data, model, reading):
        refuse_unread(_given(reading), ("text_column", "held_out", "formats"), "a corpus")
        refuse_unread(_given(dials), ("training",), "a language model")
        return _language_subject(Path(data), model, reading, dials)
    tokenizer = Path(model) if model and is_classifier_directory(model) else None
    task = open_task(data, reading, tokenizer=tokenizer)
    return ClassifierSubject(task=task, learner=open_learner(model, task, dials))


def open_task(data: str | Path, reading: Reading, *, tokenizer: Path | None = None) -> Task:
    """Labelled examples, cut to the limit."""
    return _limited(_whole_task(data, reading, tokenizer), reading)


def open_learner(model: str | None, task: Task, dials: Dials | None = None) -> Learner:
    """What makes the classifiers for a task.

    Raises:
        ModelError: There is no such model, or it is for other data.
        UsageError: A dial that the architecture does not have.
    """
    dials = dials or Dials()
    if model is None or model in ARCHITECTURES:
        refuse_unread(_given(dials), ("options",), "one of the suite's architectures")
        _check_options(model, task, dials.options)
        return Architecture(task=task, architecture=model or "", options=dials.options)
    if ":" in model and not Path(model).exists():
        refuse_unread(_given(dials), ("weights",), "a function that makes the model")
        return learner_of_function(model, task, dials.weights)
    if Path(model).is_dir():
        refuse_unread(_given(dials), (), "the directory of a model")
        return OfDirectory(path=Path(model), task=task)
    raise ModelError(
        f"There is no model {model!r}.",
        "It is neither the name of an architecture, nor a directory, nor package.module:function.",
        _checks.suggestion(model, ARCHITECTURES) or f"Architectures: {', '.join(ARCHITECTURES)}.",
    )


def _is_language(data: str | Path, model: str | None, reading: Reading) -> bool:
    """Whether text is to be modelled, not classified."""
    if reading.kind != "auto":
        return reading.kind == "language"
    path = Path(data)
    if path.suffix == ".txt" or (path / INSERTED).is_file():
        return True
    if model is None or model in ARCHITECTURES:
        return False
    return model in LANGUAGE_ARCHITECTURES or _is_language_directory(Path(model))


def _is_language_directory(path: Path) -> bool:
    return (path / "config.json").is_file() and not is_classifier_directory(path)


def _whole_task(data: str | Path, reading: Reading, tokenizer: Path | None) -> Task:
    path = Path(data)
    given = _given(reading)
    if str(data) == "digits" and not path.exists():
        refuse_unread(given, (), "the bundled digits")
        return digits(reading.seed)
    if not path.exists():
        raise UsageError(
            f"There is no data {str(data)!r}.",
            "Nothing of that name exists.",
            "Check the path; 'digits' needs no file.",
        )
    ends = [end.lower() for end in path.suffixes]
    if path.is_file() and ends and ends[-1] == ".npz":
        refuse_unread(given, (), "an .npz file")
        return _arrays(path, reading)
    if path.is_file() and any(end in TABLES for end in ends):
        refuse_unread(given, _OF_TABLES, "a table")
        return read_table(
            path,
            text_column=reading.text_column,
            label_column=reading.label_column,
            held_out=reading.held_out,
            tokenizer=tokenizer,
            longest=reading.longest,
            seed=reading.seed,
        )
    if path.is_dir():
        return _folder(path, reading, tokenizer)
    raise UsageError(
        f"{path} cannot be read as labelled examples.",
        f"Its name ends in {path.suffix!r}.",
        "Give an .npz, a table, a folder of class folders or a saved dataset; --kind language models a text.",
    )


def _arrays(path: Path, reading: Reading) -> Task:
    """An .npz: joint tracks when it has them."""
    from secretaudit.suite.data.tracks import is_tracks, read_tracks

    return (
        read_tracks(path, seed=reading.seed) if is_tracks(path) else read_arrays(path, reading.seed)
    )


def _folder(path: Path, reading: Reading, tokenizer: Path | None) -> Task:
    from secretaudit.suite.data.clips import has_clips, read_clips
    from secretaudit.suite.data.images import SIZE, read_images
    from secretaudit.suite.data.saved_datasets import is_saved_dataset, read_saved_dataset

    size = reading.size or SIZE
    given = _given(reading)
    if is_saved_dataset(path):
        refuse_unread(given, _OF_SAVED, "a saved dataset")
        return read_saved_dataset(
            path,
            text_column=reading.text_column,
            label_column=reading.label_column,
            tokenizer=tokenizer,
            longest=reading.longest,
            size=size,
            frames=reading.frames,
            undecodable=reading.undecodable,
            seed=reading.seed,
        )
    if has_clips(path):
        refuse_unread(given, _OF_CLIPS, "a folder of clips")
        return read_clips(
            path,
            frames=reading.frames,
            size=size,
            undecodable=reading.undecodable,
            seed=reading.seed,
        )
    refuse_unread(given, ("size",), "a folder of images")
    return read_images(path, size=size, seed=reading.seed)


def _given(dials: Reading | Dials) -> list[str]:
    """Names of the dials that differ from their defaults, those aside that hold for all data."""
    usual = type(dials)()
    names = [field.name for field in dataclasses.fields(dials)]
    return [
        name
        for name in names
        if name not in ("kind", "limit", "seed") and getattr(dials, name) != getattr(usual, name)
    ]


def _limited(task: Task, reading: Reading) -> Task:
    """A sample of the training and of the held-out examples, drawn by the seed."""
    most = reading.limit or LIMIT
    draw = torch.Generator().manual_seed(reading.seed)

    def sample(part: Labelled) -> Labelled:
        if len(part) <= most:
            return part
        return part.chosen(torch.randperm(len(part), generator=draw)[:most])

    return dataclasses.replace(task, train=sample(task.train), held_out=sample(task.held_out))


def _check_options(model: str | None, task: Task, options: dict[str, Any]) -> None:
    """Refuse a dial that the architecture does not have."""
    name = Architecture(task=task, architecture=model or "").architecture
    make = ARCHITECTURES[name]
    known = [
        key
        for key, parameter in inspect.signature(make).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    for key in options:
        _checks.one_of(f"option of {name}", key, known)


def _language_subject(
    path: Path, model: str | None, reading: Reading, dials: Dials
) -> LanguageSubject:
    from secretaudit.suite.language.reading import read_language_task

    if not path.exists():
        raise UsageError(
            f"There is no corpus {path}.", "Nothing of that name exists.", "Check the path."
        )
    task = read_language_task(
        path,
        text_column=reading.text_column or "text",
        seed=reading.seed,
        limit=reading.limit or LINES,
        held_out=reading.held_out,
        formats=reading.formats or None,
    )
    settings, given = SMALL_LSTM, None
    if model is not None and Path(model).is_dir():
        given = Path(model)
        settings = _settings_of(given)
    elif model is not None:
        _checks.one_of("model", model, LANGUAGE_ARCHITECTURES)
        settings = dataclasses.replace(SMALL_LSTM, arch=model, layout=None)
    return LanguageSubject(
        task=task, settings=dataclasses.replace(settings, **dials.training), given=given
    )


def _settings_of(directory: Path) -> TrainingSettings:
    """How a directory's model was trained, or how it is fine-tuned when nothing says so."""
    record = directory / "training.json"
    if not record.is_file():
        return TrainingSettings(base=str(directory), layout="records", epochs=3, batch_size=16)
    try:
        asked = json.loads(record.read_text("utf-8"))["asked"]
        names = {f.name for f in dataclasses.fields(TrainingSettings)}
        chosen = {key: value for key, value in asked.items() if key in names}
        for key, kind in (("privacy", PrivacySettings), ("lora", LoraSettings)):
            if chosen.get(key):
                chosen[key] = kind(**chosen[key])
        return TrainingSettings(**chosen)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{record} does not say how the model was trained.",
            f"It is damaged, or of another version: {error}.",
            "Take the file away to have the model fine-tuned instead.",
        ) from error
