"""Means, paired differences and permutation tests of the suite's results, with 95 % intervals.

A mean of n values from n seeds has the interval of Student's t, mean ± t(n − 1) · s / √n. Two conditions that share seeds are compared by their
differences, seed by seed. Where the values are not independent (pairs of models share models) the labels are permuted instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

__all__ = ["gini", "mean_interval", "paired_difference", "permutation_p"]

LEVEL = 0.95


def mean_interval(values: ArrayLike) -> dict[str, Any]:
    """Mean with its 95 % interval, as a record shows it.

    Args:
        values: Shape (n,), one per seed.

    Returns:
        ``mean``, ``low``, ``high`` (``None`` for fewer than two values) and ``n``.

    >>> found = mean_interval([1.0, 2.0, 3.0])
    >>> found["mean"], round(found["low"], 3), found["n"]
    (2.0, -0.484, 3)
    """
    given = np.asarray(values, dtype=float)
    n = len(given)
    if n == 0:
        return {"mean": None, "low": None, "high": None, "n": 0}
    mean = float(given.mean())
    if n == 1:
        return {"mean": mean, "low": None, "high": None, "n": 1}
    half = float(stats.t.ppf(0.5 + LEVEL / 2, n - 1) * given.std(ddof=1) / n**0.5)
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": n}


def paired_difference(first: ArrayLike, second: ArrayLike) -> dict[str, Any]:
    """Mean of first − second with its interval and the two-sided p-value of a paired t test.

    Args:
        first: Shape (n,), one per seed.
        second: Shape (n,), the same seeds in the same order.

    >>> paired_difference([2.0, 3.0, 5.0], [1.0, 1.0, 2.0])["mean"]
    2.0
    """
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    found = mean_interval(a - b)
    rounding = 1e-12 * max(1.0, float(np.abs(a).max(initial=0)), float(np.abs(b).max(initial=0)))
    spread = len(a) > 1 and float((a - b).std(ddof=1)) > rounding
    found["p_value"] = float(stats.ttest_rel(a, b).pvalue) if spread else None
    return found


def gini(values: ArrayLike) -> float:
    """Gini coefficient of non-negative values: 0 when all are equal, (n − 1)/n when one has everything.

    G = Σ_i (2i − n − 1) g_(i) / (n Σ g), with g sorted upwards and i from 1; 0 when all are 0.

    >>> gini([1.0, 1.0, 1.0]), gini([0.0, 0.0, 0.0, 1.0])
    (0.0, 0.75)
    """
    g = np.sort(np.asarray(values, dtype=float))
    n, total = len(g), float(g.sum())
    if n == 0 or total == 0.0:
        return 0.0
    return float(((2 * np.arange(1, n + 1) - n - 1) * g).sum() / (n * total))


def permutation_p(
    statistic: Callable[[NDArray[Any]], float],
    labels: Sequence[int] | NDArray[Any],
    rng: np.random.Generator,
    draws: int = 9999,
) -> float:
    """One-sided p-value of a statistic that is large under the alternative: labels are permuted over units.

    p = (1 + #{permuted ≥ observed}) / (1 + draws); never 0. Ties count against the finding.

    Args:
        statistic: From labels, in the order of the units, to a number.
        labels: Which condition each unit (such as a model) belongs to.
        rng: Of the permutations.
        draws: Permutations.
    """
    observed = statistic(np.asarray(labels))
    tolerance = 1e-12 * max(1.0, abs(observed))
    hits = sum(
        statistic(rng.permutation(np.asarray(labels))) >= observed - tolerance for _ in range(draws)
    )
    return (1 + int(hits)) / (1 + draws)
