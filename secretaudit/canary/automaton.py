"""A finite set of strings as a small machine that can count, rank and draw them exactly.

An :class:`Automaton` is deterministic, acyclic and trimmed. With N(s) the number of strings
accepted from state s,

    N(s) = [s accepts] + sum over edges s → t of N(t)                       (exact integers of any
    size)

|R| = N(0). The rank of a string is the number of accepted strings that are smaller (by code point, a string
before its own extensions): on the way through the machine, add for each edge taken the counts of
the edges before it. Unranking inverts that with one search per character, for a whole batch at
once; equal counts behind all edges of a state turn the search into a division. A uniform draw of
distinct strings is the unranking of distinct uniform indices, so it is exactly uniform whatever
checksum the machine contains.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from secretaudit.canary._graph import Flags, Integers, Rows, normal_form
from secretaudit.canary._indices import distinct_indices, indices

_INT64_END = 2**63
_BATCH = 32_768  # indices unranked at once: the working set stays in the processor's cache


@dataclass(frozen=True, kw_only=True, eq=False)
class _Steps:
    """What unranking needs per edge and state, in int64 or in exact Python integers."""

    before: NDArray[Any]
    even_step: NDArray[Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Automaton:
    """A deterministic, acyclic, trimmed automaton over Unicode code points; the start is state 0.

    Attributes:
        edge_start: Row starts, shape ``(S + 1,)``: state s owns edges ``edge_start[s]:edge_start[s
            + 1]``.
        edge_symbol: Code point of each edge, ascending within a state, shape ``(E,)``.
        edge_target: State that each edge enters, larger than the state it leaves, shape ``(E,)``.
        accepting: Whether a string may end in a state, shape ``(S,)``.
        level_start: States ``level_start[k]:level_start[k + 1]`` have longest path k from the
            start.
    """

    edge_start: Integers
    edge_symbol: NDArray[np.int32]
    edge_target: NDArray[np.int32]
    accepting: Flags
    level_start: Integers

    @property
    def states(self) -> int:
        """Number of states."""
        return len(self.accepting)

    @property
    def longest(self) -> int:
        """Length of the longest accepted string, in symbols."""
        return len(self.level_start) - 2

    @property
    def size(self) -> int:
        """Number of accepted strings, exact."""
        return int(self._counts[0])

    @cached_property
    def completions(self) -> list[int]:
        """For each state, the exact number of strings accepted from there."""
        return [int(count) for count in self._counts.tolist()]

    @property
    def is_prefix_free(self) -> bool:
        """Whether no accepted string continues to another one."""
        return not bool((self.accepting & (np.diff(self.edge_start) > 0)).any())

    def children(self, state: int) -> Iterator[tuple[int, int]]:
        """Yield ``(symbol, target)`` for every edge of ``state``, by ascending symbol."""
        row = slice(int(self.edge_start[state]), int(self.edge_start[state + 1]))
        yield from zip(self.edge_symbol[row].tolist(), self.edge_target[row].tolist(), strict=True)

    def edge(self, state: int, symbol: int) -> int:
        """Number of the edge that leaves ``state`` with ``symbol``, or -1."""
        row = self._rows.get(state)
        if row is None:
            first = int(self.edge_start[state])
            row = {point: first + k for k, (point, _) in enumerate(self.children(state))}
            self._rows[state] = row
        return row.get(symbol, -1)

    def accepts(self, text: str) -> bool:
        """Whether ``text`` is one of the strings."""
        return self._place(text) is not None

    def rank(self, text: str) -> int:
        """Number of accepted strings that come before ``text``, in 0 … size - 1.

        Raises:
            ValueError: If ``text`` is not accepted (the message does not repeat it).
        """
        place = self._place(text)
        if place is None:
            raise ValueError("text must be one of the automaton's strings, got one that is not")
        return place

    def unrank(self, index: int) -> str:
        """The string with ``index`` strings before it; the inverse of :meth:`rank`."""
        return self.unrank_many([index])[0]

    def unrank_many(self, indices: Sequence[int] | NDArray[Any]) -> list[str]:
        """The strings at ``indices``, in the order asked, all at once.

        Raises:
            ValueError: If an index lies outside 0 … size - 1.
        """
        if len(indices) == 0:
            return []
        dtype = np.int64 if self.size < _INT64_END else object
        asked = (
            indices if isinstance(indices, np.ndarray) else np.array(list(indices), dtype=object)
        )
        if int(asked.min()) < 0 or int(asked.max()) >= self.size:
            raise ValueError(f"indices must lie in 0 … {self.size - 1}, got one outside")
        strings: list[str] = []
        for begin in range(0, len(asked), _BATCH):
            points = self._symbols_at(asked[begin : begin + _BATCH].astype(dtype))
            strings += points.view(f"<U{points.shape[1]}").ravel().tolist()
        return strings

    def sample(self, n: int, rng: np.random.Generator, distinct: bool = True) -> list[str]:
        """Draw ``n`` strings, exactly uniformly, in random order.

        Args:
            n: Number of strings.
            rng: Source of all randomness.
            distinct: Draw without replacement: every set of ``n`` strings is equally likely.

        Raises:
            ValueError: If more distinct strings are asked for than there are.
        """
        if n < 0 or (distinct and n > self.size):
            raise ValueError(f"n must lie in 0 … {self.size} (the number of strings), got {n}")
        places = distinct_indices(self.size, n, rng) if distinct else indices(self.size, n, rng)
        return self.unrank_many(places)

    def over_bytes(self) -> Automaton:
        """The same strings as an automaton over their UTF-8 bytes (symbols 0 … 255)."""
        if len(self.edge_symbol) == 0 or int(self.edge_symbol.max()) < 0x80:
            return self
        source = np.repeat(np.arange(self.states), np.diff(self.edge_start)).tolist()
        middle: dict[tuple[int, bytes], int] = {}
        edges: dict[tuple[int, int], int] = {}
        for state, symbol, target in zip(
            source, self.edge_symbol.tolist(), self.edge_target.tolist(), strict=True
        ):
            code = chr(symbol).encode("utf-8")
            here = state
            for length in range(1, len(code)):
                there = middle.setdefault((state, code[:length]), self.states + len(middle))
                edges[here, code[length - 1]] = there
                here = there
            edges[here, code[-1]] = target
        accepting = np.concatenate([self.accepting, np.zeros(len(middle), dtype=np.bool_)])
        table = np.array([(s, b, t) for (s, b), t in edges.items()], dtype=np.int64)
        return from_edges(table[:, 0], table[:, 1], table[:, 2], accepting)

    @cached_property
    def _rows(self) -> dict[int, dict[int, int]]:
        """Symbol → edge of the states that were asked for."""
        return {}

    @cached_property
    def _counts(self) -> NDArray[Any]:
        """N(s) as int64 where |R| surely fits, otherwise as exact Python integers."""
        with np.errstate(over="ignore"):
            roughly = self._count(np.dtype(np.float64))
        return self._count(np.dtype(np.int64 if roughly[0] < 2**62 else object))

    def _count(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        counts = self.accepting.astype(np.int64).astype(dtype)
        for level in range(len(self.level_start) - 2, -1, -1):
            first, last = int(self.level_start[level]), int(self.level_start[level + 1])
            starts = self.edge_start[first : last + 1]
            inner = np.flatnonzero(np.diff(starts) > 0)
            if len(inner) == 0:
                continue
            behind = counts[self.edge_target[int(starts[0]) : int(starts[-1])]]
            counts[first + inner] += np.add.reduceat(behind, starts[inner] - starts[0])
        return counts

    @cached_property
    def _fits(self) -> Flags:
        """Which states have fewer than 2**63 completions, so that int64 is exact from there on."""
        return (self._counts < _INT64_END).astype(np.bool_)

    @cached_property
    def _small_steps(self) -> _Steps:
        return self._steps(np.where(self._fits, self._counts, 0).astype(np.int64))

    @cached_property
    def _exact_steps(self) -> _Steps:
        return self._steps(self._counts.astype(object))

    def _steps(self, counts: NDArray[Any]) -> _Steps:
        """Strings before each edge of its state, and the count common to a state's edges or 0.

        Running sums in int64 may wrap around; differences within a state of fewer than 2**63 are
        exact all the same.
        """
        behind = counts[self.edge_target]
        running = np.concatenate(
            [np.zeros(1, dtype=counts.dtype), np.cumsum(behind, dtype=counts.dtype)]
        )
        degree = np.diff(self.edge_start)
        offset = (
            self.accepting.astype(np.int64).astype(counts.dtype) - running[self.edge_start[:-1]]
        )
        even_step = np.zeros(self.states, dtype=counts.dtype)
        inner = np.flatnonzero(degree > 0)
        if len(inner):
            starts = self.edge_start[inner]
            least, most = np.minimum.reduceat(behind, starts), np.maximum.reduceat(behind, starts)
            even_step[inner] = np.where(least == most, least, 0)
        return _Steps(before=running[:-1] + np.repeat(offset, degree), even_step=even_step)

    def _symbols_at(self, index: NDArray[Any]) -> NDArray[np.uint32]:
        """Code points of the strings at ``index``, padded with zeros, shape ``(n, longest)``."""
        columns = np.zeros((max(self.longest, 1), len(index)), dtype=np.uint32)
        rows: NDArray[Any] | slice = slice(None)
        state = np.zeros(len(index), dtype=np.int64)
        for depth in range(self.longest):
            ended = self.accepting[state] & (index == 0).astype(np.bool_)
            if ended.any():
                going = np.flatnonzero(~ended)
                rows = going if isinstance(rows, slice) else rows[going]
                state, index = state[going], index[going]
            if len(state) == 0:
                break
            if index.dtype == object and self._fits[state].all():
                index = index.astype(np.int64)
            steps = self._exact_steps if index.dtype == object else self._small_steps
            edge = self._edge_at(state, index, steps)
            index = index - steps.before[edge]
            columns[depth, rows] = self.edge_symbol[edge]
            state = self.edge_target[edge].astype(np.int64)
        return np.ascontiguousarray(columns.T)

    def _edge_at(self, state: Integers, index: NDArray[Any], steps: _Steps) -> Integers:
        """The last edge of each state with at most ``index`` strings before it."""
        low = self.edge_start[state]
        step = steps.even_step[state]
        if (state == state[0]).all():
            step = step[:1]
        if (step != 0).all():
            quotient: Integers = ((index - self.accepting[state]) // step).astype(np.int64)
            chosen: Integers = low + quotient
            return chosen
        high = self.edge_start[state + 1] - 1
        while True:
            open_rows = low < high
            if not open_rows.any():
                return low
            middle = (low + high + 1) // 2
            right = (steps.before[middle] <= index).astype(np.bool_)
            low = np.where(open_rows & right, middle, low)
            high = np.where(open_rows & ~right, middle - 1, high)

    def _place(self, text: str) -> int | None:
        """Rank of ``text``, or None when it is not accepted."""
        steps = self._exact_steps if self.size >= _INT64_END else self._small_steps
        state, place = 0, 0
        for character in text:
            edge = self.edge(state, ord(character))
            if edge < 0:
                return None
            place += int(steps.before[edge])
            state = int(self.edge_target[edge])
        return place if self.accepting[state] else None


def from_edges(
    source: ArrayLike, symbol: ArrayLike, target: ArrayLike, accepting: ArrayLike, start: int = 0
) -> Automaton:
    """Make an automaton from an edge table; states that lie on no accepted path are dropped.

    Args:
        source: State that each edge leaves, shape ``(E,)``.
        symbol: Code point of each edge, shape ``(E,)``.
        target: State that each edge enters, shape ``(E,)``.
        accepting: Whether a string may end in a state, shape ``(S,)``.
        start: Number of the start state.

    Raises:
        FormatError: If the language is empty or infinite.
        ValueError: If two edges of one state carry the same symbol.
    """
    rows = normal_form(
        np.asarray(source, dtype=np.int64),
        np.asarray(symbol, dtype=np.int64),
        np.asarray(target, dtype=np.int64),
        np.asarray(accepting, dtype=np.bool_),
        start,
    )
    _require_deterministic(rows)
    return Automaton(
        edge_start=rows.edge_start,
        edge_symbol=rows.edge_symbol,
        edge_target=rows.edge_target,
        accepting=rows.accepting,
        level_start=rows.level_start,
    )


def _require_deterministic(rows: Rows) -> None:
    same = rows.edge_symbol[1:] == rows.edge_symbol[:-1]
    same_row = np.ones(len(same), dtype=np.bool_)
    inner_starts = rows.edge_start[1:-1]
    inner_starts = inner_starts[(inner_starts > 0) & (inner_starts < len(rows.edge_symbol))]
    same_row[inner_starts - 1] = False
    if bool((same & same_row).any()):
        raise ValueError("edges must be deterministic, got two edges of one state with one symbol")
