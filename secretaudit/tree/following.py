"""What may follow in a state of the text, for everything that may have been read before.

In a state the text allows certain tokens, its *choice*; what was read before, a constraint, makes exceptions. Many states have the same choice
(all positions of a number, whatever its checksum so far), and many constraints make the same exceptions to it: after most tokens that end in
a digit the same digits may follow. Constraints that make the same exceptions to all tokens of the format are one *class*; classes that make the same to a choice
are one *group*. A state of the token automaton is (state of the text, group), which is what keeps it small.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from secretaudit.models.tokens.rules import Rule
from secretaudit.models.tokens.trie import Integers, distinct, scrambled
from secretaudit.tree.vocabulary_edges import VocabularyEdges, rows

#: Tokens in the lists of the constraints that are decided at once.
_AT_ONCE = 4_000_000
#: Pairs (constraint, token) about which a rule is asked at once.
_CELLS = 50_000_000
#: What a group has of its row: all, or only what begins a piece or closes a record, or only what goes on within the piece.
ALL, ENDING_ONLY, GOING_ON_ONLY = 0, 1, 2


def sums(values: NDArray[np.uint64], start: Integers) -> NDArray[np.uint64]:
    """The sum of each row ``start[i]:start[i + 1]``, modulo 2^64."""
    running = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(values, dtype=np.uint64)])
    found: NDArray[np.uint64] = running[start[1:]] - running[start[:-1]]
    return found


class Following:
    """Groups of constraints by the exceptions they make.

    Args:
        edges: What tokens each state of the text allows within a piece.
        rule: What the tokens allow.

    Attributes:
        variant: int64 (G,): what each group has of its row.
        choice: int64 (G,): the choice that it makes exceptions to.
        skip_start: int64 (G + 1,): the places in the choice that group g leaves out are ``skip[skip_start[g]:skip_start[g + 1]]``.
        skip: int64.
        after: int64: beside each of them, the constraint if the token is allowed all the same, otherwise −1.
    """

    def __init__(self, edges: VocabularyEdges, rule: Rule) -> None:
        length = np.diff(edges.start)
        names = sums(scrambled(edges.token), edges.start) + scrambled(length)
        _, example, self._choice = np.unique(names, return_index=True, return_inverse=True)
        _, entry = rows(edges.start, example)
        self._start = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(length[example])])
        used = np.flatnonzero(np.bincount(edges.token, minlength=1))
        self._classes = _Classes(rule, used)
        self._place = np.searchsorted(used, edges.token[entry])
        self._known = np.zeros(0, dtype=np.int64)
        self._group = np.zeros(0, dtype=np.int64)
        self._names: dict[int, int] = {}
        self.variant = np.zeros(0, dtype=np.int64)
        self.choice = np.zeros(0, dtype=np.int64)
        self.skip_start = np.zeros(1, dtype=np.int64)
        self.skip = np.zeros(0, dtype=np.int64)
        self.after = np.zeros(0, dtype=np.int64)

    def groups(self, state: Integers, constraint: Integers) -> Integers:
        """The group of each (state, constraint), shape (N,)."""
        width = len(self._start) - 1
        key = self._classes.of(constraint) * width + self._choice[state]
        new = _missing(distinct(key), self._known)
        if len(new):
            found = self._decide(new % width, new // width)
            known = np.concatenate([self._known, new])
            order = np.argsort(known)
            self._known, self._group = known[order], np.concatenate([self._group, found])[order]
        group: Integers = self._group[np.searchsorted(self._known, key)]
        return group

    def _decide(self, choice: Integers, kind: Integers) -> Integers:
        """The groups of new pairs, some at a time."""
        cost = np.cumsum(1 + np.diff(self._start)[choice])
        cuts = np.searchsorted(cost, np.arange(_AT_ONCE, int(cost[-1]) + _AT_ONCE, _AT_ONCE))
        bounds = np.unique([0, *cuts.tolist(), len(choice)]).tolist()
        return np.concatenate(
            [self._decide_some(choice[low:high], kind[low:high]) for low, high in pairwise(bounds)]
        )

    def _decide_some(self, choice: Integers, kind: Integers) -> Integers:
        variant = self._classes.variant[kind]
        owner, entry = rows(self._start, choice)
        hit = np.flatnonzero(self._classes.excepts[kind[owner], self._place[entry]])
        owner, entry = owner[hit], entry[hit]
        place = entry - self._start[choice][owner]
        after = self._classes.after(kind[owner], self._place[entry])
        start = np.searchsorted(owner, np.arange(len(choice) + 1))
        content = scrambled(place) * np.uint64(3) + scrambled(after + np.int64(2**40))
        names = sums(scrambled(content.view(np.int64)), start) + scrambled(3 * choice + variant)
        different, example, which = np.unique(names, return_index=True, return_inverse=True)
        new = [row for row, name in enumerate(different.tolist()) if name not in self._names]
        for row in new:
            self._names[int(different[row])] = len(self._names)
        kept = example[new]
        _, entry = rows(start, kept)
        ends = self.skip_start[-1] + np.cumsum(np.diff(start)[kept])
        self.skip_start = np.concatenate([self.skip_start, ends])
        self.skip = np.concatenate([self.skip, place[entry]])
        self.after = np.concatenate([self.after, after[entry]])
        self.variant = np.concatenate([self.variant, variant[kept]])
        self.choice = np.concatenate([self.choice, choice[kept]])
        numbers = np.array([self._names[name] for name in different.tolist()], dtype=np.int64)
        found: Integers = numbers[which]
        return found


class _Classes:
    """Constraints that make the same exceptions to all tokens of the format.

    Attributes:
        variant: int64 (K,): what a state has of its row after such a constraint.
        excepts: bool (K or more, U): whether class k makes an exception of the u-th used token.
    """

    def __init__(self, rule: Rule, used: Integers) -> None:
        self._rule, self._used = rule, used
        self._place_of = np.zeros(int(used.max(initial=0)) + 1, dtype=np.int64)
        self._place_of[used] = np.arange(len(used))
        self._constraint = np.zeros(0, dtype=np.int64)
        self._class = np.zeros(0, dtype=np.int64)
        self._examples = np.zeros(0, dtype=np.int64)
        self._example_class = np.zeros(0, dtype=np.int64)
        self._names: dict[int, int] = {}
        self.variant = np.zeros(0, dtype=np.int64)
        self.excepts = np.zeros((0, len(used)), dtype=np.bool_)
        self._keys = np.zeros(0, dtype=np.int64)
        self._after = np.zeros(0, dtype=np.int64)

    def of(self, constraint: Integers) -> Integers:
        """The class of each constraint."""
        new = _missing(distinct(constraint), self._constraint)
        if len(new):
            step = max(1, _CELLS // max(1, len(self._used)))
            like = self._rule.alike(new, self._used)
            different = _missing(distinct(like), self._examples)
            for low in range(0, len(different), step):
                self._learn(different[low : low + step])
            found = self._example_class[np.searchsorted(self._examples, like)]
            known = np.concatenate([self._constraint, new])
            order = np.argsort(known)
            self._constraint = known[order]
            self._class = np.concatenate([self._class, found])[order]
        kind: Integers = self._class[np.searchsorted(self._constraint, constraint)]
        return kind

    def after(self, kind: Integers, place: Integers) -> Integers:
        """The constraint after an exception that is allowed, −1 for those that are not."""
        if not len(self._keys):
            return np.full(len(kind), -1, dtype=np.int64)
        key = kind * len(self._used) + place
        found = np.minimum(np.searchsorted(self._keys, key), len(self._keys) - 1)
        return np.where(self._keys[found] == key, self._after[found], -1)

    def _learn(self, constraint: Integers) -> None:
        """Find the classes of constraints that were not seen before."""
        can_end, goes_on = self._rule.may_end(constraint), self._rule.may_go_on(constraint)
        variant = np.where(goes_on, np.where(can_end, ALL, GOING_ON_ONLY), ENDING_ONLY)
        owner, token, after = self._rule.exceptions(constraint, self._used)
        place = self._place_of[token]
        start = np.searchsorted(owner, np.arange(len(constraint) + 1))
        content = scrambled(place) * np.uint64(3) + scrambled(after + np.int64(2**40))
        names = sums(scrambled(content.view(np.int64)), start) + scrambled(variant)
        different, example, which = np.unique(names, return_index=True, return_inverse=True)
        new = [row for row, name in enumerate(different.tolist()) if name not in self._names]
        for row in new:
            self._names[int(different[row])] = len(self._names)
        self._keep(len(self.variant), example[new], variant, start, place, after)
        numbers = np.array([self._names[name] for name in different.tolist()], dtype=np.int64)
        examples = np.concatenate([self._examples, constraint])
        order = np.argsort(examples)
        self._examples = examples[order]
        self._example_class = np.concatenate([self._example_class, numbers[which]])[order]

    def _keep(
        self,
        first: int,
        kept: Integers,
        variant: Integers,
        start: Integers,
        place: Integers,
        after: Integers,
    ) -> None:
        """Write down new classes, of which these constraints are examples."""
        owner, entry = rows(start, kept)
        if first + len(kept) > len(self.excepts):
            table = np.zeros((2 * (first + len(kept)), len(self._used)), dtype=np.bool_)
            table[:first] = self.excepts[:first]
            self.excepts = table
        self.excepts[first + owner, place[entry]] = True
        self.variant = np.concatenate([self.variant, variant[kept]])
        allowed = after[entry] >= 0
        key = (first + owner[allowed]) * len(self._used) + place[entry][allowed]
        self._keys = np.concatenate([self._keys, key])
        self._after = np.concatenate([self._after, after[entry][allowed]])


def _missing(asked: Integers, known: Integers) -> Integers:
    """What is asked and not known; both ascend."""
    if not len(known):
        return asked
    place = np.minimum(np.searchsorted(known, asked), len(known) - 1)
    missing: Integers = asked[known[place] != asked]
    return missing
