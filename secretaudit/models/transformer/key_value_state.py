"""What a transformer remembers of a batch of prefixes: keys and values.

A causal transformer reads token t_i at position i − 1 and leaves, per layer, one key and one value of each of its heads. They
never change again, so that reading the next token needs them and nothing else of the past.

All prefixes of one walk begin with the same tokens, those given to ``start``. Their keys and values are kept once (``Prefix``).
A row holds what it has read since then:

    |  prefix: P tokens, once for all rows  |  own tokens: l_i of them  |  padding up to L = max l_i  |

So the slot of a key is its position, whatever the length of the row, and what lies behind position P + l_i is masked. In a
forward pass each layer hands the prefix to ``prefix_attention`` as it is; where a model cannot use that, the prefix is put before the
rows that are read (``_RowsLayer``), and the copy lives as long as one layer's attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers.cache_utils import Cache, DynamicLayer

from secretaudit.models.language_model import State
from secretaudit.models.transformer.prefix_attention import ATTRIBUTE

#: Per layer, keys or values of shape (B, heads, tokens, size of a head).
Layers = tuple[torch.Tensor, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Prefix:
    """What ``start`` has read, once for all rows that grow from it.

    Attributes:
        length: P, number of tokens.
        keys: Per layer, shape (1, heads, P, size); empty when P = 0.
        values: The same of the values.
    """

    length: int
    keys: Layers
    values: Layers


@dataclass(frozen=True, kw_only=True, eq=False)
class KeyValueState:
    """Keys and values of a batch of rows.

    Attributes:
        prefix: What all rows begin with.
        lengths: int64 (B,), on the CPU: own tokens of each row.
        keys: Per layer, shape (B, heads, L, size) with L the largest length; empty when L = 0.
        values: The same of the values.
    """

    prefix: Prefix
    lengths: torch.Tensor
    keys: Layers = ()
    values: Layers = ()

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.lengths)

    @property
    def width(self) -> int:
        """L: own tokens of the longest row."""
        return self.keys[0].shape[2] if self.keys else 0

    def select(self, rows: torch.Tensor) -> KeyValueState:
        """The rows with these indices (int64, shape (B,)), copied; no wider than the longest of them."""
        lengths = self.lengths[rows.cpu()]
        width = int(lengths.max()) if len(lengths) else 0
        if width == 0:
            return KeyValueState(prefix=self.prefix, lengths=lengths)
        place = rows.to(self.keys[0].device)
        return KeyValueState(
            prefix=self.prefix,
            lengths=lengths,
            keys=tuple(k[:, :, :width].index_select(0, place) for k in self.keys),
            values=tuple(v[:, :, :width].index_select(0, place) for v in self.values),
        )

    def append(self, other: State) -> KeyValueState:
        """The rows of this state followed by those of another, which grew from the same ``start``."""
        return join([self, cast(KeyValueState, other)])


def join(states: Sequence[KeyValueState]) -> KeyValueState:
    """The rows of several states that grew from the same ``start``, in order, padded to the longest.

    Raises:
        ValueError: They did not grow from the same ``start``.
    """
    if len(states) == 1:
        return states[0]
    prefix = states[0].prefix
    if any(state.prefix is not prefix for state in states):
        raise ValueError("states must grow from the same start to be joined")
    width = max(state.width for state in states)
    return KeyValueState(
        prefix=prefix,
        lengths=torch.cat([state.lengths for state in states]),
        keys=_stack([(s.keys, len(s)) for s in states], width),
        values=_stack([(s.values, len(s)) for s in states], width),
    )


def _stack(parts: list[tuple[Layers, int]], width: int) -> Layers:
    """Layers of several states below each other."""
    if width == 0:
        return ()
    like = next(layers for layers, _ in parts if layers)
    stacked = []
    for number, layer in enumerate(like):
        shape = (sum(rows for _, rows in parts), layer.shape[1], width, layer.shape[3])
        whole, begin = layer.new_zeros(shape), 0
        for layers, rows in parts:
            if layers:
                whole[begin : begin + rows, :, : layers[number].shape[2]] = layers[number]
            begin += rows
        stacked.append(whole)
    return tuple(stacked)


class _RowsLayer(DynamicLayer):
    """One layer of the rows that are read; what transformers asks for the past, and gives the new key and value to."""

    def __init__(
        self,
        prefix: tuple[torch.Tensor, torch.Tensor] | None,
        own: tuple[torch.Tensor, torch.Tensor] | None,
        slots: torch.Tensor | None,
        shared: bool,
    ) -> None:
        super().__init__()
        self.shared = shared
        self.is_initialized = True
        self.prefix = prefix
        self.own = own
        self.slots = slots

    def get_seq_length(self) -> int:
        """Slots before those that are read now."""
        return sum(part[0].shape[2] for part in (self.prefix, self.own) if part is not None)

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        *args: object,  # noqa: ARG002 # some models say where they are; slots say it here
        **kwargs: object,  # noqa: ARG002 # the same
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keep the new keys and values, and return those of all slots."""
        old_keys, old_values = self.own or (None, None)
        keys = _insert(old_keys, key_states, self.slots)
        values = _insert(old_values, value_states, self.slots)
        self.own = (keys, values)
        if self.prefix is None:
            return keys, values
        if self.shared:
            setattr(keys, ATTRIBUTE, self.prefix[0])
            setattr(values, ATTRIBUTE, self.prefix[1])
            return keys, values
        shape = (len(keys), -1, -1, -1)
        return (
            torch.cat([self.prefix[0].expand(shape), keys], dim=2),
            torch.cat([self.prefix[1].expand(shape), values], dim=2),
        )


