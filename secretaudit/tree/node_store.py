"""Nodes that wait for their turn, in the blocks in which they were found.

The children of one forward pass form a block: their arrays, cheapest first, the parents that were read, and the parents'
model states, kept until the last child has been read. Blocks are cheap to add (one sort) and give their nodes one by one.

Memory is bounded twice. When more *states* are held than fit, the block whose next child is dearest, the last to be needed,
gives its states up; should a node of it be read after all, its state is computed again from the root, token by token. When
more *nodes* are held than fit, the dearest are forgotten, and ``forgotten`` says from which cost on the store knows nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from secretaudit.models.language_model import State
from secretaudit.tree.budget import Meter
from secretaudit.tree.secret_tree import Frontier, SecretTree, join

#: Bytes of one waiting node: state, cost, token, row, and their share of the block.
_NODE_BYTES = 48


class Entry(NamedTuple):
    """A node: its cost in bits, then its block and its place in it (which also decide ties)."""

    cost: float
    block: int
    place: int


@dataclass
class _Block:
    """Children of one forward pass; ``nodes.row`` is also the index of the parent in ``parents``."""

    nodes: Frontier
    parents: list[Entry]
    unread: int
    held: bool = True


class NodeStore:
    """Blocks of nodes of a tree, within the tree's memory limit.

    Attributes:
        forgotten: Bits: a node that was dropped costs at least this much; ∞ while nothing was.
    """

    def __init__(self, tree: SecretTree) -> None:
        self.tree = tree
        self.forgotten = np.inf
        self._blocks: list[_Block] = []
        self._next: list[int] = []
        self._nothing = tree.root().memory
        self._rows = self._nodes = 0
        # A quarter for model states, a quarter for nodes; the rest is for the forward pass and the allocator.
        self._most_rows = max(tree.batch, tree.memory.bytes // 4 // max(1, tree.deepest_row_bytes))
        self._most_nodes = max(4 * tree.batch, tree.memory.bytes // 4 // _NODE_BYTES)

    def add(self, nodes: Frontier, parents: list[Entry]) -> Entry | None:
        """Keep these nodes, children of the nodes that were read together; returns the cheapest."""
        if not len(nodes):
            return None
        ordered = nodes.take(np.argsort(nodes.cost, kind="stable"))
        unread = int(np.count_nonzero(ordered.state != self.tree.automaton.terminal))
        block = _Block(ordered, parents, unread)
        self._blocks.append(block)
        self._next.append(0)
        self._rows += len(ordered.memory)
        self._nodes += len(ordered)
        if not unread:
            self._let_go(block)
        self._make_room(block)
        return self._entry(len(self._blocks) - 1)

    def after(self, entry: Entry) -> Entry | None:
        """Take a node out: the next one of its block, if this was its first and there is one."""
        if entry.place != self._next[entry.block]:
            return None
        self._next[entry.block] += 1
        return self._entry(entry.block)

    def is_leaf(self, entry: Entry) -> bool:
        """Whether the node is a finished secret."""
        state = self._blocks[entry.block].nodes.state[entry.place]
        return bool(state == self.tree.automaton.terminal)

    def leaves(self) -> list[Entry]:
        """All finished secrets that wait in the blocks."""
        found = []
        for number, block in enumerate(self._blocks):
            is_leaf = block.nodes.state == self.tree.automaton.terminal
            is_leaf[: self._next[number]] = False
            for place in np.flatnonzero(is_leaf).tolist():
                found.append(Entry(float(block.nodes.cost[place]), number, place))
        return found

    def tokens(self, entry: Entry) -> list[int]:
        """Tokens from the first of the text to the node's own."""
        return [*self.tree.shared, *self._below_root(entry)]

    def _below_root(self, entry: Entry) -> list[int]:
        found: list[int] = []
        while self._blocks[entry.block].parents:
            block = self._blocks[entry.block]
            found.append(int(block.nodes.token[entry.place]))
            entry = block.parents[int(block.nodes.row[entry.place])]
        return found[::-1]

    def gather(self, entries: list[Entry], meter: Meter) -> tuple[Frontier, list[Entry]]:
        """One frontier of nodes from many blocks, and the order in which they stand in it.

        Children of one parent stand together, so that the model does shared work once. The nodes will be read now:
        blocks that have no node left to read let go of their states.
        """
        order = sorted(entries, key=lambda e: (e.block, self._row(e), e.place))
        pieces = [
            self._piece(number, [entry.place for entry in group], meter)
            for number, group in groupby(order, key=lambda e: e.block)
        ]
        return join(pieces), order

    def _entry(self, number: int) -> Entry | None:
        place, costs = self._next[number], self._blocks[number].nodes.cost
        return Entry(float(costs[place]), number, place) if place < len(costs) else None

    def _row(self, entry: Entry) -> int:
        return int(self._blocks[entry.block].nodes.row[entry.place])

    def _piece(self, number: int, places: list[int], meter: Meter) -> Frontier:
        block = self._blocks[number]
        chosen = block.nodes.take(np.array(places, dtype=np.int64))
        distinct, row = np.unique(chosen.row, return_inverse=True)
        if block.held:
            memory = block.nodes.memory.select(torch.from_numpy(distinct))
        else:
            memory, row = self._read_again(
                [block.parents[r] for r in distinct.tolist()], row, meter
            )
        block.unread -= len(places)
        if block.unread <= 0:
            self._let_go(block)
        return replace(chosen, memory=memory, row=row)

    def _read_again(
        self, parents: list[Entry], row: NDArray[np.int64], meter: Meter
    ) -> tuple[State, NDArray[np.int64]]:
        """States of these nodes, computed from the root; nodes on one level go together."""
        first = int(self.tree.root().token[0])
        paths = [[first, *self._below_root(parent)] for parent in parents]
        levels = sorted({len(path) for path in paths})
        order = [i for length in levels for i, path in enumerate(paths) if len(path) == length]
        memory = self._replay([p for p in paths if len(p) == levels[0]], meter)
        for length in levels[1:]:
            memory = memory.append(self._replay([p for p in paths if len(p) == length], meter))
        place_of = np.empty(len(order), dtype=np.int64)
        place_of[order] = np.arange(len(order))
        return memory, place_of[row]

    def _replay(self, paths: list[list[int]], meter: Meter) -> State:
        memory: State = self.tree.root().memory
        rows = torch.zeros(len(paths), dtype=torch.int64)
        for tokens in zip(*paths, strict=True):
            nobody = torch.zeros(0, dtype=torch.int64)
            _, memory = self.tree.model.price(memory, rows, torch.tensor(tokens), nobody, nobody)
            rows = torch.arange(len(paths))
            meter.spend(len(paths))
        return memory

    def _make_room(self, newest: _Block) -> None:
        """Let go of the states of the dearest blocks, never of the newest; then forget the dearest nodes."""
        if self._rows > self._most_rows:
            held = [i for i, b in enumerate(self._blocks) if b.held and b is not newest]
            held.sort(key=lambda i: self._head(i), reverse=True)
            for number in held:
                self._let_go(self._blocks[number])
                if self._rows <= self._most_rows // 2:
                    break
        if self._nodes > self._most_nodes:
            self._forget()

    def _head(self, number: int) -> float:
        """Cost of the next node of a block."""
        entry = self._entry(number)
        return np.inf if entry is None else entry.cost

    def _forget(self) -> None:
        """Drop the dearest of the nodes that wait, until a quarter of the room is free."""
        waiting = np.concatenate(
            [b.nodes.cost[n:] for b, n in zip(self._blocks, self._next, strict=True)]
        )
        kept = len(waiting) - (self._nodes - self._most_nodes * 3 // 4)
        limit = float(np.partition(waiting, kept)[kept]) if kept > 0 else -np.inf
        for number, block in enumerate(self._blocks):
            keep = max(
                self._next[number] + 1, int(np.searchsorted(block.nodes.cost, limit, side="right"))
            )
            if keep < len(block.nodes):
                self.forgotten = min(self.forgotten, float(block.nodes.cost[keep]))
                lost = block.nodes.state[keep:] != self.tree.automaton.terminal
                block.unread -= int(np.count_nonzero(lost))
                self._nodes -= len(block.nodes) - keep
                block.nodes = _copied(block.nodes, keep)
                if block.unread <= 0:
                    self._let_go(block)

    def _let_go(self, block: _Block) -> None:
        """Give up the model states of a block."""
        if block.held:
            block.held = False
            self._rows -= len(block.nodes.memory)
            block.nodes = replace(block.nodes, memory=self._nothing)


def _copied(nodes: Frontier, first: int) -> Frontier:
    """The first nodes in arrays of their own, so that the rest is really freed."""
    return replace(
        nodes,
        state=nodes.state[:first].copy(),
        cost=nodes.cost[:first].copy(),
        token=nodes.token[:first].copy(),
        row=nodes.row[:first].copy(),
    )
