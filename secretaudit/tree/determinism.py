"""One edge per token in every state.

A tokenizer that looks ahead, or drops spaces, may leave open after a token in which of several states the text is: then the automaton has
several edges of one token. The subset construction (Rabin and Scott 1959) reads them side by side. Paths with the same tokens become one,
so a tokenizer that writes two secrets alike has fewer leaves afterwards than secrets.

The one exception stays: a token after which the record may end, and which may also go on, has an edge to the terminal and one other.
"""

from __future__ import annotations

import numpy as np

from secretaudit.models.tokens.trie import Integers, distinct
from secretaudit.tree.automaton import TokenAutomaton
from secretaudit.tree.packing import TERMINAL, Graph, pack

#: More edges than this are not read side by side.
_MOST_EDGES = 3_000_000


def deterministic(automaton: TokenAutomaton) -> TokenAutomaton | None:
    """The same sequences, each on one path; ``None`` when there are too many edges for it."""
    if not automaton.size or not _has_doubles(automaton):
        return automaton
    if int(automaton.degrees.sum()) > _MOST_EDGES:
        return None
    steps = _Steps(automaton)
    level_of = np.repeat(
        np.arange(len(automaton.every.levels) - 1), np.diff(automaton.every.levels)
    )
    numbers: dict[tuple[int, ...], int] = {(0,): 0}
    waiting: list[list[tuple[int, ...]]] = [[] for _ in range(len(automaton.every.levels) - 1)]
    waiting[0].append((0,))
    graph = Graph()
    for subsets in waiting:
        graph.keys.append(np.array([numbers[s] for s in subsets], dtype=np.int64))
        edges: list[tuple[int, int, int]] = []
        for subset in subsets:
            for token, goals in steps.of(subset).items():
                if automaton.terminal in goals:
                    goals.discard(automaton.terminal)
                    edges.append((numbers[subset], token, TERMINAL))
                if goals:
                    goal = tuple(sorted(goals))
                    if goal not in numbers:
                        numbers[goal] = len(numbers)
                        waiting[int(level_of[list(goal)].min())].append(goal)
                    edges.append((numbers[subset], token, numbers[goal]))
        if edges:
            table = np.array(edges, dtype=np.int64)
            graph.add(table[:, 0], table[:, 1], table[:, 2])
    return pack(graph)


def _has_doubles(automaton: TokenAutomaton) -> bool:
    """Whether a state has two edges of one token that both go on, or both end.

    Looked for in rows: a state's own row has only tokens that the state leaves out of the row it shares, so it brings no doubles of
    its own. A row may hold two edges of which no state has both; then the states themselves are looked through.
    """
    every = automaton.every
    edges = np.flatnonzero(automaton.living[every.target])
    row = np.repeat(np.arange(len(every.start) - 1), np.diff(every.start))[edges]
    if not _doubles(automaton, row, edges):
        return False
    states = np.flatnonzero(automaton.living[:-1])
    return any(
        _doubles(automaton, *automaton.edges(states[low : low + 1000]))
        for low in range(0, len(states), 1000)
    )


def _doubles(automaton: TokenAutomaton, source: Integers, edge: Integers) -> bool:
    """Whether two of these edges agree in source, token and whether they end the record."""
    ends = automaton.target[edge] == automaton.terminal
    key = (source * (int(automaton.token.max()) + 1) + automaton.token[edge]) * 2 + ends
    return len(distinct(key)) < len(key)


class _Steps:
    """Where each token leads from a set of states."""

    def __init__(self, automaton: TokenAutomaton) -> None:
        states = np.arange(automaton.terminal)
        parent, edge = automaton.edges(states)
        self._start = np.searchsorted(parent, np.arange(len(states) + 1)).tolist()
        self._token = automaton.token[edge].tolist()
        self._target = automaton.target[edge].tolist()

    def of(self, subset: tuple[int, ...]) -> dict[int, set[int]]:
        """Token → states that it leads to."""
        found: dict[int, set[int]] = {}
        for state in subset:
            for place in range(self._start[state], self._start[state + 1]):
                found.setdefault(self._token[place], set()).add(self._target[place])
        return found
