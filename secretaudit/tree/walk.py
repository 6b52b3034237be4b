"""Depth first through the tree, with every branch cut that is already too dear.

Costs only grow on the way down, so all leaves below a node cost at least what the node costs. A walk with limit L visits
exactly the nodes with cost ≤ L: each leaf that costs at most L is seen, and each branch that is cut is known, with its exact
number of leaves, to be dearer. With L = ∞ it visits everything.

Depth first keeps one batch per level in memory. Within a batch the cheapest nodes are not preferred: when the walk runs to its
end the order does not matter, and when it does not the bracket it leaves is valid in any order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secretaudit.tree.budget import Meter
from secretaudit.tree.secret_tree import Frontier, SecretTree


@dataclass(frozen=True, kw_only=True, eq=False)
class Visit:
    """What one batch of the walk found.

    Attributes:
        leaf_costs: float64 (n,): cost of each leaf reached, all ≤ the limit.
        dearer: Exact number of leaves that were cut off; each costs more than the limit.
    """

    leaf_costs: NDArray[np.float64]
    dearer: int


def depth_first(tree: SecretTree, limit: float, meter: Meter) -> Iterator[Visit]:
    """Walk the tree until all of it is seen or cut, or the budget is spent.

    Args:
        tree: The tree.
        limit: Bits; branches that cost more are cut.
        meter: Spent node by node; the walk stops when nothing is left.

    Yields:
        One ``Visit`` per batch. The sum of leaves and cut leaves is |R| exactly when the walk was complete.
    """
    stack = [tree.root(meter)]
    while stack and not meter.spent:
        nodes = stack.pop()
        if len(nodes) > tree.batch:
            stack.append(nodes.take(slice(tree.batch, None)))
            nodes = nodes.take(slice(0, tree.batch))
        children = tree.expand(nodes, meter).nodes
        kept, dearer = _cut(tree, children, limit)
        is_leaf = kept.state == tree.automaton.terminal
        below = kept.take(~is_leaf)
        if len(below):
            stack.append(below)
        yield Visit(leaf_costs=kept.cost[is_leaf], dearer=dearer)


def _cut(tree: SecretTree, nodes: Frontier, limit: float) -> tuple[Frontier, int]:
    """The nodes that cost at most the limit, and the number of leaves below the others."""
    if math.isinf(limit):
        return nodes, 0
    dear = nodes.cost > limit
    if not dear.any():
        return nodes, 0
    return nodes.take(~dear), tree.automaton.leaves_below(nodes.state[dear])
