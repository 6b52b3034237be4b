"""What a search brings out."""

from __future__ import annotations

from dataclasses import dataclass

from secretaudit.tree.best_first import Leaf


@dataclass(frozen=True, kw_only=True)
class Found:
    """The result of one search.

    Attributes:
        leaves: Secrets that came out, in the order of the search: cheapest first, or most often drawn first.
        times: How often each was drawn; 1 for the searches.
        queries: Prefixes read by the model, to be held against |R|.
        proven: How many of the first leaves are proven to be the cheapest of the whole space, in order.
        bound_bits: Nothing that was not brought out costs less than this, as far as it was proven; ``None`` without proof.
        draws: Texts drawn; 0 for the searches.
        complete: Whether the search ended by itself and not by its budget.
        note: One sentence on what the result does not say.
    """

    leaves: list[Leaf]
    times: list[int]
    queries: int
    proven: int = 0
    bound_bits: float | None = None
    draws: int = 0
    complete: bool = True
    note: str = ""
