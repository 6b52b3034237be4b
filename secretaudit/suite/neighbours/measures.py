"""How far two classifiers agree, and what each loses on new examples.

For n examples with labels y, a network's classes a and another classifier's classes b (k-NN, or a linear classifier), after Cohen et al. (read):

    MC     = #{a = y and b = y} / #{a = y}             agreement where the network is right
    ME     = #{a ≠ y and b = a} / #{a ≠ y}             agreement where it is wrong: the same mistake
    P_SAME = #{a = b} / n = MC · acc + ME · (1 − acc),  acc = #{a = y} / n

MC is not defined for a network that is never right, nor ME for one that is never wrong: ``None`` here, and P_SAME counts what there is. (The
authors' code writes −1 and their plots put 1 in its place.)

Divergence, per sample, in nats: KL(p ‖ q) = Σ_c p_c ln(p_c / q_c), p the votes of the neighbours, q the network's softmax; zeros are replaced by 1e-6
before each row is made to sum to 1 again. What the paper plots as ``kl_div2`` is taken over the *other* axis, as its code gives scipy's
``entropy`` an (n, K) array: for each class, the divergence between two distributions over the samples. It is here under its own name.

Generalization error: error on held-out examples − error on training examples.

Intervals (ours): Wilson's for a share of n examples; Newcombe's (1998, method 10) for the difference of two shares.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = [
    "SMALLEST",
    "agreement",
    "difference_interval",
    "divergence_over_samples_nats",
    "divergences_nats",
    "generalization_error",
    "share_interval",
]

#: Stands for a probability of zero in a divergence.
SMALLEST = 1e-6
_LEVEL = 0.95

Classes = NDArray[np.int64]
Probabilities = NDArray[np.float64]


def agreement(network: Classes, other: Classes, labels: Classes) -> dict[str, Any]:
    """MC, ME and P_SAME.

    Args:
        network: The network's classes, shape (n,).
        other: The other classifier's, shape (n,).
        labels: Shape (n,).

    Returns:
        ``n``, ``accuracy`` of the network, ``other_accuracy``, ``mc``, ``me`` (``None`` where not defined), ``p_same`` with its 95 % interval
        ``low``, ``high``, and ``status``: "measured", or what is not defined.

    >>> found = agreement(np.array([0, 1, 1]), np.array([0, 1, 0]), np.array([0, 0, 0]))
    >>> found["mc"], found["me"], round(found["p_same"], 3)
    (1.0, 0.5, 0.667)
    """
    right, same = network == labels, network == other
    n, rights = len(labels), int(right.sum())
    low, high = share_interval(int(same.sum()), n)
    undefined = [
        text
        for text, missing in (
            ("MC is not defined: the network is never right", rights == 0),
            ("ME is not defined: the network is never wrong", rights == n),
        )
        if missing
    ]
    return {
        "n": n,
        "accuracy": rights / n,
        "other_accuracy": float((other == labels).mean()),
        "mc": int((right & same).sum()) / rights if rights else None,
        "me": int((~right & same).sum()) / (n - rights) if rights < n else None,
        "p_same": int(same.sum()) / n,
        "low": low,
        "high": high,
        "status": "; ".join(undefined) or "measured",
    }


def divergences_nats(p: Probabilities, q: Probabilities) -> NDArray[np.float64]:
    """KL(p ‖ q) of each sample.

    Args:
        p: Votes of the neighbours, shape (n, K).
        q: The network's class probabilities, shape (n, K).

    Returns:
        Shape (n,), nats, at least 0.

    >>> divergences_nats(np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])).round(4).tolist()
    [0.1438]
    """
    return _kl(p, q, axis=1)


def divergence_over_samples_nats(p: Probabilities, q: Probabilities) -> NDArray[np.float64]:
    """For each class, the divergence of its votes' distribution over the samples from its probabilities' (the paper's ``kl_div2``).

    Args:
        p: Votes of the neighbours, shape (n, K).
        q: The network's class probabilities, shape (n, K).

    Returns:
        Shape (K,), nats.
    """
    return _kl(p, q, axis=0)


def generalization_error(train_accuracy: float, held_out_accuracy: float) -> float:
    """Error on held-out examples minus error on training examples; positive where new examples are harder."""
    return train_accuracy - held_out_accuracy


def share_interval(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share.

    >>> [round(end, 3) for end in share_interval(5, 10)]
    [0.237, 0.763]
    """
    found = stats.binomtest(hits, n).proportion_ci(_LEVEL, method="wilson")
    return float(found.low), float(found.high)


def difference_interval(first: dict[str, Any], second: dict[str, Any]) -> dict[str, float]:
    """Difference of two shares of different examples, first − second, with Newcombe's 95 % interval.

    Args:
        first: With ``p_same``, ``low`` and ``high``, as ``agreement`` gives it.
        second: The same for the other examples.
    """
    a, b = first["p_same"], second["p_same"]
    below = ((a - first["low"]) ** 2 + (second["high"] - b) ** 2) ** 0.5
    above = ((first["high"] - a) ** 2 + (b - second["low"]) ** 2) ** 0.5
    return {"difference": a - b, "low": a - b - below, "high": a - b + above}


def _kl(p: Probabilities, q: Probabilities, axis: int) -> NDArray[np.float64]:
    """Σ p ln(p / q) along an axis, of what is made to sum to 1 along it."""
    a, b = (np.where(x == 0.0, SMALLEST, x) for x in (np.asarray(p, float), np.asarray(q, float)))
    a, b = a / a.sum(axis, keepdims=True), b / b.sum(axis, keepdims=True)
    found: NDArray[np.float64] = (a * np.log(a / b)).sum(axis)
    return np.maximum(found, 0.0)
