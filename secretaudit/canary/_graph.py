"""Edge tables of finite automata, brought into one normal form.

An edge table is three arrays (source, symbol, target) over states 0 … S-1. The normal form is

- trimmed: every state lies on a path from the start to an accepting state;
- numbered by level, the length of the longest path from the start, so every edge points to a larger
number
  and the start is 0;
- stored by rows: the edges of state ``s`` are ``edge_start[s] : edge_start[s + 1]``, sorted by
symbol.

A table with a cycle on such a path accepts infinitely many strings, a table without such a path
none; both are refused, because neither has a number of secrets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secretaudit.errors import FormatError

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """A trimmed edge table by rows; level k is ``level_start[k] : level_start[k + 1]``."""

    edge_start: Integers
    edge_symbol: NDArray[np.int32]
    edge_target: NDArray[np.int32]
    accepting: Flags
    level_start: Integers


def no_text() -> FormatError:
    """The error for an empty language."""
    return FormatError(
        "The pattern matches no text at all.",
        "A secret space needs at least two secrets.",
        "Check the hole for parts that exclude each other.",
    )


def edges_of(states: Integers, row_start: Integers) -> Integers:
    """Positions of all edges that leave ``states``, row after row."""
    lengths = row_start[states + 1] - row_start[states]
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    shift = np.repeat(row_start[states] - (ends - lengths), lengths)
    edges: Integers = np.arange(total, dtype=np.int64) + shift
    return edges


def row_starts(sorted_source: Integers, states: int) -> Integers:
    """Where each state's edges begin in a table sorted by source; the last entry is its length."""
    counts = np.bincount(sorted_source, minlength=states)
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts, dtype=np.int64)])


def _reached(first: Integers, source: Integers, target: Integers, states: int) -> Flags:
    """Which states can be reached from ``first`` along edges source → target."""
    order = np.argsort(source, kind="stable")
    ends = target[order]
    starts = row_starts(source[order], states)
    seen = np.zeros(states, dtype=np.bool_)
    seen[first] = True
    frontier = first
    while len(frontier):
        found = ends[edges_of(frontier, starts)]
        frontier = np.unique(found[~seen[found]])
        seen[frontier] = True
    return seen


def _levels(source: Integers, target: Integers, states: int, start: int) -> list[Integers]:
    """States by the length of their longest path from the start; a cycle's states are left out."""
    order = np.argsort(source, kind="stable")
    ends = target[order]
    starts = row_starts(source[order], states)
    waiting = np.bincount(target, minlength=states)
    levels = []
    frontier = (
        np.array([start], dtype=np.int64) if waiting[start] == 0 else np.empty(0, dtype=np.int64)
    )
    while len(frontier):
        levels.append(frontier)
        found, counts = np.unique(ends[edges_of(frontier, starts)], return_counts=True)
        waiting[found] -= counts
        frontier = found[waiting[found] == 0]
    return levels


def normal_form(
    source: Integers, symbol: Integers, target: Integers, accepting: Flags, start: int
) -> Rows:
    """Trim, order and store an edge table.

    Args:
        source: State that each edge leaves, shape ``(E,)``.
        symbol: Symbol of each edge, shape ``(E,)``.
        target: State that each edge enters, shape ``(E,)``.
        accepting: Whether a string may end in a state, shape ``(S,)``.
        start: Number of the start state.

    Raises:
        FormatError: If the language is empty or infinite.
    """
    states = len(accepting)
    ahead = _reached(np.array([start], dtype=np.int64), source, target, states)
    alive = ahead & _reached(np.flatnonzero(accepting), target, source, states)
    if not alive[start]:
        raise no_text()
    keep = alive[source] & alive[target]
    source, symbol, target = source[keep], symbol[keep], target[keep]
    levels = _levels(source, target, states, start)
    ordered = np.concatenate(levels) if levels else np.empty(0, dtype=np.int64)
    if len(ordered) < int(alive.sum()):
        raise FormatError(
            "The pattern matches infinitely many texts.",
            "A rank is a place among finitely many secrets.",
            "Replace * and + by a bounded count such as {1,8}.",
        )
    renumbered = np.full(states, -1, dtype=np.int64)
    renumbered[ordered] = np.arange(len(ordered))
    source, target = renumbered[source], renumbered[target]
    by_row = np.lexsort((symbol, source))
    sizes = np.array([len(level) for level in levels], dtype=np.int64)
    return Rows(
        edge_start=row_starts(source[by_row], len(ordered)),
        edge_symbol=symbol[by_row].astype(np.int32),
        edge_target=target[by_row].astype(np.int32),
        accepting=accepting[ordered].copy(),
        level_start=np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)]),
    )
