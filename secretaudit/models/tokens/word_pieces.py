"""Longest match first (WordPiece) as a rule over the tokens of a piece.

From left to right the longest token that fits is taken. So while a longer token than the one taken is still possible, the constraint remembers
the places in the trie at which it stands; a piece in which one of them is completed is not what the tokenizer gives.
"""

from __future__ import annotations

import numpy as np

from secretaudit.models.tokens.rules import AnyTokens, Exceptions, in_order, rows
from secretaudit.models.tokens.trie import SYMBOLS, Integers, Trie, distinct


class WordPieces(AnyTokens):
    """Longest match first.

    Args:
        trie: Trie of the tokens; those that go on within a word stand behind the symbol ``mark``.
        mark: That symbol.
    """

    def __init__(self, trie: Trie, mark: int) -> None:
        self._trie, self._mark = trie, mark
        self._accepting = np.diff(trie.ends_start) > 0
        self._children = np.searchsorted(trie.keys, np.arange(trie.nodes + 1) * SYMBOLS)
        #: The places in the trie that each constraint holds open.
        self._open: list[tuple[int, ...]] = [()]
        self._number: dict[tuple[int, ...], int] = {(): 0}

    def begin(self, token: Integers) -> Integers:
        """Constraint after each token that begins a piece."""
        return self.inside(token)

    def inside(self, token: Integers) -> Integers:
        """Constraint after each token within a piece."""
        own = self._trie.node[token]
        return self._numbers([(n,) if n else () for n in self._if_open(own).tolist()])

    def exceptions(self, constraint: Integers, used: Integers) -> Exceptions:
        """What may follow each constraint otherwise than ``inside`` says."""
        places = [self._open[c] for c in constraint.tolist()]
        owner = np.repeat(np.arange(len(places)), [len(p) for p in places])
        longer = np.array([node for p in places for node in p], dtype=np.int64)
        (who, barred), (holder, token, node) = self._walk(owner, longer, used)
        tokens = len(self._trie.node)
        dead = distinct(who * tokens + barred)
        key = holder * tokens + token
        if len(dead):
            place = np.minimum(np.searchsorted(dead, key), len(dead) - 1)
            fine = dead[place] != key
            key, token, node = key[fine], token[fine], node[fine]
        held, after = self._held(key, self._if_open(self._trie.node[token]), node)
        every = np.concatenate([dead, held])
        constraints = np.concatenate([np.full(len(dead), -1), after])
        return in_order(every // tokens, every % tokens, constraints)

    def _held(self, key: Integers, own: Integers, node: Integers) -> tuple[Integers, Integers]:
        """The constraint after each distinct key: what it holds open, and its token's own place."""
        order = np.argsort(key, kind="stable")
        key, own, node = key[order], own[order], node[order]
        first = np.flatnonzero(np.diff(key, prepend=-1))
        sets = (
            [
                tuple(sorted({*group.tolist(), int(one)} - {0}))
                for group, one in zip(np.split(node, first[1:]), own[first], strict=True)
            ]
            if len(key)
            else []
        )
        return key[first], self._numbers(sets)

    def _walk(
        self, owner: Integers, longer: Integers, used: Integers
    ) -> tuple[tuple[Integers, Integers], tuple[Integers, Integers, Integers]]:
        """Which tokens complete a longer token, and which come nearer to it.

        The trie below each open place is walked side by side with the trie of the tokens that go on within a word.

        Returns:
            ((owner, token) of those that complete one, (owner, token, place in the trie afterwards) of the others).
        """
        trie = self._trie
        wanted = np.zeros(len(trie.node), dtype=np.bool_)
        wanted[used] = True
        root = trie.step(np.zeros(1, dtype=np.int64), np.array([self._mark]))[0]
        inside = np.full(len(owner), root)
        dead: list[tuple[Integers, Integers]] = []
        held: list[tuple[Integers, Integers, Integers]] = []
        while len(owner):
            item, edge = rows(self._children, longer)
            there = trie.step(inside[item], trie.keys[edge] % SYMBOLS)
            fits = np.flatnonzero(there >= 0)
            owner, longer, inside = owner[item[fits]], trie.child[edge[fits]], there[fits]
            complete = self._accepting[longer]
            dead += self._all_below(owner[complete], inside[complete])
            owner, longer, inside = owner[~complete], longer[~complete], inside[~complete]
            who, end = rows(trie.ends_start, inside)
            held.append((owner[who], trie.ends_token[end], longer[who]))
        killed = [
            np.concatenate([*column, np.zeros(0, dtype=np.int64)])
            for column in zip(*dead, strict=True)
        ] or [np.zeros(0, dtype=np.int64)] * 2
        nearer = [np.concatenate(column) for column in zip(*held, strict=True)] or [
            np.zeros(0, dtype=np.int64)
        ] * 3
        kept, near = wanted[killed[1]], wanted[nearer[1]]
        return (killed[0][kept], killed[1][kept]), (
            nearer[0][near],
            nearer[1][near],
            nearer[2][near],
        )

    def _all_below(self, owner: Integers, node: Integers) -> list[tuple[Integers, Integers]]:
        """All tokens that begin with what leads to a node."""
        found: list[tuple[Integers, Integers]] = []
        while len(owner):
            who, end = rows(self._trie.ends_start, node)
            found.append((owner[who], self._trie.ends_token[end]))
            item, edge = rows(self._children, node)
            owner, node = owner[item], self._trie.child[edge]
        return found

    def _if_open(self, node: Integers) -> Integers:
        """The nodes below which there is a longer token, 0 for others."""
        return np.where(self._children[node + 1] > self._children[node], node, 0)

    def _numbers(self, places: list[tuple[int, ...]]) -> Integers:
        """The constraint that holds these places open; new ones get new numbers."""
        for nodes in places:
            if nodes not in self._number:
                self._number[nodes] = len(self._open)
                self._open.append(nodes)
        return np.array([self._number[nodes] for nodes in places], dtype=np.int64)
