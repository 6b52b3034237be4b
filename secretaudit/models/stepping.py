"""A language model from one function: read a token, give the next distribution.

``step`` is all that such a model must bring, and ``empty``, the state before anything is read. Reading many tokens, pricing
chosen tokens and scoring whole sequences follow from it. Models that can do these faster override them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from secretaudit.models.language_model import Framing, State, TokenView


class SteppingModel(ABC):
    """Base of models that know how to read one token; see ``LanguageModel`` for what the members mean."""

    name: str
    tokenizer: TokenView
    framing: Framing
    vocabulary_size: int
    context: int | None = None

    @abstractmethod
    def empty(self) -> State:
        """One row: nothing has been read yet."""

    @abstractmethod
    def row_bytes(self, tokens: int) -> int:
        """Bytes that one row of state occupies once it has read this many tokens."""

    @abstractmethod
    def step(
        self, state: State, rows: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[torch.Tensor, State]:
        """Read one more token after each chosen prefix; see ``LanguageModel.step``."""

    def start(self, tokens: Sequence[int] = ()) -> State:
        """One row: these tokens have been read."""
        state, row = self.empty(), torch.zeros(1, dtype=torch.int64)
        for token in tokens:
            _, state = self.step(state, row, torch.tensor([token]))
        return state

    def price(
        self,
        state: State,
        rows: torch.Tensor,
        tokens: torch.Tensor,
        parent: torch.Tensor,
        child: torch.Tensor,
    ) -> tuple[torch.Tensor, State]:
        """Read one more token after each chosen prefix, and say what chosen next tokens cost."""
        log_p, after = self.step(state, rows, tokens)
        return log_p[parent.to(log_p.device), child.to(log_p.device)], after

    def score(self, sequences: Sequence[Sequence[int]], given: int = 1) -> NDArray[np.float64]:
        """Bits that each sequence costs, given its first tokens, read one after the other."""
        return np.array([self._cost(sequence, given) for sequence in sequences], dtype=np.float64)

    def _cost(self, sequence: Sequence[int], given: int) -> float:
        state, row, nats = self.start(sequence[: given - 1]), torch.zeros(1, dtype=torch.int64), 0.0
        for place in range(given, len(sequence)):
            log_p, state = self.step(state, row, torch.tensor([sequence[place - 1]]))
            nats -= float(log_p[0, sequence[place]])
        return nats / math.log(2.0)
