"""Where a canary stands among other secrets of its format.

Given: the cost c (log-perplexity in bits) of each canary and the costs of other secrets, either of *all* secrets
of the space R (an enumeration) or of some *references* drawn from it.

    rank(c)     = 1 + number of other secrets that cost at most c        in 1 … |R|, lower is more memorized
    exposure(c) = log2 |R| − log2 rank(c)                                 in 0 … log2 |R| bits, higher is more memorized

(Carlini et al., The Secret Sharer, definitions of rank and exposure.) The canary counts itself, hence the 1, and
the same set is counted above and below the fraction line, so an exposure is never negative.

Costs of equal leaves differ by rounding noise when they were computed in different batches. So a secret whose
cost lies within ``tolerance`` bits of c is a *tie*, and every rank comes three times: with the ties against the canary
(all of them count as cheaper, what Definition 2 of the paper says; this one decides), in the middle, and in favour.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from secretaudit.errors import CouldNotMeasure

#: Steps into which references are counted before any are sorted; memory and time are small beside a sort of all.
_STEPS = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Ranks of C canaries, in the order in which their costs were given.

    Attributes:
        against: int64, shape (C,): ties count as cheaper than the canary. The rank to report.
        middle: float64, shape (C,): half of the ties count.
        in_favour: int64, shape (C,): no tie counts.
        ties: int64, shape (C,): *other* secrets whose cost lies within the tolerance.
        among: Size of the set that was ranked in, the canary included: the largest possible rank.
    """

    against: NDArray[np.int64]
    middle: NDArray[np.float64]
    in_favour: NDArray[np.int64]
    ties: NDArray[np.int64]
    among: int


def finite_costs(costs: ArrayLike, whose: str) -> NDArray[np.float64]:
    """The costs as a flat float64 array.

    Args:
        costs: Costs in bits, any shape.
        whose: Names the costs in an error, e.g. ``"canary"``.

    Raises:
        CouldNotMeasure: Some costs are NaN or infinite. One NaN in a sort is enough to move every rank.
    """
    array = np.asarray(costs, dtype=np.float64).ravel()
    broken = int(array.size - np.count_nonzero(np.isfinite(array)))
    if broken:
        raise CouldNotMeasure(
            f"{broken} of {array.size} {whose} costs are NaN or infinite.",
            "A rank among such costs means nothing: the model gave no usable probability there.",
            "Check the model (weights with NaN, half precision, a token that it can never produce).",
        )
    return array


def ranks_among(
    costs: ArrayLike,
    references: ArrayLike,
    *,
    tolerance: float = 0.0,
    canaries_included: bool = False,
) -> Ranks:
    """Rank of each canary among other secrets.

    Args:
        costs: Costs of the canaries in bits, shape (C,).
        references: Costs of the other secrets in bits, shape (N,), in any order.
        tolerance: Bits within which two costs are called equal.
        canaries_included: True when ``references`` are *all* secrets of the space, so that each canary stands
            among them already and must not be counted twice.

    Raises:
        CouldNotMeasure: A cost is not finite, there are no references, or a canary that should stand among the
            references does not.

    >>> ranks_among([3.5, 0.5], [1.0, 2.0, 3.0, 4.0]).against
    array([4, 1])
    """
    canary = finite_costs(costs, "canary")
    others = finite_costs(references, "reference")
    if not tolerance >= 0.0:
        raise ValueError(f"tolerance must be a number of bits >= 0, got {tolerance}")
    if others.size == 0:
        raise CouldNotMeasure(
            "There are no reference costs.",
            "A rank needs at least one other secret to compare with.",
            "Score some references first.",
        )
    itself = 1 if canaries_included else 0
    cheaper, not_dearer = _counts_below(others, canary - tolerance, canary + tolerance)
    ties = not_dearer - cheaper - itself
    if np.any(ties < 0):
        raise CouldNotMeasure(
            f"{int(np.count_nonzero(ties < 0))} canaries are missing among the costs of all secrets.",
            f"No secret costs the same within {tolerance:g} bits: two ways of scoring disagree.",
            "Raise the tolerance, or check that canaries and secrets were scored by the same model.",
        )
    return Ranks(
        against=1 + cheaper + ties,
        middle=1 + cheaper + ties / 2,
        in_favour=1 + cheaper,
        ties=ties,
        among=int(others.size) + 1 - itself,
    )


