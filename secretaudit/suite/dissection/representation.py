"""Similarity of representations: linear CKA and SVCCA between a layer of one network and a layer of another.

Given the activations X (n, p) and Y (n, q) of the same n inputs, columns centred.

Linear CKA (Kornblith et al. 2019):

    CKA = ‖XᵀY‖²_F / (‖XᵀX‖_F ‖YᵀY‖_F) = ⟨K, L⟩ / (‖K‖_F ‖L‖_F),   K = XXᵀ, L = YYᵀ

in [0, 1]; 1 where Y is X rotated and scaled. The two forms are equal; the one with less arithmetic is used. Both are biased upwards when p or q is
large against n: independent random features do not give 0. The debiased form replaces ⟨K, L⟩ by the unbiased estimate of HSIC (Song et al. 2012), which leaves out
the diagonals K_ii, L_ii; independent features then average 0, and values below 0 occur.

SVCCA (Raghu et al. 2017): keep the leading singular directions of X and of Y that hold a share (0.99) of the variance, k_x and k_y of them, and average the
canonical correlations of the two subspaces, the singular values of U_xᵀU_y. 1 for equal subspaces. Independent random subspaces do not give 0 either: the
mean square of the correlations is max(k_x, k_y)/(n − 1), which ``svcca_chance`` gives the root of.

Everything depends on X through K alone, so a layer with more features than inputs is kept as its principal coordinates, n × n at most.

The estimators are published, by the authors named; that they answer the question of Gu & Tresp (2019, abstract) is our proposal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from secretaudit.errors import UsageError

__all__ = [
    "canonical",
    "canonical_chance",
    "debiased_cka",
    "leading",
    "linear_cka",
    "principal_coordinates",
    "svcca",
    "svcca_chance",
]

Array = NDArray[np.float64]

#: Singular values below this share of the largest are rounding.
_ROUNDING = 1e-6


def linear_cka(x: ArrayLike, y: ArrayLike) -> float | None:
    """Linear CKA, in [0, 1]; ``None`` where a representation does not depend on the input.

    Args:
        x: Activations, shape (n, p).
        y: Of the same inputs, shape (n, q).

    Raises:
        UsageError: Different numbers of inputs.
    """
    a, b = _pair(x, y)
    n, p, q = len(a), a.shape[1], b.shape[1]
    if p * q + p * p + q * q <= n * (p + q):
        cross, own_a, own_b = _square(a.T @ b), _square(a.T @ a), _square(b.T @ b)
    else:
        k, m = a @ a.T, b @ b.T
        cross, own_a, own_b = float((k * m).sum()), _square(k), _square(m)
    scale = float(np.sqrt(own_a) * np.sqrt(own_b))
    return cross / scale if scale > 0 else None


def debiased_cka(x: ArrayLike, y: ArrayLike) -> float | None:
    """Linear CKA of unbiased HSIC estimates: 0 on average for independent features; ``None`` where it has no value.

    Args:
        x: Activations, shape (n, p), n ≥ 4.
        y: Of the same inputs, shape (n, q).

    Raises:
        UsageError: Different numbers of inputs, or fewer than four.
    """
    a, b = _pair(x, y)
    if len(a) < 4:
        raise UsageError(
            f"There are {len(a)} inputs.",
            "The unbiased estimate of HSIC divides by n − 3.",
            "Compare representations on at least four inputs, better on hundreds.",
        )
    own_a, own_b = _unbiased_hsic(a, a), _unbiased_hsic(b, b)
    if own_a <= 0 or own_b <= 0:
        return None
    return float(_unbiased_hsic(a, b) / np.sqrt(own_a) / np.sqrt(own_b))


def svcca(x: ArrayLike, y: ArrayLike, variance: float = 0.99) -> float | None:
    """Mean canonical correlation of the leading singular subspaces, in [0, 1]; ``None`` where a representation is constant.

    Args:
        x: Activations, shape (n, p).
        y: Of the same inputs, shape (n, q).
        variance: Share of each one's variance that is kept; with 1 invertible linear maps change nothing.
    """
    a, b = _pair(x, y)
    return canonical(leading(a, variance), leading(b, variance))


def svcca_chance(x: ArrayLike, y: ArrayLike, variance: float = 0.99) -> float | None:
    """Root mean square of the canonical correlations that random subspaces of the same dimensions would have, in [0, 1]."""
    a, b = _pair(x, y)
    return canonical_chance(leading(a, variance), leading(b, variance))


def canonical(u: Array, v: Array) -> float | None:
    """Mean canonical correlation of two subspaces with orthonormal bases, shapes (n, k) and (n, k'); ``None`` where one is empty."""
    if not u.shape[1] or not v.shape[1]:
        return None
    found = np.linalg.svd(u.T @ v, compute_uv=False)
    return float(np.clip(found, 0.0, 1.0).mean())


def canonical_chance(u: Array, v: Array) -> float | None:
    """What random subspaces of these dimensions would have, as a root mean square."""
    kept = max(u.shape[1], v.shape[1])
    return float(np.sqrt(min(1.0, kept / (len(u) - 1)))) if kept else None


def principal_coordinates(x: ArrayLike) -> Array:
    """Centred activations in as few columns as have the same Gram matrix: U·S of the singular value decomposition.

    Args:
        x: Shape (n, p).

    Returns:
        Shape (n, r), r at most min(n, p), columns by falling variance; singular values below 1e-6 of the largest are left out.
    """
    a = _centred(x)
    if a.shape[1] > len(a):
        values, vectors = np.linalg.eigh(a @ a.T)
        values, vectors = np.clip(values[::-1], 0.0, None), vectors[:, ::-1]
        lengths = np.sqrt(values)
    else:
        vectors, lengths, _ = np.linalg.svd(a, full_matrices=False)
    kept = lengths > _ROUNDING * max(float(lengths.max(initial=0.0)), 1e-300)
    coordinates: Array = vectors[:, kept] * lengths[kept]
    return coordinates


def _unbiased_hsic(a: Array, b: Array) -> float:
    """n(n − 3) times the estimate of Song et al. 2012, equation 5, without the n × n matrices.

    With K̃, L̃ the Gram matrices without their diagonals: tr(K̃L̃) + (1ᵀK̃1)(1ᵀL̃1)/((n−1)(n−2)) − 2·1ᵀK̃L̃1/(n−2).
    """
    n = len(a)
    diagonal_a, diagonal_b = (a * a).sum(1), (b * b).sum(1)
    rows_a, rows_b = a @ a.sum(0) - diagonal_a, b @ b.sum(0) - diagonal_b
    trace = _square(a.T @ b) if a.shape[1] * b.shape[1] <= n * n else _gram_product(a, b)
    trace -= float(diagonal_a @ diagonal_b)
    totals = float(rows_a.sum() * rows_b.sum()) / ((n - 1) * (n - 2))
    return trace + totals - 2.0 * float(rows_a @ rows_b) / (n - 2)


def _gram_product(a: Array, b: Array) -> float:
    return float(((a @ a.T) * (b @ b.T)).sum())


def leading(x: ArrayLike, variance: float) -> Array:
    """Left singular vectors of centred activations that hold a share of the variance.

    Args:
        x: Shape (n, p).
        variance: The share, in (0, 1].

    Returns:
        Orthonormal columns, shape (n, k); k = 0 for a constant representation.
    """
    a = _centred(x)
    vectors, lengths, _ = np.linalg.svd(a, full_matrices=False)
    real = lengths > _ROUNDING * max(float(lengths.max(initial=0.0)), 1e-300)
    vectors, lengths = vectors[:, real], lengths[real]
    if not len(lengths):
        none: Array = vectors
        return none
    share = np.cumsum(lengths**2) / (lengths**2).sum()
    kept = min(len(lengths), int(np.searchsorted(share, variance - 1e-12)) + 1)
    held: Array = vectors[:, :kept]
    return held


def _square(matrix: NDArray[Any]) -> float:
    return float((matrix * matrix).sum())


def _centred(x: ArrayLike) -> Array:
    a = np.asarray(x, dtype=np.float64)
    centred: Array = a - a.mean(0)
    return centred


def _pair(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    a, b = _centred(x), _centred(y)
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b):
        raise UsageError(
            f"Representations of shapes {a.shape} and {b.shape} cannot be compared.",
            "Two networks are compared on the same inputs, one row each.",
            "Give matrices with as many rows as there are inputs.",
        )
    return a, b
