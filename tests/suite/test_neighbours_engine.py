"""Nearest neighbours: against a twin that sorts all distances in plain Python, with ties, duplicates and refusals."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.neighbors import KNeighborsClassifier

from secretaudit.errors import CouldNotMeasure, UsageError
from secretaudit.suite.neighbours.engine import nearest, nearest_others, votes
from secretaudit.suite.neighbours.grouped import gap_over_records, nearest_outside


def points(count: int, width: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def distance(a: Any, b: Any, metric: str) -> float:
    """One distance, number by number."""
    x, y = [float(v) for v in a], [float(v) for v in b]
    if metric == "l1":
        return sum(abs(p - q) for p, q in zip(x, y, strict=True))
    if metric == "l2":
        return sum((p - q) ** 2 for p, q in zip(x, y, strict=True)) ** 0.5
    dot = sum(p * q for p, q in zip(x, y, strict=True))
    lengths = sum(p * p for p in x) ** 0.5 * sum(q * q for q in y) ** 0.5
    return 1.0 - dot / lengths


def sorted_by_distance(reference: Any, query: Any, metric: str, without: set[int]) -> list[int]:
    rows = [i for i in range(len(reference)) if i not in without]
    return sorted(rows, key=lambda i: distance(reference[i], query, metric))


@pytest.mark.parametrize("engine", ["scikit-learn", "faiss"])
@pytest.mark.parametrize("metric", ["l1", "l2", "cosine"])
def test_neighbours_are_those_of_a_sort_over_all_distances(metric: str, engine: str) -> None:
    """Every query's list, in order; points drawn from a continuous distribution have no ties."""
    if engine == "faiss":
        pytest.importorskip("faiss")
    reference, queries = points(40, 5, 1), points(9, 5, 2)
    found = nearest(reference, queries, 7, metric=metric, engine=engine)
    for row, query in zip(found.tolist(), queries, strict=True):
        assert row == sorted_by_distance(reference, query, metric, set())[:7]


@pytest.mark.parametrize("engine", ["scikit-learn", "faiss"])
@pytest.mark.parametrize("metric", ["l1", "l2", "cosine"])
def test_leave_one_out_is_a_search_among_the_others(metric: str, engine: str) -> None:
    """The list of reference i is the sorted list of all references but i."""
    if engine == "faiss":
        pytest.importorskip("faiss")
    reference = points(30, 4, 3)
    rows = np.array([0, 7, 29])
    found = nearest_others(reference, rows, 29, metric=metric, engine=engine)
    for i, row in zip(rows.tolist(), found.tolist(), strict=True):
        assert row == sorted_by_distance(reference, reference[i], metric, {i})


def test_leave_one_out_among_many_copies_of_one_point() -> None:
    """Ten copies of a point: none is its own neighbour, and all neighbours are other copies."""
    reference = np.concatenate([np.zeros((10, 3)), np.ones((5, 3))]).astype(np.float32)
    found = nearest_others(reference, np.arange(10), 4)
    for i, row in enumerate(found.tolist()):
        assert i not in row
        assert len(set(row)) == 4 and max(row) < 10


def test_leaving_the_point_out_equals_subtracting_its_vote() -> None:
    """Cohen et al.'s later code: k + 1 neighbours, less one vote for the own label."""
    reference, labels = points(50, 3, 4), np.random.default_rng(5).integers(0, 3, 50)
    rows = np.arange(50)
    ours = votes(labels, nearest_others(reference, rows, 5), 3)
    with_self = votes(labels, nearest(reference, reference, 6), 3) * 6
    with_self[rows, labels] -= 1
    assert np.allclose(ours, with_self / 5)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 12), classes=st.integers(2, 5))
def test_votes_are_scikit_learns(seed: int, k: int, classes: int) -> None:
    """Shares and the class of most votes, equal to ``KNeighborsClassifier`` (uniform weights, L1)."""
    rng = np.random.default_rng(seed)
    reference, queries = points(25, 3, seed), points(6, 3, seed + 1)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, 25 - classes)])
    theirs = KNeighborsClassifier(k, metric="l1", algorithm="brute").fit(reference, labels)
    shares = votes(labels, nearest(reference, queries, k), classes)
    assert np.allclose(shares, theirs.predict_proba(queries))
    assert (shares.argmax(1) == theirs.predict(queries)).all()


