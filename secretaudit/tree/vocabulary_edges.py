"""Which tokens of a vocabulary may be read in which state of a byte automaton, and which pairs of tokens may meet.

``vocabulary_edges`` walks the trie of the vocabulary and the automaton side by side, from all states at once: each round
reads one more byte, and where a token ends an edge is written down. The work is the number of (state, token prefix) pairs that fit,
not states × vocabulary.

``PairRule`` asks the tokenizer itself, once per distinct pair and thousands at a time: a and b may stand side by side when it writes
the text a + b as [a, b].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secretaudit.canary.automaton import Automaton
from secretaudit.models.language_model import TokenView

Integers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class VocabularyEdges:
    """Edges of a byte automaton that read a whole token: state s owns ``start[s]:start[s + 1]``, by ascending token.

    Attributes:
        start: int64 (S + 1,).
        token: int64 (E,): token id.
        goal: int64 (E,): byte state after its last byte.
    """

    start: Integers
    token: Integers
    goal: Integers


@dataclass(frozen=True, kw_only=True, eq=False)
class _Trie:
    """Nodes of the trie of all tokens; node 0 is empty. Keys are node · 256 + byte, ascending."""

    keys: Integers
    child: Integers
    ends_start: Integers
    ends_token: Integers


def vocabulary_edges(text: Automaton, token_bytes: Sequence[bytes | None]) -> VocabularyEdges:
    """All (state, token, state) such that the token's bytes lead from the one to the other.

    Args:
        text: An automaton over bytes.
        token_bytes: The bytes of each token id; ``None`` and empty tokens are never read.
    """
    trie = _trie(token_bytes)
    byte_start = np.asarray(text.edge_start, dtype=np.int64)
    state = origin = np.arange(text.states, dtype=np.int64)
    node = np.zeros(text.states, dtype=np.int64)
    found: list[tuple[Integers, Integers, Integers]] = []
    while len(state):
        item, edge = rows(byte_start, state)
        key = node[item] * 256 + text.edge_symbol[edge]
        place = np.minimum(np.searchsorted(trie.keys, key), len(trie.keys) - 1)
        fits = trie.keys[place] == key
        origin, node = origin[item[fits]], trie.child[place[fits]]
        state = text.edge_target[edge[fits]].astype(np.int64)
        who, end = rows(trie.ends_start, node)
        token = trie.ends_token[end]
        found.append((origin[who], token, state[who]))
    columns = [np.concatenate(column) for column in zip(*found, strict=True)]
    order = np.lexsort((columns[1], columns[0]))
    origins, tokens, goals = (column[order] for column in columns)
    return VocabularyEdges(
        start=np.searchsorted(origins, np.arange(text.states + 1)), token=tokens, goal=goals
    )


def rows(start: Integers, chosen: Integers) -> tuple[Integers, Integers]:
    """All entries of chosen rows of a table in which row s owns ``start[s]:start[s + 1]``.

    Returns:
        (index into ``chosen``, index of the entry), row after row.
    """
    length = start[chosen + 1] - start[chosen]
    owner = np.repeat(np.arange(len(chosen)), length)
    before = np.cumsum(length) - length
    return owner, np.arange(len(owner)) - np.repeat(before - start[chosen], length)


def _trie(token_bytes: Sequence[bytes | None]) -> _Trie:
    children: dict[int, int] = {}
    ends: dict[int, list[int]] = {}
    nodes = 1
    for token, spelled in enumerate(token_bytes):
        if not spelled:
            continue
        node = 0
        for byte in spelled:
            key = node * 256 + byte
            if key not in children:
                children[key] = nodes
                nodes += 1
            node = children[key]
        ends.setdefault(node, []).append(token)
    keys = np.array(sorted(children), dtype=np.int64)
    counts = [len(ends.get(n, ())) for n in range(nodes)]
    return _Trie(
        keys=keys,
        child=np.array([children[k] for k in keys.tolist()], dtype=np.int64),
        ends_start=np.cumsum([0, *counts], dtype=np.int64),
        ends_token=np.array([t for n in range(nodes) for t in ends.get(n, ())], dtype=np.int64),
    )


class PairRule:
    """Which tokens may follow which, by the tokenizer's own word; asked once per pair."""

    _AT_ONCE = 200_000

    def __init__(self, tokenizer: TokenView) -> None:
        self._tokenizer = tokenizer
        self._width = len(tokenizer.token_bytes)
        self._known = np.zeros(0, dtype=np.int64)
        self._allowed = np.zeros(0, dtype=np.bool_)

    def allows(self, last: Integers, token: Integers) -> NDArray[np.bool_]:
        """Whether each token may follow the one beside it; anything may stand first (last = −1)."""
        pair = np.where(last < 0, -1, last * self._width + token)
        distinct = np.unique(pair)
        new = np.setdiff1d(distinct[distinct >= 0], self._known, assume_unique=True)
        for low in range(0, len(new), self._AT_ONCE):
            self._learn(new[low : low + self._AT_ONCE])
        if not len(self._known):
            return np.ones(len(pair), dtype=np.bool_)
        place = np.minimum(np.searchsorted(self._known, pair), len(self._known) - 1)
        found: NDArray[np.bool_] = np.where(pair < 0, True, self._allowed[place])
        return found

    def _learn(self, pairs: Integers) -> None:
        spelled = self._tokenizer.token_bytes
        texts: list[str] = []
        asked: list[int] = []
        # Half a character cannot be asked about: it is allowed here, and the count of all paths tells the truth.
        allowed = np.ones(len(pairs), dtype=np.bool_)
        split = [divmod(p, self._width) for p in pairs.tolist()]
        for i, (last, token) in enumerate(split):
            try:
                texts.append(((spelled[last] or b"") + (spelled[token] or b"")).decode())
                asked.append(i)
            except UnicodeDecodeError:
                continue
        for i, ids in zip(asked, self._tokenizer.encode(texts) if texts else [], strict=True):
            allowed[i] = tuple(ids) == split[i]
        known = np.concatenate([self._known, pairs])
        order = np.argsort(known)
        self._known, self._allowed = known[order], np.concatenate([self._allowed, allowed])[order]
