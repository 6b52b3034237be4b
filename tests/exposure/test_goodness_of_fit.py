"""The goodness-of-fit test: its distances by their integrals, its p-value calibrated, and its power."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from secretaudit.exposure.goodness_of_fit import distances, goodness_of_fit
from secretaudit.exposure.skew_normal import SkewNormal, fit_skew_normal

STANDARD = SkewNormal(location=0.0, scale=1.0, shape=0.0)


def test_distances_equal_their_definitions() -> None:
    """AL² = n ∫ (F_n − F)²/F dF by quadrature between the costs; D as scipy computes it."""
    costs = np.random.default_rng(0).standard_normal(20)
    u = np.concatenate([[0.0], np.sort(stats.norm.cdf(costs)), [1.0]])
    area = sum(
        integrate.quad(lambda x, i=i: (i / 20 - x) ** 2 / x, u[i], u[i + 1])[0] for i in range(21)
    )
    lower_tail, largest = distances(costs, STANDARD)
    assert lower_tail == pytest.approx(20 * area, rel=1e-6)
    assert largest == pytest.approx(stats.kstest(costs, "norm").statistic, rel=1e-9)


def test_one_cost_deep_in_the_tail_is_a_large_but_finite_distance() -> None:
    """A memorized secret among the references, 40 scales below: log u is taken in the log domain."""
    costs = np.append(stats.norm.ppf((np.arange(100) + 0.5) / 100), -40.0)
    lower_tail, _ = distances(costs, STANDARD)
    assert 5 < lower_tail < math.inf


def test_p_values_are_uniform_under_the_null_where_the_textbook_ones_are_not() -> None:
    """60 skew-normal samples: about 10 % rejected at 0.1 and a mean of 0.5; the plain test after a fit averages above 0.75."""
    p_values, textbook = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        truth = SkewNormal(location=30.0, scale=4.0, shape=(-2.0, 0.5, 3.0)[seed % 3])
        costs = truth.sample(150, rng)
        fit = fit_skew_normal(costs)
        found, _ = goodness_of_fit(costs, fit, rng=rng, replicates=99, level=0.1)
        p_values.append((found.p_value, found.kolmogorov_smirnov_p_value))
        textbook.append(stats.kstest(costs, fit.cdf).pvalue)
    p = np.array(p_values)
    assert np.all(np.abs(p.mean(axis=0) - 0.5) < 0.12)
    rejected = (p <= 0.1).mean(axis=0)
    assert np.all((rejected > 0.0) & (rejected < 0.22))
    assert np.mean(textbook) > 0.75


def test_a_mixture_of_clusters_and_a_memorized_group_are_rejected() -> None:
    """94 / 5.75 / 0.25 % from three clusters (three token lengths), and 1 % of the costs far below all others."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        centers = np.array([30.0, 18.0, 8.0])[rng.choice(3, 1000, p=[0.94, 0.0575, 0.0025])]
        group = np.where(rng.random(1000) < 0.01, 8.0, 30.0)
        for center in (centers, group):
            costs = rng.normal(center, 2.5)
            fit = fit_skew_normal(costs)
            found, _ = goodness_of_fit(costs, fit, rng=rng, replicates=99, level=0.1)
            assert found.rejected
            assert found.p_value == pytest.approx(0.01)


def test_same_generator_same_p_value() -> None:
    """All randomness comes from the generator that is passed."""
    costs = STANDARD.sample(100, np.random.default_rng(5))
    fit = fit_skew_normal(costs)
    first, second = (
        goodness_of_fit(costs, fit, rng=np.random.default_rng(1), replicates=99, level=0.1)[0]
        for _ in range(2)
    )
    assert first == second


def test_too_few_replicates_are_refused() -> None:
    """A p-value from nine samples cannot say 0.1 with any confidence."""
    costs = STANDARD.sample(100, np.random.default_rng(5))
    with pytest.raises(ValueError, match="replicates must be at least 99"):
        goodness_of_fit(costs, STANDARD, rng=np.random.default_rng(1), replicates=9, level=0.1)
