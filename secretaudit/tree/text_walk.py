"""Depth first through the texts of a format, all segmentations of a text together.

A node is a *text prefix* w. With it go the token histories that cover it: those that spell exactly w, and those whose last token
straddles its end. Every segmentation of every text that begins with w extends exactly one of them, and probabilities only fall
on the way, so for all secrets s below w

    best(s)     ≥ min_h cost(h)                    marginal(s) ≥ −log2 Σ_h P(h)            h: histories that cover w

which are bounds as good for segmentations as a node's own cost is in the tree of canonical sequences: a walk with a limit visits
only prefixes whose bound is within it, and of every branch that is cut the exact number of *secrets* is known. Each
secret is met once, with its cost. Histories that spell exactly w are read by the model, thousands at a time; their
continuations are then led on byte by byte, so that those with the same text meet.

**What is dropped.** For ``best`` a history that is dearer than the reference cost r. For ``marginal`` histories whose probabilities
add up to at most ε·2^−r along the whole text (ε = ``NEGLIGIBLE``): a secret that costs about r is then priced at most
log2(1 + ε) < 10^−6 bits too dear, and dearer ones are found dearer than r in any case.

The walk can also note what proposals at several temperatures think of each secret (``exposure.segmented_importance``): the
probability of drawing any of its segmentations. A history is done with as soon as its text can only go on in one
way: what follows sums to one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from secretaudit.errors import ModelError
from secretaudit.models.language_model import State
from secretaudit.tree.budget import Meter
from secretaudit.tree.lattice import Lattice
from secretaudit.tree.segmentations import SegmentationTree
from secretaudit.tree.text_proposals import Proposals, tempered
from secretaudit.tree.text_slab import Floats, Slab, TextVisit, gathered, joined
from secretaudit.tree.vocabulary_edges import Integers, rows

#: ε: share of a secret's probability that may be left out of its marginal.
NEGLIGIBLE = 5e-7
#: log2 of a weight that is never dropped.
_HEAVY = 64.0
_BITS_PER_NAT = 1.0 / math.log(2.0)


class TextWalk:
    """A depth-first walk over texts.

    Args:
        tree: The tree of all segmentations.
        lattice: The texts to walk: ``tree.lattice``, or that of chosen secrets.
        kind: "best" or "marginal": which bound cuts, and what may be dropped.
        reference: r in bits: one number for all texts, or float64 (S,) one for the texts below each state. Secrets dearer
            than that are cut.
        meter: Spent for each history read; the walk stops when nothing is left.
        proposals: Also say how probable each secret is under these.
        negligible: ε.
    """

    def __init__(
        self,
        tree: SegmentationTree,
        lattice: Lattice,
        *,
        kind: str,
        reference: float | Floats,
        meter: Meter,
        proposals: Proposals | None = None,
        negligible: float = NEGLIGIBLE,
    ) -> None:
        self.tree = tree
        self.lattice = lattice
        self.kind = kind
        self.meter = meter
        self._reference = np.broadcast_to(
            np.asarray(reference, dtype=np.float64), (len(lattice.accepting),)
        )
        self._proposals = proposals
        self._negligible = negligible
        self._length = lattice.pieces.length
        self._inner = np.diff(lattice.start) > 0
        self._closing = len(tree.model.framing.after)
        # A quarter of the tree's batch: a slab holds the continuations of several rounds.
        self._batch = max(1, tree.batch // 4)

    def visits(self) -> Iterator[TextVisit]:
        """Walk until all secrets are met or cut, or the budget is spent."""
        stack = [self._first()]
        while stack and not self.meter.spent:
            slab, rest = self._bite(stack.pop())
            if rest is not None:
                stack.append(rest)
            slab = self._settled(slab)
            leaves = self._leaves(slab)
            below = self._cut(self._prune(self._lead_on(self._read(slab))))
            if len(below.state):
                stack.append(below)
            # What neither ended here nor goes on below was cut, or lost its last history before.
            dearer = self._secrets(slab) - len(leaves.text) - self._secrets(below)
            if dearer or len(leaves.text):
                yield replace(leaves, dearer=dearer)

    def _first(self) -> Slab:
        """The text that all secrets share, read as one history."""
        root = self.tree.root(self.meter)
        token = int(root.token[0])
        kinds = len(self._proposals.temperatures) if self._proposals else 0
        zero = np.zeros(1, dtype=np.int64)
        return Slab(
            state=np.array([self.lattice.root]),
            lost=np.zeros(1),
            text=np.zeros((1, 0), dtype=np.uint16),
            done=np.full((1, kinds), -np.inf),
            owner=zero,
            cost=root.cost,
            piece=np.array([token]),
            read=self._length[[token]],
            store=zero,
            row=root.row,
            log2_q=np.zeros((1, kinds)),
            memories=(root.memory,),
        )

    def _secrets(self, slab: Slab) -> int:
        """Exact number of secrets below these prefixes."""
        return int(self.lattice.texts[slab.state].sum())

    def _exact(self, slab: Slab) -> NDArray[np.bool_]:
        """Histories that spell exactly their prefix."""
        exact: NDArray[np.bool_] = slab.read == self._length[slab.piece]
        return exact

    def _bite(self, slab: Slab) -> tuple[Slab, Slab | None]:
        """As many of the first prefixes as fit into a batch, and the others."""
        reads = np.bincount(slab.owner[self._exact(slab)], minlength=len(slab.state))
        fitting = int(np.searchsorted(np.cumsum(reads), self._batch, side="right"))
        if fitting >= len(slab.state):
            return slab, None
        cut = max(1, fitting)
        return slab.prefixes(0, cut), slab.prefixes(cut, len(slab.state))

    def _settled(self, slab: Slab) -> Slab:
        """Proposals are done with histories behind which the text can only go on in one way."""
        if not self._proposals:
            return slab
        whole = self._proposals.whole[slab.state]
        single = (self._proposals.lattice.texts[whole] == 1).astype(np.bool_)
        settled = np.flatnonzero(self._exact(slab) & single[slab.owner])
        if not len(settled):
            return slab
        done, log2_q = slab.done.copy(), slab.log2_q.copy()
        np.logaddexp2.at(done, slab.owner[settled], log2_q[settled])
        log2_q[settled] = -np.inf
        return replace(slab, done=done, log2_q=log2_q)

    def _leaves(self, slab: Slab) -> TextVisit:
        """The secrets that end here."""
        ending = self._exact(slab) & self.lattice.accepting[slab.state[slab.owner]]
        ended = slab.histories(ending)
        who, first = np.unique(ended.owner, return_index=True)
        if len(who):
            best = np.minimum.reduceat(ended.cost, first)
            marginal = -np.logaddexp2.reduceat(-ended.cost, first)
            drawn = np.logaddexp2.reduceat(ended.log2_q, first, axis=0)
        else:
            best = marginal = np.zeros(0)
            drawn = slab.done[who]
        costs = best if self.kind == "best" else marginal
        kept = costs <= self._reference[slab.state[who]]
        return TextVisit(
            leaf_costs=costs[kept],
            dearer=0,
            best=best[kept],
            marginal=marginal[kept],
            text=slab.text[who[kept], : slab.text.shape[1] - self._closing],
            log2_q=np.logaddexp2(slab.done[who], drawn)[kept],
        )

    def _read(self, slab: Slab) -> Slab:
        """Let the model read the histories that spell their prefix; their continuations take their place."""
        exact = self._exact(slab)
        wanted = np.flatnonzero(exact & self._inner[slab.state[slab.owner]])
        wanted = wanted[np.lexsort((slab.row[wanted], slab.store[wanted]))]
        pieces, memories = [slab.histories(~exact)], list(slab.memories)
        for low in range(0, len(wanted), self._batch):
            read, memory = self._read_block(slab, wanted[low : low + self._batch])
            pieces.append(replace(read, store=np.full(len(read.owner), len(memories))))
            memories.append(memory)
        return joined(pieces, memories)

    def _read_block(self, slab: Slab, block: Integers) -> tuple[Slab, State]:
        """The continuations of some histories, and the model's states behind these."""
        self.meter.spend(len(block))
        memory, row = gathered(slab, block)
        states = slab.state[slab.owner[block]]
        parent, edge = rows(self.lattice.start, states)
        piece = self.lattice.piece[edge]
        if self._proposals is None:
            bits, after = self._priced(slab, block, memory, row, parent, piece)
            log2_q = np.zeros((len(edge), 0))
        else:
            bits, log2_q, after = self._weighed(slab, block, memory, row, states)
        log2_q = slab.log2_q[block][parent] + log2_q
        continued = slab.histories(block[parent])
        found = replace(
            continued,
            cost=continued.cost + bits,
            piece=piece,
            read=np.zeros(len(edge), dtype=np.int64),
            row=parent,
            log2_q=log2_q,
        )
        return found, after

    def _priced(
        self,
        slab: Slab,
        block: Integers,
        memory: State,
        row: Integers,
        parent: Integers,
        piece: Integers,
    ) -> tuple[Floats, State]:
        """Bits that these pieces cost behind these histories."""
        token = self.lattice.pieces.token
        log_p, after = self.tree.model.price(
            memory,
            torch.from_numpy(row),
            torch.from_numpy(token[slab.piece[block]]),
            torch.from_numpy(parent),
            torch.from_numpy(token[piece]),
        )
        bits = log_p.numpy(force=True).astype(np.float64) * -_BITS_PER_NAT
        allowed = ~np.isnan(bits) & (bits > -np.inf) if self.tree.rules_out else np.isfinite(bits)
        if not allowed.all():
            raise ModelError(
                f"The model {self.tree.model.name!r} gives a log-probability that is not finite.",
                "Its weights hold NaN or infinity, or its training diverged.",
                "Train again with a smaller learning rate, or audit another checkpoint.",
            )
        return bits, after

    def _weighed(
        self, slab: Slab, block: Integers, memory: State, row: Integers, states: Integers
    ) -> tuple[Floats, Floats, State]:
        """Bits and log2 q of the walk's own edges: the proposals choose among all edges of the format."""
        asked = self._proposals
        if asked is None:
            raise ValueError("a walk without proposals has nothing to weigh")
        whole = asked.whole[states]
        parent, edge = rows(asked.lattice.start, whole)
        bits, after = self._priced(slab, block, memory, row, parent, asked.lattice.piece[edge])
        log2_q = tempered(bits, parent, asked.copies[edge], asked.temperatures)
        degree = np.diff(asked.lattice.start)[whole]
        begin = np.cumsum(degree) - degree - asked.lattice.start[whole]
        owner, own = rows(self.lattice.start, states)
        place = asked.edge[own] + begin[owner]
        return bits[place], log2_q[place], after

    def _lead_on(self, slab: Slab) -> Slab:
        """One more symbol of every history: prefixes one longer, and histories with the same text together."""
        pieces = self.lattice.pieces
        symbol = pieces.symbol[pieces.start[slab.piece] + slab.read]
        code = slab.owner * (1 << 16) + symbol
        order = np.argsort(code, kind="stable")
        ordered = slab.histories(order)
        code = code[order]
        first = np.flatnonzero(np.diff(code, prepend=-1))
        before, last = code[first] >> 16, code[first] & 0xFFFF
        state = self.lattice.follow(slab.state[before], last)
        lost = slab.lost[before]
        here, there = self._reference[state], self._reference[slab.state[before]]
        shift = np.where(lost > 0, here, 0.0) - np.where(lost > 0, there, 0.0)
        return replace(
            ordered,
            state=state,
            lost=lost * np.exp2(shift),
            text=np.column_stack([slab.text[before], last.astype(np.uint16)]),
            done=slab.done[before],
            owner=np.repeat(np.arange(len(first)), np.diff(np.append(first, len(code)))),
            read=ordered.read + 1,
        )

    def _prune(self, slab: Slab) -> Slab:
        """Drop histories that do not matter, see the head of this file; prefixes stay."""
        weight = self._weight(slab)
        room = (self._negligible - slab.lost) / (1 + self.lattice.height[slab.state])
        light = np.flatnonzero(weight <= room[slab.owner])
        if not len(light):
            return slab
        light = light[np.lexsort((weight[light], slab.owner[light]))]
        owner = slab.owner[light]
        running = np.cumsum(weight[light])
        first = np.flatnonzero(np.diff(owner, prepend=-1))
        own = running - np.repeat(
            running[first] - weight[light][first], np.diff(np.append(first, len(owner)))
        )
        dropped = own <= room[owner]
        keep = np.ones(len(slab.owner), dtype=np.bool_)
        keep[light[dropped]] = False
        lost = slab.lost + np.bincount(
            owner[dropped], weights=weight[light][dropped], minlength=len(slab.state)
        )
        return replace(slab.histories(keep), lost=lost)

    def _weight(self, slab: Slab) -> Floats:
        """How much each history may matter to a secret below: a share of 2^−r or of the least probability of being drawn."""
        with np.errstate(invalid="ignore"):  # ∞ − ∞: what cannot be read does not matter
            over = slab.cost - self._reference[slab.state][slab.owner]
        over = np.where(np.isinf(slab.cost), np.inf, over)
        if self.kind == "best":
            weight = np.where(over > 0, 0.0, np.inf)
        else:
            weight = np.exp2(np.minimum(-over, _HEAVY))
        if self._proposals:
            secrets = math.log2(int(self._proposals.lattice.texts[self._proposals.lattice.root]))
            log2_q = np.logaddexp2.reduce(slab.log2_q, axis=1) + secrets
            drawn = np.exp2(np.minimum(log2_q, _HEAVY))
            weight = np.maximum(weight, drawn)
        return weight

    def _cut(self, slab: Slab) -> Slab:
        """The prefixes whose bound is within the reference, with their histories."""
        who, first = np.unique(slab.owner, return_index=True)
        kept = np.zeros(len(slab.state), dtype=np.bool_)
        if len(who):
            if self.kind == "best":
                bound = np.minimum.reduceat(slab.cost, first)
            else:
                bound = -np.logaddexp2.reduceat(-slab.cost, first)
            kept[who] = bound <= self._reference[slab.state[who]]
        if kept.all():
            return slab
        left = slab.histories(kept[slab.owner])
        number = np.cumsum(kept) - 1
        return replace(
            left,
            state=slab.state[kept],
            lost=slab.lost[kept],
            text=slab.text[kept],
            done=slab.done[kept],
            owner=number[left.owner],
        )
