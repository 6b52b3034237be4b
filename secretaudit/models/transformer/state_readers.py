"""Ways of letting a transformer read one more token after each of many prefixes.

*keys and values*   the state keeps them, and a pass reads the new tokens only. Rows of different lengths go into one pass where the
                    model was found to give the same numbers then (``mixed``), and otherwise into one pass per length.
*again*             the state keeps the tokens, and a pass reads each text from the beginning.

All give the numbers of plain passes; which one a model can have is found out by ``transformer.state_check``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch

from secretaudit.models import token_state
from secretaudit.models.language_model import State
from secretaudit.models.token_state import TokenState
from secretaudit.models.transformer import key_value_state
from secretaudit.models.transformer.causal_network import CausalNetwork
from secretaudit.models.transformer.key_value_state import KeyValueState, Prefix

#: Bytes that the tensors of one pass may take, about.
WORKING_BYTES = 256 * 2**20
#: The same of a plain pass over whole texts on a CPU; larger ones fall out of the processor's cache and are half as fast.
CPU_PLAIN_BYTES = 16 * 2**20
#: Rows of one pass on a CPU: their activations stay in the processor's cache.
CPU_ROWS = 512


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """Rows that may be read in one pass.

    Attributes:
        places: int64: which of the rows that are to be read.
        longest: Tokens of the longest of them, the new one included.
        fitting: Rows that should fit into the working memory at a time.
    """

    places: torch.Tensor
    longest: int
    fitting: int

    def fits(self, begin: int) -> int:  # noqa: ARG002 # all of these rows are of one size
        """Rows from a place on that should fit."""
        return self.fitting


class StateReader(Protocol):
    """How states are kept and extended."""

    #: In words, for records.
    way: str

    def row_bytes(self, tokens: int) -> int:
        """Bytes that one row of state occupies once it has read this many tokens since ``start``."""

    def start(self, tokens: Sequence[int]) -> State:
        """One row: these tokens have been read."""

    def groups(self, state: State, rows: torch.Tensor) -> list[Group]:
        """Which of these rows may be read in one pass."""

    def read(
        self, state: State, rows: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[torch.Tensor, State]:
        """Features (b, width) after reading one token behind each of these rows, and the new rows."""

    def join(self, states: list[Any]) -> State:
        """The rows of several states that this reader made, in order."""


class KeyValueReader:
    """States of keys and values.

    Args:
        network: The model.
        mixed: Whether rows of different lengths may go through one pass.
        shared: Whether all rows may attend to one prefix (``prefix_attention``); otherwise a pass copies it for each row.
    """

    def __init__(self, network: CausalNetwork, *, mixed: bool, shared: bool) -> None:
        self.network = network
        self.mixed = mixed
        self.shared = shared
        lengths = "rows of all lengths together" if mixed else "one length at a time"
        self.way = (
            f"keys and values, {lengths}, {'one prefix for all' if shared else 'prefix copied'}"
        )
        self._token_bytes = 0

    def row_bytes(self, tokens: int) -> int:
        """Bytes that one row of state occupies once it has read this many tokens since ``start``."""
        return self._token_bytes * tokens + 8

    @torch.inference_mode()
    def start(self, tokens: Sequence[int]) -> KeyValueState:
        """One row: these tokens have been read, and are kept once."""
        prefix = Prefix(length=0, keys=(), values=())
        if tokens:
            cache = key_value_state.empty_cache()
            self.network.features(
                torch.tensor([list(tokens)], device=self.network.device), cache=cache
            )
            prefix = key_value_state.prefix_of(cache, len(tokens))
            self.measure(prefix)
        return KeyValueState(prefix=prefix, lengths=torch.zeros(1, dtype=torch.int64))

    def measure(self, prefix: Prefix) -> None:
        """Learn from a prefix how large keys and values are."""
        held = [*prefix.keys, *prefix.values]
        self._token_bytes = sum(t.numel() * t.element_size() for t in held) // prefix.length

    def groups(self, state: State, rows: torch.Tensor) -> list[Group]:
        """All rows together where that is exact; otherwise those of each length."""
        held = cast(KeyValueState, state)
        lengths = held.lengths[rows]
        longest = held.prefix.length + int(lengths.max()) + 1
        window = self.network.window
        if self.mixed and (window is None or longest <= window):
            whole = torch.arange(len(rows))
            return [Group(places=whole, longest=longest, fitting=self._fitting(longest))]
        groups = []
        for length in torch.unique(lengths).tolist():
            tokens = held.prefix.length + length + 1
            places = torch.nonzero(lengths == length).flatten()
            groups.append(Group(places=places, longest=tokens, fitting=self._fitting(tokens)))
        return groups

    def _fitting(self, slots: int) -> int:
        """Rows whose keys and values of one layer, activations and logits fit into the working memory."""
        network = self.network
        one_token = self._token_bytes // max(1, network.layers)
        one_layer = 8 * network.heads * slots if self.shared else one_token * slots
        logits = 3 * 4 * network.vocabulary_size
        rows = WORKING_BYTES // (2 * one_layer + logits + 64 * network.hidden_size)
        return max(1, min(rows, CPU_ROWS) if network.device.type == "cpu" else rows)

    @torch.inference_mode()
    def read(
        self, state: State, rows: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[torch.Tensor, KeyValueState]:
        """Features (b, width) after reading one token behind each of these rows, and the new rows."""
        chosen = cast(KeyValueState, state).select(rows)
        shared = self.shared and chosen.prefix.length > 0
        cache = key_value_state.reading_cache(chosen, shared=shared)
        place = chosen.prefix.length + chosen.lengths
        width = chosen.prefix.length + chosen.width + 1
        device = self.network.device
        mixed = bool((chosen.lengths != chosen.width).any())
        seen = (torch.arange(width) <= place[:, None]).to(device) if mixed else None
        features = self.network.features(
            tokens.to(device)[:, None],
            cache=cache,
            seen=seen,
            positions=place.to(device)[:, None],
            shared=shared,
        )
        return features[:, -1], key_value_state.after_reading(cache, chosen)

    def join(self, states: list[Any]) -> KeyValueState:
        """The rows of several states that this reader made, in order."""
        return key_value_state.join(states)


class ReadAgain:
    """States of tokens.

    Args:
        network: The model.
        reason: Why nothing better is possible.
    """

    def __init__(self, network: CausalNetwork, reason: str) -> None:
        self.network = network
        self.way = f"read again from the first token, since {reason}"

    def row_bytes(self, tokens: int) -> int:
        """Bytes that one row of state occupies once it has read this many tokens since ``start``."""
        return 8 * (tokens + 1)

    def start(self, tokens: Sequence[int]) -> TokenState:
        """One row: these tokens have been read."""
        return TokenState(
            prefix=tuple(tokens),
            tokens=torch.zeros((1, 0), dtype=torch.int64),
            lengths=torch.zeros(1, dtype=torch.int64),
        )

    def groups(self, state: State, rows: torch.Tensor) -> list[Group]:
        """All rows: padding stands on the right, where a causal model does not look."""
        held = cast(TokenState, state)
        longest = len(held.prefix) + int(held.lengths[rows].max()) + 1
        fitting = rows_of_plain_pass(self.network, longest)
        return [Group(places=torch.arange(len(rows)), longest=longest, fitting=fitting)]

    @torch.inference_mode()
    def read(
        self, state: State, rows: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[torch.Tensor, TokenState]:
        """Features (b, width) after reading one token behind each of these rows, and the new rows."""
        after = cast(TokenState, state).select(rows).read(tokens)
        sequences = after.sequences()
        last = torch.tensor([len(s) - 1 for s in sequences], device=self.network.device)
        features = self.network.plain(sequences)
        return features[torch.arange(len(last), device=last.device), last], after

    def join(self, states: list[Any]) -> TokenState:
        """The rows of several states that this reader made, in order."""
        return token_state.join(states)


def rows_of_plain_pass(network: CausalNetwork, tokens: int) -> int:
    """Texts of so many tokens whose activations fit into the working memory."""
    place = 4 * (16 * network.hidden_size + 2 * network.width + network.heads * tokens)
    on_cpu = network.device.type == "cpu"
    room = min(WORKING_BYTES, CPU_PLAIN_BYTES) if on_cpu else WORKING_BYTES
    return max(1, room // (place * tokens))
