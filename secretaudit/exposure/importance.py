"""Unbiased rank with an interval, at any rank, for all canaries of a format in one run.

Draw secrets from the model itself, at the temperatures T = {1, 1.5, 2, 3, 5, ∞} in equal shares, and weight each by
w = 1 / mean_t q_t(secret) (balance heuristic). Then for a canary of cost c

    rank(c) ≈ 1 + (1/n) Σ w · 1[cost ≤ c, not the canary]

is unbiased: low temperatures see the few secrets that the model prefers, ∞ sees the space as it is, the ones between
see what lies between. The number of draws that a given width needs does not grow with |R|. Only the threshold differs between
canaries, so one run prices them all. The interval is described in ``weighted_rank.py``.

Draws are made in rounds until every interval is at most ``precision`` bits to either side, or the budget is spent. (Stopping
on the width makes the interval slightly optimistic; the coverage that the tests measure includes it.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from secretaudit.exposure.estimate import Estimate, Question
from secretaudit.exposure.rank import exposure_bits
from secretaudit.exposure.weighted_rank import WeightedDraws, WeightedRanks, weighted_ranks
from secretaudit.progress import Progress
from secretaudit.tree.budget import Meter
from secretaudit.tree.draws import Draws, Paths, draw_leaves, follow_paths
from secretaudit.tree.secret_tree import TOLERANCE_BITS, SecretTree

TEMPERATURES = (1.0, 1.5, 2.0, 3.0, 5.0, np.inf)
#: Draws of each proposal in one round.
PER_ROUND = 1024
#: The same where a budget has no room for more.
LEAST_PER_ROUND = 50
#: Half-width of the interval, in bits, at which drawing stops.
PRECISION_BITS = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """All draws so far, and the canaries as the same proposals see them.

    Attributes:
        first: The first round, with the paths that were taken; of later rounds only ``parts`` is kept.
        parts: Cost, weight, stratum and identity of every draw, one entry per round.
        canaries: The canaries' own paths.
    """

    first: Draws
    parts: tuple[WeightedDraws, ...]
    canaries: Paths

    @property
    def draws(self) -> int:
        """n."""
        return sum(len(part.costs) for part in self.parts)

    def weighted(self) -> WeightedDraws:
        """All rounds as one."""
        return WeightedDraws(
            costs=np.concatenate([part.costs for part in self.parts]),
            weights=np.concatenate([part.weights for part in self.parts]),
            strata=np.concatenate([part.strata for part in self.parts]),
            canaries=np.concatenate([part.canaries for part in self.parts]),
        )

    def ranks(self, size: int, tolerance: float) -> WeightedRanks:
        """Rank and interval of every canary."""
        return weighted_ranks(
            self.weighted(),
            self.canaries.cost,
            np.exp2(-self.canaries.log2_q),
            secrets=size,
            tolerance=tolerance,
        )

    def nodes_within(self, limits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Estimated number of nodes that a walk up to each limit (bits) would visit (Knuth 1975)."""
        cost = self.first.path_cost.ravel()
        weight = np.exp2(-self.first.path_log2_q.ravel())
        there = ~np.isnan(cost)
        order = np.argsort(cost[there])
        running = np.concatenate([[0.0], np.cumsum(weight[there][order])]) / len(self.first)
        found: NDArray[np.float64] = running[
            np.searchsorted(cost[there][order], limits, side="right")
        ]
        return found


def importance(
    question: Question,
    meter: Meter,
    rng: np.random.Generator,
    progress: Progress,
    precision: float = PRECISION_BITS,
) -> list[Estimate]:
    """Rank of every canary, estimated until all intervals are narrow or the budget is spent."""
    sample = first_round(question, meter, rng)
    sample = refine(question, sample, meter, rng, progress, precision)
    return estimates(question, sample, meter, precision)


def first_round(
    question: Question, meter: Meter, rng: np.random.Generator, per_round: int | None = None
) -> Sample:
    """One round of draws, by default enough to see the order of magnitude of every rank."""
    tree = question.tree
    trunk = tree.root(meter)
    canaries = follow_paths(tree, trunk, tree.paths(question.secrets), TEMPERATURES, meter)
    per_round = per_round or _per_round(tree, meter)
    first = draw_leaves(tree, trunk, TEMPERATURES, per_round, rng, meter)
    return Sample(first=first, parts=(_weighted(first, canaries),), canaries=canaries)


