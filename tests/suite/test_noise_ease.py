"""Over-dispersion of the rates of examples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from secretaudit.suite.noise.ease import binomial_curve, over_dispersion


def _naive(correct):
    """Sample variance of the rates over the mean sample variance of the networks, divided by M."""
    rates = [row.mean() for row in correct.T.astype(float)]
    own = [row.var(ddof=1) for row in correct.astype(float)]
    return np.var(rates, ddof=1) / (np.mean(own) / len(correct))


def _same(rng, networks, n):
    return rng.random((networks, n)) < 0.3


def _networks_differ(rng, networks, n):
    """Networks of different quality, every example alike."""
    return rng.random((networks, n)) < rng.beta(3, 7, size=(networks, 1))


def _one_label_each(rng, networks, n):
    """Each network prefers labels of its own: examples of a label hang together in a network, and none is easier."""
    liked = rng.dirichlet(np.full(10, 0.5), size=networks)
    return rng.random((networks, n)) < liked[:, np.arange(n) % 10]


def _beta(rng, networks, n):
    """Examples of different ease: variance 1/84 of p, mean variance 1/4 − 1/84 within."""
    return rng.random((networks, n)) < rng.beta(10, 10, size=(1, n))


def test_the_ratio_is_the_variance_over_chance():
    """The identity 1 + (M − 1) ρ equals the ratio computed from its definition."""
    correct = _beta(np.random.default_rng(0), 12, 60)
    found = over_dispersion(correct)
    assert found["ratio"] == pytest.approx(_naive(correct))
    assert found["ratio"] == pytest.approx(1 + 11 * found["correlation"])


def test_the_ratio_is_that_of_p_where_networks_are_equally_good():
    """With p the same for every network, chance is p(1 − p)/M."""
    one = np.array([True] * 5 + [False] * 15)
    rng = np.random.default_rng(1)
    correct = np.stack([rng.permutation(one) for _ in range(8)])
    rates = correct.mean(0)
    expected = rates.var() / (0.25 * 0.75 / 8)
    assert over_dispersion(correct)["ratio"] == pytest.approx(expected)


def test_networks_that_agree_give_the_largest_ratio():
    """When all networks are right on the same examples the ratio is M."""
    correct = np.tile(np.arange(40) % 3 == 0, (6, 1))
    found = over_dispersion(correct)
    assert found["ratio"] == pytest.approx(6.0)
    assert found["correlation"] == pytest.approx(1.0)


def test_nothing_is_said_where_nothing_varies():
    """All right, always: no ratio."""
    found = over_dispersion(np.ones((5, 20), dtype=bool))
    assert set(found.values()) == {None}


def test_within_labels_the_ease_of_labels_is_gone():
    """Networks that always give label 0 make label 0 easy; among its examples none is."""
    rng = np.random.default_rng(2)
    labels = np.arange(400) % 4
    correct = rng.random((50, 400)) < np.where(labels == 0, 0.8, 0.1)
    assert over_dispersion(correct)["low"] > 5
    within = over_dispersion(correct, labels)
    assert within["low"] < 1 < within["high"]


@pytest.mark.parametrize(
    ("make", "truth"),
    [
        (_same, 1.0),
        (_networks_differ, 1.0),
        (_one_label_each, 1.0),
        (_beta, 1 + 39 * (0.25 / 21) / 0.25),
    ],
)
def test_the_interval_covers(make, truth):
    """95 % intervals cover the truth in nine or more of ten draws, whichever way the answers of a network hang together."""
    rng = np.random.default_rng(4)
    found = [over_dispersion(make(rng, 40, 250)) for _ in range(150)]
    assert np.mean([f["ratio"] for f in found]) == pytest.approx(truth, rel=0.03)
    covered = np.mean([f["low"] <= truth <= f["high"] for f in found])
    assert covered >= 0.9


def test_the_interval_is_no_wider_than_it_must_be():
    """Independent answers: half the width is near 1.96 standard deviations of the ratio."""
    rng = np.random.default_rng(5)
    found = [over_dispersion(_same(rng, 60, 300)) for _ in range(60)]
    half = np.mean([(f["high"] - f["low"]) / 2 for f in found])
    assert half == pytest.approx(1.96 * (2 / 299) ** 0.5, rel=0.25)


def test_the_binomial_curve_has_mean_and_spread_of_the_binomial():
    """Many quantiles have the moments of Binomial(M, 1 − p)/M, and are sorted."""
    curve = np.array(binomial_curve(100, 0.3, 2_000))
    assert (np.diff(curve) >= 0).all()
    assert curve.mean() == pytest.approx(0.7, abs=0.001)
    assert curve.std() == pytest.approx(stats.binom.std(100, 0.7) / 100, rel=0.02)
