"""The most likely secrets when a text may be cut into tokens in any way, each once, and proven.

*best*: the shortest path over pairs (secret, segmentation); a secret is final when its first segmentation is.

*marginal*: the k cheapest secrets by best segmentation cost at most U by their marginals, so at least k secrets have a
marginal cost ≤ U, and a bounded walk over texts (``tree.text_walk``) finds every secret with a marginal cost ≤ U. The k
cheapest of those are the k cheapest of the space: no secret that was cut costs less.

When the budget ends first, secrets that were seen are returned as unproven, as in ``shortest_path.py``.
"""

from __future__ import annotations

import numpy as np

from secretaudit.canary.format import Format
from secretaudit.extraction.found import Found
from secretaudit.models.language_model import LanguageModel
from secretaudit.progress import Progress
from secretaudit.tree import Memory
from secretaudit.tree.best_first import Leaf
from secretaudit.tree.budget import Meter
from secretaudit.tree.lattice_costs import lattice_costs
from secretaudit.tree.secret_tree import TOLERANCE_BITS
from secretaudit.tree.segmentations import SegmentationTree
from secretaudit.tree.segmented_best_first import BestStrings
from secretaudit.tree.text_walk import TextWalk


def segmented_tree(
    form: Format, model: LanguageModel, *, segmentation: str, memory: Memory
) -> SegmentationTree:
    """The tree of all segmentations, as a search walks it.

    Args:
        form: The format.
        model: The model.
        segmentation: "best" or "marginal": what a secret costs.
        memory: Bytes that the search may hold.
    """
    return SegmentationTree(form, model, kind=segmentation, memory=memory)


def segmented_shortest_path(
    tree: SegmentationTree, *, top: int, meter: Meter, progress: Progress
) -> Found:
    """The ``top`` cheapest secrets of the space, in order, each once.

    A leaf's tokens are the secret's cheapest segmentation (best) or the tokenizer's own (marginal).
    """
    wanted = min(top, tree.form.size)
    found = _by_best(tree, wanted, meter, progress)
    if tree.kind == "best" or not found.leaves:
        return found
    return _by_marginal(tree, wanted, found, meter, progress)


def _by_best(tree: SegmentationTree, wanted: int, meter: Meter, progress: Progress) -> Found:
    walk = BestStrings(tree, meter, wanted=wanted)
    proven: list[Leaf] = []
    for leaf in walk.leaves():
        proven.append(leaf)
        progress.update(done=len(proven), total=wanted, nodes=meter.nodes, bound_bits=walk.bound)
    complete = len(proven) == wanted
    leaves = [*proven, *([] if complete else walk.unproven())][:wanted]
    what = "memory" if walk.out_of_memory else "budget"
    return Found(
        leaves=leaves,
        times=[1] * len(leaves),
        queries=meter.nodes,
        proven=len(proven),
        bound_bits=walk.bound,
        complete=complete,
        note="" if complete else _ended(what, meter, len(proven), wanted, walk.bound),
    )


def _by_marginal(
    tree: SegmentationTree, wanted: int, by_best: Found, meter: Meter, progress: Progress
) -> Found:
    """All secrets whose marginal is within what the cheapest by best segmentation cost, sorted."""
    first = [tree.secret(leaf.tokens) for leaf in by_best.leaves]
    priced = dict(zip(first, lattice_costs(tree, first, meter=meter).costs.tolist(), strict=True))
    enough = len(priced) == wanted
    limit = max(priced.values()) + TOLERANCE_BITS if enough else np.inf
    walk = TextWalk(tree, tree.lattice, kind="marginal", reference=limit, meter=meter)
    accounted = 0
    for visit in walk.visits():
        accounted += visit.dearer + len(visit.leaf_costs)
        for text, cost in zip(visit.text, visit.leaf_costs.tolist(), strict=True):
            priced[tree.secret_of(bytes(text.astype(np.uint8)))] = cost
        progress.update(done=min(len(priced), wanted), total=wanted, nodes=meter.nodes)
    complete = accounted == tree.form.size
    cheapest = sorted(priced, key=lambda secret: priced[secret])[:wanted]
    paths = tree.paths(cheapest)
    leaves = [
        Leaf(priced[s], [*tree.shared, *path]) for s, path in zip(cheapest, paths, strict=True)
    ]
    return Found(
        leaves=leaves,
        times=[1] * len(leaves),
        queries=meter.nodes,
        proven=len(leaves) if complete else 0,
        bound_bits=leaves[-1].cost if complete else 0.0,
        complete=complete,
        note="" if complete else _ended("budget", meter, 0, wanted, 0.0),
    )


def _ended(what: str, meter: Meter, proven: int, wanted: int, bound: float) -> str:
    return (
        f"The {what} ran out after {meter.nodes:,} queries: {proven} of {wanted} secrets are proven, and whatever "
        f"is missing costs at least {bound:.2f} bits."
    )
