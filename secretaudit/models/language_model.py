"""What an audit needs to know of a language model.

A language model gives, for any sequence of tokens t_1 … t_n, the probabilities of the next token. Two
capabilities follow, and every walk of ``secretaudit.tree`` is built from them:

*next*   ``step(state, rows, tokens)``: extend many prefixes by one token each and return the log-probabilities
         of everything that could follow, together with the new states (an LSTM's (h, c), a transformer's
         key/value cache). A state is a batch: row i belongs to prefix i.
*score*  ``score(sequences)``: the cost of whole sequences, computed the plain way, in one pass over each.

A record of the training text is  separator, tokens of the text, separator.  So ``start()`` is the state after
nothing, the first token fed is always ``separator``, and the last token of a record is ``separator`` again.

Units: ``step`` returns natural logarithms (nats); ``score`` returns bits, summed over tokens (never averaged).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray


class State(Protocol):
    """What a model remembers of a batch of prefixes; one row each."""

    def __len__(self) -> int:
        """Number of rows."""

    def select(self, rows: torch.Tensor) -> State:
        """The rows with these indices (int64, shape (B,)), copied."""

    def append(self, other: State) -> State:
        """The rows of this state followed by those of another."""


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
    #: Token id that stands before and after every record.
    separator: int
    vocabulary_size: int
    #: Bytes that one row of state occupies.
    state_bytes: int

    def start(self) -> State:
        """One row: nothing has been read yet."""

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
        """

    def score(self, sequences: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """Bits that each sequence costs, given its first token: shape (N,), summed over tokens 2 … n."""
