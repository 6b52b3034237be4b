"""Confidence intervals for ranks that were estimated from draws.

*Uniform draws.* N draws, h of them hits (cost at most the canary's): h ~ Binomial(N, rank/|R|), so the interval of
Clopper and Pearson (1934) is exact. With h = 0 only one side can be wrong, and the bound is the one-sided
rank/|R| ≤ 1 − (1 − confidence)^(1/N) ≈ 3/N at 95 %: an exposure of "at least log2(N/3) bits", never a value.

*Weighted draws.* n draws of leaves from proposals with known probability q, weight w = 1/q; the total
y = (1/n) Σ w·1[hit] is unbiased for the number of leaves that hit. Few heavy hits make y skewed, so the interval is the
gamma one of Fay and Feuer (Statistics in Medicine 16, 1997) for weighted sums of Poisson counts. With v the estimated variance
of y and w_m the weight (over n) that one more, unseen hit could have,

    low  = quantile α/2     of a gamma with mean y        and variance v
    high = quantile 1 − α/2 of a gamma with mean y + w_m  and variance v + w_m²
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from secretaudit.exposure.rank import exposure_bits, space_size

Bounds = tuple[NDArray[np.float64], NDArray[np.float64]]

#: Above this shape a gamma distribution is normal to 8 digits, and its exact quantile is slow and no better.
_NORMAL_SHAPE = 1e10


def clopper_pearson(hits: ArrayLike, draws: int, *, confidence: float = 0.95) -> Bounds:
    """Exact interval for the probability of a hit.

    Args:
        hits: Numbers of hits, shape (C,).
        draws: N, independent and uniform, with replacement.
        confidence: Coverage, at least; 0 and N hits get the one-sided bound of that confidence.

    Returns:
        Lower and upper ends, each of shape (C,), in [0, 1].

    >>> low, high = clopper_pearson([0], 3000)
    >>> float(low[0]), bool(abs(high[0] * 1000 - 1) < 0.01)
    (0.0, True)
    """
    _check_confidence(confidence)
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}")
    hit = np.asarray(hits, dtype=np.float64)
    if np.any((hit < 0) | (hit > draws)):
        raise ValueError(f"hits must lie in 0 … {draws}")
    missed = 1.0 - confidence
    one_sided = (hit == 0) | (hit == draws)
    alpha = np.where(one_sided, missed, missed / 2)
    low = special.betaincinv(np.maximum(hit, 1), draws - hit + 1, alpha)
    high = special.betaincinv(hit + 1, np.maximum(draws - hit, 1), 1.0 - alpha)
    return np.where(hit == 0, 0.0, low), np.where(hit == draws, 1.0, high)


def weighted_sum_interval(
    total: ArrayLike,
    variance: ArrayLike,
    unseen_weight: ArrayLike,
    *,
    confidence: float = 0.95,
) -> Bounds:
    """Gamma interval for the expectation of a weighted sum of hits.

    All arguments are already divided by the number of draws: a draw of weight w among n counts w/n.

    Args:
        total: y, sum of the weights of the hits, shape (C,) (one entry per threshold).
        variance: v, estimated variance of y, same shape: Σ (w/n)², less what the sampling plan takes away
            (− y²/n for n draws from one mixture). Negative values count as 0.
        unseen_weight: w_m, weight of a hit that was not drawn, same shape or a scalar.
        confidence: Coverage aimed at.

    Returns:
        Lower and upper ends, each of shape (C,); ``low <= total <= high``.
    """
    _check_confidence(confidence)
    y, v, w = np.broadcast_arrays(
        np.asarray(total, dtype=np.float64),
        np.maximum(np.asarray(variance, dtype=np.float64), 0.0),
        np.asarray(unseen_weight, dtype=np.float64),
    )
    tail = (1.0 - confidence) / 2
    with np.errstate(over="ignore"):  # an infinite variance is a correct "no upper end"
        widened = v + w * w
    low = _gamma_quantile(y, v, tail)
    high = _gamma_quantile(y + w, widened, 1.0 - tail)
    return np.minimum(low, y), np.maximum(high, y)


def rank_bounds(low: ArrayLike, high: ArrayLike, secrets: int) -> Bounds:
    """The two ends taken into [1, |R|]: the canary itself counts, and nothing ranks below the last.

    >>> rank_bounds([0.2], [9e9], 10**9)
    (array([1.]), array([1.e+09]))
    """
    size = space_size(secrets)
    return (
        np.clip(np.asarray(low, dtype=np.float64), 1.0, size),
        np.clip(np.asarray(high, dtype=np.float64), 1.0, size),
    )


def exposure_bounds(rank_low: ArrayLike, rank_high: ArrayLike, secrets: int) -> Bounds:
    """Interval of the exposure in bits, (low, high), from that of the rank; ends swap, since a low rank is a high exposure."""
    return exposure_bits(rank_high, secrets), exposure_bits(rank_low, secrets)


def _gamma_quantile(
    mean: NDArray[np.float64], variance: NDArray[np.float64], probability: float
) -> NDArray[np.float64]:
    """Quantile of the gamma distribution with this mean and variance; variance 0 gives the mean."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        shape = np.where(variance > 0, mean * (mean / variance), np.inf)
        scale = np.where(mean > 0, variance / mean, 0.0)
    normal = special.ndtri(probability) * np.sqrt(variance)
    usable = np.where((shape > 0) & (shape < _NORMAL_SHAPE), shape, 1.0)
    exact = special.gammaincinv(usable, probability) * scale
    quantile: NDArray[np.float64] = np.where(shape < _NORMAL_SHAPE, exact, mean + normal)
    return np.where(mean > 0, quantile, 0.0)


def _check_confidence(confidence: float) -> None:
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
