"""Neighbours outside a group, and shares over records.

A hidden state of training text has other states of the same record around it, and the states of every copy of that record at the same point. So *leave
one out* has degrees: the position itself; its record; all records with its text. Each is a group, and a query's neighbours are the k nearest references
outside its group. They are found among the k + g nearest, g the largest group: at most g of these are left out.

Positions of one record are not independent, so the interval of a difference between training and held-out text is a bootstrap over records: records
are drawn with replacement in each part, 1,000 times, and shares are summed over positions (ours).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from secretaudit.errors import UsageError
from secretaudit.suite.neighbours.engine import nearest

__all__ = ["gap_over_records", "nearest_outside"]

_DRAWS = 1000


def nearest_outside(
    reference: NDArray[np.float32],
    groups: NDArray[np.int64],
    queries: NDArray[np.float32],
    own: NDArray[np.int64],
    count: int,
    *,
    metric: str = "l1",
    engine: str = "scikit-learn",
) -> NDArray[np.int64]:
    """The nearest references that are not in the query's own group, nearest first.

    Args:
        reference: Shape (n, d).
        groups: Group of each reference, shape (n,), from 0.
        queries: Shape (q, d).
        own: Group of each query, shape (q,); −1 for none.
        count: Neighbours per query.
        metric: "l1", "l2" or "cosine".
        engine: "scikit-learn" or "faiss".

    Returns:
        Shape (q, count).

    Raises:
        UsageError: Fewer references than that outside a group.
    """
    sizes = np.bincount(groups)
    mine = np.where(own >= 0, sizes[np.maximum(own, 0)], 0)
    largest = int(mine.max(initial=0))
    if len(reference) - largest < count:
        raise UsageError(
            f"{count} neighbours were asked for, and outside its own text a position has {len(reference) - largest}.",
            "A position's own record does not vote for it.",
            "Give more text, or a smaller k.",
        )
    found = nearest(reference, queries, count + largest, metric=metric, engine=engine)
    outside = groups[found] != own[:, None]
    chosen = outside & (np.cumsum(outside, 1) <= count)
    kept: NDArray[np.int64] = found[chosen].reshape(len(queries), count)
    return kept


def gap_over_records(
    first: NDArray[np.bool_],
    first_records: NDArray[np.int64],
    second: NDArray[np.bool_],
    second_records: NDArray[np.int64],
    seed: int,
) -> dict[str, Any]:
    """Share of the first minus share of the second, with a 95 % interval over records.

    Args:
        first: One truth value per position, shape (n,).
        first_records: The record of each position, shape (n,).
        second: Shape (m,).
        second_records: Shape (m,).
        seed: Of the bootstrap.
    """
    rng = np.random.default_rng(seed)
    a = _resampled(first, first_records, rng)
    b = _resampled(second, second_records, rng)
    low, high = np.quantile(a - b, [0.025, 0.975])
    return {
        "difference": float(first.mean() - second.mean()),
        "low": float(low),
        "high": float(high),
        "records": [len(np.unique(first_records)), len(np.unique(second_records))],
    }


def _resampled(
    hits: NDArray[np.bool_], records: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Share of hits in bootstrap samples of records."""
    _, index = np.unique(records, return_inverse=True)
    right = np.bincount(index, weights=hits.astype(float))
    size = np.bincount(index).astype(float)
    drawn = rng.integers(len(size), size=(_DRAWS, len(size)))
    shares: NDArray[np.float64] = right[drawn].sum(1) / size[drawn].sum(1)
    return shares
