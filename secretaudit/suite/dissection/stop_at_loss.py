"""A watcher that ends a language model's training when it fits its lines: mean loss per training token at most so many nats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from secretaudit.canary.ledger import Ledger
from secretaudit.training.watching import Moment, Sight

__all__ = ["StopAtLoss"]

#: Epochs between looks.
_EVERY = 4


class StopAtLoss:
    """Looks every fourth epoch and at the end.

    Args:
        lines: What is to be fitted.
        nats: The loss at which training stops.

    Attributes:
        reached: Whether the loss was reached at the last look.
    """

    def __init__(self, *, lines: Sequence[str], nats: float) -> None:
        self.lines = list(lines)
        self.nats = nats
        self.reached = False
        self._model: Callable[[], Any] | None = None

    def begin(
        self,
        ledger: Ledger | None,  # noqa: ARG002  (no canary is looked at)
        language_model: Callable[[], Any],
        earlier: list[dict[str, Any]],  # noqa: ARG002  (every look stands for itself)
    ) -> None:
        """Keep what makes the model."""
        self._model = language_model

    def wants(self, moment: Moment) -> bool:
        """Every fourth epoch, and when training ends."""
        return moment.ends_training or (moment.ends_epoch and round(moment.epoch) % _EVERY == 0)

    def look(self, moment: Moment) -> Sight:  # noqa: ARG002  (the weights are all that counts)
        """The mean loss of the lines' tokens."""
        if self._model is None:
            raise RuntimeError("begin() was not called")
        model = self._model()
        encoded = model.tokenizer.encode(self.lines)
        records = [model.framing.record(ids) for ids in encoded]
        if model.context is not None:
            records = [ids[: model.context] for ids in records]
        given = model.framing.given
        bits = np.asarray(model.score(records, given)).sum()
        nats = float(bits * np.log(2.0) / sum(len(ids) - given for ids in records))
        self.reached = nats <= self.nats
        stop = "loss reached" if self.reached else ""
        return Sight(entry={"nats_per_token": nats}, figures={}, stop=stop)

    def asked(self) -> dict[str, Any]:
        """Its settings."""
        return {"lines": len(self.lines), "nats": self.nats, "every_epochs": _EVERY}
