"""How many rows go through a model at a time: as many as fit.

A size that is taken from the shapes is a guess: other programs use the same memory, and attention and allocators have needs of
their own. When a pass runs out of memory it is done again with half the rows, and later passes begin with what fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from secretaudit.errors import CouldNotMeasure

#: What allocators say when memory is short and no exception of its own exists for it (CPU, older CUDA libraries).
_OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "alloc_failed")

_T = TypeVar("_T")


class BatchSize:
    """The largest number of rows that has not run out of memory.

    Args:
        most: Rows never exceeded.
    """

    def __init__(self, most: int) -> None:
        self.most = max(1, most)

    def pieces(
        self, count: int, fitting: Callable[[int], int], work: Callable[[slice], _T]
    ) -> Iterator[_T]:
        """Do ``count`` rows in order, as many at a time as fit.

        Args:
            count: Rows in all.
            fitting: Rows from a place on that should fit, by their shapes.
            work: Does some rows; called again with fewer when it runs out of memory.

        Yields:
            What ``work`` returned for each piece.

        Raises:
            CouldNotMeasure: Not even one row fits.
        """
        begin = 0
        while begin < count:
            rows = max(1, min(self.most, fitting(begin), count - begin))
            piece = slice(begin, begin + rows)
            try:
                done = work(piece)
            except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
                if not _is_out_of_memory(error):
                    raise
                if rows == 1:
                    raise _nothing_fits(error) from error
                self.most = rows // 2
            else:
                yield done
                begin = piece.stop
                continue
            if torch.cuda.is_available():  # here the failed pass has let go of its tensors
                torch.cuda.empty_cache()


def _nothing_fits(error: Exception) -> CouldNotMeasure:
    said = str(error).strip().splitlines()
    return CouldNotMeasure(
        "The model runs out of memory with a single text.",
        f"{said[0].rstrip('.') if said else 'No memory is left'}.",
        "Use a machine or device with more memory, or --dtype bfloat16.",
    )


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(words in str(error).lower() for words in _OUT_OF_MEMORY)
