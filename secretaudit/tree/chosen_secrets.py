"""The lattice of chosen secrets only.

Their texts make a trie: what several of them begin with is there once, so the histories that spell it are read once, and every text
ends in a state of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from secretaudit.canary.automaton import Automaton, from_edges
from secretaudit.tree.lattice import Lattice, build_lattice
from secretaudit.tree.segmentations import SegmentationTree
from secretaudit.tree.vocabulary_edges import Integers


@dataclass(frozen=True, kw_only=True, eq=False)
class Chosen:
    """The lattice of chosen secrets only: a trie, so what several of them begin with is there once.

    Attributes:
        lattice: Of their texts.
        ends: int64 (N,): the byte state in which each secret's text ends, before any closing token.
        whole: int64 (S,): for each state, the state of the whole format's lattice.
    """

    lattice: Lattice
    ends: Integers
    whole: Integers


def chosen_lattice(tree: SegmentationTree, secrets: Sequence[str]) -> Chosen:
    """The lattice of these secrets; repeated ones end in the same state."""
    tails = tree.tails(secrets)
    text = _trie(tails)
    spelled = tree.model.tokenizer.token_bytes
    used = {p for p in tree.lattice.used.tolist() if p < len(spelled)}
    own = [spelled[t] if t in used else None for t in range(len(spelled))]
    lattice = build_lattice(text, own, tree.model.framing.after)
    table = _table(tails)
    ends, whole = (
        np.zeros(len(tails), dtype=np.int64),
        np.zeros(len(lattice.accepting), dtype=np.int64),
    )
    at = np.full(len(tails), tree.lattice.root)
    whole[0] = tree.lattice.root
    for symbols in table.T:
        on = np.flatnonzero(symbols >= 0)
        ends[on] = lattice.follow(ends[on], symbols[on])
        at[on] = tree.lattice.follow(at[on], symbols[on])
        whole[ends[on]] = at[on]
    closing = len(tree.model.framing.after)
    if closing:
        whole[-closing:] = len(tree.lattice.accepting) - closing + np.arange(closing)
    return Chosen(lattice=lattice, ends=ends, whole=whole)


def _table(texts: list[bytes]) -> Integers:
    """Bytes of the texts, one row each, −1 behind their ends."""
    table = np.full((len(texts), max(map(len, texts))), -1, dtype=np.int64)
    for row, text in zip(table, texts, strict=True):
        row[: len(text)] = np.frombuffer(text, dtype=np.uint8)
    return table


def _trie(texts: list[bytes]) -> Automaton:
    """The trie of these texts: every text ends in a state of its own."""
    table = np.unique(_table(texts), axis=0)
    differs = np.ones(table.shape, dtype=np.bool_)
    differs[1:] = np.logical_or.accumulate(table[1:] != table[:-1], axis=1)
    new = differs & (table >= 0)
    number = np.where(new, np.cumsum(new).reshape(new.shape), 0)
    node = np.maximum.accumulate(number, axis=0)
    before = np.concatenate([np.zeros((len(table), 1), dtype=np.int64), node[:, :-1]], axis=1)
    accepting = np.zeros(int(new.sum()) + 1, dtype=np.bool_)
    length = (table >= 0).sum(axis=1)
    accepting[node[np.arange(len(table)), length - 1]] = True
    return from_edges(before[new], table[new], node[new], accepting)
