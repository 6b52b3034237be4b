"""What a model that can only be read from the beginning remembers of a batch of prefixes: their tokens.

Models whose memory is not made of keys and values (Mamba, RWKV, hybrids) are read again from the first token for each
new one. Slow, and right for every causal model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch

from secretaudit.models.language_model import State


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenState:
    """Tokens of a batch of rows.

    Attributes:
        prefix: Tokens that all rows begin with.
        tokens: int64 (B, L), on the CPU: own tokens, padded on the right.
        lengths: int64 (B,), on the CPU: own tokens of each row.
    """

    prefix: tuple[int, ...]
    tokens: torch.Tensor
    lengths: torch.Tensor

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.lengths)

    @property
    def width(self) -> int:
        """L: own tokens of the longest row."""
        return self.tokens.shape[1]

    def select(self, rows: torch.Tensor) -> TokenState:
        """The rows with these indices (int64, shape (B,)), copied; no wider than the longest of them."""
        rows = rows.cpu()
        lengths = self.lengths[rows]
        width = int(lengths.max()) if len(lengths) else 0
        return TokenState(prefix=self.prefix, tokens=self.tokens[rows, :width], lengths=lengths)

    def append(self, other: State) -> TokenState:
        """The rows of this state followed by those of another, which grew from the same ``start``."""
        return join([self, cast(TokenState, other)])

    def read(self, tokens: torch.Tensor) -> TokenState:
        """Each row with one more token."""
        rows = len(self)
        wider = torch.cat([self.tokens, self.tokens.new_zeros((rows, 1))], dim=1)
        wider[torch.arange(rows), self.lengths] = tokens.cpu()
        return TokenState(prefix=self.prefix, tokens=wider, lengths=self.lengths + 1)

    def sequences(self) -> list[list[int]]:
        """All tokens of each row from the first on."""
        own = zip(self.tokens.tolist(), self.lengths.tolist(), strict=True)
        return [[*self.prefix, *tokens[:length]] for tokens, length in own]


def join(states: Sequence[TokenState]) -> TokenState:
    """The rows of several states that grew from the same ``start``, in order, padded to the longest.

    Raises:
        ValueError: They did not grow from the same ``start``.
    """
    if any(state.prefix != states[0].prefix for state in states):
        raise ValueError("states must grow from the same start to be joined")
    width = max(state.width for state in states)
    padded = [torch.nn.functional.pad(state.tokens, (0, width - state.width)) for state in states]
    return TokenState(
        prefix=states[0].prefix,
        tokens=torch.cat(padded),
        lengths=torch.cat([state.lengths for state in states]),
    )
