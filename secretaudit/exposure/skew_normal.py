"""The skew-normal distribution: log-domain tail, and a fast, robust maximum-likelihood fit.

Density ρ(x) = (2/ω) φ(z) Φ(αz), z = (x − ξ)/ω (Azzalini 1985); α = 0 is the normal distribution, α → ±∞ the half-normal.

With δ = α/√(1 + α²):  mean ξ + ωδ√(2/π),  variance ω²(1 − 2δ²/π),  skewness (4 − π)/2 · (δ√(2/π))³ / (1 − 2δ²/π)^{3/2},
|skewness| < 0.9953. The fit starts from these moments and climbs the likelihood in (ξ, log ω, α)
by Newton steps. At α = 0 the likelihood has a flat point, where a start from 0 would rest; so the start keeps a distance,
on the side of the sample's skewness, where the maximum lies (tried from both sides on 1,383 small samples: never the other).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from secretaudit.errors import CouldNotMeasure

Floats = NDArray[np.float64]

_FEWEST = 50
_FARTHEST = np.array(
    [10.0, 5.0, 200.0]
)  # |ξ|, |log ω| of standardized costs, and |α| (half-normal in practice)
_MOST_STEPS = 100
_LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)
_NODES, _WEIGHTS = np.polynomial.laguerre.laggauss(48)
#: Below this mass the closed form (a difference of two numbers near each other) loses digits.
_CLOSED_FORM_LIMIT = 1e-7


@dataclass(frozen=True, kw_only=True)
class SkewNormal:
    """A skew-normal distribution of costs in bits.

    Attributes:
        location: ξ.
        scale: ω > 0.
        shape: α; positive means the left tail is the light one.
    """

    location: float
    scale: float
    shape: float

    def cdf(self, costs: ArrayLike) -> Floats:
        """Mass at or below each cost, by the closed form Φ(z) − 2T(z, α) (T: Owen's function); accurate to about 1e-16 absolute."""
        z = (np.asarray(costs, dtype=np.float64) - self.location) / self.scale
        mass: Floats = np.clip(special.ndtr(z) - 2.0 * special.owens_t(z, self.shape), 0.0, 1.0)
        return mass

    def log_cdf(self, costs: ArrayLike) -> Floats:
        """Natural logarithm of the mass at or below each cost; finite for any finite cost, thousands of bits down."""
        values = np.asarray(costs, dtype=np.float64)
        mass = self.cdf(values)
        z = (values - self.location) / self.scale
        tail = mass < _CLOSED_FORM_LIMIT
        logs = np.log(np.where(tail, 1.0, mass))
        logs[tail] = _log_left_tail(z[tail], self.shape)
        return logs

    def exposure_bits(self, costs: ArrayLike) -> Floats:
        """−log2 of the mass at or below each cost, ≥ 0 bits; higher is more memorized.

        >>> SkewNormal(location=0.0, scale=1.0, shape=0.0).exposure_bits([0.0])
        array([1.])
        """
        values = np.atleast_1d(np.asarray(costs, dtype=np.float64))
        bits: Floats = -self.log_cdf(values) / math.log(2.0) + 0.0
        return bits

    def sample(self, n: int, rng: np.random.Generator) -> Floats:
        """Independent costs, shape (n,), by the representation z = δ|u| + √(1 − δ²) v with u, v standard normal."""
        delta = self.shape / math.hypot(1.0, self.shape)
        u, v = np.abs(rng.standard_normal(n)), rng.standard_normal(n)
        return self.location + self.scale * (delta * u + math.sqrt(1.0 - delta * delta) * v)


def fit_skew_normal(costs: Floats) -> SkewNormal:
    """Maximum-likelihood fit.

    Args:
        costs: Finite costs in bits, shape (N,), N ≥ 50, not all (nearly) equal.

    Raises:
        CouldNotMeasure: Too few costs, or no spread.
    """
    center, spread = (float(np.mean(costs)), float(np.std(costs))) if costs.size else (0.0, 0.0)
    if costs.size < _FEWEST or not spread > 1e-9 * (1.0 + abs(center)):
        raise CouldNotMeasure(
            f"No skew-normal distribution can be fitted to {costs.size} costs with a spread of {spread:.3g} bits.",
            f"A fit needs at least {_FEWEST} different secrets of different costs.",
            "Draw more secrets, or use enumeration or sampling.",
        )
    standard = (costs - center) / spread
    best = _climb(standard, _moment_estimate(standard))
    location, log_scale, shape = (float(value) for value in best)
    return SkewNormal(
        location=center + spread * location, scale=spread * math.exp(log_scale), shape=shape
    )


def _moment_estimate(standard: Floats) -> Floats:
    """(ξ, log ω, α) by the method of moments, for costs of mean 0 and variance 1."""
    skewness = float(np.mean(standard**3))
    ratio = (2.0 * min(max(abs(skewness), 0.05), 0.95) / (4.0 - math.pi)) ** (2.0 / 3.0)
    delta = math.copysign(math.sqrt(min(math.pi / 2.0 * ratio / (1.0 + ratio), 0.99)), skewness)
    scale = 1.0 / math.sqrt(1.0 - 2.0 * delta * delta / math.pi)
    location = -scale * delta * math.sqrt(2.0 / math.pi)
    return np.array([location, math.log(scale), delta / math.sqrt(1.0 - delta * delta)])


def _climb(standard: Floats, parameters: Floats) -> Floats:
    """Where Newton's method finds the lowest mean negative log-likelihood.

    Damped (Levenberg–Marquardt): a step that does not go down is shortened, so an indefinite or singular Hessian (α near 0)
    does no harm.
    """
    loss, gradient, hessian = _loss(parameters, standard)
    damping = 1e-4
    for _ in range(_MOST_STEPS):
        curvature = np.linalg.eigvalsh(hessian)
        shift = max(damping, damping - float(curvature[0]))
        step = np.linalg.solve(hessian + shift * np.eye(3), -gradient)
        tried = np.clip(parameters + step, -_FARTHEST, _FARTHEST)
        found = _loss(tried, standard)
        if found[0] < loss:
            gain = loss - found[0]
            parameters, (loss, gradient, hessian) = tried, found
            damping = max(damping / 10.0, 1e-10)
            if gain < 1e-12:
                break
        else:
            damping *= 10.0
            if damping > 1e6:
                break
    return parameters


def _loss(parameters: Floats, x: Floats) -> tuple[float, Floats, Floats]:
    """Mean negative log-likelihood (without its constant), gradient and Hessian in (ξ, log ω, α)."""
    location, log_scale, shape = (float(value) for value in parameters)
    scale = math.exp(log_scale)
    z = (x - location) / scale
    log_phi, ratio = _log_ndtr_and_ratio(shape * z)
    bend = ratio * (shape * z + ratio)  # −d² log Φ(a) / da²
    slope = z - shape * ratio  # of −log density along z
    steep = 1.0 + shape * shape * bend
    cross = shape * z * bend - ratio
    loss = log_scale + float(np.mean(0.5 * z * z - log_phi))
    slope_z, steep_z = slope @ z / z.size, steep @ z / z.size
    gradient = np.array([-slope.mean() / scale, 1.0 - slope_z, -(ratio @ z) / z.size])
    location_scale = (steep_z + slope.mean()) / scale
    location_shape = -cross.mean() / scale
    scale_scale = (steep * z) @ z / z.size + slope_z
    scale_shape = -(cross @ z) / z.size
    hessian = np.array(
        [
            [steep.mean() / scale**2, location_scale, location_shape],
            [location_scale, scale_scale, scale_shape],
            [location_shape, scale_shape, (bend * z) @ z / z.size],
        ]
    )
    return loss, gradient, hessian


def _log_ndtr_and_ratio(a: Floats) -> tuple[Floats, Floats]:
    """Logarithm of Φ(a) and φ(a)/Φ(a), both stable for any a, from one scaled complementary error function."""
    bounded = np.minimum(a, 30.0)  # beyond, Φ is 1 to the last digit
    scaled = special.erfcx(bounded * -math.sqrt(0.5))
    log_phi: Floats = np.log(0.5 * scaled) - 0.5 * bounded * bounded
    return log_phi, math.sqrt(2.0 / math.pi) / scaled


def _log_left_tail(z: Floats, shape: float) -> Floats:
    """Logarithm of the standard skew-normal mass below z, where that mass is small (so that the log density rises at z)."""
    log_phi, ratio = _log_ndtr_and_ratio(shape * z)
    at_z = math.log(2.0) - _LOG_SQRT_2PI - 0.5 * z * z + log_phi
    slope = shape * ratio - z
    steps = z[:, None] - _NODES[None, :] / slope[:, None]
    # differences of squares first: both terms are huge and nearly equal
    falls = 0.5 * (z[:, None] - steps) * (z[:, None] + steps)
    falls += special.log_ndtr(shape * steps) - log_phi[:, None]
    relative: Floats = special.logsumexp(falls + _NODES[None, :], b=_WEIGHTS[None, :], axis=1)
    return at_z - np.log(slope) + relative
