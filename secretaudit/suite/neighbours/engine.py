"""The k nearest neighbours of points, exactly, and their votes.

Given reference points r_1 … r_n with labels y_1 … y_n, the neighbours of a query q are the k references with the smallest distance d(q, r_i),
nearest first; d is the L1 distance Σ_j |q_j − r_j| (Cohen et al.'s choice), the L2 distance, or 1 − cosine. Each neighbour has one vote,
p_c = #{neighbours with label c} / k, and the class with most votes wins, the smallest number among equals, as in scikit-learn.

*Leave-one-out*: a query that is itself reference i must not vote for itself. One neighbour more is asked for and i is taken out of the list; where i is
not in it (k + 1 others lie at the same point) the last one is. What remains are exactly the k nearest among the n − 1 others. Cohen et al.'s first
version left the point in; their later code subtracts its vote, which gives the same votes as this.

Two engines: scikit-learn's brute force (the reference), and FAISS's flat index, which is exact too, compares in float32 and takes a fraction of the
time for L1 among very many points. Where distances are equal the two may list neighbours in another order. Both run on one thread, so that the result
does not depend on the machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from secretaudit import _checks
from secretaudit.errors import CouldNotMeasure, UsageError
from secretaudit.suite.neighbours.settings import ENGINES, METRICS
from secretaudit.suite.neighbours.threads import one_thread

__all__ = ["nearest", "nearest_others", "votes"]

Points = NDArray[np.float32]
Indices = NDArray[np.int64]


def nearest(
    reference: Points,
    queries: Points,
    count: int,
    *,
    metric: str = "l1",
    engine: str = "scikit-learn",
) -> Indices:
    """Indices of the nearest references, nearest first.

    Args:
        reference: Shape (n, d), finite.
        queries: Shape (q, d), finite.
        count: Neighbours per query, at most n.
        metric: "l1", "l2" or "cosine".
        engine: "scikit-learn" or "faiss".

    Returns:
        Shape (q, count).

    Raises:
        UsageError: Fewer references than neighbours, an unknown metric or engine, or FAISS is not installed.
        CouldNotMeasure: A point is NaN or infinite.

    >>> points = np.array([[0.0], [1.0], [3.0]], dtype=np.float32)
    >>> nearest(points, np.array([[0.9]], dtype=np.float32), 2).tolist()
    [[1, 0]]
    """
    _checks.one_of("metric", metric, METRICS)
    _checks.one_of("engine", engine, ENGINES)
    _refuse_few(len(reference), count)
    for points in (reference, queries):
        _refuse_not_finite(points)
    search = _by_faiss if engine == "faiss" else _by_scikit_learn
    return search(
        np.ascontiguousarray(reference, np.float32),
        np.ascontiguousarray(queries, np.float32),
        count,
        metric,
    )


def nearest_others(
    reference: Points,
    rows: Indices,
    count: int,
    *,
    metric: str = "l1",
    engine: str = "scikit-learn",
) -> Indices:
    """The same for references that are queries themselves: none is its own neighbour.

    Args:
        reference: Shape (n, d).
        rows: Which references are asked, shape (q,).
        count: Neighbours per query, at most n − 1.
        metric: "l1", "l2" or "cosine".
        engine: "scikit-learn" or "faiss".

    Returns:
        Shape (q, count).

    >>> points = np.array([[0.0], [1.0], [3.0]], dtype=np.float32)
    >>> nearest_others(points, np.array([0, 2]), 1).tolist()
    [[1], [1]]
    """
    _refuse_few(len(reference) - 1, count)
    found = nearest(reference, reference[rows], count + 1, metric=metric, engine=engine)
    own = found == np.asarray(rows)[:, None]
    own[~own.any(1), -1] = True  # as many others lie at the very same point
    others: Indices = found[~own].reshape(len(rows), count)
    return others


def votes(labels: Indices, neighbours: Indices, classes: int) -> NDArray[np.float64]:
    """Share of the neighbours that have each class.

    Args:
        labels: Of the references, shape (n,).
        neighbours: Indices of references, shape (q, k).
        classes: K.

    Returns:
        Shape (q, K); rows sum to 1. ``argmax`` over a row is the vote.

    >>> votes(np.array([0, 1, 1]), np.array([[0, 1, 2]]), 2).round(2).tolist()
    [[0.33, 0.67]]
    """
    asked, k = neighbours.shape
    cell = np.arange(asked)[:, None] * classes + np.asarray(labels)[neighbours]
    counts = np.bincount(cell.ravel(), minlength=asked * classes)
    shares: NDArray[np.float64] = counts.reshape(asked, classes) / k
    return shares


def _by_scikit_learn(reference: Points, queries: Points, count: int, metric: str) -> Indices:
    from sklearn.neighbors import NearestNeighbors  # heavy: only when distances are needed

    name = {"l1": "manhattan", "l2": "euclidean", "cosine": "cosine"}[metric]
    search = NearestNeighbors(n_neighbors=count, metric=name, algorithm="brute", n_jobs=1)
    with one_thread():
        found = search.fit(reference).kneighbors(queries, return_distance=False)
    return np.asarray(found, dtype=np.int64)


def _by_faiss(reference: Points, queries: Points, count: int, metric: str) -> Indices:
    faiss = _faiss()
    if metric == "cosine":
        reference, queries = _unit(reference), _unit(queries)
    kind = {
        "l1": faiss.METRIC_L1,
        "l2": faiss.METRIC_L2,
        "cosine": faiss.METRIC_INNER_PRODUCT,
    }[metric]
    index = faiss.IndexFlat(reference.shape[1], kind)
    index.add(reference)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        _, found = index.search(queries, count)
    finally:
        faiss.omp_set_num_threads(threads)
    return np.asarray(found, dtype=np.int64)


def _faiss() -> Any:
    try:
        import faiss  # an extra that not everybody has
    except ImportError as error:
        raise UsageError(
            "The engine faiss is not installed.",
            f"Python says: {error}.",
            "Install it with pip install 'secretaudit[faiss]', or use the engine scikit-learn.",
        ) from error
    return faiss


def _unit(points: Points) -> Points:
    """Rows of length 1; a row of zeros stays, at distance 1 from all, as in scikit-learn."""
    length = np.linalg.norm(points, axis=1, keepdims=True)
    return np.asarray(points / np.where(length == 0.0, 1.0, length), np.float32)


def _refuse_few(there: int, count: int) -> None:
    if there < count:
        raise UsageError(
            f"{count} neighbours were asked for, and there are {max(there, 0)} other examples.",
            "Neighbours are training examples, and a point is not its own.",
            "Give more training examples, or a smaller k.",
        )


def _refuse_not_finite(points: Points) -> None:
    bad = ~np.isfinite(points).all(1)
    if bad.any():
        raise CouldNotMeasure(
            f"The model gives {int(bad.sum())} of {len(points)} examples an embedding that is NaN or infinite, the first is example {int(np.flatnonzero(bad)[0])}.",
            "Such a point has no distance to others.",
            "Check the model's weights, or name another layer.",
        )
