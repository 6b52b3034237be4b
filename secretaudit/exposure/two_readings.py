"""A certified bracket of the rank when a model lists only its k likeliest next tokens.

What is not listed is not known, but it is bounded: its probability lies between 0 and the smaller of the smallest one listed and
what the listed ones leave over. So the same answers are read twice,

    optimistic   an unlisted token has the largest probability that it could have: costs are lower bounds
    pessimistic  it has probability 0: costs are upper bounds, infinite where a token was not listed

and with the canary's own cost between c_low and c_high

    rank ≥ 1 + #{s : pessimistic cost(s) < c_low},     rank ≤ #{s : optimistic cost(s) ≤ c_high}

each counted by one branch-and-bound walk. The gate holds the unsafe end, the larger exposure, against its limit.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from secretaudit.exposure.estimate import BOUNDED, MEASURED, Estimate
from secretaudit.progress import Progress
from secretaudit.tree import SecretTree
from secretaudit.tree.budget import Meter
from secretaudit.tree.draws import path_costs
from secretaudit.tree.secret_tree import TOLERANCE_BITS
from secretaudit.tree.walk import depth_first

METHOD = "two-readings"


def two_readings(
    optimistic: SecretTree,
    pessimistic: SecretTree,
    secrets: list[str],
    meter: Meter,
    progress: Progress,
) -> tuple[NDArray[np.float64], list[Estimate]]:
    """Bracket the rank of every canary.

    Args:
        optimistic: The tree whose costs are lower bounds; what all secrets share is not charged.
        pessimistic: The tree whose costs are upper bounds, likewise.
        secrets: The canaries' secrets.
        meter: Spent by all walks together.
        progress: Is told how many canaries are done.

    Returns:
        Lower bounds of the canaries' costs in bits from what all secrets share on, shape (C,), and their estimates.
    """
    low = path_costs(optimistic, secrets, meter)
    high = path_costs(pessimistic, secrets, meter)
    found: dict[int, Estimate] = {}
    for done, i in enumerate(np.argsort(low, kind="stable").tolist(), start=1):
        found[i] = _bracket(optimistic, pessimistic, float(low[i]), float(high[i]), meter)
        progress.update(done=done, total=len(secrets), nodes=meter.nodes)
    return low, [found[i] for i in range(len(secrets))]


def _bracket(
    optimistic: SecretTree, pessimistic: SecretTree, low: float, high: float, meter: Meter
) -> Estimate:
    size = optimistic.form.size
    cheaper, _ = _count(pessimistic, low - TOLERANCE_BITS, meter)
    known = math.isfinite(high)
    most = size - _count(optimistic, high + TOLERANCE_BITS, meter)[1] if known else size
    least = min(1 + cheaper, most)
    exact = known and least == most and high - low <= TOLERANCE_BITS
    return Estimate(
        method=METHOD,
        size=size,
        rank=float(least) if exact else None,
        rank_low=float(least),
        rank_high=float(most),
        nodes=meter.nodes,
        status=MEASURED if exact else BOUNDED,
        note="" if exact else _note(known),
    )


def _note(known: bool) -> str:
    if known:
        return "The server lists only its likeliest tokens: secrets spelled with others may or may not rank before this one."
    return (
        "The server does not list a token of this canary among its likeliest, so its cost has only a lower bound; the exposure "
        "is at most the upper end."
    )


def _count(tree: SecretTree, limit: float, meter: Meter) -> tuple[int, int]:
    """(leaves that cost at most the limit, leaves proven to cost more); what the budget did not reach is in neither."""
    cheaper = dearer = 0
    for visit in depth_first(tree, limit, meter):
        cheaper += int(np.count_nonzero(visit.leaf_costs <= limit))
        dearer += visit.dearer
    return cheaper, dearer
