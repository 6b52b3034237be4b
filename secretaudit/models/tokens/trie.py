"""All tokens of a vocabulary as one trie, in arrays.

Tokens are spelled in *symbols*: the units from which a tokenizer's model starts. These are bytes (0 … 255) for byte-level
tokenizers and code points for the others; a byte that stands for a part of a character which the vocabulary lacks
("byte fallback") is a symbol of its own, ``BYTE`` + byte, so that it is never confused with a character.

The trie is built level by level over all tokens at once: tokens of one prefix share a node, and nodes are numbered in the order
of their depth, so that the table of edges is sorted without being sorted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

#: First symbol that stands for a byte of a character outside the vocabulary.
BYTE = 0x110000
#: Every symbol is below this.
SYMBOLS = 1 << 21


def distinct(values: Integers) -> Integers:
    """The distinct values, ascending. (``numpy.unique`` hashes integers, and is slow on keys with a pattern.)."""
    ordered = np.sort(values)
    first = np.ones(len(ordered), dtype=np.bool_)
    first[1:] = ordered[1:] != ordered[:-1]
    return ordered[first]


def scrambled(values: Integers) -> NDArray[np.uint64]:
    """Numbers in which each bit of each value changes half of all bits (Steele et al. 2014, SplitMix64)."""
    mixed = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


@dataclass(frozen=True, kw_only=True, eq=False)
class Spelling:
    """The symbols of each token id; ids that no text can hold have none.

    Attributes:
        start: int64 (V + 1,): token t is ``symbol[start[t]:start[t + 1]]``.
        symbol: int64 (N,).
    """

    start: Integers
    symbol: Integers

    @classmethod
    def of(cls, tokens: Iterable[Sequence[int] | None]) -> Spelling:
        """The spelling of these tokens in the order of their ids; bytes and lists of integers do."""
        spelled = [token or () for token in tokens]
        start = np.cumsum([0, *map(len, spelled)], dtype=np.int64)
        symbol = np.fromiter(chain.from_iterable(spelled), dtype=np.int64, count=int(start[-1]))
        return cls(start=start, symbol=symbol)

    def __len__(self) -> int:
        return len(self.start) - 1

    @property
    def length(self) -> Integers:
        """Symbols of each token, shape (V,)."""
        return np.diff(self.start)

    def only(self, kept: NDArray[np.bool_]) -> Spelling:
        """The same with the tokens outside ``kept`` (bool, shape (V,)) unspelled."""
        length = np.where(kept, self.length, 0)
        start = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(length)])
        return Spelling(start=start, symbol=self.symbol[np.repeat(kept, self.length)])


@dataclass(frozen=True, kw_only=True, eq=False)
class Trie:
    """Nodes of the trie of all tokens; node 0 is empty.

    Attributes:
        keys: int64 (N − 1,), ascending: parent · ``SYMBOLS`` + symbol.
        child: int64 (N − 1,): the node behind each key.
        node: int64 (V,): the node at which each token ends, 0 for tokens that are not spelled.
        ends_start: int64 (N + 1,): the tokens that end at node n are ``ends_token[ends_start[n]:ends_start[n + 1]]``.
        ends_token: int64.
    """

    keys: Integers
    child: Integers
    node: Integers
    ends_start: Integers
    ends_token: Integers

    def step(self, node: Integers, symbol: Integers) -> Integers:
        """The node behind each (node, symbol), −1 where there is none."""
        if not len(self.keys):
            return np.full(len(node), -1, dtype=np.int64)
        key = node * SYMBOLS + symbol
        place = np.minimum(np.searchsorted(self.keys, key), len(self.keys) - 1)
        return np.where(self.keys[place] == key, self.child[place], -1)

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return len(self.ends_start) - 1


def build_trie(tokens: Spelling) -> Trie:
    """The trie of all tokens that have symbols.

    >>> trie = build_trie(Spelling.of([b"a", b"ab", None, b"b"]))
    >>> trie.nodes, trie.node.tolist(), trie.step(np.array([0, 1, 2]), np.array([97, 98, 97])).tolist()
    (4, [1, 3, 0, 2], [1, 3, -1])
    """
    length = tokens.length
    node = np.zeros(len(tokens), dtype=np.int64)
    keys: list[Integers] = [np.zeros(0, dtype=np.int64)]
    nodes = 1
    active = np.flatnonzero(length)
    depth = 0
    while len(active):
        key = node[active] * SYMBOLS + tokens.symbol[tokens.start[active] + depth]
        distinct, which = np.unique(key, return_inverse=True)
        node[active] = nodes + which
        nodes += len(distinct)
        keys.append(distinct)
        depth += 1
        active = active[length[active] > depth]
    spelled = np.flatnonzero(length)
    order = spelled[np.argsort(node[spelled], kind="stable")]
    return Trie(
        keys=np.concatenate(keys),
        child=np.arange(1, nodes, dtype=np.int64),
        node=node,
        ends_start=np.searchsorted(node[order], np.arange(nodes + 1)),
        ends_token=order,
    )
