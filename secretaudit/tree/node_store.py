"""Nodes that wait for their turn, in the blocks in which they were found.

The children of one forward pass form a block: their arrays, their parents, and the model states of the parents, kept until the last
child has been read. States are most of the memory. When more rows are held than fit, the block whose cheapest child is
dearest, the last to be needed, gives its states up; should a node of it be read after all, its state is computed again from
the root, token by token.
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


class Entry(NamedTuple):
    """A node: its cost in bits, then its block and its place in it (which also decide ties)."""

    cost: float
    block: int
    place: int


@dataclass
class _Block:
    nodes: Frontier
    parents: list[Entry]
    waiting: int
    cheapest: float
    held: bool = True


class NodeStore:
    """Blocks of nodes of a tree, within the tree's memory limit."""

    def __init__(self, tree: SecretTree) -> None:
        self.tree = tree
        self._blocks: list[_Block] = []
        self._nothing = tree.model.start()
        self._rows = 0
        # Half of the memory for states; the other half is for the forward pass and for the nodes' own columns.
        self._most_rows = max(tree.batch, tree.memory.bytes // 2 // max(1, tree.model.state_bytes))

    def add(self, nodes: Frontier, parents: list[Entry]) -> list[Entry]:
        """Keep these nodes, one parent each (none for the root); returns their entries."""
        if not len(nodes):
            return []
        number = len(self._blocks)
        inner = int(np.count_nonzero(nodes.state != self.tree.automaton.terminal))
        block = _Block(nodes, parents, inner, float(nodes.cost.min()))
        self._blocks.append(block)
        self._rows += len(nodes.memory)
        if not inner:
            self._drop(block)
        self._make_room(number)
        return [Entry(cost, number, i) for i, cost in enumerate(nodes.cost.tolist())]

    def is_leaf(self, entry: Entry) -> bool:
        """Whether the node is a finished secret."""
        return bool(
            self._blocks[entry.block].nodes.state[entry.place] == self.tree.automaton.terminal
        )

    def tokens(self, entry: Entry) -> list[int]:
        """Tokens from the first of the text to the node's own."""
        found: list[int] = []
        while self._blocks[entry.block].parents:
            block = self._blocks[entry.block]
            found.append(int(block.nodes.token[entry.place]))
            entry = block.parents[entry.place]
        return found[::-1]

    def gather(self, entries: list[Entry], meter: Meter) -> tuple[Frontier, list[Entry]]:
        """One frontier of nodes from many blocks, and the order in which they stand in it.

        Children of one parent stand together, so that the model does shared work once. The nodes will be read now:
        blocks that have no node left to read let go of their states.
        """
        rows = {e: int(self._blocks[e.block].nodes.row[e.place]) for e in entries}
        order = sorted(entries, key=lambda e: (e.block, rows[e], e.place))
        pieces = [
            self._piece(number, [entry.place for entry in group], meter)
            for number, group in groupby(order, key=lambda e: e.block)
        ]
        return join(pieces), order

    def _piece(self, number: int, places: list[int], meter: Meter) -> Frontier:
        block = self._blocks[number]
        chosen = block.nodes.take(np.array(places, dtype=np.int64))
        if block.held:
            distinct, row = np.unique(chosen.row, return_inverse=True)
            memory = block.nodes.memory.select(torch.from_numpy(distinct))
            piece = _with_memory(chosen, memory, row)
        else:
            piece = self._read_again(number, chosen, places, meter)
        block.waiting -= len(places)
        if block.waiting <= 0:
            self._drop(block)
        return piece

    def _read_again(
        self, number: int, chosen: Frontier, places: list[int], meter: Meter
    ) -> Frontier:
        """States of the parents of these nodes, computed from the root; parents on one level go together."""
        block = self._blocks[number]
        separator = self.tree.model.separator
        parents = sorted({block.parents[place] for place in places})
        paths = [[separator, *self.tokens(parent)] for parent in parents]
        place_of: dict[Entry, int] = {}
        memory: State | None = None
        for length in sorted({len(path) for path in paths}):
            level = [i for i, path in enumerate(paths) if len(path) == length]
            read = self._replay([paths[i] for i in level], meter)
            for i in level:
                place_of[parents[i]] = len(place_of)
            memory = read if memory is None else memory.append(read)
        if memory is None:
            raise ValueError("places must not be empty, got none")
        row = np.array([place_of[block.parents[place]] for place in places], dtype=np.int64)
        return _with_memory(chosen, memory, row)

    def _replay(self, paths: list[list[int]], meter: Meter) -> State:
        memory: State = self.tree.model.start()
        rows = torch.zeros(len(paths), dtype=torch.int64)
        for tokens in zip(*paths, strict=True):
            _, memory = self.tree.model.step(memory, rows, torch.tensor(tokens))
            rows = torch.arange(len(paths))
            meter.spend(len(paths))
        return memory

    def _make_room(self, newest: int) -> None:
        """Drop the states of the dearest blocks, never those of the newest, until the rest fits."""
        while self._rows > self._most_rows:
            held = [b for i, b in enumerate(self._blocks) if b.held and i != newest]
            if not held:
                return
            self._drop(max(held, key=lambda b: b.cheapest))

    def _drop(self, block: _Block) -> None:
        if block.held:
            block.held = False
            self._rows -= len(block.nodes.memory)
            block.nodes = _with_memory(block.nodes, self._nothing, block.nodes.row)


def _with_memory(nodes: Frontier, memory: State, row: NDArray[np.int64]) -> Frontier:
    return replace(nodes, memory=memory, row=row.astype(np.int64))
