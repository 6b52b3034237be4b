"""What every way of having clipped per-record gradients gives."""

from __future__ import annotations

from typing import Protocol

import torch

from secretaudit.training.batch import Batch


class Mode(Protocol):
    """One way of having the sum of clipped per-record gradients.

    Attributes:
        name: "book-keeping", "hooks" or "ghost".
    """

    name: str

    def clipped_sum(self, batch: Batch, clip: float) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Σ_b g_b · min(1, C / (‖g_b‖ + 10⁻⁶)), with g_b the gradient of record b's own loss.

        Args:
            batch: Rows that are one record each.
            clip: C.

        Returns:
            The sum by parameter, in the order of ``trained``, and the nats of all predicted tokens, float64, shape ().
        """

    def close(self) -> None:
        """Leave the model as it was."""


#: Added to a norm before it divides, as Opacus does, so that the ways agree.
TINY = 1e-6


def clipping_factors(norms: torch.Tensor, clip: float) -> torch.Tensor:
    """What each record's gradient is multiplied with so that its norm is at most C; shape (B,).

    >>> clipping_factors(torch.tensor([0.5, 2.0]), 1.0)
    tensor([1.0000, 0.5000])
    """
    return (clip / (norms + TINY)).clamp(max=1.0)
