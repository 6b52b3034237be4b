"""Byte-pair encoding as a relation between neighbours.

BPE starts from single symbols and carries out, again and again, the allowed merge of lowest rank (the leftmost among equals). Given
the sequence of tokens t_1 … t_n of a piece, it is what BPE gives for its text exactly when every t_i is what BPE gives for its own
text, and no adjacent pair would have been merged across its edge. For a pair (a, b) undo the merges that made a and b,
the latest first: at any time the edge lies between a symbol x of the right spine of a and a symbol y of the left
spine of b. A merge (x, y) crosses the edge if it comes before both x and y are merged away into their own tokens:

    time(x, y) < time at which x was merged     and     time(x, y) ≤ time at which y was merged,

(the left of two equal merges comes first). A merge happens at the time max(rank, times of its parts); in vocabularies
where every token is made from earlier ones that is its rank.

The rule is that of the ``bpe`` crate of GitHub's rust-gems (van Antwerpen and Neubeck, "So many tokens, so little time", 2024);
here it is stated with ranks instead of ids and decided for millions of pairs at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from secretaudit.models.tokens.trie import Integers, distinct, scrambled

Flags = NDArray[np.bool_]

_NEVER = np.int64(2**31)


@dataclass(frozen=True, kw_only=True, eq=False)
class Merges:
    """The merges of a BPE model, ascending by rank.

    Attributes:
        left: int64 (M,): token ids.
        right: int64 (M,).
        merged: int64 (M,): the token that the pair becomes.
        tokens: V, number of token ids.
    """

    left: Integers
    right: Integers
    merged: Integers
    tokens: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Derivations:
    """How BPE makes each token from its own text.

    Attributes:
        left: int64 (V,): the left part of a token's last merge; the token itself where it is a single symbol.
        right: int64 (V,).
        time: int64 (V,): when that merge happens, 0 for symbols; merges count from 1.
        made: bool (V,): whether BPE gives the token for its text at all.
    """

    left: Integers
    right: Integers
    time: Integers
    made: Flags


class PairTable:
    """Which tokens may stand side by side in what BPE gives for one piece of text.

    Args:
        merges: The model's merges.
        length: int64 (V,): symbols of each token, 0 for ids that are no tokens of the model.
        derivations: What ``derivations`` said before, from a cache.
    """

    def __init__(
        self, merges: Merges, length: Integers, derivations: Derivations | None = None
    ) -> None:
        self._merges = merges
        self._length = length
        order = np.argsort(merges.left * merges.tokens + merges.right, kind="stable")
        self._keys = (merges.left * merges.tokens + merges.right)[order]
        self._rank = order + 1
        self._last: tuple[Integers, tuple[Integers, Integers, Integers]] | None = None
        if derivations is not None:
            self.derivations = derivations

    @cached_property
    def derivations(self) -> Derivations:
        """How each token is made, the shorter ones first; a token may have several merges, of which one is used."""
        merges, length = self._merges, self._length
        own = np.arange(merges.tokens, dtype=np.int64)
        made = length == 1
        found = Derivations(left=own, right=own.copy(), time=np.zeros_like(own), made=made)
        long = length[merges.merged]
        order = np.argsort(long, kind="stable")
        bounds = np.searchsorted(long[order], np.arange(2, int(length.max(initial=1)) + 2))
        for low, high in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            self._derive(found, order[low:high])
        return found

    def _derive(self, found: Derivations, rank: Integers) -> None:
        """Find the merges among these that make their token, and write them down; the earliest wins."""
        left, right = self._merges.left[rank], self._merges.right[rank]
        works = found.made[left] & found.made[right]
        rank, left, right = rank[works], left[works], right[works]
        works = self._meet(found, left, right, finished=True)
        rank, left, right = rank[works], left[works], right[works]
        time = np.maximum(rank + 1, np.maximum(found.time[left], found.time[right]))
        latest_first = np.lexsort((-rank, -time))
        token = self._merges.merged[rank][latest_first]
        found.left[token] = left[latest_first]
        found.right[token] = right[latest_first]
        found.time[token] = time[latest_first]
        found.made[token] = True

    def meet(self, left: Integers, right: Integers) -> Flags:
        """Whether each token may stand left of the one beside it within a piece, shape (N,)."""
        return self._meet(self.derivations, left, right, finished=False)

    def _meet(self, made: Derivations, left: Integers, right: Integers, *, finished: bool) -> Flags:
        """The rule of the module; ``finished`` leaves out the merge of the two tokens themselves."""
        allowed = made.made[left] & made.made[right]
        rows = np.flatnonzero(allowed)
        x, y = left[rows], right[rows]
        limit = np.full(len(rows), _NEVER)
        first = finished
        while len(rows):
            time_x, time_y = made.time[x], made.time[y]
            if not first:
                rank = self._rank_of(x, y)
                time = np.maximum(rank, np.maximum(time_x, time_y))
                crosses = 2 * time < limit
                allowed[rows[crosses]] = False
            else:
                crosses = np.zeros(len(rows), dtype=np.bool_)
            first = False
            going = ~crosses & ((time_x > 0) | (time_y > 0))
            rows, x, y = rows[going], x[going], y[going]
            time_x, time_y = time_x[going], time_y[going]
            undo_left = time_x > time_y
            limit = np.where(undo_left, 2 * time_x, 2 * time_y + 1)
            x, y = np.where(undo_left, made.right[x], x), np.where(undo_left, y, made.left[y])
        return allowed

    def alike(self, left: Integers, right: Integers) -> Integers:
        """For each token, one that excludes the same tokens to its right.

        Which tokens are excluded depends on the merges that the right spine of a token can still take part in; tokens with the same such
        merges are alike, and there are far fewer kinds of them than tokens.

        Args:
            left: int64 (N,): tokens.
            right: int64 (M,): distinct tokens that may stand to the right.
        """
        who, low, high = self._open_merges(left, right)
        kind = np.zeros(len(left), dtype=np.uint64)
        np.add.at(kind, who, scrambled(low * _NEVER + high))
        _, example, which = np.unique(kind, return_index=True, return_inverse=True)
        return left[example][which]

    def crossing(self, left: Integers, right: Integers) -> tuple[Integers, Integers]:
        """All pairs that may not stand side by side, found from the merges that would cross their edge.

        Args:
            left: int64 (N,): tokens.
            right: int64 (M,): distinct tokens that may stand to the right.

        Returns:
            (index into ``left``, token of ``right``) of each pair that is excluded, once each, ascending.
        """
        made = self.derivations
        token, y, until = _spine(right, made.left, made.time)
        order = np.lexsort((until, y))
        token, y, until = right[token][order], y[order], until[order]
        by_y = y * _NEVER + np.minimum(until, _NEVER - 1)
        who, low, high = self._open_merges(left, right)
        which, merge = _ranges(low, high)
        _, merge_y, when = self._within(right)
        first = np.searchsorted(by_y, merge_y[merge] * _NEVER + when[merge])
        last = np.searchsorted(by_y, (merge_y[merge] + 1) * _NEVER)
        pair, entry = _ranges(first, last)
        key = distinct(who[which[pair]] * self._merges.tokens + token[entry])
        return key // self._merges.tokens, key % self._merges.tokens

    def _open_merges(self, left: Integers, right: Integers) -> tuple[Integers, Integers, Integers]:
        """The merges that the right spine of each token can take part in: (which token, range of ``_within(right)``)."""
        made = self.derivations
        who, x, until = _spine(left, made.right, made.time)
        merge_x, _, _ = self._within(right)
        low = np.searchsorted(merge_x, x * _NEVER)
        high = np.searchsorted(merge_x, x * _NEVER + np.minimum(until, _NEVER - 1))
        some = np.flatnonzero(high > low)
        return who[some], low[some], high[some]

    def _within(self, right: Integers) -> tuple[Integers, Integers, Integers]:
        """The merges by time whose right part stands at the left edge of one of these tokens while it is made."""
        if self._last is None or not np.array_equal(self._last[0], right):
            made = self.derivations
            there = np.zeros(self._merges.tokens, dtype=np.bool_)
            there[_spine(right, made.left, made.time)[1]] = True
            kept = there[self._by_time[1]]
            merge_x, merge_y, when = (column[kept] for column in self._by_time)
            self._last = (right, (merge_x, merge_y, when))
        return self._last[1]

    @cached_property
    def _by_time(self) -> tuple[Integers, Integers, Integers]:
        """The merges by (left part, time): (left part · ``_NEVER`` + time, right part, time)."""
        made, merges = self.derivations, self._merges
        rank = np.arange(1, len(merges.left) + 1)
        when = np.maximum(rank, np.maximum(made.time[merges.left], made.time[merges.right]))
        key = merges.left * _NEVER + when
        order = np.argsort(key, kind="stable")
        return key[order], merges.right[order], when[order]

    def _rank_of(self, x: Integers, y: Integers) -> Integers:
        """Rank of the merge of each pair, from 1; a number beyond all times where there is none."""
        if not len(self._keys):
            return np.full(len(x), 2 * _NEVER)
        key = x * self._merges.tokens + y
        place = np.minimum(np.searchsorted(self._keys, key), len(self._keys) - 1)
        return np.where(self._keys[place] == key, self._rank[place], 2 * _NEVER)


def _spine(tokens: Integers, part: Integers, time: Integers) -> tuple[Integers, Integers, Integers]:
    """The symbols that stand at one edge of each token while it is made: (which token, symbol, time at which it is merged away)."""
    who, symbol = np.arange(len(tokens)), tokens
    until = np.full(len(tokens), _NEVER)
    found = [(who, symbol, until)]
    while len(who):
        going = time[symbol] > 0
        who, until, symbol = who[going], time[symbol[going]], part[symbol[going]]
        found.append((who, symbol, until))
    columns = [np.concatenate(column) for column in zip(*found, strict=True)]
    return columns[0], columns[1], columns[2]


def _ranges(low: Integers, high: Integers) -> tuple[Integers, Integers]:
    """All numbers of each range ``low[i]:high[i]``: (i, number)."""
    length = high - low
    owner = np.repeat(np.arange(len(low)), length)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(length) - length - low, length)
