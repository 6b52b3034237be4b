"""The skew-normal distribution: its tail thousands of bits down, and its fit against an independent one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, special, stats

from secretaudit.errors import CouldNotMeasure
from secretaudit.exposure.skew_normal import SkewNormal, fit_skew_normal


@pytest.mark.parametrize("shape", [-6.0, -2.0, 0.0, 2.0, 8.0])
def test_tail_agrees_with_scipy_where_scipy_is_finite(shape: float) -> None:
    """−log2 of the mass, from the body down to where scipy's logcdf becomes −inf."""
    z = np.linspace(-8.0, 3.0, 45)
    theirs = -stats.skewnorm.logcdf(z, shape) / math.log(2)
    ours = SkewNormal(location=0.0, scale=1.0, shape=shape).exposure_bits(z)
    sure = np.isfinite(theirs) & (theirs < 300)
    assert sure.sum() > 20
    np.testing.assert_allclose(ours[sure], theirs[sure], atol=2e-3)


@pytest.mark.parametrize("shape", [-6.0, 0.0, 2.0, 8.0])
@pytest.mark.parametrize("z", [-6.0, -20.0, -60.0])
def test_tail_agrees_with_quadrature_in_the_log_domain(shape: float, z: float) -> None:
    """Against log ρ(z) + log ∫ ρ(z − t)/ρ(z) dt by adaptive quadrature: another way, finite to thousands of bits."""

    def log_density(x: float) -> float:
        return float(
            math.log(2) - 0.5 * math.log(2 * math.pi) - x * x / 2 + special.log_ndtr(shape * x)
        )

    area, _ = integrate.quad(
        lambda t: math.exp(log_density(z - t) - log_density(z)), 0, 60 / abs(z), limit=200
    )
    expected = -(log_density(z) + math.log(area)) / math.log(2)
    ours = SkewNormal(location=0.0, scale=1.0, shape=shape).exposure_bits(z)[0]
    assert math.isfinite(ours)
    assert ours == pytest.approx(expected, rel=1e-6)


def test_the_left_tail_depends_strongly_on_the_skew() -> None:
    """Five scales below the location: 21.7 bits without skew, 99.8 with shape 2."""
    bits = [SkewNormal(location=0.0, scale=1.0, shape=a).exposure_bits(-5.0)[0] for a in (0, 2)]
    assert bits == pytest.approx([21.7, 99.8], abs=0.05)


@given(
    shape=st.floats(-20, 20),
    z=st.lists(st.floats(-100, 20), min_size=2, max_size=20),
    scale=st.floats(1e-3, 1e3),
)
def test_exposure_falls_as_the_cost_rises_and_is_always_finite(
    shape: float, z: list[float], scale: float
) -> None:
    """A law: monotone, ≥ 0, no infinity, across the seam between the closed form and the tail sum."""
    ordered = np.sort(np.array(z))
    bits = SkewNormal(location=5.0, scale=scale, shape=shape).exposure_bits(5.0 + scale * ordered)
    assert np.all(np.isfinite(bits))
    assert np.all(bits >= 0)
    assert np.all(np.diff(bits) <= 1e-6 * (1 + bits[:-1]))


def test_median_of_a_sample_lies_at_one_bit() -> None:
    """Half of the mass is one bit; the sampler and the distribution function agree on where that is."""
    distribution = SkewNormal(location=30.0, scale=4.0, shape=-3.0)
    sample = distribution.sample(200_000, np.random.default_rng(0))
    assert distribution.exposure_bits(np.median(sample))[0] == pytest.approx(1.0, abs=0.02)
    assert distribution.cdf(np.quantile(sample, 0.1)) == pytest.approx(0.1, abs=0.003)


@pytest.mark.parametrize("shape", [-8.0, -1.0, 0.0, 0.3, 3.0])
@pytest.mark.parametrize("n", [500, 5000])
def test_fit_is_at_least_as_likely_as_scipys(shape: float, n: int) -> None:
    """Two ways agree: the likelihood reached is that of scipy's own maximum-likelihood fit, or better."""
    costs = stats.skewnorm.rvs(shape, 30, 4, size=n, random_state=n)
    ours = fit_skew_normal(costs)
    loss = -stats.skewnorm.logpdf(costs, ours.shape, ours.location, ours.scale).mean()
    theirs = -stats.skewnorm.logpdf(costs, *stats.skewnorm.fit(costs)).mean()
    assert loss <= theirs + 1e-7


def test_fit_moves_with_the_costs() -> None:
    """Costs in other units or shifted give the same fit in those units; mirrored costs the mirrored one."""
    costs = stats.skewnorm.rvs(2.0, 30, 4, size=2000, random_state=1)
    fit, moved, mirrored = (fit_skew_normal(c) for c in (costs, 1000 * costs - 7, -costs))
    assert moved.location == pytest.approx(1000 * fit.location - 7, rel=1e-4)
    assert (moved.scale, moved.shape) == pytest.approx((1000 * fit.scale, fit.shape), rel=1e-3)
    assert (mirrored.location, mirrored.shape) == pytest.approx(
        (-fit.location, -fit.shape), rel=1e-3
    )


def test_a_one_sided_sample_is_fitted_without_running_away() -> None:
    """The likelihood of a half-normal sample rises for ever in the shape; the fit stays finite and close."""
    costs = 30 + np.abs(np.random.default_rng(2).standard_normal(200))
    fit = fit_skew_normal(costs)
    assert math.isfinite(fit.shape)
    assert fit.location == pytest.approx(30, abs=0.1)


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        (np.zeros(0), "fitted to 0 costs"),
        (np.arange(49.0), "fitted to 49 costs"),
        (np.full(1000, 7.0), "fitted to 1000 costs with a spread of 0 bits"),
    ],
)
def test_too_few_costs_or_costs_without_spread_are_refused(
    costs: np.ndarray[tuple[int], np.dtype[np.float64]], message: str
) -> None:
    """A constant model or a handful of draws has no distribution to read a tail from."""
    with pytest.raises(CouldNotMeasure, match=message):
        fit_skew_normal(costs)
