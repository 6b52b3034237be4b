"""Unbiased ranks over all segmentations: draw segmentations, weigh strings.

Segmentations are drawn from the model at the temperatures T = {1, 1.5, 2, 3, 5}, as in ``importance.py``, and the text of each is
taken; as many secrets again as for one temperature are drawn uniformly. A proposal draws a *secret* with the sum of the
probabilities of its segmentations,

    q_t(s) = Σ_{x ∈ S(s)} q_t(x),        q_∞(s) = 1/|R|

which the walk over the secret's lattice gives together with its cost. With w(s) = 1 / mean_t q_t(s) everything else is that of
``weighted_rank.py``: unbiased, for all canaries in one run. For marginal costs w(s) ≤ K · 2^cost(s) holds as it does for canonical
sequences, since q_1(s) is at least the marginal probability of s.

Histories are left out of both sums as long as they add at most ε = 10^−4 to the marginal, as a share of it, and at most ε/|R| to
Σ_t q_t, while mean_t q_t is at least 1/(K·|R|): weights are right to a share of K·ε, and costs to 1.5·10^−4 bits, below the tolerance within
which costs are equal. The canaries themselves are priced in full.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from secretaudit.exposure.estimate import Estimate, Question
from secretaudit.exposure.importance import PRECISION_BITS, Sample, estimates, refine
from secretaudit.exposure.weighted_rank import WeightedDraws
from secretaudit.progress import Progress
from secretaudit.tree.budget import Meter
from secretaudit.tree.draws import Draws, Paths, draw_leaves
from secretaudit.tree.lattice_costs import LatticeCosts, lattice_costs
from secretaudit.tree.segmentations import SegmentationTree

#: Proposals beside the uniform one.
TEMPERATURES = (1.0, 1.5, 2.0, 3.0, 5.0)
#: ε.
NEGLIGIBLE = 1e-4
#: Most draws of each proposal in one round; each secret drawn is priced over its whole lattice.
PER_ROUND = 256
#: Fewest, however small the budget.
LEAST_PER_ROUND = 16


def segmented_importance(
    tree: SegmentationTree,
    question: Question,
    meter: Meter,
    rng: np.random.Generator,
    progress: Progress,
    precision: float = PRECISION_BITS,
) -> list[Estimate]:
    """Rank of every canary, estimated until all intervals are narrow or the budget is spent."""
    drawing = _Drawing(tree, question.secrets, meter, rng)
    first, draws = drawing.first_round()
    sample = Sample(first=draws, parts=(first,), canaries=drawing.canaries)
    sample = refine(question, sample, meter, rng, progress, precision, draw=drawing.round)
    return estimates(question, sample, meter, precision)


class _Drawing:
    """Draws secrets in rounds, and knows which of them are canaries."""

    def __init__(
        self, tree: SegmentationTree, secrets: list[str], meter: Meter, rng: np.random.Generator
    ) -> None:
        self._tree, self._meter, self._rng = tree, meter, rng
        self._number = {secret: number for number, secret in enumerate(secrets)}
        before = meter.nodes
        started = meter.seconds
        priced = lattice_costs(
            tree,
            secrets,
            temperatures=TEMPERATURES,
            meter=meter,
            ends=meter.budget.seconds is not None,
        )
        rate = (meter.nodes - before) / max(1e-3, meter.seconds - started)
        self._per_round = _per_round(meter, (meter.nodes - before) / len(secrets), rate)
        self.canaries = Paths(
            cost=priced.costs,
            log2_q=self._mixture(priced),
            path_token=np.empty((len(secrets), 0), dtype=np.int64),
        )

    def round(self) -> WeightedDraws:
        """One round."""
        return self.first_round()[0]

    def first_round(self) -> tuple[WeightedDraws, Draws]:
        """One round, and the segmentations that were drawn in it."""
        tree = self._tree
        trunk = tree.root(self._meter)
        drawn = draw_leaves(tree, trunk, TEMPERATURES, self._per_round, self._rng, self._meter)
        paths = [[t for t in path if t >= 0] for path in drawn.path_token.tolist()]
        secrets = [tree.secret([*tree.shared, *path]) for path in paths]
        secrets += tree.form.automaton.sample(self._per_round, self._rng, distinct=False)
        distinct = list(dict.fromkeys(secrets))
        priced = lattice_costs(
            tree,
            distinct,
            temperatures=TEMPERATURES,
            meter=self._meter,
            negligible=NEGLIGIBLE,
        )
        place = {secret: number for number, secret in enumerate(distinct)}
        which = np.array([place[secret] for secret in secrets])
        weighted = WeightedDraws(
            costs=priced.costs[which],
            weights=np.exp2(-self._mixture(priced))[which],
            strata=np.repeat(np.arange(1 + len(TEMPERATURES)), self._per_round),
            canaries=np.array([self._number.get(s, -1) for s in secrets], dtype=np.int64),
        )
        return weighted, drawn

    def _mixture(self, priced: LatticeCosts) -> NDArray[np.float64]:
        """log2 of the mean of all proposals' probabilities of drawing each secret."""
        uniform = np.full((len(priced.log2_q), 1), -math.log2(self._tree.form.size))
        columns = np.concatenate([priced.log2_q, uniform], axis=1)
        mixed: NDArray[np.float64] = np.logaddexp2.reduce(columns, axis=1) - math.log2(
            columns.shape[1]
        )
        return mixed


def _per_round(meter: Meter, histories: float, rate: float) -> int:
    """Draws of each proposal in one round: such that a round takes about a quarter of the budget, should it be short.

    ``histories`` is how many were read to price one secret, ``rate`` how many were read per second.
    """
    budget = meter.budget
    if budget.nodes is None and budget.seconds is None:
        return PER_ROUND
    nodes = budget.nodes if budget.nodes is not None else rate * (budget.seconds or 0.0)
    affordable = nodes / (4.0 * max(1.0, histories) * (1 + len(TEMPERATURES)))
    return int(np.clip(affordable, min(LEAST_PER_ROUND, PER_ROUND), PER_ROUND))
