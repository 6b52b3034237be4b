"""The paper's sampled rank: where a canary stands among secrets drawn uniformly from its space.

N secrets are drawn uniformly and independently (with replacement) from the |R| secrets of the format; h of them cost at
most as much as the canary. Then

    h ~ Binomial(N, rank/|R|)      rank ≈ |R| · h / N      exposure = log2 |R| − log2 rank ≈ log2 N − log2 h

and the interval of Clopper and Pearson on rank/|R| is exact. Two limits stand beside every value:

*ceiling*     log2 |R|  no canary of this format can show more;
*resolution*  log2 N    what N draws can tell apart. A canary that beats all draws has *at least* log2(N/3) bits
              of exposure at 95 %, and no value: "log2 N" would be a statement about the sample, not about the canary.

(Carlini et al., The Secret Sharer, approximation by sampling; the interval is not in the paper.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from secretaudit.exposure.intervals import clopper_pearson, rank_bounds
from secretaudit.exposure.rank import ranks_among, space_bits, space_size, tail_exposure_bits

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SampledRanks:
    """Sampled ranks and exposures of C canaries, each array of shape (C,), in the order in which they were given.

    Attributes:
        hits: Draws that cost at most as much as the canary, ties included (against the canary).
        ties: How many of the hits tie.
        rank: Estimated rank in 1 … |R|, lower is more memorized; NaN where no draw hit (only bounded).
        rank_low: Lower end of the interval of the rank.
        rank_high: Upper end.
        exposure_bits: Estimated exposure, higher is more memorized; NaN where no draw hit.
        exposure_low_bits: Lower end of the interval of the exposure; without a hit, about log2(N/3) at 95 %.
        exposure_high_bits: Upper end; without a hit the ceiling.
        ceiling_bits: log2 |R|.
        resolution_bits: log2 N.
        draws: N.
    """

    hits: NDArray[np.int64]
    ties: NDArray[np.int64]
    rank: Floats
    rank_low: Floats
    rank_high: Floats
    exposure_bits: Floats
    exposure_low_bits: Floats
    exposure_high_bits: Floats
    ceiling_bits: float
    resolution_bits: float
    draws: int

    @property
    def measured(self) -> NDArray[np.bool_]:
        """Which canaries have a value and not only a bound, shape (C,)."""
        measured: NDArray[np.bool_] = self.hits > 0
        return measured


def sampled_ranks(
    costs: ArrayLike,
    draws: ArrayLike,
    *,
    secrets: int,
    tolerance: float = 0.0,
    confidence: float = 0.95,
) -> SampledRanks:
    """Rank and exposure of each canary from uniform draws.

    Args:
        costs: Costs of the canaries in bits, shape (C,).
        draws: Costs of N secrets drawn uniformly with replacement, shape (N,). The canaries are not left out of the draws.
        secrets: |R|, exact.
        tolerance: Bits within which two costs are equal.
        confidence: Coverage of the intervals, at least (two-sided; one-sided where no draw hits).

    Raises:
        CouldNotMeasure: A cost is not finite, or nothing was drawn.

    >>> found = sampled_ranks([5.0, 0.5], [1.0, 2.0, 3.0, 9.0], secrets=1024)
    >>> found.hits, found.exposure_bits.round(3)
    (array([3, 0]), array([0.415,   nan]))
    """
    ranks = ranks_among(costs, draws, tolerance=tolerance)
    drawn = ranks.among - 1
    hits = ranks.against - 1
    size = space_size(secrets)
    low, high = clopper_pearson(hits, drawn, confidence=confidence)
    rank_low, rank_high = rank_bounds(low * size, high * size, secrets)
    share = np.where(hits > 0, hits / drawn, np.nan)
    return SampledRanks(
        hits=hits,
        ties=ranks.ties,
        rank=np.clip(share * size, 1.0, size),
        rank_low=rank_low,
        rank_high=rank_high,
        exposure_bits=tail_exposure_bits(share, secrets),
        exposure_low_bits=tail_exposure_bits(high, secrets),
        exposure_high_bits=tail_exposure_bits(low, secrets),
        ceiling_bits=space_bits(secrets),
        resolution_bits=math.log2(drawn),
        draws=drawn,
    )
