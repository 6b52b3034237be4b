"""Batches shrink when memory runs out, and say so when nothing fits."""

from __future__ import annotations

import pytest
import torch

from secretaudit.errors import CouldNotMeasure
from secretaudit.models.batch_size import BatchSize


def fitting(begin: int) -> int:
    return 100


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried …"
        ),
        MemoryError(),
    ],
)
def test_a_pass_that_runs_out_of_memory_is_done_with_half_the_rows(error: Exception) -> None:
    """Every row is done once, in order, and later passes begin with what fitted."""

    def work(piece: slice) -> list[int]:
        if piece.stop - piece.start > 3:
            raise error
        return list(range(piece.start, piece.stop))

    rows = BatchSize(16)
    assert [list(p) for p in rows.pieces(8, fitting, work)] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert rows.most == 2


def test_a_single_row_that_does_not_fit_cannot_be_measured() -> None:
    """The way out is named."""

    def work(piece: slice) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(CouldNotMeasure, match="out of memory with a single text") as caught:
        list(BatchSize(4).pieces(5, fitting, work))
    assert caught.value.why == "CUDA out of memory."


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    """A mistake is not tried again."""
    calls = []

    def work(piece: slice) -> None:
        calls.append(piece)
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        list(BatchSize(4).pieces(5, fitting, work))
    assert len(calls) == 1


def test_no_more_rows_than_fit_by_their_shapes() -> None:
    """The guess from the shapes is an upper bound."""
    pieces = BatchSize(4).pieces(5, lambda begin: 3 if begin == 0 else 1, lambda piece: piece.stop)
    assert list(pieces) == [3, 4, 5]
