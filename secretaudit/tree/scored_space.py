"""A secret space without a tree: every secret is priced as a whole.

Where no two secrets share work there is nothing to walk: a model that tells the cost of whole texts only, or a
translation model whose source text holds the secret too, so that each candidate has its own source. What remains is to list
R where it is small, and to draw from it uniformly where it is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from secretaudit.canary.format import Format
from secretaudit.errors import ModelError
from secretaudit.tree.budget import Meter
from secretaudit.tree.walk import Visit

#: Secrets priced at a time.
AT_ONCE = 512


@runtime_checkable
class SecretScorer(Protocol):
    """A model that prices whole canaries."""

    @property
    def name(self) -> str:
        """What reports call the model."""

    def score_secrets(self, form: Format, secrets: Sequence[str]) -> NDArray[np.float64]:
        """Log-perplexity of each secret's canary in bits, shape (N,)."""


class ScoredSpace:
    """All secrets of a format, priced one by one.

    Args:
        form: The format.
        model: Prices secrets.
    """

    def __init__(self, form: Format, model: SecretScorer) -> None:
        self.form = form
        self.model = model

    def score(self, secrets: Sequence[str]) -> NDArray[np.float64]:
        """Cost of these secrets in bits, shape (N,).

        Raises:
            ModelError: A cost is not finite.
        """
        costs = np.asarray(self.model.score_secrets(self.form, list(secrets)), dtype=np.float64)
        if not np.isfinite(costs).all():
            raise ModelError(
                f"The model {self.model.name!r} gives a cost that is not finite.",
                "Its weights hold NaN or infinity, or its training diverged.",
                "Audit another checkpoint.",
            )
        return costs

    def everything(self, meter: Meter) -> Iterator[Visit]:
        """Price all secrets in order, until the budget is spent."""
        for low in range(0, self.form.size, AT_ONCE):
            if meter.spent:
                return
            chosen = range(low, min(low + AT_ONCE, self.form.size))
            meter.spend(len(chosen))
            costs = self.score(self.form.automaton.unrank_many(list(chosen)))
            yield Visit(leaf_costs=costs, dearer=0)

    def uniform_costs(
        self, number: int, rng: np.random.Generator, meter: Meter
    ) -> NDArray[np.float64]:
        """Costs of secrets drawn uniformly with replacement, shape (number,)."""
        meter.spend(number)
        secrets = self.form.automaton.sample(number, rng, distinct=False)
        parts = [self.score(secrets[low : low + AT_ONCE]) for low in range(0, number, AT_ONCE)]
        return np.concatenate(parts)
