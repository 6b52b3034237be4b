"""Where a pre-tokenizer cuts, learnt from the pre-tokenizer itself as a small automaton.

A pre-tokenizer marks each character of a text: it goes on within a piece, begins one, or is dropped (the spaces of BERT). The
correctly marked texts over the alphabet of a format are a regular language, since pre-tokenizers are regular expressions one after
another, and its minimal automaton is learnt by asking (Angluin 1987): two marked prefixes are one state when they admit the same marked
continuations. Characters that no pattern can tell apart are asked about once. Continuations are tested from a fixed set of suffixes: nothing, every character,
strings of two and three characters of different kinds (letter, digit, space, other), and runs of one, which is enough for look-ahead and for
chunks of up to seven digits.

A mark may depend on what follows it ("'" before "s" or "x"), so a character may have several marks in a state; those that the rest of a
text proves wrong lead to a state from which nothing can be accepted. Whether the suffixes were enough is not believed: whoever builds a
tree counts its leaves.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

GOES_ON, BEGINS, DROPPED = 0, 1, 2
#: Suffixes of several characters that are tried.
_MOST_SUFFIXES = 160
#: More states than any pre-tokenizer needs; beyond, the language is not being learnt.
_MOST_STATES = 2_000
_LONGEST_RUN = 7

Marks = tuple[int, ...]
#: For each suffix the marks of its characters, None where the prefix is then marked otherwise.
_Signature = tuple[Marks | None, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class PieceScanner:
    """The automaton of correctly marked texts; state 0 is before the first character.

    Attributes:
        alphabet: The characters, ascending.
        next_state: int64 (states, characters, 3): the state after a character with a mark, −1 where it is wrong.
        may_end: bool (states,): whether a text may end.
    """

    alphabet: str
    next_state: NDArray[np.int64]
    may_end: NDArray[np.bool_]


def learn_scanner(
    cut: Callable[[str], list[tuple[int, int]]] | None,
    alphabet: Iterable[str],
    kind: Callable[[str], object],
) -> PieceScanner | None:
    """The scanner of a pre-tokenizer over some characters, ``None`` when it has too many states to be learnt.

    Args:
        cut: A text → the (begin, end) of its pieces; ``None`` never cuts.
        alphabet: All characters that a text may hold.
        kind: A character → its class; characters of one class are cut alike.
    """
    characters = "".join(sorted(set(alphabet)))
    if cut is None:
        return _one_piece(characters)
    of_kind: dict[object, str] = {}
    for character in characters:
        of_kind.setdefault(kind(character), character)
    examples = "".join(sorted(of_kind.values()))
    learner = _Learner(cut, examples)
    if not learner.learn():
        return None
    learnt = learner.scanner()
    place = [examples.index(of_kind[kind(character)]) for character in characters]
    return PieceScanner(
        alphabet=characters, next_state=learnt.next_state[:, place], may_end=learnt.may_end
    )


def _one_piece(characters: str) -> PieceScanner:
    """The whole text is one piece."""
    table = np.full((2, len(characters), 3), -1, dtype=np.int64)
    table[0, :, BEGINS] = table[1, :, GOES_ON] = 1
    return PieceScanner(alphabet=characters, next_state=table, may_end=np.array([False, True]))


def suffixes(characters: str) -> list[str]:
    """The continuations with which prefixes are told apart.

    >>> suffixes("0a")[:8]
    ['', '0', 'a', '00', '0a', 'a0', 'aa', '000']
    """
    kinds = {_coarse(c): c for c in reversed(characters)}
    standing_for = sorted(set(kinds.values()))
    found = ["", *characters]
    for length in (2, 3):
        if len(standing_for) ** length <= _MOST_SUFFIXES:
            found += map("".join, product(standing_for, repeat=length))
    found += [c * length for c in standing_for for length in range(2, _LONGEST_RUN + 1)]
    return list(dict.fromkeys(found))


def _coarse(character: str) -> str:
    """Upper or lower case, digit, space, or other."""
    category = unicodedata.category(character)
    return (
        category if category in ("Lu", "Ll") else category[0] if category[0] in "LNZ" else "other"
    )


class _Learner:
    """States by breadth first search; each has the shortest marked prefix that leads to it."""

    def __init__(self, cut: Callable[[str], list[tuple[int, int]]], characters: str) -> None:
        self._cut = cut
        self._characters = characters
        self._suffixes = suffixes(characters)
        self._access: list[tuple[str, Marks]] = []
        self._number: dict[_Signature, int] = {}
        self._ends: list[bool] = []
        self._edges: list[tuple[int, int, int, int]] = []

    def learn(self) -> bool:
        """Find all states; False when there are too many."""
        self._state("", (), self._signatures("")[()])
        state = 0
        while state < len(self._access):
            if len(self._access) > _MOST_STATES:
                return False
            prefix, marks = self._access[state]
            for place, character in enumerate(self._characters):
                for marked, signature in self._signatures(prefix + character).items():
                    if marked[:-1] == marks:
                        goal = self._state(prefix + character, marked, signature)
                        self._edges.append((state, place, marked[-1], goal))
            state += 1
        return True

    def scanner(self) -> PieceScanner:
        """What was learnt."""
        table = np.full((len(self._access), len(self._characters), 3), -1, dtype=np.int64)
        for state, place, mark, goal in self._edges:
            table[state, place, mark] = goal
        return PieceScanner(
            alphabet=self._characters, next_state=table, may_end=np.array(self._ends)
        )

    def _state(self, prefix: str, marks: Marks, signature: _Signature) -> int:
        if signature not in self._number:
            self._number[signature] = len(self._access)
            self._access.append((prefix, marks))
            self._ends.append(signature[0] is not None)
        return self._number[signature]

    def _signatures(self, prefix: str) -> dict[Marks, _Signature]:
        """For each way in which the prefix is marked before some suffix, the marks of all suffixes behind it."""
        length = len(prefix)
        marked = [self._marks(prefix + suffix) for suffix in self._suffixes]
        ways = dict.fromkeys(m[:length] for m in marked)
        return {
            way: tuple(m[length:] if m[:length] == way else None for m in marked) for way in ways
        }

    def _marks(self, text: str) -> Marks:
        marks = [DROPPED] * len(text)
        for begin, end in self._cut(text):
            if begin < end:
                marks[begin:end] = [BEGINS] + [GOES_ON] * (end - begin - 1)
        return tuple(marks)
