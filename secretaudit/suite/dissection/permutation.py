"""Is there one way to learn and N ways to memorize? A test over networks, not over pairs.

M networks of condition A (true labels) and M' of condition B (random labels) have similarities s_ab between them. The statement to test is

    T = mean similarity of pairs within A − mean similarity of pairs within B  >  0

Pairs share networks, so they are no independent observations and no t test applies. If the labels did not matter, every division of the M + M' networks
into a group of M and a group of M' would be as likely as the one that was made; p is the share of divisions whose T is at least the one seen, the
observed one included. Similarities across the conditions take part in the divisions that mix them, and in T itself not. With 5 + 5 networks there are 252 divisions, all gone through: p cannot be below
1/252 = 0.004. With more than a limit, divisions are drawn, and p = (1 + hits)/(1 + draws).

A measure that gives each network one number instead (its coherence) is tested the same way by T = mean(A) − mean(B).

The interval of a mean over the pairs of M networks is the jackknife's: each network is left out in turn, pseudo-value M·θ − (M − 1)·θ_(−i), Student's t with M − 1.

The slogan is Gu & Tresp's (2019, abstract); the test is ours.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from math import comb
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from secretaudit.suite.statistics import mean_interval

__all__ = ["between", "of_pairs", "of_values", "within"]

Array = NDArray[np.float64]

#: Most divisions that are gone through one by one.
_SPLITS = 20_000


def within(similarities: ArrayLike, members: Sequence[int] | NDArray[Any]) -> float | None:
    """Mean over the pairs of some networks; ``None`` without a pair that has a similarity.

    Args:
        similarities: Symmetric, shape (M, M); NaN where a pair has none. The diagonal is not used.
        members: Which networks.
    """
    chosen = np.asarray(members, dtype=int)
    block = np.asarray(similarities, dtype=float)[np.ix_(chosen, chosen)]
    pairs = block[np.triu_indices(len(block), 1)]
    known = pairs[~np.isnan(pairs)]
    return float(known.mean()) if len(known) else None


def between(similarities: ArrayLike, first: Sequence[int], second: Sequence[int]) -> float | None:
    """Mean over pairs of one network of each group; ``None`` without a pair that has a similarity."""
    rows, columns = np.asarray(first, dtype=int), np.asarray(second, dtype=int)
    block = np.asarray(similarities, dtype=float)[np.ix_(rows, columns)]
    known = block[~np.isnan(block)]
    return float(known.mean()) if known.size else None


def jackknife(similarities: ArrayLike, members: Sequence[int]) -> dict[str, Any]:
    """Mean over the pairs of some networks with its 95 % interval over networks; ``n`` counts networks."""
    whole = within(similarities, members)
    m = len(members)
    if whole is None:
        return mean_interval([])
    rest = [within(similarities, [j for j in members if j != i]) for i in members]
    left = [value for value in rest if value is not None]
    if m < 3 or len(left) < m:
        return {"mean": whole, "low": None, "high": None, "n": m}
    found = mean_interval([m * whole - (m - 1) * value for value in left])
    half = found["high"] - found["mean"]
    return {"mean": whole, "low": whole - half, "high": whole + half, "n": m}


def of_pairs(
    similarities: ArrayLike,
    first: Sequence[int],
    second: Sequence[int],
    rng: np.random.Generator,
    most: int = _SPLITS,
) -> dict[str, Any]:
    """Test that pairs within the first group are more similar than pairs within the second.

    Args:
        similarities: Symmetric, shape (networks, networks); NaN where a pair has none.
        first: Networks of the condition that should agree more.
        second: Networks of the other.
        rng: Used where not all divisions are gone through.
        most: Divisions up to which all are.

    Returns:
        ``difference`` (T; ``None`` with ``p_value`` where a group has no pair), ``p_value`` (one-sided), ``splits`` gone through or drawn, ``exact``, and ``least_p``,
        the smallest p-value that there could be.
    """
    matrix = np.asarray(similarities, dtype=float)

    def statistic(a: NDArray[Any], b: NDArray[Any]) -> float | None:
        one, other = within(matrix, a), within(matrix, b)
        return None if one is None or other is None else one - other

    return _tested(statistic, first, second, rng, most)


def of_values(
    values: ArrayLike,
    first: Sequence[int],
    second: Sequence[int],
    rng: np.random.Generator,
    most: int = _SPLITS,
) -> dict[str, Any]:
    """Test that one number per network is larger in the first group; as ``of_pairs``.

    Args:
        values: Shape (networks,); a network with NaN takes no part.
        first: Networks of the condition that should have the larger values.
        second: Networks of the other.
        rng: Used where not all divisions are gone through.
        most: Divisions up to which all are.
    """
    given = np.asarray(values, dtype=float)
    first = [i for i in first if not np.isnan(given[i])]
    second = [i for i in second if not np.isnan(given[i])]

    def statistic(a: NDArray[Any], b: NDArray[Any]) -> float | None:
        return float(given[a].mean() - given[b].mean()) if len(a) and len(b) else None

    return _tested(statistic, first, second, rng, most)


def _tested(
    statistic: Callable[[NDArray[Any], NDArray[Any]], float | None],
    first: Sequence[int],
    second: Sequence[int],
    rng: np.random.Generator,
    most: int,
) -> dict[str, Any]:
    everyone = np.array([*first, *second], dtype=int)
    size = len(first)
    total = comb(len(everyone), size)
    observed = statistic(everyone[:size], everyone[size:])
    exact = total <= most
    count = total if exact else most
    least = 1 / total if exact else 1 / (1 + most)
    nothing = {"splits": count, "exact": exact, "least_p": least}
    if observed is None:
        return {"difference": None, "p_value": None, **nothing}
    tolerance = 1e-12 * max(1.0, abs(observed))
    hits = 0
    for chosen in _divisions(len(everyone), size, None if exact else (rng, most)):
        rest = np.setdiff1d(np.arange(len(everyone)), chosen)
        value = statistic(everyone[chosen], everyone[rest])
        hits += value is None or value >= observed - tolerance
    p = hits / total if exact else (1 + hits) / (1 + most)
    return {"difference": observed, "p_value": p, **nothing}


def _divisions(
    count: int, size: int, drawn: tuple[np.random.Generator, int] | None
) -> Iterator[NDArray[Any]]:
    """Groups of ``size`` among ``count``: all of them, or so many that are drawn."""
    if drawn is None:
        for chosen in itertools.combinations(range(count), size):
            yield np.array(chosen, dtype=int)
        return
    rng, most = drawn
    for _ in range(most):
        yield rng.permutation(count)[:size]
