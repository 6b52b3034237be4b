"""Which way of having clipped per-record gradients a model is trained with.

    asked for       tried                     when it does not cover the model
    book-keeping    book-keeping              an error that names the layer
    hooks           hooks                     the same
    ghost           ghost                     the same
    auto            book-keeping, then hooks  the same

A way covers a model when it runs on two records of it and agrees with gradients computed one at a time (``checking``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from secretaudit.errors import ModelError
from secretaudit.training.batch import Batch
from secretaudit.training.memory import is_memory_error
from secretaudit.training.private.book_keeping import BookKeeping
from secretaudit.training.private.by_opacus import Ghost, Hooks
from secretaudit.training.private.checking import alone, check, two_records
from secretaudit.training.private.mode import Mode
from secretaudit.training.private.uses import Uncovered
from secretaudit.training.update import Forward

WAYS: dict[str, Callable[[Forward, Mapping[str, nn.Parameter], float], Mode]] = {
    "book-keeping": BookKeeping,
    "hooks": Hooks,
    "ghost": Ghost,
}


def choose_mode(
    forward: Forward,
    trained: Mapping[str, nn.Parameter],
    wanted: str,
    batch: Batch,
    smoothing: float = 0.0,
) -> tuple[Mode, str]:
    """The way that is used, and a sentence that says why.

    Args:
        forward: The model, without hooks.
        trained: Its trained parameters by name.
        wanted: "book-keeping", "hooks", "ghost" or "auto".
        batch: Of the training itself, at least one record.
        smoothing: Label smoothing in [0, 1).

    Raises:
        ModelError: No way that may be used covers the model; the layer is named.
        UsageError: Ghost clipping of tied weights.
    """
    pair = two_records(batch)
    separate = alone(forward, trained, pair, smoothing)

    def tried(name: str) -> Mode:
        mode = WAYS[name](forward, trained, smoothing)
        try:
            check(mode, forward, trained, pair, separate)
        except BaseException as error:
            mode.close()
            if isinstance(error, Uncovered) or not _is_a_stumble(error):
                raise
            raise Uncovered("", f"{name.capitalize()} failed on it: {error}") from error
        return mode

    if wanted != "auto":
        try:
            return tried(wanted), "It was asked for."
        except Uncovered as missing:
            raise _refused(forward.model, missing, wanted) from missing
    try:
        return tried("book-keeping"), "Every trained layer is covered by it."
    except Uncovered as missing:
        first = missing
    if forward.precision != "float32":
        raise _refused(forward.model, first, "book-keeping") from first
    try:
        return tried("hooks"), f"Book-keeping does not cover {_place(forward.model, first)}."
    except Uncovered as missing:
        worst = missing if missing.parameter else first
        raise _refused(forward.model, worst, "auto") from missing


def _is_a_stumble(error: BaseException) -> bool:
    """Whether a way stumbled over a layer, in one of the many in which hooks do; want of memory is another matter."""
    kinds = (RuntimeError, ValueError, TypeError, AttributeError, NotImplementedError)
    return isinstance(error, kinds) and not is_memory_error(error)


def _place(model: nn.Module, missing: Uncovered) -> str:
    """The layer, by name and class, and what is missing."""
    owner = missing.parameter.rpartition(".")[0]
    kind = type(model.get_submodule(owner)).__name__
    return f"{owner or 'the model'} ({kind}: {missing.reason})"


def _refused(model: nn.Module, missing: Uncovered, way: str) -> ModelError:
    if not missing.parameter:
        return ModelError(
            "The model cannot be trained privately.",
            missing.reason,
            "Freeze that layer, use another kind of layer, or train adapters on it with --lora.",
        )
    tried = "Book-keeping and Opacus' hooks" if way == "auto" else way.capitalize()
    owner = missing.parameter.rpartition(".")[0]
    kind = type(model.get_submodule(owner)).__name__
    return ModelError(
        f"{owner or 'The model'} ({kind}) cannot be trained privately.",
        f"{tried}: the gradient that one record gives {missing.parameter} cannot be had, because {missing.reason}.",
        "Freeze that layer, use another kind of layer, or train adapters on the others with --lora.",
    )
