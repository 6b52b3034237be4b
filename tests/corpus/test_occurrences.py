"""Counting many needles in a stream, against the naive count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secretaudit.corpus.occurrences import Needles

_SMALL = st.text(alphabet="ab1\u00e9\U0001f512", max_size=12)


def _naive_inside(needle: str, records: list[str]) -> int:
    return sum(
        record[start : start + len(needle)] == needle
        for record in records
        for start in range(len(record))
    )


@given(
    needles=st.lists(_SMALL.filter(bool), unique=True, max_size=8),
    records=st.lists(_SMALL, max_size=30),
)
def test_counts_equal_the_naive_ones(needles: list[str], records: list[str]) -> None:
    """Occurrences inside records (overlaps included) and whole records are what a plain loop finds."""
    found = Needles(needles).count(records)
    assert found.inside.tolist() == [_naive_inside(needle, records) for needle in needles]
    assert found.whole.tolist() == [records.count(needle) for needle in needles]


def test_every_length_and_place_is_found() -> None:
    """A needle of any length is found at every alignment, at both ends of a record too."""
    for length in range(1, 40):
        needle = "".join(chr(97 + i % 26) for i in range(length))
        records = ["#" * before + needle + "#" * after for before in range(9) for after in (0, 3)]
        found = Needles([needle]).count(records)
        assert (found.inside.item(), found.whole.item()) == (18, 1)


def test_a_needle_never_spans_two_records() -> None:
    """The end of one record and the start of the next do not make an occurrence."""
    found = Needles(["ab", "a\nb", "a b"]).count(["a", "b", "xa", "bx"])
    assert not found.inside.any()


def test_needles_that_share_all_but_the_secret_are_told_apart() -> None:
    """A thousand canaries of one format are counted each for itself."""
    needles = [f"the code of the door is {number:04}, keep it" for number in range(1000)]
    records = [needles[7]] * 3 + [f"x{needles[8]}"] + ["the code of the door is 1234, keep it"]
    found = Needles(needles).count(records)
    assert np.flatnonzero(found.inside).tolist() == [7, 8]
    assert found.inside[7] == found.whole[7] == 3
    assert (found.inside[8], found.whole[8]) == (1, 0)


def test_counts_are_right_across_many_blocks() -> None:
    """Three megabytes of records, a needle in every thousandth, more than one block."""
    records = ("needle in hay" if i % 1000 == 0 else f"hay {i:060}" for i in range(50_000))
    found = Needles(["needle in hay"]).count(records)
    assert (found.inside.item(), found.whole.item()) == (50, 50)


def test_lone_surrogates_match_nothing_and_stop_nothing() -> None:
    """JSON can spell half a character; it is no needle, and the records around it are still counted."""
    found = Needles(["abc"]).count(["\ud83d", "abc", "\udd12abc"])
    assert (found.inside.item(), found.whole.item()) == (2, 1)


@pytest.mark.parametrize("texts", [["a", ""], ["a", "b", "a"]])
def test_empty_and_repeated_needles_are_refused(texts: list[str]) -> None:
    """An empty needle is everywhere, and a repeated one has two counts."""
    with pytest.raises(ValueError, match="needles must be distinct and not empty"):
        Needles(texts)


def test_no_needles_find_nothing() -> None:
    """Counting nothing is allowed and reads the records all the same."""
    assert Needles([]).count(["a", "b"]).inside.shape == (0,)
