"""What an estimator says of one canary, and what it is given.

No estimator returns a bare number: a rank comes with its interval, the way it was found and a status.

    measured      the rank is known exactly, or estimated with a two-sided interval
    bounded       only an interval is known: a certified bracket, or "at least so many bits"
    inconclusive  the number, if any, does not say what it seems to say (a canary the model never saw, a rejected fit)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secretaudit.errors import UsageError
from secretaudit.exposure.rank import exposure_bits, space_bits
from secretaudit.tree import SecretTree
from secretaudit.tree.scored_space import ScoredSpace

MEASURED, BOUNDED, INCONCLUSIVE = "measured", "bounded", "inconclusive"


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """The canaries of one format under one model.

    Attributes:
        space: All secrets of the format: a tree, or a space that is priced secret by secret.
        secrets: The canaries' secrets, C of them.
        costs: float64 (C,): their log-perplexity in bits, by plain scoring.
    """

    space: SecretTree | ScoredSpace
    secrets: list[str]
    costs: NDArray[np.float64]

    @property
    def size(self) -> int:
        """|R|."""
        return self.space.form.size

    @property
    def tree(self) -> SecretTree:
        """The tree.

        Raises:
            UsageError: There is none: secrets are priced one by one.
        """
        if isinstance(self.space, ScoredSpace):
            raise UsageError(
                f"The model {self.space.model.name!r} prices whole texts only.",
                "This method walks a tree of prefixes, which needs one source text and next-token probabilities.",
                "Use --method enumeration, sampling or extrapolation.",
            )
        return self.space


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Rank and exposure of one canary.

    Attributes:
        method: How it was found.
        size: |R|.
        rank: Rank with ties against the canary, in 1 … |R|; ``None`` when only bounded.
        rank_low: Lower end of the 95 % interval, or of the certified bracket.
        rank_high: Upper end.
        rank_middle: Rank with half of the ties.
        rank_for: Rank with ties in the canary's favour.
        ties: Other leaves within the tolerance; ``None`` when not counted one by one.
        nodes: Prefixes read by the model for this answer (shared by the canaries of a format).
        draws: Leaves drawn (shared likewise).
        status: ``measured``, ``bounded`` or ``inconclusive``.
        note: One sentence when there is something to say.
        exposure: Bits, when the exposure was not made from a rank (extrapolation); may exceed log2 |R|.
        exposure_ends: Its interval, (low, high) in bits.
    """

    method: str
    size: int
    rank: float | None
    rank_low: float
    rank_high: float
    rank_middle: float | None = None
    rank_for: float | None = None
    ties: int | None = None
    nodes: int = 0
    draws: int = 0
    status: str = MEASURED
    note: str = ""
    exposure: float | None = None
    exposure_ends: tuple[float, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields of an exposure record; exposure in bits, higher is more memorized."""
        low, high = self.exposure_ends or tuple(
            exposure_bits([self.rank_high, self.rank_low], self.size).tolist()
        )
        exposure = self.exposure
        if exposure is None and self.rank is not None:
            exposure = float(exposure_bits([self.rank], self.size)[0])
        return {
            "exposure_bits": exposure,
            "exposure_low_bits": low,
            "exposure_high_bits": high,
            "max_exposure_bits": space_bits(self.size),
            "rank": self.rank,
            "rank_low": self.rank_low,
            "rank_high": self.rank_high,
            "rank_middle": self.rank_middle,
            "rank_for": self.rank_for,
            "ties": self.ties,
            "method": self.method,
            "nodes": self.nodes,
            "draws": self.draws,
            "status": self.status,
            "note": self.note,
        }


@dataclass
class Count:
    """Leaves counted so far against the costs of C canaries, for estimators that see leaves one by one.

    ``against`` counts leaves that cost at most c + tolerance (the canary's own leaf among them), ``cheaper``
    those that cost less than c − tolerance.
    """

    costs: NDArray[np.float64]
    tolerance: float
    against: NDArray[np.int64] = field(init=False)
    cheaper: NDArray[np.int64] = field(init=False)
    seen: int = 0

    def __post_init__(self) -> None:
        self.against = np.zeros(len(self.costs), dtype=np.int64)
        self.cheaper = np.zeros(len(self.costs), dtype=np.int64)

    def add(self, leaf_costs: NDArray[np.float64]) -> None:
        """Count these leaves too."""
        if not len(leaf_costs):
            return
        ordered = np.sort(leaf_costs)
        self.against += np.searchsorted(ordered, self.costs + self.tolerance, side="right")
        self.cheaper += np.searchsorted(ordered, self.costs - self.tolerance, side="left")
        self.seen += len(leaf_costs)

    def estimate(self, canary: int, size: int, *, dearer: int, method: str, nodes: int) -> Estimate:
        """What is known of one canary when ``dearer`` further leaves are proven to cost more.

        The bracket is [1 + leaves proven cheaper, |R| − leaves proven dearer]; when all leaves are accounted for
        its ends with ties against the canary coincide, and it is the rank.
        """
        against, cheaper = int(self.against[canary]), int(self.cheaper[canary])
        high = size - dearer - (self.seen - against)
        if self.seen + dearer == size:
            ties = against - cheaper - 1
            return Estimate(
                method=method,
                size=size,
                rank=against,
                rank_low=against,
                rank_high=against,
                rank_middle=cheaper + 1 + ties / 2,
                rank_for=cheaper + 1,
                ties=ties,
                nodes=nodes,
            )
        return bracket(
            low=max(against, cheaper + 1), high=high, size=size, method=method, nodes=nodes
        )


def bracket(*, low: float, high: float, size: int, method: str, nodes: int) -> Estimate:
    """What a budget that ended leaves: 1 + secrets proven cheaper, and |R| − secrets proven dearer."""
    return Estimate(
        method=method,
        size=size,
        rank=None,
        rank_low=low,
        rank_high=high,
        nodes=nodes,
        status=BOUNDED,
        note=f"The budget ran out: {low - 1:,} secrets are proven cheaper, {size - high:,} dearer.",
    )
