"""The most likely secrets of a format, guaranteed, by shortest path.

Every secret is a path through the tree and its length is its log-perplexity, so the most likely secret is the shortest path and
Dijkstra's algorithm finds it, then the second, and so on (Carlini et al. 2019). What comes out is *proven*: no other secret of the
space is cheaper. When the budget ends first, the secrets that were seen are returned as unproven, together with the bound that
was reached: no secret that is missing from the proven ones costs less than that.
"""

from __future__ import annotations

from secretaudit.extraction.found import Found
from secretaudit.progress import Progress
from secretaudit.tree.best_first import BestFirst
from secretaudit.tree.budget import Meter
from secretaudit.tree.secret_tree import SecretTree


def shortest_path(tree: SecretTree, *, top: int, meter: Meter, progress: Progress) -> Found:
    """The ``top`` cheapest secrets of the space, in order."""
    walk = BestFirst(tree, meter, wanted=min(top, tree.form.size))
    proven = []
    for leaf in walk.leaves():
        proven.append(leaf)
        progress.update(done=len(proven), total=top, nodes=meter.nodes, bound_bits=walk.bound)
    complete = len(proven) == min(top, tree.form.size)
    note = ""
    if not complete:
        what = "memory" if walk.out_of_memory else "budget"
        note = (
            f"The {what} ran out after {meter.nodes:,} queries: {len(proven)} of {top} secrets are proven, and whatever "
            f"is missing costs at least {walk.bound:.2f} bits."
        )
    leaves = [*proven, *([] if complete else walk.unproven())][:top]
    return Found(
        leaves=leaves,
        times=[1] * len(leaves),
        queries=meter.nodes,
        proven=len(proven),
        bound_bits=walk.bound,
        complete=complete,
        note=note,
    )
