"""What an audit needs to know of a language model.

A language model gives, for any sequence of tokens t_1 … t_n, the probabilities of the next token. Two
capabilities follow, and every walk of ``secretaudit.tree`` is built from them:

*next*   ``step(state, rows, tokens)``: extend many prefixes by one token each and return the log-probabilities
         of everything that could follow, together with the new states (an LSTM's (h, c), a transformer's
         key/value cache). A state is a batch: row i belongs to prefix i. ``price`` returns those of chosen tokens only,
         which is all that a tree asks for; a model that can do nothing else can still be audited.
*score*  ``score(sequences)``: the cost of whole sequences, computed the plain way, in one pass over each.

A *record* is what the model reads of one text:  tokens before it, its own tokens, tokens that close it (``Framing``).
Tokens before the text are read and not charged; its own tokens and those that close it are charged.

Units: ``step`` and ``price`` return natural logarithms (nats); ``score`` returns bits, summed over tokens (never averaged).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Framing:
    """What stands around the tokens of a text.

    Attributes:
        before: Token ids read before the text and not charged: a begin-of-text token, a chat template's opening. When empty,
            the first token of the text itself is read and not charged.
        after: Token ids that close the text and are charged; empty where a text simply goes on.
    """

    before: tuple[int, ...]
    after: tuple[int, ...] = ()

    @property
    def given(self) -> int:
        """Tokens at the start of a record that are read and not charged."""
        return max(1, len(self.before))

    def record(self, tokens: Sequence[int]) -> list[int]:
        """The record of a text with these tokens.

        >>> Framing(before=(0,), after=(0,)).record([7, 8])
        [0, 7, 8, 0]
        """
        return [*self.before, *tokens, *self.after]


class State(Protocol):
    """What a model remembers of a batch of prefixes; one row each."""

    def __len__(self) -> int:
        """Number of rows."""

    def select(self, rows: torch.Tensor) -> State:
        """The rows with these indices (int64, shape (B,)), copied."""

    def append(self, other: State) -> State:
        """The rows of this state followed by those of another, which grew from the same ``start``."""


class TokenView(Protocol):
    """What an audit needs to know of a tokenizer."""

    #: The bytes that each token id stands for inside a text; ``None`` for special tokens.
    token_bytes: Sequence[bytes | None]
    #: Bytes that the tokenizer puts before every text (b" " for word tokenizers, b"" otherwise).
    lead: bytes
    #: True when each text has exactly one segmentation into tokens, whatever its neighbours (char, word).
    unambiguous: bool

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without special tokens.

        Raises:
            ModelError: A text has a character or word that the tokenizer lacks.
        """


class LanguageModel(Protocol):
    """A model whose next-token probabilities can be read."""

    name: str
    tokenizer: TokenView
    framing: Framing
    vocabulary_size: int
    #: Most tokens that a record may have; ``None`` when there is no limit.
    context: int | None

    def row_bytes(self, tokens: int) -> int:
        """Bytes that one row of state occupies once it has read this many tokens since ``start``."""

    def start(self, tokens: Sequence[int] = ()) -> State:
        """One row: these tokens have been read. They may be kept once for all rows that grow from it."""

    def step(
        self, state: State, rows: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[torch.Tensor, State]:
        """Read one more token after each chosen prefix.

        Args:
            state: States of some prefixes.
            rows: int64, shape (B,): which row of ``state`` each new prefix extends. Rows may repeat; equal
                rows stand next to each other when the caller can arrange it, so that shared work is done once.
            tokens: int64, shape (B,): the token read.

        Returns:
            float32 log-probabilities of the next token in nats, shape (B, vocabulary_size), and the B new rows.

        Raises:
            ModelError: The model does not tell full distributions (a server with chosen log-probabilities only).
        """

    def price(
        self,
        state: State,
        rows: torch.Tensor,
        tokens: torch.Tensor,
        parent: torch.Tensor,
        child: torch.Tensor,
    ) -> tuple[torch.Tensor, State]:
        """Read one more token after each chosen prefix, and say what chosen next tokens cost.

        Args:
            state: States of some prefixes.
            rows: int64 (B,): as in ``step``.
            tokens: int64 (B,): as in ``step``.
            parent: int64 (E,), ascending: which of the B new prefixes is asked about.
            child: int64 (E,): the next token whose probability is wanted.

        Returns:
            float32 log-probabilities in nats, shape (E,), and the B new rows.
        """

    def score(self, sequences: Sequence[Sequence[int]], given: int = 1) -> NDArray[np.float64]:
        """Bits that each sequence costs, given its first ``given`` tokens: shape (N,), summed over the others."""
