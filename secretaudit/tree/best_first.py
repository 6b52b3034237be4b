"""Cheapest first through the tree: Dijkstra's algorithm in batches.

A heap holds all nodes whose parents have been read. Costs only grow on the way down, so the cheapest node of the heap is
a lower bound on every leaf that is not found yet, and a leaf is *final* when it is the cheapest entry of the heap: nothing
cheaper can follow (the shortest-path search of Carlini et al. 2019). Nodes are read n at a time, which reads a few nodes too
many and saves many forward passes; the acceptance rule stays the same.

Once k leaves are known that cost at most U, no node dearer than U leads to one of the k cheapest, and such nodes
are not kept.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from secretaudit.tree.budget import Meter
from secretaudit.tree.node_store import Entry, NodeStore
from secretaudit.tree.secret_tree import SecretTree

#: Nodes read per forward pass: on CPU a pass costs about the same up to some hundred rows.
BATCH = 256


@dataclass(frozen=True)
class Leaf:
    """A finished secret: its cost in bits, and its tokens, those that close the record included."""

    cost: float
    tokens: list[int]


class BestFirst:
    """A cheapest-first walk for the k cheapest leaves.

    Args:
        tree: The tree.
        meter: Spent node by node.
        wanted: k.
        batch: Nodes read per forward pass.

    Attributes:
        bound: Bits: every leaf that has not been given out costs at least this much.
        out_of_memory: Whether the walk ended because nodes had to be forgotten.
    """

    def __init__(self, tree: SecretTree, meter: Meter, *, wanted: int, batch: int = BATCH) -> None:
        self.tree = tree
        self.meter = meter
        self.bound = 0.0
        self.out_of_memory = False
        self._wanted = wanted
        self._batch = min(batch, tree.batch)
        self._cheapest: list[float] = []  # negated costs of the k cheapest leaves seen
        self._store = NodeStore(tree)
        self._heap: list[Entry] = []
        self._push(self._store.add(tree.root(meter), []))

    def leaves(self) -> Iterator[Leaf]:
        """Yield leaves, cheapest first, each proven final, until k are out or the budget is spent."""
        given = 0
        while self._heap and given < self._wanted:
            top = self._heap[0]
            self.bound = min(top.cost, self._store.forgotten)
            if top.cost > self._store.forgotten:
                self.out_of_memory = True
                return
            if self._store.is_leaf(top):
                given += 1
                yield self._leaf(self._pop())
            elif self.meter.spent:
                return
            else:
                self._read(self._cheapest_nodes())

    @property
    def limit(self) -> float:
        """U: cost of the k-th cheapest leaf seen so far; dearer nodes are of no use."""
        return -self._cheapest[0] if len(self._cheapest) == self._wanted else np.inf

    def unproven(self) -> list[Leaf]:
        """Leaves that were seen and not given out, cheapest first: something cheaper may exist."""
        loose = [e for e in self._heap if self._store.is_leaf(e)]
        return [self._leaf(e) for e in sorted({*loose, *self._store.leaves()})]

    def _leaf(self, entry: Entry) -> Leaf:
        return Leaf(entry.cost, self._store.tokens(entry))

    def _push(self, entry: Entry | None) -> None:
        if entry is not None:
            heapq.heappush(self._heap, entry)

    def _pop(self) -> Entry:
        """The cheapest entry; the next one of its block takes its place in the heap."""
        entry = heapq.heappop(self._heap)
        self._push(self._store.after(entry))
        return entry

    def _cheapest_nodes(self) -> list[Entry]:
        """Take the cheapest inner nodes; leaves met on the way go back."""
        chosen: list[Entry] = []
        aside: list[Entry] = []
        while self._heap and len(chosen) < self._batch and self._heap[0].cost <= self.limit:
            entry = self._pop()
            (aside if self._store.is_leaf(entry) else chosen).append(entry)
        for entry in aside:
            heapq.heappush(self._heap, entry)
        return chosen

    def _read(self, entries: list[Entry]) -> None:
        nodes, order = self._store.gather(entries, self.meter)
        children = self.tree.expand(nodes, self.meter).nodes
        for cost in children.cost[children.state == self.tree.automaton.terminal].tolist():
            heapq.heappush(self._cheapest, -cost)
            if len(self._cheapest) > self._wanted:
                heapq.heappop(self._cheapest)
        self._push(self._store.add(children.take(children.cost <= self.limit), order))
