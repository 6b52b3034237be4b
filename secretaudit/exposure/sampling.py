"""The paper's sampled rank, on the tree: draw secrets uniformly from R, price them, count.

The arithmetic (Clopper–Pearson interval, what zero hits say) is in ``sampled_rank.py``; here the draws are made. A uniform draw
is a walk down the tree that takes each child in proportion to the number of leaves below it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from secretaudit.exposure.estimate import BOUNDED, Estimate, Question
from secretaudit.exposure.sampled_rank import SampledRanks, sampled_ranks
from secretaudit.progress import Progress
from secretaudit.tree.budget import Meter
from secretaudit.tree.draws import draw_leaves
from secretaudit.tree.scored_space import ScoredSpace
from secretaudit.tree.secret_tree import TOLERANCE_BITS, SecretTree

#: Uniform draws when no budget says otherwise.
DRAWS = 20_000
_PER_ROUND = 4_000


def uniform_costs(
    question: Question, meter: Meter, rng: np.random.Generator, progress: Progress
) -> NDArray[np.float64]:
    """Costs of secrets drawn uniformly with replacement, in bits, shape (N,); N = ``DRAWS`` unless the budget ends first."""
    draw = _drawing(question.space, rng, meter)
    drawn: list[NDArray[np.float64]] = []
    while len(drawn) * _PER_ROUND < DRAWS and not (drawn and meter.spent):
        drawn.append(draw(_PER_ROUND))
        progress.update(done=len(drawn) * _PER_ROUND, total=DRAWS, nodes=meter.nodes)
    return np.concatenate(drawn)


def _drawing(
    space: SecretTree | ScoredSpace, rng: np.random.Generator, meter: Meter
) -> Callable[[int], NDArray[np.float64]]:
    """A function that draws so many leaves uniformly and returns their costs."""
    if isinstance(space, ScoredSpace):
        return lambda number: space.uniform_costs(number, rng, meter)
    trunk = space.root(meter)
    return lambda number: draw_leaves(space, trunk, (np.inf,), number, rng, meter).cost


def sampling(
    question: Question, meter: Meter, rng: np.random.Generator, progress: Progress
) -> list[Estimate]:
    """Sampled rank of every canary; "at least log2(N/3) bits" and no value where no draw was as cheap."""
    costs = uniform_costs(question, meter, rng, progress)
    ranks = sampled_ranks(question.costs, costs, secrets=question.size, tolerance=TOLERANCE_BITS)
    return [_estimate(ranks, i, question.size, meter) for i in range(len(question.costs))]


def _estimate(ranks: SampledRanks, i: int, size: int, meter: Meter) -> Estimate:
    if ranks.hits[i]:
        return Estimate(
            method="sampling",
            size=size,
            rank=float(ranks.rank[i]),
            rank_low=float(ranks.rank_low[i]),
            rank_high=float(ranks.rank_high[i]),
            nodes=meter.nodes,
            draws=ranks.draws,
        )
    return Estimate(
        method="sampling",
        size=size,
        rank=None,
        rank_low=1.0,
        rank_high=float(ranks.rank_high[i]),
        nodes=meter.nodes,
        draws=ranks.draws,
        status=BOUNDED,
        note=(
            f"None of {ranks.draws:,} uniform draws is as likely as this canary: its exposure is at least "
            f"{float(ranks.exposure_low_bits[i]):.1f} bits (95 %), and no draw can say how much more."
        ),
    )
