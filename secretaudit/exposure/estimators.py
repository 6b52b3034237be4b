"""The estimators by name, and ``auto``, which chooses among them.

``auto`` enumerates small spaces. In larger ones it makes one round of importance draws, which says what every rank is to a factor of
two or so, and also how many nodes an exact walk up to each canary would visit (Knuth 1975). Canaries for which that is affordable get
an exact rank by one branch-and-bound walk; the others get more draws until their intervals are narrow.
Where secrets can only be priced one by one (``ScoredSpace``), large spaces are sampled uniformly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secretaudit._checks import one_of
from secretaudit.exposure import importance as importance_
from secretaudit.exposure.branch_and_bound import branch_and_bound, ranks_up_to
from secretaudit.exposure.enumeration import enumeration
from secretaudit.exposure.estimate import INCONCLUSIVE, Estimate, Question
from secretaudit.exposure.extrapolation import extrapolated_exposures
from secretaudit.exposure.sampling import sampling, uniform_costs
from secretaudit.progress import Progress
from secretaudit.tree.budget import Budget, Meter
from secretaudit.tree.scored_space import ScoredSpace
from secretaudit.tree.secret_tree import TOLERANCE_BITS

#: ``auto`` enumerates spaces up to this size.
SMALL = 20_000
#: ``auto`` tries an exact rank when the walk is estimated to visit at most this many nodes.
EXACT_NODES = 200_000


@dataclass(frozen=True, kw_only=True)
class Work:
    """What an estimator may use."""

    meter: Meter
    rng: np.random.Generator
    progress: Progress
    precision: float = importance_.PRECISION_BITS


def auto(question: Question, work: Work) -> list[Estimate]:
    """Exact where that is affordable, importance sampling elsewhere."""
    limit = work.meter.budget.nodes
    if isinstance(question.space, ScoredSpace) and question.size > SMALL:
        return _sampling(question, work)
    if question.size <= SMALL and (limit is None or limit > 3 * question.size):
        return enumeration(question, work.meter, work.progress)
    sample = importance_.first_round(question, work.meter, work.rng)
    nodes = sample.nodes_within(question.costs + TOLERANCE_BITS)
    exact = _affordable(question, nodes, work)
    wanted = np.array([i not in exact for i in range(len(question.secrets))])
    sample = importance_.refine(
        question, sample, work.meter, work.rng, work.progress, work.precision, wanted
    )
    estimated = importance_.estimates(question, sample, work.meter, work.precision)
    return [exact.get(i, estimated[i]) for i in range(len(estimated))]


def _affordable(question: Question, nodes: NDArray[np.float64], work: Work) -> dict[int, Estimate]:
    """Exact ranks of the canaries whose walk is estimated to be short; the estimate may be off, so a walk has a limit."""
    for most in (EXACT_NODES, EXACT_NODES // 10, EXACT_NODES // 100):
        chosen = question.costs[nodes <= most]
        if len(chosen):
            found = ranks_up_to(question, float(chosen.max()), work.meter.part(3 * most))
            if found:
                return found
    return {}


def _enumeration(question: Question, work: Work) -> list[Estimate]:
    return enumeration(question, work.meter, work.progress)


def _exact(question: Question, work: Work) -> list[Estimate]:
    return branch_and_bound(question, work.meter, work.progress)


def _importance(question: Question, work: Work) -> list[Estimate]:
    return importance_.importance(question, work.meter, work.rng, work.progress, work.precision)


def _sampling(question: Question, work: Work) -> list[Estimate]:
    return sampling(question, work.meter, work.rng, work.progress)


def _extrapolation(question: Question, work: Work) -> list[Estimate]:
    references = uniform_costs(question, work.meter, work.rng, work.progress)
    found = extrapolated_exposures(question.costs, references, secrets=question.size, rng=work.rng)
    return [
        Estimate(
            method="extrapolation",
            size=question.size,
            rank=None,
            rank_low=_rank(question.size, float(found.exposure_high_bits[i])),
            rank_high=_rank(question.size, float(found.exposure_low_bits[i])),
            exposure=float(found.exposure_bits[i]),
            exposure_ends=(float(found.exposure_low_bits[i]), float(found.exposure_high_bits[i])),
            nodes=work.meter.nodes,
            draws=len(references),
            status=INCONCLUSIVE if found.rejected else "measured",
            note=found.notes[i],
        )
        for i in range(len(question.costs))
    ]


def _rank(size: int, exposure_bits: float) -> float:
    """The rank that an extrapolated exposure would mean, kept in 1 … |R|."""
    return float(np.clip(size * 2.0 ** -min(exposure_bits, 1000.0), 1.0, size))


#: Name → (estimator, budget when none is given).
ESTIMATORS: dict[str, tuple[Callable[[Question, Work], list[Estimate]], Budget]] = {
    "auto": (auto, Budget(nodes=2_000_000)),
    "enumeration": (_enumeration, Budget()),
    "exact": (_exact, Budget(nodes=5_000_000)),
    "importance": (_importance, Budget(nodes=2_000_000)),
    "sampling": (_sampling, Budget(nodes=2_000_000)),
    "extrapolation": (_extrapolation, Budget(nodes=2_000_000)),
}


def estimator(name: str) -> tuple[Callable[[Question, Work], list[Estimate]], Budget]:
    """The estimator of this name and its default budget.

    Raises:
        UsageError: No such estimator; the nearest name is suggested.
    """
    one_of("method", name, tuple(ESTIMATORS))
    return ESTIMATORS[name]
