"""Options of the suite that say what is examined: how data is read, and what is trained on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from secretaudit.cli.sections import SectionedOption
from secretaudit.errors import UsageError

if TYPE_CHECKING:
    from secretaudit.suite.subject import Subject

__all__ = ["opened", "subject_options"]

F = TypeVar("F", bound=Callable[..., Any])
_DATA, _MODEL, _LANGUAGE = "Data", "Model", "Language models"
_TRAINING = {
    "units": int,
    "layers": int,
    "epochs": int,
    "batch_size": int,
    "learning_rate": float,
    "tokenizer": str,
    "dropout": float,
}


def _option(section: str, *names: str, **dials: Any) -> Callable[[F], F]:
    return click.option(*names, cls=SectionedOption, section=section, **dials)


_OPTIONS = (
    _option(
        _MODEL,
        "--model",
        metavar="MODEL",
        help="mlp, lenet, small-alexnet, word-cnn, word-transformer or clip-cnn; a transformers directory; package.module:function; for text to be "
        "modelled an architecture of train, or a model directory.  [default: a small one for the kind of data]",
    ),
    _option(
        _MODEL,
        "--option",
        "model_options",
        multiple=True,
        metavar="NAME=VALUE",
        help="Dial of a built-in architecture, such as hidden=512; may be given several times.",
    ),
    _option(
        _MODEL,
        "--weights",
        type=click.Path(path_type=Path),
        help="Safetensors file with the weights of what package.module:function makes.",
    ),
    _option(
        _DATA,
        "--kind",
        type=click.Choice(("auto", "classifier", "language")),
        default="auto",
        show_default=True,
        help="Whether examples are classified or text is modelled; auto: by data and model.",
    ),
    _option(
        _DATA,
        "--text-column",
        metavar="NAME",
        help="Column of the text; without it, columns are numbers.",
    ),
    _option(
        _DATA,
        "--label-column",
        metavar="NAME",
        default="label",
        show_default=True,
        help="Column of the class.",
    ),
    _option(
        _DATA,
        "--held-out-data",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Table or corpus that is held out.  [default: a quarter of the data, a tenth of a corpus]",
    ),
    _option(
        _DATA,
        "--limit",
        type=click.IntRange(min=4),
        help="Most training and held-out examples, drawn by the seed.  [default: 2000; 600 lines]",
    ),
    _option(
        _DATA,
        "--longest",
        type=click.IntRange(min=1),
        default=64,
        show_default=True,
        help="Tokens that count of a text to be classified.",
    ),
    _option(
        _DATA,
        "--size",
        type=click.IntRange(min=4),
        help="Pixels a side of images and clips.  [default: 32]",
    ),
    _option(
        _DATA,
        "--frames",
        type=click.IntRange(min=1),
        default=8,
        show_default=True,
        help="Frames taken of a clip.",
    ),
    _option(
        _DATA,
        "--undecodable",
        type=click.Choice(("refuse", "report")),
        default="refuse",
        show_default=True,
        help="Clips that do not decode: refuse them, or leave them out and say so.",
    ),
    _option(
        _LANGUAGE,
        "--format",
        "formats",
        multiple=True,
        metavar="FORMAT",
        help="Format of the canaries that go into every training.  [default: those of the ledger, else random-number]",
    ),
    *(
        _option(
            _LANGUAGE,
            f"--lm-{name.replace('_', '-')}",
            type=kind,
            help=f"{name.replace('_', ' ').capitalize()} of the language models, as in train.",
        )
        for name, kind in _TRAINING.items()
    ),
)


def subject_options(command: F) -> F:
    """All of them; ``opened`` makes a subject of what was given."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def opened(given: dict[str, Any]) -> Subject:
    """The subject that the options name; they are taken out of ``given``."""
    from secretaudit.suite.opening import Dials, Reading, open_subject  # torch

    training = {name: value for name in _TRAINING if (value := given.pop(f"lm_{name}")) is not None}
    dials = Dials(
        options=dict(_named(text) for text in given.pop("model_options")),
        weights=given.pop("weights"),
        training=training,
    )
    data, model = given.pop("data"), given.pop("model")
    given["held_out"] = given.pop("held_out_data")
    formats = given.pop("formats")
    if formats:
        given["formats"] = formats
    return open_subject(data, model, reading=Reading(**given), dials=dials)


def _named(text: str) -> tuple[str, Any]:
    """A dial and its value: a number, yes or no, or a word."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(
            f"--option {text!r} is not NAME=VALUE.",
            "A dial needs a name and a value.",
            "Write it like --option hidden=512.",
        )
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, {"true": True, "false": False}.get(value.lower(), value)
