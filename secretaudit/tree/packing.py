"""How a token automaton is packed from edges that are found level by level.

Whoever builds a tree collects edges in a ``Graph``: states have keys (any non-negative integers, distinct over the whole graph),
come in levels, and every edge leads to a later level or to the terminal. ``pack`` numbers the states, counts from the last
level back how many leaves lie below each,

    leaves(terminal) = 1,      leaves(s) = Σ over edges s → t of leaves(t),

drops states without a leaf, and returns what all walks read. ``assemble`` does the same for edges in shared rows, of which each state
leaves some out (``automaton``): there states and edges without a leaf stay, and are never walked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from secretaudit.tree.automaton import Rows, TokenAutomaton
from secretaudit.tree.leaf_counts import count_leaves, shape
from secretaudit.tree.vocabulary_edges import Integers

#: Key that stands for the terminal as the target of an edge.
TERMINAL = -1


@dataclass
class Graph:
    """States in levels, numbered level by level; every edge leads to a later level or to the terminal.

    Attributes:
        keys: int64 arrays: the keys of the states of each level. The first level holds the root alone.
        source: int64 arrays: key of the state that an edge leaves, in any order.
        token: int64 arrays: the token it reads.
        target: int64 arrays: key of the state it leads to, or ``TERMINAL``.
    """

    keys: list[Integers] = field(default_factory=list)
    source: list[Integers] = field(default_factory=list)
    token: list[Integers] = field(default_factory=list)
    target: list[Integers] = field(default_factory=list)

    def add(self, source: Integers, token: Integers, target: Integers) -> None:
        """Add edges, given by three arrays of one length."""
        self.source.append(source)
        self.token.append(token)
        self.target.append(target)


def pack(graph: Graph) -> TokenAutomaton:
    """The automaton with these edges: states numbered level by level, leaves counted, dead ends dropped.

    The edges of a state are in order of their token; the terminal is the last state.

    >>> graph = Graph(keys=[np.array([5]), np.array([7])])
    >>> graph.add(np.array([5, 5]), np.array([1, 0]), np.array([7, TERMINAL]))
    >>> graph.add(np.array([7, 7]), np.array([2, 3]), np.array([TERMINAL, TERMINAL]))
    >>> packed = pack(graph)
    >>> packed.size, packed.token.tolist(), packed.target.tolist()
    (3, [0, 1, 2, 3], [2, 1, 2, 2])
    """
    keys = np.concatenate(graph.keys)
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    target_key = np.concatenate(graph.target)
    place = np.minimum(np.searchsorted(ordered, target_key), len(keys) - 1)
    target = np.where(target_key == TERMINAL, len(keys), order[place])
    source = order[np.searchsorted(ordered, np.concatenate(graph.source))]
    token = np.concatenate(graph.token)
    sequence = np.lexsort((token, source))
    start = np.searchsorted(source[sequence], np.arange(len(keys) + 2))
    levels = np.cumsum([0, *(len(k) for k in graph.keys)], dtype=np.int64)
    return _explicit(start, token[sequence], target[sequence], levels)


def _explicit(
    start: Integers, token: Integers, target: Integers, levels: Integers
) -> TokenAutomaton:
    """The automaton in which each state has a row of its own; dead ends are dropped."""
    unpruned = Rows(
        start=start, token=token, target=target, **_unshared(len(start) - 1), levels=levels
    )
    living = np.array([n > 0 for n in count_leaves(unpruned)], dtype=np.bool_)
    if living.all() or not living[0]:
        return assemble(unpruned)
    source = np.repeat(np.arange(len(living)), np.diff(start))
    kept = living[source] & living[target]
    number = np.cumsum(living) - 1
    states = int(living.sum())
    pruned = Rows(
        start=np.searchsorted(number[source[kept]], np.arange(states + 1)),
        token=token[kept],
        target=number[target[kept]],
        **_unshared(states),
        levels=np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(living)])[levels],
    )
    return assemble(pruned)


def _unshared(states: int) -> dict[str, Integers]:
    """Each state has its own row, and leaves nothing out; the last row is the terminal's, which is empty."""
    return {
        "row": np.arange(states, dtype=np.int64),
        "own": np.full(states, states - 1, dtype=np.int64),
        "skips": np.zeros(states, dtype=np.int64),
        "skip_start": np.zeros(2, dtype=np.int64),
        "skip": np.zeros(0, dtype=np.int64),
        "skip_choice": np.zeros(1, dtype=np.int64),
    }


def assemble(every: Rows) -> TokenAutomaton:
    """The automaton with these rows: leaves are counted from the last level back.

    Args:
        every: Rows and states; the terminal is the last state and its rows are empty.
    """
    leaves = count_leaves(every)
    if not leaves[0]:
        return TokenAutomaton.empty()
    living = np.array([n > 0 for n in leaves], dtype=np.bool_)
    height, degree = shape(every, living)
    return TokenAutomaton(
        every=every,
        living=living,
        degrees=degree,
        leaves=leaves,
        log2_leaves=np.array([math.log2(n) if n else -math.inf for n in leaves]),
        terminal=len(leaves) - 1,
        depth=int(height[0]),
    )
