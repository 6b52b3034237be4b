"""Intervals: textbook values, closed forms, and coverage counted exactly or by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from secretaudit.exposure.intervals import (
    clopper_pearson,
    exposure_bounds,
    rank_bounds,
    weighted_sum_interval,
)


def test_clopper_pearson_equals_the_binomial_tails() -> None:
    """At the upper end the chance of so few hits is α/2, at the lower end that of so many: the definition itself."""
    hits = np.arange(1, 100)
    low, high = clopper_pearson(hits, 100)
    np.testing.assert_allclose(stats.binom.cdf(hits, 100, high), 0.025, rtol=1e-9)
    np.testing.assert_allclose(stats.binom.sf(hits - 1, 100, low), 0.025, rtol=1e-9)


@pytest.mark.parametrize("draws", [1, 10, 1000, 10**6])
def test_no_hit_and_only_hits_get_the_one_sided_bound(draws: int) -> None:
    """(1 − high)^N = 5 %: no hit in N draws is as surprising as that; 3/N for large N."""
    low, high = clopper_pearson([0, draws], draws)
    assert (low[0], high[1]) == (0.0, 1.0)
    assert (1 - high[0]) ** draws == pytest.approx(0.05, rel=1e-6)
    assert low[1] ** draws == pytest.approx(0.05, rel=1e-6)
    if draws >= 1000:
        assert high[0] * draws == pytest.approx(3.0, rel=0.01)


@pytest.mark.parametrize("draws", [20, 200])
def test_clopper_pearson_covers_every_probability(draws: int) -> None:
    """Coverage summed over all outcomes, no seed: at least 95 % less what the one-sided end may add, and not all of it."""
    hits = np.arange(draws + 1)
    low, high = clopper_pearson(hits, draws)
    probabilities = np.geomspace(0.1 / draws, 0.5, 60)
    covered = [
        stats.binom.pmf(hits, draws, p)[(low <= p) & (p <= high)].sum() for p in probabilities
    ]
    assert min(covered) >= 0.935
    assert np.mean(covered) >= 0.955
    assert min(covered) < 0.99


@pytest.mark.parametrize(
    ("hits", "draws", "message"),
    [([1], 0, "draws must be at least 1"), ([5], 4, "hits must lie in 0"), ([-1], 4, "hits must")],
)
def test_impossible_counts_are_refused(hits: list[int], draws: int, message: str) -> None:
    """More hits than draws, or no draws."""
    with pytest.raises(ValueError, match=message):
        clopper_pearson(hits, draws)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, -0.1])
def test_a_confidence_outside_0_and_1_is_refused(confidence: float) -> None:
    """95 is not 0.95."""
    with pytest.raises(ValueError, match="confidence must lie between 0 and 1"):
        clopper_pearson([1], 2, confidence=confidence)
    with pytest.raises(ValueError, match="confidence must lie between 0 and 1"):
        weighted_sum_interval([1.0], [1.0], 1.0, confidence=confidence)


def test_equal_weights_of_one_give_garwoods_interval_for_a_poisson_count() -> None:
    """With all weights 1 the gamma interval is the exact Poisson one: chi-square quantiles over two."""
    counts = np.array([0.0, 1.0, 5.0, 10.0, 100.0])
    low, high = weighted_sum_interval(counts, counts, 1.0)
    np.testing.assert_allclose(low[1:], stats.chi2.ppf(0.025, 2 * counts[1:]) / 2, rtol=1e-9)
    np.testing.assert_allclose(high, stats.chi2.ppf(0.975, 2 * (counts + 1)) / 2, rtol=1e-9)
    assert low[0] == 0.0


@given(
    weights=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=20),
    factor=st.sampled_from([1e-30, 1e-3, 1e100]),
)
def test_the_interval_scales_with_the_weights(weights: list[float], factor: float) -> None:
    """Weights in other units give the same interval in those units, and it encloses the total."""
    w = np.array(weights)
    low, high = weighted_sum_interval(w.sum(), (w**2).sum(), w.max())
    assert 0 <= low <= w.sum() <= high
    scaled = w * factor
    found = weighted_sum_interval(scaled.sum(), (scaled**2).sum(), scaled.max())
    np.testing.assert_allclose(found, (low * factor, high * factor), rtol=1e-6)


def test_without_variance_the_lower_end_is_the_total_itself() -> None:
    """Every draw hit with the same weight: nothing is left to chance but an unseen hit."""
    low, high = weighted_sum_interval([8.0], [0.0], 0.0)
    assert (low[0], high[0]) == (8.0, 8.0)
    assert weighted_sum_interval([8.0], [-1e-20], 0.1)[1][0] > 8.0


def test_a_huge_number_of_light_hits_gives_the_normal_interval() -> None:
    """Shape 10^12: total ± 1.96 standard deviations."""
    low, high = weighted_sum_interval([1e12], [1e12], 1.0)
    np.testing.assert_allclose([1e12 - low[0], high[0] - 1e12], 1.959964e6, rtol=1e-4)


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("expected_hits", [1.0, 4.0, 30.0])
def test_gamma_interval_covers_weighted_poisson_sums(spread: float, expected_hits: float) -> None:
    """Simulated coverage of Σ w with log-normal weights (limited to 3 spreads), unseen weight = the largest possible."""
    rng = np.random.default_rng(7)
    repetitions = 2000
    counts = rng.poisson(expected_hits, repetitions)
    weights = np.exp(spread * np.clip(rng.standard_normal((repetitions, counts.max())), -3, 3))
    weights[np.arange(counts.max())[None, :] >= counts[:, None]] = 0.0
    mean_weight = np.exp(
        spread * np.clip(np.random.default_rng(1).standard_normal(10**6), -3, 3)
    ).mean()
    low, high = weighted_sum_interval(
        weights.sum(axis=1), (weights**2).sum(axis=1), np.exp(3 * spread)
    )
    truth = expected_hits * mean_weight
    assert np.mean((low <= truth) & (truth <= high)) >= 0.94


def test_ranks_stay_between_the_first_and_the_last() -> None:
    """The canary itself counts, so no true rank lies below 1; none lies above |R|."""
    low, high = rank_bounds([0.0, 0.5, 7.0], [0.9, 20.0, 5e3], 1000)
    assert low.tolist() == [1.0, 1.0, 7.0]
    assert high.tolist() == [1.0, 20.0, 1000.0]


def test_ends_swap_between_rank_and_exposure() -> None:
    """A low rank is a high exposure; rank 1 … |R| is the whole range."""
    low, high = exposure_bounds([1.0, 4.0], [1024.0, 16.0], 1024)
    assert low.tolist() == [0.0, 6.0]
    assert high.tolist() == [10.0, 8.0]
