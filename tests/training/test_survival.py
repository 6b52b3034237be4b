"""Counting the copies of canaries where the model reads them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from secretaudit.training.stream import Lanes
from secretaudit.training.survival import count_copies


def lanes_of(*rows: list[int]) -> Lanes:
    """Lanes padded with the separator, as training pads them."""
    width = max(len(row) for row in rows)
    tokens = np.array([row + [0] * (width - len(row)) for row in rows], dtype=np.int32)
    return Lanes(tokens=tokens, lengths=np.array([len(row) for row in rows]))


def test_only_whole_records_count() -> None:
    """A canary inside a longer record, or one that is longer, is no copy."""
    lanes = lanes_of([0, 1, 2, 0, 1, 2, 3, 0, 5, 1, 2, 0], [0, 1, 2, 0])
    assert count_copies(lanes, 0, {"a": [1, 2], "b": [1, 2, 3], "c": [2, 3]}) == {
        "a": 2,
        "b": 1,
        "c": 0,
    }


def test_copies_side_by_side_share_their_separator() -> None:
    """The separator that ends one copy starts the next."""
    assert count_copies(lanes_of([0, 7, 0, 7, 0, 7, 0]), 0, {"a": [7]}) == {"a": 3}


def test_columns_that_were_not_read_do_not_count() -> None:
    """A training that ended early saw what stands before its end, the closing separator included."""
    lanes = lanes_of([0, 7, 8, 0, 7, 8, 0])
    assert [count_copies(lanes, 0, {"a": [7, 8]}, columns=n)["a"] for n in (3, 4, 6, 7)] == [
        0,
        1,
        1,
        2,
    ]


def test_two_canaries_of_equal_tokens_are_both_counted() -> None:
    """Identity is not lost when two ids name the same text."""
    assert count_copies(lanes_of([0, 4, 0]), 0, {"a": [4], "b": [4]}) == {"a": 1, "b": 1}


@given(
    records=st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=3), max_size=30),
    canaries=st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=3), min_size=1, max_size=4),
)
def test_counts_are_those_of_counting_one_by_one(
    records: list[list[int]], canaries: list[list[int]]
) -> None:
    """The number of equal records, counted plainly."""
    half = len(records) // 2
    rows = [[0, *(t for r in part for t in [*r, 0])] for part in (records[:half], records[half:])]
    counted = count_copies(lanes_of(*rows), 0, {str(i): c for i, c in enumerate(canaries)})
    assert counted == {str(i): records.count(c) for i, c in enumerate(canaries)}
