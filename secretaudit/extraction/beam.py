"""Beam search: keep the w cheapest prefixes per level.

Cheap and without guarantee: a secret whose beginning is unlikely and whose end is certain falls out of the beam. Levels are counted in
tokens; finished secrets are kept aside and compete by their whole cost, so secrets of different lengths compare.
"""

from __future__ import annotations

import numpy as np

from secretaudit.extraction.found import Found
from secretaudit.progress import Progress
from secretaudit.tree.best_first import Leaf
from secretaudit.tree.budget import Meter
from secretaudit.tree.secret_tree import SecretTree, join


def beam(tree: SecretTree, *, top: int, width: int, meter: Meter, progress: Progress) -> Found:
    """The cheapest secrets that a beam of ``width`` prefixes finds."""
    nodes = tree.root(meter)
    paths = [list(tree.shared)]
    leaves: list[Leaf] = []
    level = 0
    while len(nodes) and not meter.spent:
        batches = [
            tree.expand(nodes.take(slice(low, low + tree.batch)), meter)
            for low in range(0, len(nodes), tree.batch)
        ]
        parent = np.concatenate([b.parent + i * tree.batch for i, b in enumerate(batches)])
        children = join([b.nodes for b in batches])
        cheapest = np.argsort(children.cost, kind="stable")[:width]
        parent, children = parent[cheapest], children.take(cheapest)
        paths = [
            [*paths[p], t] for p, t in zip(parent.tolist(), children.token.tolist(), strict=True)
        ]
        done = children.state == tree.automaton.terminal
        leaves += [Leaf(float(children.cost[i]), paths[i]) for i in np.flatnonzero(done)]
        paths = [paths[i] for i in np.flatnonzero(~done)]
        nodes = children.take(~done)
        level += 1
        progress.update(done=level, total=tree.automaton.depth, nodes=meter.nodes)
    leaves = sorted(leaves, key=lambda leaf: leaf.cost)[:top]
    complete = not len(nodes)
    return Found(
        leaves=leaves,
        times=[1] * len(leaves),
        queries=meter.nodes,
        complete=complete,
        note=""
        if complete
        else "The budget ran out before the beam reached the end of the format.",
    )