def _insert(
    own: torch.Tensor | None, new: torch.Tensor, slots: torch.Tensor | None
) -> torch.Tensor:
    """Own keys (or values) with the new ones behind them: at the end, or in the given slot of each row."""
    if own is None:
        return new
    if slots is None:
        return torch.cat([own, new], dim=2)
    rows, heads, width, size = own.shape
    wider = own.new_zeros((rows, heads, width + 1, size))
    wider[:, :, :width] = own
    wider[torch.arange(rows, device=own.device), :, slots] = new[:, :, 0]
    return wider


def empty_cache() -> Cache:
    """A cache that keeps everything, whatever window the model looks through."""
    return Cache(layer_class_to_replicate=DynamicLayer)


def reading_cache(state: KeyValueState, *, shared: bool = False) -> Cache:
    """The cache with which one more token is read after each row.

    Args:
        state: The rows.
        shared: Hand the prefix to ``prefix_attention`` in place of a copy for each row.
    """
    prefix, width = state.prefix, state.width
    if not prefix.keys and not width:
        return empty_cache()
    mixed = bool((state.lengths != width).any())
    count = len(prefix.keys or state.keys)
    device = (prefix.keys or state.keys)[0].device
    slots = state.lengths.to(device) if mixed else None
    before = zip(prefix.keys, prefix.values, strict=True) if prefix.keys else [None] * count
    own = zip(state.keys, state.values, strict=True) if width else [None] * count
    return Cache(
        layers=[
            _RowsLayer(first, rows, slots, shared) for first, rows in zip(before, own, strict=True)
        ]
    )


def after_reading(cache: Cache, state: KeyValueState) -> KeyValueState:
    """The state once the cache has taken in one token per row."""
    keys, values = _held(cache)
    return KeyValueState(prefix=state.prefix, lengths=state.lengths + 1, keys=keys, values=values)


def prefix_of(cache: Cache, length: int) -> Prefix:
    """What a cache holds after the first pass, as a prefix."""
    keys, values = _held(cache)
    return Prefix(length=length, keys=keys, values=values)


def _held(cache: Cache) -> tuple[Layers, Layers]:
    """Keys and values of the rows that were read, without the prefix.

    Raises:
        TypeError: A layer keeps something else.
    """
    keys, values = [], []
    for layer in cache.layers:
        pair = layer.own if isinstance(layer, _RowsLayer) else _of_layer(layer)
        if pair is None or pair[0] is None or pair[1] is None:
            raise TypeError("a layer keeps no keys and values")
        keys.append(pair[0])
        values.append(pair[1])
    if not keys:
        raise TypeError("the model keeps no keys and values")
    return tuple(keys), tuple(values)


def _of_layer(layer: Any) -> tuple[Any, Any]:
    return layer.keys, layer.values
