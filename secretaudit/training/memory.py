"""Running out of memory, in a step or before the first, as an error with a way out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from secretaudit.errors import TrainingError
from secretaudit.training.checkpoint import Position


@contextmanager
def memory_errors(position: Position) -> Iterator[None]:
    """Turn torch's and Python's errors of memory in a step into one that says what to do; other errors pass."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # torch has no class of its own for the CPU
        if not is_memory_error(error):
            raise
        raise TrainingError(
            f"Memory ran out in step {position.step + 1}.",
            f"{_first_line(error)}.",
            "Give a smaller --physical-batch-size (the result stays the same) and --resume, or train a smaller model.",
        ) from error


@contextmanager
def memory_errors_before_training() -> Iterator[None]:
    """The same while the corpus is read, the model is made, and the first checkpoint is written."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_memory_error(error):
            raise
        raise TrainingError(
            "Memory ran out before the first step.",
            f"{_first_line(error)}.",
            "Train a smaller model, or on a smaller corpus.",
        ) from error


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
