"""What chosen secrets cost when all segmentations of their texts count.

The secrets' texts make a trie, and the walk of ``text_walk.py`` goes through that trie only: histories that several secrets share are
read once. The reference cost of a secret is what the tokenizer's own sequence costs, which is one of its segmentations, so its
marginal is exact to 10^−6 bits and its best segmentation is exact.

How many segmentations there are is counted without the model. Where nearly all of them matter and they are too many, which
happens with long free texts under a model that does not care how a text is cut, the answer is a refusal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from secretaudit.errors import CouldNotMeasure
from secretaudit.tree.budget import Budget, Meter
from secretaudit.tree.chosen_secrets import Chosen, chosen_lattice
from secretaudit.tree.lattice import CLOSING, WIDE
from secretaudit.tree.secret_tree import TOLERANCE_BITS
from secretaudit.tree.segmentations import SegmentationTree
from secretaudit.tree.text_proposals import proposals_for
from secretaudit.tree.text_slab import Floats
from secretaudit.tree.text_walk import NEGLIGIBLE, TextWalk
from secretaudit.tree.vocabulary_edges import rows

#: Histories that may be read per secret before the answer is a refusal.
HISTORIES_PER_SECRET = 20_000


@dataclass(frozen=True, kw_only=True, eq=False)
class LatticeCosts:
    """Costs of N secrets.

    Attributes:
        costs: float64 (N,): of the tree's kind, in bits.
        canonical: float64 (N,): of the tokenizer's own sequence, by plain scoring.
        best: float64 (N,): of the cheapest segmentation.
        segmentations: float64 (N,): how many there are (exact below 2^53).
        log2_q: float64 (N, K): log2 of the probability that each proposal has of drawing the secret.
    """

    costs: Floats
    canonical: Floats
    best: Floats
    segmentations: Floats
    log2_q: Floats


def lattice_costs(
    tree: SegmentationTree,
    secrets: Sequence[str],
    *,
    temperatures: tuple[float, ...] = (),
    meter: Meter | None = None,
    ends: bool = False,
    negligible: float = NEGLIGIBLE,
) -> LatticeCosts:
    """Price secrets over all their segmentations.

    Args:
        tree: The tree; its kind says what a secret costs.
        secrets: Secrets of its format, repeated ones are priced once.
        temperatures: Proposals whose probability of drawing each secret is wanted as well; finite.
        meter: Also spent for each history read.
        ends: Whether the pricing ends when the meter is spent.
        negligible: Share of a marginal that may be left out.

    Raises:
        CouldNotMeasure: More histories matter than can be read.
    """
    chosen = chosen_lattice(tree, secrets)
    canonical = tree.score(list(secrets))
    most = HISTORIES_PER_SECRET * len(set(secrets))
    own = meter.part(most) if meter is not None and ends else Budget(nodes=most).meter()
    walk = TextWalk(
        tree,
        chosen.lattice,
        kind=tree.kind,
        reference=_references(chosen, canonical + TOLERANCE_BITS),
        meter=own,
        proposals=proposals_for(tree, chosen, temperatures) if temperatures else None,
        negligible=negligible,
    )
    costs = np.full(len(chosen.whole), np.inf)
    best, log2_q = costs.copy(), np.full((len(costs), len(temperatures)), -np.inf)
    met = 0
    for visit in walk.visits():
        state = chosen.lattice.reach(visit.text)
        costs[state], best[state], log2_q[state] = visit.leaf_costs, visit.best, visit.log2_q
        met += len(state) + visit.dearer
    if meter is not None and not ends:
        meter.spend(own.nodes)
    if met < len(set(secrets)):
        if own.nodes < most:
            raise _budget_ran_out(tree, len(set(secrets)))
        raise _too_many(tree, _segmentations(chosen))
    _check_agreement(tree, canonical, costs[chosen.ends])
    return LatticeCosts(
        costs=costs[chosen.ends],
        canonical=canonical,
        best=best[chosen.ends],
        segmentations=_segmentations(chosen),
        log2_q=log2_q[chosen.ends],
    )


def _references(chosen: Chosen, costs: Floats) -> Floats:
    """For each state the largest of the costs of the secrets below it."""
    lattice = chosen.lattice
    reference = np.full(len(lattice.accepting), -np.inf)
    np.maximum.at(reference, chosen.ends, costs)
    source, target = lattice.key // WIDE, lattice.target
    inside = lattice.key % WIDE < CLOSING
    source, target = source[inside], target[inside]
    order = np.argsort(lattice.height[source], kind="stable")
    height = lattice.height[source][order]
    for level in np.split(order, np.flatnonzero(np.diff(height)) + 1):
        np.maximum.at(reference, source[level], reference[target[level]])
    reference[np.isneginf(reference)] = reference.max()  # closing tokens follow all texts alike
    return reference


def _segmentations(chosen: Chosen) -> Floats:
    """Number of piece sequences from the root to the end of each secret's text."""
    lattice = chosen.lattice
    ways = np.zeros(len(lattice.accepting))
    ways[lattice.root] = 1.0
    order = np.argsort(-lattice.height, kind="stable")
    cuts = np.flatnonzero(np.diff(lattice.height[order])) + 1
    for level in np.split(order, cuts):
        owner, edge = rows(lattice.start, level)
        np.add.at(ways, lattice.goal[edge], ways[level[owner]])
    found: Floats = ways[chosen.ends]
    return found


def _check_agreement(tree: SegmentationTree, canonical: Floats, costs: Floats) -> None:
    """All segmentations together cannot be dearer than one of them."""
    worst = float(np.max(np.where(np.isinf(canonical), 0.0, costs - canonical), initial=0.0))
    if not worst <= TOLERANCE_BITS:
        raise CouldNotMeasure(
            f"Two ways of pricing a canary of {tree.form.name!r} differ.",
            "Its cheapest segmentation, read step by step, is dearer than one of them, scored as a whole.",
            "Check the model for settings that change between calls, such as active dropout.",
        )


def _budget_ran_out(tree: SegmentationTree, secrets: int) -> CouldNotMeasure:
    return CouldNotMeasure(
        f"The budget ran out before the canaries of {tree.form.name!r} were priced.",
        f"All segmentations of {secrets} texts were to be read first.",
        "Give more with --budget, or use --segmentation canonical.",
    )


def _too_many(tree: SegmentationTree, segmentations: Floats) -> CouldNotMeasure:
    most = float(segmentations.max())
    return CouldNotMeasure(
        f"A text of {tree.form.name!r} has too many segmentations to price ({most:.3g}).",
        f"More than {HISTORIES_PER_SECRET:,} histories per secret matter to its cost.",
        "Use --segmentation canonical, or a format with less text after the hole.",
    )
