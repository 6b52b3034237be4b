"""Counting the copies of canaries where the model reads them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from secretaudit.training.survival import count_copies

from .conftest import encoded

IDS = st.lists(st.integers(1, 3), min_size=1, max_size=3)


def count(
    records: list[list[int]],
    canaries: dict[str, list[int]],
    *,
    read: list[bool] | None = None,
    longest: int | None = None,
) -> dict[str, int]:
    all_read = [True] * len(records) if read is None else read
    return count_copies(
        encoded(records), canaries, read=np.array(all_read, np.bool_), longest=longest
    )


def test_only_whole_records_count() -> None:
    """A canary inside a longer record, or one that is longer, is no copy."""
    records = [[1, 2], [1, 2, 3], [5, 1, 2], [1, 2]]
    assert count(records, {"a": [1, 2], "b": [1, 2, 3], "c": [2, 3]}) == {"a": 2, "b": 1, "c": 0}


def test_records_that_were_not_read_do_not_count() -> None:
    """A training that ended early saw what it had read until then."""
    assert count([[7], [7], [8], [7]], {"a": [7]}, read=[True, False, True, True]) == {"a": 2}


def test_records_that_were_cut_do_not_count() -> None:
    """A canary longer than a row was never seen whole; one that just fits was."""
    canaries = {"fits": [1, 2], "cut": [1, 2, 3]}
    assert count([[1, 2], [1, 2, 3]], canaries, longest=2) == {"fits": 1, "cut": 0}


def test_two_canaries_of_equal_tokens_are_both_counted() -> None:
    """Identity is not lost when two ids name the same text."""
    assert count([[4]], {"a": [4], "b": [4]}) == {"a": 1, "b": 1}


@given(
    records=st.lists(st.tuples(IDS, st.booleans()), max_size=30),
    canaries=st.lists(IDS, min_size=1, max_size=4),
)
def test_counts_are_those_of_counting_one_by_one(
    records: list[tuple[list[int], bool]], canaries: list[list[int]]
) -> None:
    """The number of equal records among those read, counted plainly."""
    counted = count(
        [ids for ids, _ in records],
        {str(i): c for i, c in enumerate(canaries)},
        read=[read for _, read in records],
    )
    assert counted == {str(i): records.count((c, True)) for i, c in enumerate(canaries)}
