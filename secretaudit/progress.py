"""How a long run tells where it is.

Anything that takes longer than a moment accepts ``progress``, an object with two methods. The library never
prints; the command line passes an object that draws a bar, a notebook may pass its own, a test a list.
"""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the state of a running job."""

    def update(self, *, done: float, total: float | None, **figures: object) -> None:
        """Say how far the job is.

        Args:
            done: Work finished so far, in any unit that ``total`` shares.
            total: All the work, or ``None`` when it cannot be known beforehand.
            **figures: What a person may want to watch, by name: ``loss_bits=1.93``, ``tokens_per_second=41000``,
                ``stage="training"``. Numbers are shown as numbers, everything else as text.
        """

    def announce(self, sentence: str) -> None:
        """Say something once that a person should know before the work goes on, such as what it will cost."""


class SilentProgress:
    """Says nothing: the default.

    >>> SilentProgress().update(done=1, total=10, loss_bits=1.5)
    """

    def update(self, *, done: float, total: float | None, **figures: object) -> None:
        """Ignore the news."""

    def announce(self, sentence: str) -> None:
        """Ignore it."""
