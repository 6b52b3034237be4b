"""The token automaton: a finite, acyclic automaton over token ids whose paths are the secrets.

A vocabulary of 150,000 tokens and a hole of sixteen letters make tens of millions of edges, but few different ones: wherever the text
stands in one state the same tokens lead to the same states, except for those that the token before does not allow. So states share
*rows* of edges, and each state *leaves out* some edges of its row (those that would not be what the tokenizer writes) and may have a
few of its own. Walks ask for the edges of some states and do not see this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secretaudit.tree.vocabulary_edges import Integers, rows


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Rows of edges, and which state has which.

    Attributes:
        start: int64 (R + 1,): row r is the edges ``start[r]:start[r + 1]``.
        token: int64 (E,): the token that an edge reads.
        target: int64 (E,): the state that it leads to.
        row: int64 (S,): the row that a state shares with others.
        own: int64 (S,): a second row, of its own; the empty last row for most.
        skips: int64 (S,): which list of left-out edges a state has; list 0 is empty.
        skip_start: int64 (K + 1,): list k is ``skip[skip_start[k]:skip_start[k + 1]]``.
        skip: int64: places in the shared row.
        skip_choice: int64 (K,): lists of one number belong to rows in which these places hold the same tokens.
        levels: int64 (L + 1,): level k is the states ``levels[k]:levels[k + 1]``; edges lead to later levels, or to the last
            state, the terminal, which is in no level.
    """

    start: Integers
    token: Integers
    target: Integers
    row: Integers
    own: Integers
    skips: Integers
    skip_start: Integers
    skip: Integers
    skip_choice: Integers
    levels: Integers

    def left_out(self, states: Integers) -> tuple[Integers, Integers]:
        """The edges that states leave out of their rows: (index into ``states``, edge)."""
        owner, entry = rows(self.skip_start, self.skips[states])
        return owner, self.start[self.row[states]][owner] + self.skip[entry]

    def edges(self, states: Integers) -> tuple[Integers, Integers]:
        """All edges that leave states: (index into ``states``, ascending; edge)."""
        row = self.row[states]
        parent, edge = rows(self.start, row)
        owner, entry = rows(self.skip_start, self.skips[states])
        if len(owner):
            length = self.start[row + 1] - self.start[row]
            before = np.cumsum(length) - length
            kept = np.ones(len(parent), dtype=np.bool_)
            kept[before[owner] + self.skip[entry]] = False
            parent, edge = parent[kept], edge[kept]
        second, more = rows(self.start, self.own[states])
        if len(second):
            parent, edge = np.concatenate([parent, second]), np.concatenate([edge, more])
            order = np.argsort(parent, kind="stable")
            parent, edge = parent[order], edge[order]
        return parent, edge


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenAutomaton:
    """A finite, acyclic automaton over token ids; state 0 is the root, before the first token of the text.

    Attributes:
        every: The rows of edges.
        living: bool (S,): states from which a record can be finished; edges to others are no edges.
        degrees: int64 (S,): edges that leave each state.
        leaves: Exact number of secrets below each state.
        log2_leaves: float64 (S,): the same as logarithms.
        terminal: The state of all finished records, the last one.
        depth: Edges on the longest path.
        notes: What a reader of results must know of how the tokenizer writes the texts, one sentence each.
    """

    every: Rows
    living: NDArray[np.bool_]
    degrees: NDArray[np.int64]
    leaves: Sequence[int]
    log2_leaves: NDArray[np.float64]
    terminal: int
    depth: int
    notes: tuple[str, ...] = ()

    @classmethod
    def empty(cls) -> TokenAutomaton:
        """The automaton without a path."""
        nothing = np.zeros(0, dtype=np.int64)
        one, two = np.zeros(1, dtype=np.int64), np.zeros(2, dtype=np.int64)
        every = Rows(
            start=two,
            token=nothing,
            target=nothing,
            row=one,
            own=one,
            skips=one,
            skip_start=two,
            skip=nothing,
            skip_choice=one,
            levels=two,
        )
        return cls(
            every=every,
            living=np.zeros(1, dtype=np.bool_),
            degrees=one,
            leaves=[0],
            log2_leaves=np.full(1, -np.inf),
            terminal=-1,
            depth=0,
        )

    @property
    def token(self) -> NDArray[np.int64]:
        """The token that each edge reads, by the edge's number."""
        return self.every.token

    @property
    def target(self) -> NDArray[np.int64]:
        """The state that each edge leads to, by the edge's number."""
        return self.every.target

    @property
    def size(self) -> int:
        """|R|: number of secrets."""
        return self.leaves[0]

    def degree(self, states: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of edges that leave each state."""
        return self.degrees[states]

    def edges(self, states: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All edges that leave the given states, in order.

        Returns:
            (parent, edge), each (E',): ``parent`` is an index into ``states``, ascending; ``edge`` one into ``token``.
        """
        parent, edge = self.every.edges(states)
        alive = self.living[self.every.target[edge]]
        if alive.all():
            return parent, edge
        return parent[alive], edge[alive]

    def edge_by_token(
        self, states: NDArray[np.int64], tokens: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """The edge of each state that reads the token beside it, −1 where there is none.

        Where a secret may end or go on with one token, the edge that ends it.
        """
        parent, edge = self.edges(states)
        found = np.full(len(states), -1, dtype=np.int64)
        there = self.token[edge] == tokens[parent]
        found[parent[there]] = edge[there]
        return found

    def shared(self) -> list[int]:
        """The tokens that all paths begin with."""
        found: list[int] = []
        state = 0
        while state != self.terminal and self.degrees[state] == 1:
            edge = self._edges_of(state)[0]
            found.append(int(self.token[edge]))
            state = int(self.target[edge])
        return found

    def after_shared(self, count: int) -> int:
        """The state after the first ``count`` tokens that all paths share."""
        state = 0
        for _ in range(count):
            state = int(self.target[self._edges_of(state)[0]])
        return state

    def leaves_below(self, states: NDArray[np.int64]) -> int:
        """Exact number of secrets below these states, each counted as often as it is given."""
        distinct, times = np.unique(states, return_counts=True)
        return sum(self.leaves[s] * int(n) for s, n in zip(distinct.tolist(), times, strict=True))

    def follows(self, tokens: Sequence[int]) -> bool:
        """Whether this sequence of tokens, closing tokens included, is a path to a leaf."""
        state = 0
        for place, wanted in enumerate(tokens, start=1):
            edges = self._edges_of(state)
            goals = self.target[edges[self.token[edges] == wanted]]
            goals = goals[(goals == self.terminal) == (place == len(tokens))]
            if not len(goals):
                return False
            state = int(goals[0])
        return state == self.terminal

    def _edges_of(self, state: int) -> NDArray[np.int64]:
        """The edges of one state."""
        return self.edges(np.array([state]))[1]
