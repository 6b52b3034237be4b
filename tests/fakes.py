"""Language models for tests: exact, tiny, and sensitive to every mistake in handing on states.

``HistoryModel`` gives next-token probabilities that depend on the whole history through a running hash, so a state that was
gathered from the wrong row, or carried over from another text, changes the cost. ``UniformModel`` gives every token the same
probability: all ranks are known in closed form.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from secretaudit.errors import ModelError
from secretaudit.models.language_model import Framing
from secretaudit.models.stepping import SteppingModel


class CharacterView:
    """One token per character of an alphabet; id 0 is the separator."""

    def __init__(self, alphabet: str) -> None:
        self.alphabet = alphabet
        self.token_bytes: list[bytes | None] = [None, *(c.encode() for c in alphabet)]
        self.lead = b""
        self.unambiguous = True

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        try:
            return [[1 + self.alphabet.index(c) for c in text] for text in texts]
        except ValueError:
            raise ModelError("A text has a character that is not known.", "x", "y") from None


@dataclass(frozen=True)
class HashState:
    """A running hash of each prefix."""

    value: torch.Tensor

    def __len__(self) -> int:
        return len(self.value)

    def select(self, rows: torch.Tensor) -> HashState:
        return HashState(self.value[rows])

    def append(self, other: HashState) -> HashState:
        return HashState(torch.cat([self.value, other.value]))


class HistoryModel(SteppingModel):
    """Probabilities looked up by a hash of all that was read; ``sharpness`` 0 is uniform."""

    name = "history"
    framing = Framing(before=(0,), after=(0,))

    def __init__(
        self, tokenizer: object, *, sharpness: float = 2.0, seed: int = 0, rows: int = 9973
    ) -> None:
        self.tokenizer = tokenizer
        self.vocabulary_size = len(tokenizer.token_bytes)  # type: ignore[attr-defined]
        generator = torch.Generator().manual_seed(seed)
        logits = sharpness * torch.randn(rows, self.vocabulary_size, generator=generator)
        self.table = torch.log_softmax(logits, dim=1)

    def row_bytes(self, tokens: int) -> int:
        return 8

    def empty(self) -> HashState:
        return HashState(torch.ones(1, dtype=torch.int64))

    def step(
        self, state: HashState, rows: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[torch.Tensor, HashState]:
        value = (state.value[rows] * 31 + tokens + 7) % 1_000_003
        return self.table[value % len(self.table)], HashState(value)

    def score(self, sequences: Sequence[Sequence[int]], given: int = 1) -> NDArray[np.float64]:
        return np.array([self.cost(s, given) for s in sequences])

    def cost(self, sequence: Sequence[int], given: int = 1) -> float:
        """One sequence, token by token, in plain Python: the naive twin of every walk."""
        value, total = 1, 0.0
        for place, (before, token) in enumerate(itertools.pairwise(sequence), start=1):
            value = (value * 31 + before + 7) % 1_000_003
            if place >= given:
                total -= float(self.table[value % len(self.table), token]) / math.log(2)
        return total

    def memorize(self, tokens: Sequence[int], logit: float = 8.0) -> None:
        """Raise the probability of one record, separators included, as if it had been trained on."""
        value = 1
        for before, token in itertools.pairwise(tokens):
            value = (value * 31 + before + 7) % 1_000_003
            row = self.table[value % len(self.table)].clone()
            row[token] += logit
            self.table[value % len(self.table)] = torch.log_softmax(row, dim=0)


def uniform_model(tokenizer: object) -> HistoryModel:
    """Every token has the same probability."""
    return HistoryModel(tokenizer, sharpness=0.0)
