"""Looking at a model while it trains.

A ``Watcher`` is asked after every step whether it wants to look, and what it saw goes into the training's record and its checkpoint. It must
not change the training: the model is handed to it in evaluation mode, and torch's generators are put back afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from secretaudit.canary.ledger import Ledger
from secretaudit.models.language_model import LanguageModel
from secretaudit.tree.scored_space import SecretScorer


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Where the training stands when the watcher is asked.

    Attributes:
        step: Steps done.
        epoch: Epochs done, a fraction within one.
        ends_epoch: Whether the step was the last of an epoch.
        ends_training: Whether it was the last of all.
        training_seconds: Seconds spent training so far, over all resumptions, the watcher's own not counted.
        watching_seconds: Seconds spent watching so far, over all resumptions.
    """

    step: int
    epoch: float
    ends_epoch: bool
    ends_training: bool
    training_seconds: float
    watching_seconds: float


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What a watcher saw.

    Attributes:
        entry: Plain JSON, one entry of ``found["watched"]``; ``step`` and ``epoch`` are added by the training.
        figures: What the progress display shows from now on, such as ``exposure_bits``.
        stop: Why training should stop now ("exposure"), or "".
    """

    entry: dict[str, Any]
    figures: dict[str, object]
    stop: str = ""


class Watcher(Protocol):
    """Somebody who looks at a model while it trains."""

    def begin(
        self,
        ledger: Ledger | None,
        language_model: Callable[[], LanguageModel | SecretScorer],
        earlier: list[dict[str, Any]],
    ) -> None:
        """Get ready, before the first step of this process.

        Args:
            ledger: The canaries of the corpus, if it has any.
            language_model: Makes a ``LanguageModel`` of the weights as they are when it is called; it must be called for each look.
            earlier: The entries that were seen before a resumption.

        Raises:
            UsageError: There is nothing to watch.
        """

    def wants(self, moment: Moment) -> bool:
        """Whether to look now. Must be a function of the moment and of what was seen."""

    def look(self, moment: Moment) -> Sight:
        """Look; only called when wanted, with the model in evaluation mode and without gradients."""

    def asked(self) -> dict[str, Any]:
        """Its settings, as plain JSON, for the record."""
