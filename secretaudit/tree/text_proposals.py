"""What proposals at several temperatures think of the segmentations of chosen secrets.

A proposal of temperature t goes down the tree of all segmentations and takes, at each history, the next token with probability
∝ p^(1/t) among all that the *format* allows there (``draws.py``). A walk over chosen secrets sees few of those tokens, so the
others are priced for the sum only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from secretaudit.tree.chosen_secrets import Chosen
from secretaudit.tree.lattice import Lattice
from secretaudit.tree.segmentations import SegmentationTree
from secretaudit.tree.text_slab import Floats
from secretaudit.tree.vocabulary_edges import Integers


@dataclass(frozen=True, kw_only=True, eq=False)
class Proposals:
    """What the proposals need to know of the whole format when only chosen secrets are walked.

    Attributes:
        temperatures: Finite, one proposal each.
        lattice: Of the whole format, over which a proposal chooses.
        whole: int64 (S,): its state for each state of the walk.
        edge: int64 (E,): its edge for each edge of the walk.
        copies: int64: for each of its edges, 2 where a secret may end or go on behind it and no token says which, else 1.
    """

    temperatures: tuple[float, ...]
    lattice: Lattice
    whole: Integers
    edge: Integers
    copies: Integers


def proposals_for(
    tree: SegmentationTree, chosen: Chosen, temperatures: tuple[float, ...]
) -> Proposals:
    """The edges of the whole format for those of the chosen secrets."""
    whole, own = tree.lattice, chosen.lattice
    width = len(whole.pieces.token)
    source = np.repeat(np.arange(len(own.accepting)), np.diff(own.start))
    whole_source = np.repeat(np.arange(len(whole.accepting)), np.diff(whole.start))
    wanted = chosen.whole[source] * width + own.piece
    goes_on = whole.accepting & (np.diff(whole.start) > 0)
    return Proposals(
        temperatures=temperatures,
        lattice=whole,
        whole=chosen.whole,
        edge=np.searchsorted(whole_source * width + whole.piece, wanted),
        copies=1 + goes_on[whole.goal].astype(np.int64),
    )


def tempered(
    bits: Floats, parent: Integers, copies: Integers, temperatures: tuple[float, ...]
) -> Floats:
    """log2 q_t(edge) ∝ p^(1/t) among the edges of each parent, shape (E, K); copies count as often as they are there."""
    begins = np.diff(parent, prepend=-1) != 0
    first, group = np.flatnonzero(begins), np.cumsum(begins) - 1
    columns = []
    for temperature in temperatures:
        scaled = -bits / temperature
        total = np.logaddexp2.reduceat(scaled + np.log2(copies), first)[group]
        possible = total > -np.inf
        columns.append(np.where(possible, scaled - np.where(possible, total, 0.0), -np.inf))
    return np.stack(columns, axis=1)