def _per_round(tree: SecretTree, meter: Meter) -> int:
    """Draws of each proposal in one round: fewer than usual where the budget has not room for a whole one."""
    if meter.budget.nodes is None:
        return PER_ROUND
    levels = tree.automaton.depth - len(tree.shared)
    affordable = meter.budget.nodes // (levels * len(TEMPERATURES))
    return int(np.clip(affordable, LEAST_PER_ROUND, PER_ROUND))


def refine(
    question: Question,
    sample: Sample,
    meter: Meter,
    rng: np.random.Generator,
    progress: Progress,
    precision: float,
    wanted: NDArray[np.bool_] | None = None,
    draw: Callable[[], WeightedDraws] | None = None,
) -> Sample:
    """Draw more rounds until the intervals of the ``wanted`` canaries are narrow or the budget is spent.

    ``draw`` makes one round; by default it draws leaves of the question's tree.
    """
    if draw is None:
        tree, trunk = question.tree, question.tree.root()
        per_round = len(sample.first) // len(TEMPERATURES)

        def draw() -> WeightedDraws:
            drawn = draw_leaves(tree, trunk, TEMPERATURES, per_round, rng, meter)
            return _weighted(drawn, sample.canaries)

    while not meter.spent:
        width = _half_width(sample, question.size)
        widest = float(np.max(width if wanted is None else width[wanted], initial=0.0))
        progress.update(done=sample.draws, total=None, nodes=meter.nodes, interval_bits=widest)
        if widest <= precision:
            break
        # A width falls like 1/sqrt(n): draw towards what is missing, at most doubling what is there.
        missing = sample.draws * ((widest / precision) ** 2 - 1.0)
        rounds = int(np.clip(missing // len(sample.parts[0].costs), 1, len(sample.parts)))
        more = []
        for _ in range(rounds):
            more.append(draw())
            if meter.spent:
                break
        sample = replace(sample, parts=(*sample.parts, *more))
    return sample


def estimates(question: Question, sample: Sample, meter: Meter, precision: float) -> list[Estimate]:
    """What the draws say of each canary, with a note where the budget ended before the interval was narrow."""
    arms = _half_width(sample, question.size).tolist()
    against = sample.ranks(question.size, TOLERANCE_BITS)
    for_canary = sample.ranks(question.size, -TOLERANCE_BITS)
    found = []
    for i in range(len(question.secrets)):
        rank, rank_for = float(against.rank[i]), float(for_canary.rank[i])
        found.append(
            Estimate(
                method="importance",
                size=question.size,
                rank=rank,
                rank_low=float(against.low[i]),
                rank_high=float(against.high[i]),
                rank_middle=(rank + rank_for) / 2,
                rank_for=rank_for,
                nodes=meter.nodes,
                draws=sample.draws,
                note=""
                if arms[i] <= precision
                else f"The budget ended at ±{arms[i]:.1f} bits, wider than the ±{precision:g} that were asked for.",
            )
        )
    return found


def _half_width(sample: Sample, size: int) -> NDArray[np.float64]:
    """The longer arm of each interval in bits of exposure, shape (C,)."""
    ranks = sample.ranks(size, TOLERANCE_BITS)
    middle = exposure_bits(ranks.rank, size)
    return np.maximum(
        exposure_bits(ranks.low, size) - middle, middle - exposure_bits(ranks.high, size)
    )


def _weighted(drawn: Draws, canaries: Paths) -> WeightedDraws:
    """What is kept of a round: the paths are only needed to see which draws are canaries."""
    known = {row.tobytes(): number for number, row in enumerate(canaries.path_token)}
    which = [known.get(row.tobytes(), -1) for row in drawn.path_token]
    return WeightedDraws(
        costs=drawn.cost,
        weights=np.exp2(-drawn.log2_q),
        strata=drawn.stratum,
        canaries=np.array(which, dtype=np.int64),
    )
