"""Text prefixes and the token histories that cover them, as arrays: what a walk over texts holds.

Histories are lazy like the nodes of a frontier: a history keeps its last piece and the row of its parent's model state, and is read by
the model when its prefix is spelled to the end. Parents were read in different rounds, so a slab refers to several batches of
model states, which are shared and not copied.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from secretaudit.models.language_model import State
from secretaudit.tree.vocabulary_edges import Integers
from secretaudit.tree.walk import Visit

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class TextVisit(Visit):
    """What one batch of the walk found; ``leaf_costs`` are of the walk's kind.

    Attributes:
        best: float64 (n,): cheapest segmentation of each secret, in bits.
        marginal: float64 (n,): all segmentations together (those that a walk of kind "best" did not drop).
        text: uint16 (n, length): bytes of each text since the root.
        log2_q: float64 (n, K): log2 of each proposal's probability of drawing the secret.
    """

    best: Floats
    marginal: Floats
    text: NDArray[np.uint16]
    log2_q: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Slab:
    """Text prefixes of one length, and the histories that cover them, in the order of their prefixes.

    Of prefixes: ``state`` (n,), ``lost`` (n,) in units of 2^−r, ``text`` (n, length), ``done`` (n, K) log2 of the probability
    of histories that proposals need not follow further. Of histories: ``owner`` (m,) its prefix, ``cost``, ``piece`` its last
    piece, ``read`` symbols of it that the prefix holds, ``store`` and ``row`` where its parent's model state is, ``log2_q`` (m, K).
    """

    state: Integers
    lost: Floats
    text: NDArray[np.uint16]
    done: Floats
    owner: Integers
    cost: Floats
    piece: Integers
    read: Integers
    store: Integers
    row: Integers
    log2_q: Floats
    memories: tuple[State, ...]

    def prefixes(self, low: int, high: int) -> Slab:
        """Prefixes low … high − 1 with their histories."""
        first, last = np.searchsorted(self.owner, [low, high])
        part = slice(low, high)
        slab = replace(
            self,
            state=self.state[part],
            lost=self.lost[part],
            text=self.text[part],
            done=self.done[part],
        )
        kept = slab.histories(np.arange(first, last))
        return replace(kept, owner=kept.owner - low)

    def histories(self, chosen: Integers | NDArray[np.bool_]) -> Slab:
        """The same prefixes with these histories only."""
        return replace(
            self,
            owner=self.owner[chosen],
            cost=self.cost[chosen],
            piece=self.piece[chosen],
            read=self.read[chosen],
            store=self.store[chosen],
            row=self.row[chosen],
            log2_q=self.log2_q[chosen],
        )


def joined(pieces: list[Slab], memories: list[State]) -> Slab:
    """Histories of the same prefixes as one, in any order; states that nobody needs are let go."""
    store = np.concatenate([p.store for p in pieces])
    needed, number = np.unique(store, return_inverse=True)
    return replace(
        pieces[0],
        owner=np.concatenate([p.owner for p in pieces]),
        cost=np.concatenate([p.cost for p in pieces]),
        piece=np.concatenate([p.piece for p in pieces]),
        read=np.concatenate([p.read for p in pieces]),
        row=np.concatenate([p.row for p in pieces]),
        log2_q=np.concatenate([p.log2_q for p in pieces]),
        store=number.astype(np.int64),
        memories=tuple(memories[s] for s in needed.tolist()),
    )


def gathered(slab: Slab, block: Integers) -> tuple[State, Integers]:
    """The model states that these histories extend, as one batch, and their rows in it; ``block`` is sorted by store."""
    stores, first = np.unique(slab.store[block], return_index=True)
    if len(stores) == 1:
        return slab.memories[int(stores[0])], slab.row[block]
    memory: State | None = None
    row = np.empty(len(block), dtype=np.int64)
    for store, part in zip(
        stores.tolist(), np.split(np.arange(len(block)), first[1:]), strict=True
    ):
        distinct, place = np.unique(slab.row[block[part]], return_inverse=True)
        chosen = slab.memories[store].select(torch.from_numpy(distinct))
        row[part] = place + (0 if memory is None else len(memory))
        memory = chosen if memory is None else memory.append(chosen)
    if memory is None:
        raise ValueError("no histories to read")
    return memory, row
