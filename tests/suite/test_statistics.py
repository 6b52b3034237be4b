"""Intervals, the Gini coefficient and permutation tests against closed forms and naive twins."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secretaudit.suite.statistics import gini, mean_interval, paired_difference, permutation_p


@given(st.lists(st.floats(0, 100), min_size=1, max_size=12))
def test_gini_is_the_mean_absolute_difference(values: list[float]) -> None:
    """G = Σ_ij |g_i − g_j| / (2 n² mean), the definition, by a double loop."""
    n, total = len(values), sum(values)
    expected = (
        0.0 if total == 0 else sum(abs(a - b) for a in values for b in values) / (2 * n * total)
    )
    assert gini(values) == pytest.approx(expected, abs=1e-9)


def test_gini_of_extremes() -> None:
    """0 for equals and (n − 1)/n when one has everything; the scale does not count."""
    assert gini([3.0] * 7) == pytest.approx(0.0)
    assert gini([0.0] * 9 + [5.0]) == pytest.approx(0.9)
    assert gini([1.0, 2.0, 3.0]) == pytest.approx(gini([10.0, 20.0, 30.0]))
    assert gini([0.0, 0.0]) == 0.0


def test_intervals_cover_as_they_say() -> None:
    """Of 2,000 means of five normal values about 95 % of the intervals hold the truth."""
    rng = np.random.default_rng(0)
    found = [mean_interval(rng.normal(3.0, 2.0, 5)) for _ in range(2000)]
    covered = np.mean([one["low"] <= 3.0 <= one["high"] for one in found])
    assert 0.935 < covered < 0.965


def test_few_values_have_no_interval() -> None:
    """One value has a mean, none has nothing; neither has ends."""
    assert mean_interval([2.0]) == {"mean": 2.0, "low": None, "high": None, "n": 1}
    assert mean_interval([]) == {"mean": None, "low": None, "high": None, "n": 0}


def test_pairs_take_out_what_the_seeds_share() -> None:
    """A constant difference of 1 under any noise has the interval [1, 1] and no p-value, for it has no spread."""
    noise = np.random.default_rng(1).normal(size=6)
    found = paired_difference(noise + 1.0, noise)
    assert (found["mean"], found["low"], found["high"]) == pytest.approx((1.0, 1.0, 1.0))
    assert paired_difference([1.0, 2.0, 4.0], [0.0, 0.0, 1.0])["p_value"] == pytest.approx(
        0.0742, abs=1e-3
    )


def test_the_permutation_p_value_counts_the_splits() -> None:
    """Eight units of two kinds: the share of the 70 splits with at least the observed difference, counted one by one."""
    values = np.array([5.0, 6.0, 7.0, 4.0, 1.0, 2.0, 5.5, 0.0])
    labels = np.array([1, 1, 1, 1, 0, 0, 0, 0])

    def difference(kinds: np.ndarray) -> float:
        return float(values[kinds == 1].mean() - values[kinds == 0].mean())

    splits = [np.isin(np.arange(8), chosen).astype(int) for chosen in combinations(range(8), 4)]
    exact = np.mean([difference(split) >= difference(labels) - 1e-12 for split in splits])
    found = permutation_p(difference, labels, np.random.default_rng(2), draws=4000)
    assert found == pytest.approx(exact, abs=0.012)
    assert permutation_p(lambda _: 1.0, labels, np.random.default_rng(0), draws=99) == 1.0
