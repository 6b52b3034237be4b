"""Cheapest first through all segmentations: every string once, with its cheapest.

The walk is that of ``best_first.py`` over pairs (secret, segmentation). The first pair of a secret that comes out is its cheapest
segmentation, and later ones are passed over. The limit U beyond which nodes are of no use is the cost of the k-th cheapest
*secret* seen so far, not of the k-th cheapest pair.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from secretaudit.tree.best_first import BestFirst, Leaf
from secretaudit.tree.budget import Meter
from secretaudit.tree.node_store import Entry
from secretaudit.tree.segmentations import SegmentationTree

#: Nodes read per forward pass: segmentations make the tree wide from the first level on.
BATCH = 512


class BestStrings(BestFirst):
    """A cheapest-first walk for the k cheapest secrets over all their segmentations; see ``BestFirst``.

    Args:
        tree: The tree of all segmentations.
        meter: Spent node by node.
        wanted: k.
        batch: Nodes read per forward pass.
    """

    def __init__(
        self, tree: SegmentationTree, meter: Meter, *, wanted: int, batch: int = BATCH
    ) -> None:
        super().__init__(tree, meter, wanted=tree.automaton.size, batch=batch)
        self._secrets = wanted
        self._known: dict[bytes, float] = {}  # the k cheapest texts seen, with their costs
        self._given: set[bytes] = set()

    def leaves(self) -> Iterator[Leaf]:
        """Yield each secret's cheapest segmentation, cheapest first and proven, until k are out or the budget is spent."""
        if self._secrets == len(self._given):
            return
        for leaf in super().leaves():
            text = self._spelled(leaf.tokens)
            if text not in self._given:
                self._given.add(text)
                yield leaf
            if self._secrets == len(self._given):
                return

    @property
    def limit(self) -> float:
        """U: cost of the k-th cheapest secret seen so far; dearer nodes are of no use."""
        return max(self._known.values()) if len(self._known) == self._secrets else np.inf

    def unproven(self) -> list[Leaf]:
        """Secrets that were seen and not given out, cheapest first: something cheaper may exist."""
        found: dict[bytes, Leaf] = {}
        for leaf in super().unproven():
            text = self._spelled(leaf.tokens)
            if text not in self._given:
                found.setdefault(text, leaf)
        return list(found.values())

    def _read(self, entries: list[Entry]) -> None:
        nodes, order = self._store.gather(entries, self.meter)
        children = self.tree.expand(nodes, self.meter).nodes
        ends = np.flatnonzero(children.state == self.tree.automaton.terminal)
        kept = children.cost <= self.limit
        kept[ends] = False
        ends = ends[children.cost[ends] <= self.limit]
        for place in ends[np.argsort(children.cost[ends], kind="stable")].tolist():
            cost = float(children.cost[place])
            if cost > self.limit:
                break
            before = self._store.tokens(order[int(children.row[place])])
            text = self._spelled([*before, int(children.token[place])])
            kept[place] = self._learn(text, cost)
        self._push(self._store.add(children.take(kept & (children.cost <= self.limit)), order))

    def _learn(self, text: bytes, cost: float) -> bool:
        """Note what a text costs; whether that is less than was known."""
        if cost >= self._known.get(text, self.limit + 1.0):
            return False
        self._known[text] = cost
        if len(self._known) > self._secrets:
            del self._known[max(self._known, key=lambda t: self._known[t])]
        return True

    def _spelled(self, tokens: list[int]) -> bytes:
        """The text of a whole path."""
        view, closing = self.tree.model.tokenizer, len(self.tree.model.framing.after)
        return b"".join(view.token_bytes[t] or b"" for t in tokens[: len(tokens) - closing])