def _counts_below(
    references: NDArray[np.float64], below: NDArray[np.float64], up_to: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many references lie below ``below[j]``, and how many at or below ``up_to[j]``.

    References are counted into equal steps between the cheapest and the dearest; the step of a cost never falls as the cost
    rises, rounding included. So only those that share a step with some threshold have to be sorted and compared.
    """
    lowest, highest = references.min(), references.max()
    with np.errstate(all="ignore"):
        per_bit = _STEPS / (highest - lowest)
    flat = (
        not 0.0 < per_bit < np.inf
    )  # no spread, or one beyond what a float holds: one step for all

    def step(costs: NDArray[np.float64]) -> NDArray[np.int32]:
        if flat:
            return np.zeros(costs.shape, dtype=np.int32)
        number: NDArray[np.int32] = np.minimum((costs - lowest) * per_bit, _STEPS - 1).astype(
            np.int32
        )
        return number

    steps = step(references)
    step_below, step_up_to = (step(np.clip(t, lowest, highest)) for t in (below, up_to))
    contested = np.zeros(_STEPS, dtype=np.bool_)
    contested[step_below] = contested[step_up_to] = True
    compared = np.sort(references[contested[steps]])
    counts = np.where(contested, 0, np.bincount(steps, minlength=_STEPS))
    certain = np.concatenate([[0], np.cumsum(counts)])
    return (
        certain[step_below] + np.searchsorted(compared, below, side="left"),
        certain[step_up_to] + np.searchsorted(compared, up_to, side="right"),
    )


def space_bits(secrets: int) -> float:
    """log2 |R|, the largest exposure that a format can show, from the exact integer.

    >>> round(space_bits(10**9), 3)
    29.897
    """
    if secrets < 2:
        raise ValueError(f"secrets must be at least 2, got {secrets}")
    return math.log2(secrets)


def space_size(secrets: int) -> float:
    """|R| as a float; beyond the range of float64 its largest number."""
    return float(secrets) if secrets.bit_length() <= 1023 else sys.float_info.max


def exposure_bits(ranks: ArrayLike, secrets: int) -> NDArray[np.float64]:
    """Exposure of each rank in bits: log2 |R| − log2 rank, between 0 and log2 |R|.

    Args:
        ranks: Ranks, any shape; fractions are allowed (estimates), values are taken into [1, |R|], NaN stays.
        secrets: |R|, exact.

    >>> exposure_bits([1, 2, 1024], 1024)
    array([10.,  9.,  0.])
    """
    rank = np.maximum(np.asarray(ranks, dtype=np.float64), 1.0)
    ceiling = space_bits(secrets)
    bits: NDArray[np.float64] = np.clip(ceiling - np.log2(rank), 0.0, ceiling)
    return bits


def tail_exposure_bits(fractions: ArrayLike, secrets: int) -> NDArray[np.float64]:
    """Exposure from rank/|R|, the share of the space that costs at most as much: −log2 of it, between 0 and log2 |R|.

    Unlike a rank, a share fits into a float for a space of any size.

    >>> tail_exposure_bits([0.25, 0.0], 2**2000)
    array([   2., 2000.])
    """
    with np.errstate(divide="ignore"):
        bits = -np.log2(np.asarray(fractions, dtype=np.float64))
    within: NDArray[np.float64] = np.clip(bits, 0.0, space_bits(secrets)) + 0.0
    return within
