"""The paper's worked example of a search tree: two letters, and a greedy choice that loses."""

from __future__ import annotations

import itertools
import math

import torch

from tests.fakes import HistoryModel

#: Probability of the first letter, and of the second after each first one.
FIRST = {"a": 0.4, "b": 0.6}
SECOND = {"a": {"a": 0.1, "b": 0.9}, "b": {"a": 0.5, "b": 0.5}}
#: Probabilities of the four words, as the paper gives them.
PRODUCTS = {"aa": 0.04, "ab": 0.36, "ba": 0.30, "bb": 0.30}


class WorkedExample(HistoryModel):
    """Tokens: separator, a, b. The record ends for certain after two letters."""

    def __init__(self, tokenizer: object) -> None:
        super().__init__(tokenizer, rows=1)

    def step(self, state, rows, tokens):  # type: ignore[no-untyped-def]
        """The running hash of the fake model numbers the histories; each number has its row here."""
        _, after = super().step(state, rows, tokens)
        return torch.stack([self._row(int(value)) for value in after.value]), after

    def cost(self, sequence, given=1):  # type: ignore[no-untyped-def]
        value, total = 1, 0.0
        for before, token in itertools.pairwise(sequence):
            value = (value * 31 + before + 7) % 1_000_003
            total -= float(self._row(value)[token]) / math.log(2)
        return total

    @staticmethod
    def _row(value: int) -> torch.Tensor:
        history = _HISTORIES[value]
        if history == "":
            p = [0.0, FIRST["a"], FIRST["b"]]
        elif len(history) == 1:
            p = [0.0, SECOND[history]["a"], SECOND[history]["b"]]
        else:
            p = [1.0, 0.0, 0.0]
        return torch.log(torch.tensor(p))


def _histories() -> dict[int, str]:
    found = {}
    for word in ("", "a", "b", "aa", "ab", "ba", "bb"):
        value = 31 + 0 + 7
        for letter in word:
            value = (value * 31 + 1 + "ab".index(letter) + 7) % 1_000_003
        found[value] = word
    return found


_HISTORIES = _histories()
