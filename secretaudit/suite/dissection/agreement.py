"""Agreement: do two networks predict the same class on inputs that neither has seen?

P_SAME is the share of inputs on which the two predictions are equal. Two networks that both prefer one class agree often without having anything
in common, so the agreement that their class frequencies p_c and q_c alone would give, e = Σ_c p_c q_c, is taken out (Cohen 1960):

    κ = (P_SAME − e) / (1 − e)

κ is 1 for equal predictions, 0 on average for independent ones, and has no value where both networks predict one and the same class throughout.

Gu & Tresp (2019) compare "what different networks have learned or memorized" (abstract); their measure is not known to us. This one is ours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from secretaudit.errors import UsageError

__all__ = ["kappa", "p_same"]


def p_same(first: ArrayLike, second: ArrayLike) -> float:
    """Share of inputs with equal predictions, in [0, 1].

    Args:
        first: Predicted classes, shape (n,).
        second: Those of another network on the same inputs.

    Raises:
        UsageError: No predictions, or different numbers of them.

    >>> p_same([0, 1, 1, 2], [0, 1, 2, 2])
    0.75
    """
    a, b = np.asarray(first), np.asarray(second)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise UsageError(
            f"Predictions of shapes {a.shape} and {b.shape} cannot be compared.",
            "Two networks are compared on the same inputs.",
            "Give one predicted class per input and network.",
        )
    return float((a == b).mean())


def kappa(first: ArrayLike, second: ArrayLike) -> float | None:
    """Cohen's κ, at most 1; ``None`` where both predict one and the same class throughout.

    Args:
        first: Predicted classes, shape (n,), counted from 0.
        second: Those of another network on the same inputs.

    >>> kappa([0, 0, 1, 1], [0, 0, 1, 1]), kappa([0, 0, 1, 1], [0, 1, 0, 1]), kappa([0, 0], [0, 0])
    (1.0, 0.0, None)
    """
    same = p_same(first, second)
    a, b = np.asarray(first), np.asarray(second)
    classes = int(max(a.max(), b.max())) + 1
    p, q = np.bincount(a, minlength=classes), np.bincount(b, minlength=classes)
    expected = float(p @ q) / len(a) ** 2
    return None if expected == 1.0 else (same - expected) / (1.0 - expected)
