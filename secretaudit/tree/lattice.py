"""All segmentations of a set of texts, as edges of a byte automaton.

A state is a place in a text, in the sense of the automaton of the texts: what may follow depends on it alone. A *symbol edge* reads one
byte, a *piece edge* the bytes of a whole token. So the paths of piece edges are exactly the pairs (text, segmentation), and the
paths of symbol edges the texts. The tokens that close a record follow every text, on states of their own; each is a piece of
one symbol that is no byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secretaudit.canary.automaton import Automaton
from secretaudit.tree.vocabulary_edges import Integers, rows, vocabulary_edges

#: Symbols of a text: bytes, then one for each token that closes the record.
CLOSING = 256
#: More than the number of symbols; keys of transitions are state · WIDE + symbol.
WIDE = 1 << 16


@dataclass(frozen=True, kw_only=True, eq=False)
class Pieces:
    """What can be read in one step: piece i < V is token i, piece V + i is the i-th closing token.

    Attributes:
        token: int64 (P,): the token that the model reads.
        start: int64 (P + 1,): symbols of piece i are ``symbol[start[i]:start[i + 1]]``.
        symbol: int64: bytes of the tokens, one after the other; closing token i has the one symbol 256 + i.
    """

    token: Integers
    start: Integers
    symbol: Integers

    @property
    def length(self) -> Integers:
        """Symbols of each piece."""
        return np.diff(self.start)

    @classmethod
    def of(cls, token_bytes: Sequence[bytes | None], after: tuple[int, ...]) -> Pieces:
        """The pieces of a vocabulary and of what closes a record."""
        spelled = [b or b"" for b in token_bytes]
        length = [*map(len, spelled), *(1 for _ in after)]
        return cls(
            token=np.array([*range(len(spelled)), *after], dtype=np.int64),
            start=np.cumsum([0, *length], dtype=np.int64),
            symbol=np.concatenate(
                [
                    np.frombuffer(b"".join(spelled), dtype=np.uint8).astype(np.int64),
                    CLOSING + np.arange(len(after)),
                ]
            ),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Lattice:
    """A set of texts with all their segmentations: states of a byte automaton, symbol edges and piece edges.

    States are numbered so that every edge leads to a larger number. Closing tokens follow the texts, on states of their own.

    Attributes:
        pieces: What edges read.
        root: State in which the free part begins.
        start: int64 (S + 1,): piece edges of state s are ``start[s]:start[s + 1]``.
        piece: int64 (E,): by ascending piece within a state.
        goal: int64 (E,).
        key: int64 (T,), ascending: state · WIDE + symbol of each symbol edge.
        target: int64 (T,): where it leads.
        accepting: bool (S,): a record may end here.
        texts: (S,): exact number of texts from each state on (int64, or Python integers where those do not fit).
        height: int64 (S,): most symbols that may still follow.
    """

    pieces: Pieces
    root: int
    start: Integers
    piece: Integers
    goal: Integers
    key: Integers
    target: Integers
    accepting: NDArray[np.bool_]
    texts: NDArray[Any]
    height: Integers

    def follow(self, states: Integers, symbols: Integers) -> Integers:
        """The state that each symbol leads to from the state beside it, −1 where there is no such edge."""
        wanted = states * WIDE + symbols
        place = np.minimum(np.searchsorted(self.key, wanted), len(self.key) - 1)
        return np.where(self.key[place] == wanted, self.target[place], -1)

    def reach(self, texts: NDArray[np.uint16]) -> Integers:
        """The state that each text, one row of bytes, leads to from the root."""
        state = np.full(len(texts), self.root)
        for column in texts.T:
            state = self.follow(state, column.astype(np.int64))
        return state

    def after(self, given: bytes) -> int:
        """The state that these bytes lead to from the root, −1 where no text begins with them."""
        state = np.array([self.root])
        for byte in given:
            if state[0] >= 0:
                state = self.follow(state, np.array([byte]))
        return int(state[0])

    @cached_property
    def used(self) -> Integers:
        """Pieces that stand on some edge."""
        return np.unique(self.piece)


def build_lattice(
    text: Automaton, token_bytes: Sequence[bytes | None], after: tuple[int, ...]
) -> Lattice:
    """All segmentations of the texts that an automaton over bytes accepts; the root is the beginning of the texts.

    Args:
        text: Over bytes.
        token_bytes: Bytes of each token id.
        after: Tokens that close the record.
    """
    edges = vocabulary_edges(text, token_bytes)
    source, symbol, target, accepting = _closed(text, len(after))
    states = len(accepting)
    counts = text.completions
    dtype = np.int64 if counts[0] < 2**62 else object
    number = np.arange(len(after)) + text.states
    ends = np.flatnonzero(text.accepting) if after else np.zeros(0, dtype=np.int64)
    first = len(token_bytes)
    piece_source = np.concatenate([_sources(edges.start), ends, number[:-1]])
    piece = np.concatenate(
        [edges.token, np.full(len(ends), first), first + 1 + np.arange(len(number[:-1]))]
    )
    goal = np.concatenate([edges.goal, np.full(len(ends), text.states), number[1:]])
    order = np.lexsort((piece, piece_source))
    lattice = Lattice(
        pieces=Pieces.of(token_bytes, after),
        root=0,
        start=np.searchsorted(piece_source[order], np.arange(states + 1)),
        piece=piece[order],
        goal=goal[order],
        key=source * WIDE + symbol,
        target=target,
        accepting=accepting,
        texts=np.array([*counts, *(1 for _ in after)], dtype=dtype),
        height=_heights(text, len(after)),
    )
    return _without_dead_ends(lattice)


def _without_dead_ends(lattice: Lattice) -> Lattice:
    """The same lattice without edges from which no sequence of tokens comes to an end."""
    alive = paths_below(lattice) > 0
    source = _sources(lattice.start)
    kept = alive[source] & alive[lattice.goal]
    return replace(
        lattice,
        start=np.searchsorted(source[kept], np.arange(len(alive) + 1)),
        piece=lattice.piece[kept],
        goal=lattice.goal[kept],
    )


def _closed(
    text: Automaton, closing: int
) -> tuple[Integers, Integers, Integers, NDArray[np.bool_]]:
    """Symbol edges, by state and symbol, and accepting states of texts with their closing symbols."""
    source = _sources(np.asarray(text.edge_start, dtype=np.int64))
    symbol, target = text.edge_symbol.astype(np.int64), text.edge_target.astype(np.int64)
    if not closing:
        return source, symbol, target, text.accepting
    chain = text.states + np.arange(closing)
    ends = np.flatnonzero(text.accepting)
    source = np.concatenate([source, ends, chain[:-1]])
    symbol = np.concatenate(
        [symbol, np.full(len(ends), CLOSING), CLOSING + 1 + np.arange(closing - 1)]
    )
    target = np.concatenate([target, np.full(len(ends), chain[0]), chain[1:]])
    order = np.lexsort((symbol, source))
    accepting = np.zeros(text.states + closing, dtype=np.bool_)
    accepting[-1] = True
    return source[order], symbol[order], target[order], accepting


def _heights(text: Automaton, closing: int) -> Integers:
    """Most symbols that may follow each state, closing ones included; the last level first."""
    height = np.where(text.accepting, closing, 0)
    target = text.edge_target
    bounds = np.asarray(text.level_start, dtype=np.int64)
    for first, last in zip(bounds[-2::-1].tolist(), bounds[:0:-1].tolist(), strict=True):
        start = text.edge_start[first : last + 1]
        inner = np.flatnonzero(np.diff(start))
        if len(inner):
            below = height[target[int(start[0]) : int(start[-1])]]
            longest = 1 + np.maximum.reduceat(below, start[inner] - start[0])
            height[first + inner] = np.maximum(height[first + inner], longest)
    return np.concatenate([height, closing - 1 - np.arange(closing)])


def _sources(start: Integers) -> Integers:
    return np.repeat(np.arange(len(start) - 1), np.diff(start))


def paths_below(lattice: Lattice) -> NDArray[np.float64]:
    """Number of piece sequences from each state to an end (a float: it may be rounded), the last states first."""
    paths = lattice.accepting.astype(np.float64)
    for level in np.split(*levels(lattice)):
        owner, edge = rows(lattice.start, level)
        np.add.at(paths, level[owner], paths[lattice.goal[edge]])
    return paths


def levels(lattice: Lattice) -> tuple[Integers, Integers]:
    """All states by height, least first, and where a new height begins."""
    order = np.argsort(lattice.height, kind="stable")
    return order, np.flatnonzero(np.diff(lattice.height[order])) + 1
