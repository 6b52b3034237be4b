"""Exact rank by visiting every secret.

rank(c) = number of secrets s in R with cost(s) ≤ cost(c): Definition 2 of Carlini et al. 2019, taken literally, and the truth
that all other estimators are tested against. The tree shares prefixes, so |R| leaves cost about |R| · (1 + 1/10 + 1/100 + …)
model steps for digits, plus the steps of the text after the hole, and every canary of the format is ranked in the
same walk.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from secretaudit.exposure.estimate import Count, Estimate, Question
from secretaudit.progress import Progress
from secretaudit.tree.budget import Meter
from secretaudit.tree.scored_space import ScoredSpace
from secretaudit.tree.secret_tree import TOLERANCE_BITS, SecretTree
from secretaudit.tree.walk import Visit, depth_first


def enumeration(question: Question, meter: Meter, progress: Progress) -> list[Estimate]:
    """Rank of every canary among all secrets, exact when the budget suffices, a bracket when not."""
    count = Count(question.costs, TOLERANCE_BITS)
    for visit in _everything(question.space, meter):
        count.add(visit.leaf_costs)
        progress.update(done=count.seen, total=question.size, nodes=meter.nodes)
    return [
        count.estimate(i, question.size, dearer=0, method="enumeration", nodes=meter.nodes)
        for i in range(len(question.costs))
    ]


def _everything(space: SecretTree | ScoredSpace, meter: Meter) -> Iterator[Visit]:
    """All leaves, by a walk where there is a tree."""
    if isinstance(space, ScoredSpace):
        return space.everything(meter)
    return depth_first(space, math.inf, meter)
