"""The sampled rank: exact where the scores are exact quantiles, honest where no draw hits, covered by its interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secretaudit.errors import CouldNotMeasure
from secretaudit.exposure.sampled_rank import sampled_ranks


def test_uniform_quantiles_give_the_exposure_in_closed_form() -> None:
    """Draws are the 1,024 quantiles of a uniform cost; a canary at the quantile 2^−k has k bits of exposure. No seed."""
    draws = (np.arange(1024) + 0.5) / 1024
    powers = np.arange(11)
    found = sampled_ranks(2.0**-powers, draws, secrets=10**9)
    np.testing.assert_allclose(found.exposure_bits[:11], powers, atol=1e-12)
    np.testing.assert_allclose(found.rank, 1e9 * 2.0**-powers, rtol=1e-12)


@pytest.mark.parametrize("draws", [100, 10_000])
def test_a_canary_that_beats_all_draws_has_a_bound_and_no_value(draws: int) -> None:
    """At least log2(N/3) bits at 95 %, at most the ceiling; log2 N would be a value that nothing supports."""
    found = sampled_ranks([0.0], np.arange(1.0, draws + 1), secrets=10**9)
    assert not found.measured[0]
    assert math.isnan(found.exposure_bits[0])
    assert math.isnan(found.rank[0])
    assert found.exposure_low_bits[0] == pytest.approx(math.log2(draws / 3), abs=0.03)
    assert found.exposure_high_bits[0] == found.ceiling_bits == math.log2(10**9)
    assert found.rank_low[0] == 1.0


def test_the_bound_never_exceeds_what_the_format_can_show() -> None:
    """A million draws from a space of 16: the canary is among 16, not among a million."""
    found = sampled_ranks([0.0], np.ones(10**6), secrets=16)
    assert found.exposure_low_bits[0] == found.exposure_high_bits[0] == 4.0
    assert found.rank_high[0] == 1.0


def test_ceiling_and_resolution_stand_beside_every_value() -> None:
    """100 look-alikes cannot show more than 6.64 bits, whatever the format allows."""
    found = sampled_ranks([5.0], np.arange(100.0), secrets=2**40)
    assert (found.ceiling_bits, found.draws) == (40.0, 100)
    assert found.resolution_bits == pytest.approx(6.644, abs=1e-3)


def test_equal_draws_all_count() -> None:
    """Draws with replacement repeat secrets: N is the number of draws, never of different ones."""
    found = sampled_ranks([1.5], [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0], secrets=1024)
    assert (found.hits[0], found.draws) == (3, 8)
    assert found.exposure_bits[0] == pytest.approx(math.log2(8 / 3))


def test_ties_count_against_the_canary() -> None:
    """A draw that costs the same is a hit, and the result says how many were such."""
    found = sampled_ranks([2.0], [1.0, 2.0, 2.0 + 1e-9, 3.0], secrets=64, tolerance=1e-6)
    assert (found.hits[0], found.ties[0]) == (3, 2)


@given(
    costs=st.lists(st.floats(-50, 50), min_size=1, max_size=6),
    draws=st.lists(st.floats(-50, 50), min_size=1, max_size=50),
    secrets=st.integers(2, 10**40),
)
def test_laws_of_every_sampled_rank(costs: list[float], draws: list[float], secrets: int) -> None:
    """1 ≤ low ≤ rank ≤ high ≤ |R|; exposures mirror them within 0 … log2 |R|; one result per canary."""
    found = sampled_ranks(costs, draws, secrets=secrets)
    some = found.measured
    slack = 1 + 1e-12
    assert np.all(found.rank_low >= 1)
    assert np.all(found.rank_low[some] <= found.rank[some] * slack)
    assert np.all(found.rank[some] <= found.rank_high[some] * slack)
    assert np.all(found.rank_high <= float(secrets) * slack)
    assert np.all(found.exposure_low_bits >= 0)
    assert np.all(found.exposure_low_bits[some] <= found.exposure_bits[some] + 1e-9)
    assert np.all(found.exposure_bits[some] <= found.exposure_high_bits[some] + 1e-9)
    assert np.all(found.exposure_high_bits <= found.ceiling_bits)
    assert len(found.hits) == len(costs)


def test_intervals_cover_the_true_exposure_at_ranks_from_1_to_the_last() -> None:
    """400 samples of 500 from a space of 10^4 with known ranks: 94 % or more at each rank, on average not 100 %."""
    rng = np.random.default_rng(3)
    ranks = np.array([1, 10, 60, 300, 1000, 5000, 9900, 10_000])
    covered = np.zeros(len(ranks))
    for _ in range(400):
        draws = rng.integers(1, 10_001, size=500)  # the cost of a secret is its rank
        found = sampled_ranks(ranks, draws, secrets=10_000)
        truth = np.log2(10_000 / ranks)
        covered += (found.exposure_low_bits - 1e-9 <= truth) & (
            truth <= found.exposure_high_bits + 1e-9
        )
    assert np.all(covered / 400 >= 0.925)
    assert 0.945 <= covered.mean() / 400 <= 0.995


def test_spaces_too_large_for_a_float_are_measured_in_bits() -> None:
    """2^2000 secrets: half of the draws cheaper is one bit, and the ceiling is 2,000."""
    found = sampled_ranks([2.0], [1.0, 3.0], secrets=2**2000)
    assert (found.exposure_bits[0], found.ceiling_bits) == (1.0, 2000.0)
    assert np.all(np.isfinite(found.rank_high))


def test_costs_that_are_not_finite_are_refused() -> None:
    """The error says how many and whose."""
    with pytest.raises(CouldNotMeasure, match="2 of 3 reference costs are NaN or infinite"):
        sampled_ranks([1.0], [math.nan, math.inf, 1.0], secrets=16)
