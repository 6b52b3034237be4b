"""What one optimizer step reads, whatever the model and however the corpus is laid out.

A training is a sequence of steps 0, 1, 2, …; ``Batches`` gives, for any of them, the tokens that it reads. That a step's batches are a
function of its number alone, with no generator that moves along, is what lets a training that was killed go on as if it had not been.

A step may be read in several parts (gradient accumulation), so that no more than ``physical_batch_size`` rows are in memory at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Rows read side by side.

    Attributes:
        inputs: Arguments of the model's ``forward`` by name, each of shape (B, …): ``input_ids`` (B, T) and what else the family takes.
        targets: int64 (B, T): the token to predict after each place, ``IGNORED`` where none is.
        tokens: Targets that are not ``IGNORED``.
        lane: Recurrent lanes only: place of the first row among this process' lanes, so that its state is found again; ``None`` carries no state.
        begins: Whether the state is zero at the start.
    """

    inputs: dict[str, torch.Tensor]
    targets: torch.Tensor
    tokens: int
    lane: int | None = None
    begins: bool = True


class Batches(Protocol):
    """The batches of a training, step by step.

    Attributes:
        steps_per_epoch: Steps after which every record was read once (with Poisson sampling: once in expectation).
        tokens_per_epoch: Tokens predicted in them (in expectation).
    """

    steps_per_epoch: int
    tokens_per_epoch: int

    def __getitem__(self, step: int) -> list[Batch]:
        """This process' parts of step ``step`` ≥ 0; possibly none."""

    def records(self, step: int) -> NDArray[np.int64]:
        """Indices of the records whose last token the step predicts, in all processes together."""
