"""Byte-pair encoding as a rule over the tokens of a piece.

The constraint is the last token: it bars those that a merge would have joined to it (``token_merges``).

With ``ignore_merges`` a piece that is a token is written as that token, even where the merges would not make it (the vocabularies of
tiktoken, converted). Such a token stands alone in its piece, and what the merges give for its text may not be a whole piece.
"""

from __future__ import annotations

import numpy as np

from secretaudit.models.tokens.merges import PairTable
from secretaudit.models.tokens.rules import AnyTokens, Exceptions, Flags, in_order, rows
from secretaudit.models.tokens.trie import Integers


class BytePairs(AnyTokens):
    """Byte-pair encoding: the last token decides what may follow."""

    def __init__(self, pairs: PairTable) -> None:
        self._pairs = pairs
        self._made = pairs.derivations.made

    def begin(self, token: Integers) -> Integers:
        """Constraint after each token that begins a piece."""
        return np.where(self._made[token], token, -1)

    def inside(self, token: Integers) -> Integers:
        """Constraint after each token within a piece."""
        return token

    def exceptions(self, constraint: Integers, used: Integers) -> Exceptions:
        """What may follow each constraint otherwise than ``inside`` says."""
        owner, token = self._pairs.crossing(constraint, used)
        return owner, token, np.full(len(owner), -1)

    def alike(self, constraint: Integers, used: Integers) -> Integers:
        """Constraints that make the same exceptions."""
        return self._pairs.alike(constraint, used)


class BytePairsOrWhole(AnyTokens):
    """Byte-pair encoding in which a piece that is a token is written as that token, whatever the merges say.

    A constraint is  last token + V · place,  with a place in the trie of the token sequences that the merges give for tokens which
    they do not make (0: in none), and V · places for a token that stands alone.

    Args:
        pairs: The merges.
        whole: bool (V,): tokens that a piece may be.
        sequences: For each token that the merges do not make, what they give for its text.
    """

    def __init__(self, pairs: PairTable, whole: Flags, sequences: dict[int, list[int]]) -> None:
        self._pairs = pairs
        self._tokens = len(whole)
        made = pairs.derivations.made
        self._alone = whole & ~made
        self._made = made
        places: dict[tuple[int, int], int] = {}
        ends: set[int] = set()
        for sequence in sequences.values():
            place = 0
            for token in sequence:
                place = places.setdefault((place, token), len(places) + 1)
            ends.add(place)
        table = sorted((place, token, goal) for (place, token), goal in places.items())
        columns = np.array(table, dtype=np.int64).reshape(-1, 3)
        self._start = np.searchsorted(columns[:, 0], np.arange(len(places) + 3))
        self._token, self._goal = columns[:, 1], columns[:, 2]
        self._forbidden = np.zeros(len(places) + 2, dtype=np.bool_)
        self._forbidden[sorted(ends)] = True
        self._standing_alone = len(places) + 1

    def begin(self, token: Integers) -> Integers:
        """Constraint after each token that begins a piece."""
        first = np.zeros(self._tokens, dtype=np.int64)
        _, entry = rows(self._start, np.zeros(1, dtype=np.int64))
        first[self._token[entry]] = self._goal[entry]
        going_on = np.where(self._made[token], token + self._tokens * first[token], -1)
        return np.where(self._alone[token], self._tokens * self._standing_alone, going_on)

    def inside(self, token: Integers) -> Integers:
        """Constraint after each token within a piece."""
        return token

    def exceptions(self, constraint: Integers, used: Integers) -> Exceptions:
        """What may follow each constraint otherwise than ``inside`` says."""
        place, last = np.divmod(constraint, self._tokens)
        owner, barred = self._pairs.crossing(last, used)
        who, entry = rows(
            self._start,
            np.where((place > 0) & (place < self._standing_alone), place, len(self._start) - 2),
        )
        token, goal = self._token[entry], self._goal[entry]
        fine = ~np.isin(who * self._tokens + token, owner * self._tokens + barred)
        fine &= np.isin(token, used)
        who, token, goal = who[fine], token[fine], goal[fine]
        after = np.concatenate([np.full(len(owner), -1), token + self._tokens * goal])
        return in_order(np.concatenate([owner, who]), np.concatenate([barred, token]), after)

    def alike(self, constraint: Integers, used: Integers) -> Integers:
        """Constraints that make the same exceptions."""
        free = np.flatnonzero(constraint < self._tokens)
        found = constraint.copy()
        found[free] = self._pairs.alike(constraint[free], used)
        return found

    def may_end(self, constraint: Integers) -> Flags:
        """Whether a piece may end."""
        return ~self._forbidden[constraint // self._tokens]

    def may_go_on(self, constraint: Integers) -> Flags:
        """Whether a piece may go on."""
        going_on: Flags = constraint // self._tokens != self._standing_alone
        return going_on
