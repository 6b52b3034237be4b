"""Exposure when a text may be cut into tokens in any way: what a secret costs is its best segmentation, or all together.

Everything said of costs and ranks holds with costs of another kind (``tree.segmentations``), and ranks still count secrets, each
once. The methods:

    enumeration    one walk over the texts up to the dearest canary: exact ranks of all; secrets beyond are proven dearer
    exact          one bounded walk per canary, cheapest first, as in ``branch_and_bound.py``; certified brackets
    importance     ``segmented_importance.py``: unbiased, with an interval
    sampling       secrets drawn uniformly and priced over their lattices
    extrapolation  the same draws, and the fitted tail
    auto           enumeration of small spaces; elsewhere exact as far as a part of the budget goes, then importance

All know both kinds. Extraction knows both by shortest path (``extraction.segmented``), and no other way. Each canary is priced over its
lattice; as the tokenizer writes it, it is priced by plain scoring and by walking the tree, which must agree, and neither the best
segmentation nor all together can be dearer than that one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secretaudit._checks import one_of
from secretaudit.canary.format import Format
from secretaudit.errors import CouldNotMeasure
from secretaudit.exposure.branch_and_bound import branch_and_bound
from secretaudit.exposure.estimate import MEASURED, Count, Estimate, Question
from secretaudit.exposure.estimators import SMALL, Work, estimator
from secretaudit.exposure.segmented_importance import segmented_importance
from secretaudit.models.language_model import LanguageModel
from secretaudit.tree import Budget, Memory
from secretaudit.tree.budget import Meter
from secretaudit.tree.draws import path_costs
from secretaudit.tree.lattice_costs import LatticeCosts, lattice_costs
from secretaudit.tree.scored_space import ScoredSpace
from secretaudit.tree.secret_tree import TOLERANCE_BITS
from secretaudit.tree.segmentations import SegmentationTree
from secretaudit.tree.text_slab import TextVisit
from secretaudit.tree.text_walk import TextWalk

_NO_LIMIT = 2**62
#: Histories that ``auto`` reads in search of exact ranks.
EXACT_NODES = 200_000


def estimate_segmented(
    form: Format,
    model: LanguageModel,
    secrets: list[str],
    *,
    segmentation: str,
    method: str,
    memory: Memory,
    work: Work,
) -> tuple[NDArray[np.float64], list[Estimate], list[str]]:
    """Costs and ranks of some secrets over all segmentations.

    Args:
        form: The format.
        model: The model.
        secrets: The canaries' secrets, C of them.
        segmentation: "best" or "marginal".
        method: As ``estimators.estimator`` names them; all are possible.
        memory: Bytes that a walk may hold.
        work: Budget, randomness, progress and precision.

    Returns:
        (costs in bits, shape (C,); estimates; what is to be said of the format).

    Raises:
        ModelError: The tokenizer cannot write the format, or its tokens do not spell its texts.
        CouldNotMeasure: A canary has too many segmentations that matter, or two ways of pricing it disagree.
        UsageError: An unknown method or segmentation.
    """
    one_of("method", method, tuple(METHODS))
    tree = SegmentationTree(form, model, kind=segmentation, memory=memory)
    in_time = work.meter.part(_NO_LIMIT) if work.meter.budget.seconds is not None else None
    priced = lattice_costs(tree, secrets, meter=in_time, ends=in_time is not None)
    _check_steps(tree, secrets, priced.canonical)
    question = Question(space=tree, secrets=secrets, costs=priced.costs)
    return priced.costs, METHODS[method](_Asked(tree, question), work), _notes(tree, priced)


@dataclass(frozen=True)
class _Asked:
    """The question, and the tree that it is asked of."""

    tree: SegmentationTree
    question: Question

    def visits(self, limit: float, meter: Meter) -> Iterator[TextVisit]:
        """All secrets that cost at most ``limit`` bits."""
        walk = TextWalk(
            self.tree, self.tree.lattice, kind=self.tree.kind, reference=limit, meter=meter
        )
        return walk.visits()


def _check_steps(
    tree: SegmentationTree, secrets: list[str], canonical: NDArray[np.float64]
) -> None:
    """Refuse a model that says step by step something else than of the whole text."""
    in_tree = path_costs(tree, secrets, Budget().meter())
    known = np.isfinite(canonical)
    worst = float(np.max(np.abs(in_tree - canonical)[known], initial=0.0))
    if not worst <= TOLERANCE_BITS:
        raise CouldNotMeasure(
            f"Two ways of pricing a canary of {tree.form.name!r} differ by {worst:.3g} bits.",
            "The model's step-by-step probabilities are not those of the whole text, so ranks would be wrong.",
            "Check the model for settings that change between calls, such as active dropout.",
        )


def _notes(tree: SegmentationTree, priced: LatticeCosts) -> list[str]:
    if tree.model.tokenizer.unambiguous:
        return [*tree.notes, "The tokenizer knows one segmentation of every text."]
    gain = float(np.mean(priced.canonical - priced.costs))
    most = priced.segmentations.max()
    text = f"A canary's text can be cut in up to {most:,.0f} ways; its {tree.kind} cost is on average {gain:.2f} bits below the canonical one."
    return [*tree.notes, text]


def _enumeration(asked: _Asked, work: Work) -> list[Estimate]:
    question = asked.question
    count, dearer = Count(question.costs, TOLERANCE_BITS), 0
    limit = float(question.costs.max()) + TOLERANCE_BITS
    before = work.meter.nodes
    for visit in asked.visits(limit, work.meter):
        count.add(visit.leaf_costs)
        dearer += visit.dearer
        work.progress.update(done=count.seen + dearer, total=question.size, nodes=work.meter.nodes)
    nodes = work.meter.nodes - before
    return [
        count.estimate(i, question.size, dearer=dearer, method="enumeration", nodes=nodes)
        for i in range(len(question.costs))
    ]


def _exact(asked: _Asked, work: Work) -> list[Estimate]:
    return branch_and_bound(asked.question, work.meter, work.progress, asked.visits)


def _importance(asked: _Asked, work: Work) -> list[Estimate]:
    return segmented_importance(
        asked.tree, asked.question, work.meter, work.rng, work.progress, work.precision
    )


def _auto(asked: _Asked, work: Work) -> list[Estimate]:
    """Exact where that is affordable, importance sampling elsewhere."""
    part = Work(
        meter=work.meter.part(EXACT_NODES),
        rng=work.rng,
        progress=work.progress,
        precision=work.precision,
    )
    run = _enumeration if asked.question.size <= SMALL else _exact
    exact = run(asked, part)
    left = [i for i, estimate in enumerate(exact) if estimate.status != MEASURED]
    if not left:
        return exact
    question = asked.question
    rest = Question(
        space=asked.tree,
        secrets=[question.secrets[i] for i in left],
        costs=question.costs[left],
    )
    sampled = dict(zip(left, _importance(_Asked(asked.tree, rest), work), strict=True))
    return [sampled.get(i, estimate) for i, estimate in enumerate(exact)]


@dataclass(frozen=True)
class _Scorer:
    """The tree as a model that prices whole secrets."""

    tree: SegmentationTree
    meter: Meter
    name: str

    def score_secrets(self, form: Format, secrets: Sequence[str]) -> NDArray[np.float64]:  # noqa: ARG002 # the tree's own
        """Costs of secrets over all their segmentations, in bits."""
        return lattice_costs(self.tree, secrets, meter=self.meter).costs


def _one_by_one(method: str) -> Callable[[_Asked, Work], list[Estimate]]:
    """A method that draws secrets uniformly and prices each."""
    run, _ = estimator(method)

    def estimate(asked: _Asked, work: Work) -> list[Estimate]:
        scorer = _Scorer(asked.tree, work.meter, asked.tree.model.name)
        space = ScoredSpace(asked.tree.form, scorer)
        question = asked.question
        return run(Question(space=space, secrets=question.secrets, costs=question.costs), work)

    return estimate


#: Name → method.
METHODS: dict[str, Callable[[_Asked, Work], list[Estimate]]] = {
    "auto": _auto,
    "enumeration": _enumeration,
    "exact": _exact,
    "importance": _importance,
    "sampling": _one_by_one("sampling"),
    "extrapolation": _one_by_one("extrapolation"),
}
