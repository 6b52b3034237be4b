"""Exact rank in spaces of 10^9 and more: count the secrets that are cheaper than the canary and skip all others.

A node's cost is a lower bound on the cost of all leaves below it. To rank a canary of cost c, visit only nodes with cost ≤ c:
every secret cheaper than the canary lies below such nodes only, and every branch that is cut is proven dearer, with its exact
number of leaves. The work is the number of prefixes more likely than the canary's whole record, small exactly
when the canary is memorized: 10^3 nodes instead of 10^9 when it ranks first.

A walk up to one canary ranks all cheaper canaries too. When the budget ends first, what is proven so far is a certified bracket
of the rank: [1 + leaves proven cheaper, |R| − leaves proven dearer].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from secretaudit.exposure.estimate import MEASURED, Count, Estimate, Question, bracket
from secretaudit.progress import Progress
from secretaudit.tree.budget import Meter
from secretaudit.tree.secret_tree import TOLERANCE_BITS
from secretaudit.tree.walk import Visit, depth_first

#: Visits what costs at most a limit in bits, within a budget.
Walk = Callable[[float, Meter], Iterator[Visit]]


def branch_and_bound(
    question: Question, meter: Meter, progress: Progress, walk: Walk | None = None
) -> list[Estimate]:
    """Exact rank of every canary, cheapest first; a certified bracket for those that the budget did not reach.

    There is one walk per canary, cheapest first, so that a dear canary cannot spend the budget of a memorized one; by default
    through the question's tree.
    """
    visits = walk or partial(depth_first, question.tree)
    found: dict[int, Estimate] = {}
    order = np.argsort(question.costs, kind="stable").tolist()
    for canary in order:
        if canary not in found:
            found = _walk(question, float(question.costs[canary]), meter, visits) | found
        progress.update(done=len(found), total=len(question.costs), nodes=meter.nodes)
    known = [i for i in order if found[i].status == MEASURED]
    if known:
        found = {i: _behind(e, question, i, known[-1], found[known[-1]]) for i, e in found.items()}
    return [found[i] for i in range(len(question.costs))]


def _behind(
    estimate: Estimate, question: Question, canary: int, known: int, last: Estimate
) -> Estimate:
    """The bracket of a canary that is dearer than the last one whose rank is known.

    What ranks before that one ranks before this one too; a walk that was cut short may not have come so far again.
    """
    if estimate.status == MEASURED or last.rank is None:
        return estimate
    apart = bool(question.costs[canary] > question.costs[known] + 2 * TOLERANCE_BITS)
    return bracket(
        low=max(estimate.rank_low, last.rank + apart),
        high=estimate.rank_high,
        size=estimate.size,
        method=estimate.method,
        nodes=estimate.nodes,
    )


def ranks_up_to(question: Question, limit: float, meter: Meter) -> dict[int, Estimate]:
    """One walk that ranks all canaries with cost ≤ limit; only those whose rank it proved are returned."""
    found = _walk(question, limit, meter, partial(depth_first, question.tree))
    return {i: e for i, e in found.items() if e.status == MEASURED}


def _walk(question: Question, limit: float, meter: Meter, visits: Walk) -> dict[int, Estimate]:
    """Visit all that costs at most ``limit``: exact ranks of the canaries up to it if the budget lasts.

    A walk that is cut short leaves a bracket for every canary. Branches that were cut cost more than the limit, which
    proves nothing about canaries that are dearer still.
    """
    count = Count(question.costs, TOLERANCE_BITS)
    dearer, before = 0, meter.nodes
    for visit in visits(limit + TOLERANCE_BITS, meter):
        count.add(visit.leaf_costs)
        dearer += visit.dearer
    nodes = meter.nodes - before
    complete = count.seen + dearer == question.size
    return {
        i: count.estimate(
            i, question.size, dearer=dearer if cost <= limit else 0, method="exact", nodes=nodes
        )
        for i, cost in enumerate(question.costs.tolist())
        if cost <= limit or not complete
    }
