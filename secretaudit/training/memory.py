"""Running out of memory, in a step or before the first, as an error with a way out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from secretaudit.errors import TrainingError
from secretaudit.training.checkpoint import Position


@contextmanager
def memory_errors(position: Position | None = None) -> Iterator[None]:
    """Turn torch's and Python's errors of memory into one that says what to do; other errors pass.

    Args:
        position: Where the training stands; ``None`` while the corpus is read, the model is made, and the first checkpoint is written.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # torch has no class of its own for the CPU
        if not is_memory_error(error):
            raise
        when, way_out = "before the first step", "Train a smaller model, or on a smaller corpus."
        if position is not None:
            when = f"in step {position.step + 1}"
            way_out = "Give a smaller --physical-batch-size (the result stays the same) and --resume, or train a smaller model."
        raise TrainingError(f"Memory ran out {when}.", f"{_first_line(error)}.", way_out) from error


def is_memory_error(error: BaseException) -> bool:
    """Whether an error says that memory ran out."""
    said = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError)
        and any(
            words in said
            for words in ("can't allocate memory", "out of memory", "defaultcpuallocator")
        )
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".")