@pytest.mark.parametrize("metric", ["l1", "l2", "cosine"])
def test_both_engines_vote_alike(metric: str) -> None:
    """Two clouds with labels of their own: the shares of all three distances are equal."""
    pytest.importorskip("faiss")
    reference = np.concatenate([points(60, 8, 6), points(60, 8, 7) + 1.0]).astype(np.float32)
    labels = np.repeat([0, 1], 60)
    queries = points(40, 8, 8) + 0.5
    found = [
        votes(labels, nearest(reference, queries, 9, metric=metric, engine=engine), 2)
        for engine in ("scikit-learn", "faiss")
    ]
    assert np.allclose(found[0], found[1])


def test_a_row_of_zeros_is_at_distance_one_in_both_engines() -> None:
    """A dead embedding has no direction: it is as far from every point as an orthogonal one."""
    pytest.importorskip("faiss")
    reference = np.array([[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0]], dtype=np.float32)
    query = np.array([[2.0, 0.1]], dtype=np.float32)
    for engine in ("scikit-learn", "faiss"):
        found = nearest(reference, query, 3, metric="cosine", engine=engine)
        assert found.tolist() == [[0, 1, 2]]


def test_fewer_examples_than_neighbours_are_refused() -> None:
    """The message says how many there are, with and without the point itself."""
    reference = points(5, 2, 9)
    with pytest.raises(UsageError, match="6 neighbours were asked for, and there are 5"):
        nearest(reference, reference, 6)
    with pytest.raises(UsageError, match="5 neighbours were asked for, and there are 4"):
        nearest_others(reference, np.arange(5), 5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_point_that_is_not_a_number_is_refused(value: float) -> None:
    """The first such example is named."""
    bad = points(6, 2, 10)
    bad[3, 1] = value
    with pytest.raises(CouldNotMeasure, match="NaN or infinite, the first is example 3"):
        nearest(bad, points(1, 2, 0), 2)


def test_an_engine_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """FAISS is an extra; the message says how to get it."""
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(UsageError, match=r"secretaudit\[faiss\]"):
        nearest(points(5, 2, 0), points(1, 2, 1), 2, engine="faiss")


def test_an_unknown_distance_or_engine_is_refused() -> None:
    """The known ones are listed."""
    with pytest.raises(UsageError, match="metric must be one of l1, l2, cosine"):
        nearest(points(5, 2, 0), points(1, 2, 1), 2, metric="l3")
    with pytest.raises(UsageError, match="engine must be one of scikit-learn, faiss"):
        nearest(points(5, 2, 0), points(1, 2, 1), 2, engine="annoy")


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_neighbours_outside_a_group_are_those_of_a_sort_without_it(seed: int) -> None:
    """Groups of uneven sizes; a query of no group sees all references."""
    rng = np.random.default_rng(seed)
    reference = points(30, 3, seed)
    groups = rng.integers(0, 4, 30)
    rows = rng.permutation(30)[:5]
    own = np.where(np.arange(5) == 0, -1, groups[rows])
    if 30 - np.bincount(groups).max() < 3:
        return
    found = nearest_outside(reference, groups, reference[rows], own, 3)
    for query, mine, row in zip(reference[rows], own.tolist(), found.tolist(), strict=True):
        without = {i for i in range(30) if groups[i] == mine}
        assert row == sorted_by_distance(reference, query, "l1", without)[:3]


def test_a_group_that_is_nearly_everything_is_refused() -> None:
    """Outside its record a position needs k others."""
    groups = np.array([0, 0, 0, 1])
    with pytest.raises(UsageError, match="outside its own text a position has 1"):
        nearest_outside(points(4, 2, 0), groups, points(1, 2, 1), np.array([0]), 2)


def test_the_gap_over_records_is_a_difference_of_shares() -> None:
    """Equal records have an interval of no width: 3/4 − 1/4, whatever is drawn."""
    first, second = np.array([1, 1, 1, 0] * 3, bool), np.array([1, 0, 0, 0] * 3, bool)
    records = np.repeat([0, 1, 2], 4)
    found = gap_over_records(first, records, second, records, seed=0)
    assert (found["difference"], found["low"], found["high"]) == (0.5, 0.5, 0.5)
    assert found["records"] == [3, 3]


def test_the_interval_over_records_is_wider_than_over_positions() -> None:
    """Records that are all hits or all misses: n positions count as few records, √(p(1 − p)/records) each side."""
    hits = np.repeat(np.arange(40) % 2 == 0, 25)
    records = np.repeat(np.arange(40), 25)
    found = gap_over_records(hits, records, hits, records, seed=0)
    half = 1.96 * (2 * 0.25 / 40) ** 0.5
    assert found["high"] - found["low"] == pytest.approx(2 * half, rel=0.15)
