"""The permutation test over networks: exact p-values on toys, and what it does under the null."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from secretaudit.suite.dissection.permutation import (
    between,
    jackknife,
    of_pairs,
    of_values,
    within,
)
from secretaudit.suite.dissection.verdicts import above
from secretaudit.suite.statistics import mean_interval


def blocks(m: int, first: float, second: float, across: float) -> np.ndarray:
    matrix = np.full((2 * m, 2 * m), across)
    matrix[:m, :m], matrix[m:, m:] = first, second
    np.fill_diagonal(matrix, 1.0)
    return matrix


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_five_and_five_alike_networks_have_the_least_p():
    """One of 252 divisions is as extreme: p = 1/252, below 0.01."""
    found = of_pairs(blocks(5, 0.9, 0.1, 0.1), range(5), range(5, 10), rng())
    assert found["exact"] and found["splits"] == 252
    assert found["p_value"] == pytest.approx(1 / 252)
    assert found["difference"] == pytest.approx(0.8)


def test_three_networks_each_cannot_reach_one_per_cent():
    """With 20 divisions the least p is 0.05, and the result says so."""
    found = of_pairs(blocks(3, 0.9, 0.1, 0.1), range(3), range(3, 6), rng())
    assert found["least_p"] == pytest.approx(1 / 20) and found["p_value"] == pytest.approx(1 / 20)


def test_equal_networks_have_p_one():
    """Where all pairs are alike every division is as extreme: ties count against the finding."""
    assert of_pairs(blocks(4, 0.5, 0.5, 0.5), range(4), range(4, 8), rng())["p_value"] == 1.0


def test_p_equals_a_loop_over_divisions():
    """A naive count over all divisions of a random matrix gives the same p."""
    drawn = np.random.default_rng(5).random((7, 7))
    matrix = (drawn + drawn.T) / 2
    matrix[:3, :3] += 0.15

    def difference(a):
        b = [i for i in range(7) if i not in a]
        means = [np.mean([matrix[i, j] for i, j in itertools.combinations(g, 2)]) for g in (a, b)]
        return means[0] - means[1]

    seen = difference((0, 1, 2))
    every = [difference(a) for a in itertools.combinations(range(7), 3)]
    expected = np.mean([value >= seen - 1e-12 for value in every])
    assert of_pairs(matrix, range(3), range(3, 7), rng())["p_value"] == pytest.approx(expected)


def test_drawn_divisions_never_give_zero():
    """Where not all are gone through, p = (1 + hits)/(1 + draws)."""
    found = of_pairs(blocks(6, 0.9, 0.1, 0.1), range(6), range(6, 12), rng(), most=100)
    assert not found["exact"] and found["splits"] == 100
    assert 1 / 101 <= found["p_value"] <= 3 / 101


def test_p_values_are_right_under_the_null():
    """Networks without conditions: p ≤ 0.1 in a tenth of the trials."""
    drawn = np.random.default_rng(6)
    hits = 0
    for _ in range(250):
        features = drawn.standard_normal((8, 3))
        found = of_pairs(features @ features.T, range(4), range(4, 8), rng())
        hits += found["p_value"] <= 0.1
    assert 0.05 <= hits / 250 <= 0.15


def test_one_number_per_network_is_tested_the_same_way():
    """Values that all lie above: p = 1/C(6, 3). A network without a value takes no part."""
    found = of_values([5, 6, 7, 1, 2, 3], range(3), range(3, 6), rng())
    assert found["p_value"] == pytest.approx(1 / 20) and found["difference"] == pytest.approx(4.0)
    less = of_values([5, 6, np.nan, 1, 2, 3], range(3), range(3, 6), rng())
    assert less["splits"] == 10 and less["p_value"] == pytest.approx(1 / 10)


def test_groups_without_a_pair_cannot_be_tested():
    """One network has no pair, and a pair may have no similarity."""
    assert of_pairs(np.ones((4, 4)), [0], [1, 2, 3], rng())["p_value"] is None
    assert of_pairs(np.full((4, 4), np.nan), [0, 1], [2, 3], rng())["p_value"] is None
    assert of_values([1.0, 2.0], [], [0, 1], rng())["p_value"] is None


def test_means_within_and_across():
    """The diagonal is not used, and missing pairs are left out."""
    matrix = blocks(2, 0.8, 0.2, 0.5)
    matrix[0, 3] = matrix[3, 0] = np.nan
    assert within(matrix, [0, 1]) == pytest.approx(0.8)
    assert between(matrix, [0, 1], [2, 3]) == pytest.approx(0.5)
    assert within(matrix, [0, 3]) is None


def test_the_jackknife_of_a_mean_over_pairs():
    """Pseudo-values of s_ij = x_i + x_j average twice the mean of x, and the interval is Student's t of 2x."""
    x = np.array([0.1, 0.4, 0.2, 0.7, 0.3])
    found = jackknife(x[:, None] + x[None, :], range(5))
    half = 2.7764451 * (2 * x).std(ddof=1) / np.sqrt(5)
    assert found["mean"] == pytest.approx(2 * x.mean())
    assert found["high"] - found["mean"] == pytest.approx(half, rel=1e-6)
    assert jackknife(np.ones((2, 2)), range(2))["low"] is None


def test_an_interval_above_a_limit_is_judged_from_three_values_on():
    """Two equal values have an interval without width, which decides nothing."""
    three, two = mean_interval([0.6, 0.7, 0.8]), mean_interval([0.7, 0.7])
    assert above("", "", three, 0.3)["holds"] is True
    assert above("", "", three, 0.7)["holds"] is False
    assert above("", "", two, 0.3)["holds"] is None
