"""The skew-normal extrapolation: right where its assumption holds, and loud where it does not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from secretaudit.errors import CouldNotMeasure
from secretaudit.exposure.extrapolation import Extrapolation, extrapolated_exposures
from secretaudit.exposure.sampled_rank import sampled_ranks
from secretaudit.exposure.skew_normal import SkewNormal

TRUTH = SkewNormal(location=30.0, scale=4.0, shape=1.0)


def extrapolate(
    costs: list[float],
    references: np.ndarray[tuple[int], np.dtype[np.float64]],
    secrets: int = 10**9,
) -> Extrapolation:
    """With the fewest replicates and a fixed seed."""
    return extrapolated_exposures(
        costs, references, secrets=secrets, rng=np.random.default_rng(0), replicates=99
    )


def test_skew_normal_costs_give_back_the_true_exposures() -> None:
    """Fitted to 3,000 draws: within 10 % of −log2 of the true mass, from 1 to 64 bits."""
    costs = [32.0, 25.0, 15.0, 5.0]
    found = extrapolate(costs, TRUTH.sample(3000, np.random.default_rng(1)))
    np.testing.assert_allclose(found.exposure_bits, TRUTH.exposure_bits(costs), rtol=0.1)
    assert not found.rejected
    assert np.all(found.exposure_low_bits <= found.exposure_bits)
    assert np.all(found.exposure_bits <= found.exposure_high_bits)


def test_the_interval_covers_the_truth_when_the_distribution_is_right() -> None:
    """30 samples of 200, four canaries each: 85–99 % of the nominal 95 % intervals (a percentile bootstrap, small samples)."""
    costs = [30.0, 25.0, 15.0, 5.0]
    truth = TRUTH.exposure_bits(costs)
    covered = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        found = extrapolated_exposures(
            costs, TRUTH.sample(200, rng), secrets=10**9, rng=rng, replicates=99
        )
        covered.append((found.exposure_low_bits <= truth) & (truth <= found.exposure_high_bits))
    assert 0.85 <= np.mean(covered) <= 0.99


def test_agrees_with_the_sampled_exposure_inside_the_sample() -> None:
    """Two ways agree where draws reach: costs at the 1 %, 10 % and 50 % quantiles."""
    draws = TRUTH.sample(5000, np.random.default_rng(2))
    costs = np.quantile(draws, [0.01, 0.1, 0.5]).tolist()
    sampled = sampled_ranks(costs, draws, secrets=10**9).exposure_bits
    np.testing.assert_allclose(extrapolate(costs, draws).exposure_bits, sampled, atol=0.25)


def test_a_canary_far_below_has_a_finite_value_above_the_ceiling_and_says_so() -> None:
    """Thousands of bits in a space of 29.9: reported as read from the curve, never infinite, with the sentence."""
    found = extrapolate([-200.0, 29.0], TRUTH.sample(1000, np.random.default_rng(3)))
    assert 1000 < found.exposure_bits[0] < math.inf
    assert found.ceiling_bits == pytest.approx(29.897, abs=1e-3)
    assert "exceeds log2|R|" in found.notes[0]
    assert found.notes[1] == ""


def test_clusters_of_token_lengths_are_rejected_with_a_warning_on_every_canary() -> None:
    """Three clusters: sampling says 9 bits at a cost where the fit says far more; the result warns and is inconclusive."""
    rng = np.random.default_rng(4)
    draws = rng.normal(
        np.array([30.0, 18.0, 8.0])[rng.choice(3, 4000, p=[0.94, 0.0575, 0.0025])], 1.5
    )
    found = extrapolate([7.0, 30.0], draws)
    sampled = sampled_ranks([7.0], draws, secrets=10**9).exposure_bits[0]
    assert abs(found.exposure_bits[0] - sampled) > 3
    assert found.rejected
    assert all("does not fit" in note and "11 bits" in note for note in found.notes)


def test_order_of_canaries_is_kept_and_large_samples_are_thinned() -> None:
    """Results stand in the order asked; of 30,000 references 10,000 are used, and the result says so."""
    draws = TRUTH.sample(30_000, np.random.default_rng(6))
    found = extrapolate([30.0, 10.0, 20.0], draws)
    assert found.exposure_bits[1] > found.exposure_bits[2] > found.exposure_bits[0]
    assert found.references == 10_000


def test_broken_costs_and_too_few_references_are_refused() -> None:
    """NaN among the references, and a handful of references."""
    with pytest.raises(CouldNotMeasure, match="1 of 100 reference costs are NaN"):
        extrapolate([1.0], np.append(np.arange(99.0), math.nan))
    with pytest.raises(CouldNotMeasure, match="fitted to 10 costs"):
        extrapolate([1.0], np.arange(10.0))
