"""Building automata from literals, characters, words, layers, and from other automata.

A sequence A·B stays deterministic when no accepting state of A has an edge with a symbol that B can
start with (always so when A is prefix-free): then B's first edges are simply added to those states.
Otherwise "ab" may be read as a·b or ab·…, and the subset construction merges the readings, so that
every string is counted once. Word lists are minimized (states with equal futures are one state),
which keeps the machine and every tree built over it small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secretaudit.canary._graph import Flags, Integers, no_text
from secretaudit.canary.automaton import Automaton, from_edges
from secretaudit.errors import FormatError

_MOST_SUBSETS = 2_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """One character of a layered machine.

    Attributes:
        symbols: The characters that may stand here, k of them.
        next_state: State of the next layer for each state of this one and each symbol, -1 where the
            symbol is not
            allowed; shape ``(states of this layer, k)``.
    """

    symbols: str
    next_state: NDArray[np.int64]


def literal(text: str) -> Automaton:
    """The automaton of exactly one string."""
    points = np.array([ord(character) for character in text], dtype=np.int64)
    steps = np.arange(len(points) + 1)
    return from_edges(steps[:-1], points, steps[1:], steps == len(points))


def characters(chars: str, minimum: int = 1, maximum: int | None = None) -> Automaton:
    """All strings of ``minimum`` to ``maximum`` characters from the set ``chars``.

    Args:
        chars: The allowed characters; repetitions do not matter.
        minimum: Least length, at least 0.
        maximum: Greatest length; None means ``minimum``.
    """
    longest = minimum if maximum is None else maximum
    if not chars or not 0 <= minimum <= longest:
        raise FormatError(
            f"A hole of {minimum} to {longest} characters from a set of {len(set(chars))} is not possible.",
            "It needs at least one character to choose from and lengths in ascending order.",
            "Write for example {digits:6} or {digits:4-8}.",
        )
    points = np.array(sorted({ord(character) for character in chars}), dtype=np.int64)
    source = np.repeat(np.arange(longest), len(points))
    accepting = np.arange(longest + 1) >= minimum
    return from_edges(source, np.tile(points, longest), source + 1, accepting)


def words(strings: Iterable[str]) -> Automaton:
    """The strings of a list, each once, as a minimal automaton."""
    source: list[int] = []
    symbol: list[int] = []
    target: list[int] = []
    branches: list[dict[str, int]] = [{}]
    ends: set[int] = set()
    for string in set(strings):
        state = 0
        for character in string:
            following = branches[state].get(character)
            if following is None:
                following = len(branches)
                branches.append({})
                branches[state][character] = following
                source.append(state)
                symbol.append(ord(character))
                target.append(following)
            state = following
        ends.add(state)
    accepting = np.zeros(len(branches), dtype=np.bool_)
    accepting[list(ends)] = True
    return minimize(from_edges(source, symbol, target, accepting))


def minimize(automaton: Automaton) -> Automaton:
    """The same strings with equal states merged, from the longest prefixes back to the start."""
    starts = automaton.edge_start.tolist()
    symbols = automaton.edge_symbol.tolist()
    targets = automaton.edge_target.tolist()
    accepting = automaton.accepting.tolist()
    merged = [0] * automaton.states
    known: dict[tuple[bool, tuple[int, ...], tuple[int, ...]], int] = {}
    for state in range(automaton.states - 1, -1, -1):
        low, high = starts[state], starts[state + 1]
        following = tuple([merged[target] for target in targets[low:high]])
        merged[state] = known.setdefault(
            (accepting[state], tuple(symbols[low:high]), following), len(known)
        )
    if len(known) == automaton.states:
        return automaton
    ends = [key[0] for key in known]
    source = [number for number, key in enumerate(known) for _ in key[1]]
    symbol = [point for key in known for point in key[1]]
    target = [number for key in known for number in key[2]]
    return from_edges(source, symbol, target, ends, start=merged[0])


def concatenate(*automata: Automaton) -> Automaton:
    """All strings made of one string of each automaton, in this order."""
    if not automata:
        return literal("")
    joined = automata[-1]
    for left in reversed(automata[:-1]):
        joined = _pair(left, joined)
    return joined


def _pair(left: Automaton, right: Automaton) -> Automaton:
    """The sequence of two automata; see the module docstring for the two cases."""
    shift = left.states
    ends = np.flatnonzero(left.accepting)
    first = slice(0, int(right.edge_start[1]))
    count = first.stop
    right_target = right.edge_target.astype(np.int64) + shift
    bridge_symbol = np.tile(right.edge_symbol[first], len(ends))
    bridge_target = np.tile(right_target[first], len(ends))
    source = np.concatenate([_sources(left), _sources(right) + shift, np.repeat(ends, count)])
    symbol = np.concatenate([left.edge_symbol, right.edge_symbol, bridge_symbol]).astype(np.int64)
    target = np.concatenate([left.edge_target, right_target, bridge_target]).astype(np.int64)
    accepting = np.concatenate([left.accepting & right.accepting[0], right.accepting])
    if _is_unambiguous(left, right):
        return from_edges(source, symbol, target, accepting)
    return _determinize(source, symbol, target, accepting, frozenset([0]))


def _sources(automaton: Automaton) -> Integers:
    """State that each edge leaves, in the order of the edges."""
    return np.repeat(np.arange(automaton.states, dtype=np.int64), np.diff(automaton.edge_start))


def _is_unambiguous(left: Automaton, right: Automaton) -> bool:
    """Whether no string of ``left`` can go on with a symbol that ``right`` may start with."""
    continuing = _symbols_after_end(left)
    return not np.isin(right.edge_symbol[: int(right.edge_start[1])], continuing).any()


def _symbols_after_end(automaton: Automaton) -> Integers:
    """Symbols by which an accepted string continues to a longer accepted one."""
    after_end = automaton.accepting[_sources(automaton)]
    return np.unique(automaton.edge_symbol[after_end]).astype(np.int64)


def alternatives(*automata: Automaton) -> Automaton:
    """All strings of any of the automata, each once."""
    shifts = np.cumsum([0] + [automaton.states for automaton in automata])
    source = np.concatenate(
        [_sources(a) + shift for a, shift in zip(automata, shifts, strict=False)]
    )
    symbol = np.concatenate([a.edge_symbol for a in automata]).astype(np.int64)
    target = np.concatenate(
        [a.edge_target.astype(np.int64) + shift for a, shift in zip(automata, shifts, strict=False)]
    )
    accepting = np.concatenate([a.accepting for a in automata])
    return _determinize(source, symbol, target, accepting, frozenset(shifts[:-1].tolist()))


def _determinize(
    source: Integers, symbol: Integers, target: Integers, accepting: Flags, start: frozenset[int]
) -> Automaton:
    """Subset construction, for states that have several edges with one symbol."""
    moves: list[dict[int, list[int]]] = [{} for _ in range(len(accepting))]
    for state, point, following in zip(
        source.tolist(), symbol.tolist(), target.tolist(), strict=True
    ):
        moves[state].setdefault(point, []).append(following)
    ends = accepting.tolist()
    numbers = {start: 0}
    subsets = [start]
    table: list[tuple[int, int, int]] = []
    for number, subset in enumerate(subsets):
        reached: dict[int, list[int]] = {}
        for state in subset:
            for point, following in moves[state].items():
                reached.setdefault(point, []).extend(following)
        for point, states in reached.items():
            key = frozenset(states)
            there = numbers.setdefault(key, len(numbers))
            if there == len(subsets):
                subsets.append(key)
            table.append((number, point, there))
        if len(subsets) > _MOST_SUBSETS:
            raise FormatError(
                f"The holes of this format run into each other in more than {_MOST_SUBSETS:,} ways.",
                "Nothing marks where one part ends and the next begins, so all readings must be kept apart.",
                "Put a separator between the parts, for example a space.",
            )
    columns = np.array(table, dtype=np.int64).reshape(-1, 3)
    accepting_subsets = [any(ends[state] for state in subset) for subset in subsets]
    made = from_edges(columns[:, 0], columns[:, 1], columns[:, 2], accepting_subsets)
    return minimize(made)


def layered(layers: Sequence[Layer], accepting: Flags) -> Automaton:
    """All strings with one character per layer that end in an accepting state of the last one.

    The machine starts in state 0 of the first layer. Checksums are of this shape: the state is the
    running sum.

    Args:
        layers: The positions, from left to right, at least one.
        accepting: Whether each state after the last layer accepts.

    Raises:
        FormatError: If no string is accepted.
    """
    alive = _alive_in_layers(layers, accepting)
    number = [np.cumsum(states) - 1 for states in alive]
    level_start = np.cumsum([0, *(int(states.sum()) for states in alive)])
    symbols, targets, degrees = [], [], []
    for place, layer in enumerate(layers):
        order = np.argsort([ord(character) for character in layer.symbols])
        following = layer.next_state[np.ix_(alive[place], order)]
        kept = (following >= 0) & alive[place + 1][following]
        points = np.array([ord(layer.symbols[column]) for column in order], dtype=np.int32)
        symbols.append(np.broadcast_to(points, kept.shape)[kept])
        targets.append(
            (number[place + 1][following[kept]] + level_start[place + 1]).astype(np.int32)
        )
        degrees.append(kept.sum(axis=1))
    degrees.append(np.zeros(int(alive[-1].sum()), dtype=np.int64))
    states = int(level_start[-1])
    return Automaton(
        edge_start=np.concatenate([[0], np.cumsum(np.concatenate(degrees))]),
        edge_symbol=np.concatenate(symbols),
        edge_target=np.concatenate(targets),
        accepting=np.arange(states) >= level_start[-2],
        level_start=level_start,
    )


def _alive_in_layers(layers: Sequence[Layer], accepting: Flags) -> list[Flags]:
    """Which states of each layer, and after the last one, lie on an accepted path."""
    reached = [np.arange(layers[0].next_state.shape[0]) == 0]
    sizes = [layer.next_state.shape[0] for layer in layers[1:]] + [len(accepting)]
    for layer, size in zip(layers, sizes, strict=True):
        following = layer.next_state[reached[-1]]
        ahead = np.zeros(size, dtype=np.bool_)
        ahead[following[following >= 0]] = True
        reached.append(ahead)
    alive = [reached[-1] & accepting]
    for layer, before in zip(reversed(layers), reversed(reached[:-1]), strict=True):
        leads = (layer.next_state >= 0) & alive[-1][layer.next_state]
        alive.append(before & leads.any(axis=1))
    alive.reverse()
    if not alive[0][0]:
        raise no_text()
    return alive


def grouped(automaton: Automaton, groups: Sequence[int], separator: str) -> Automaton:
    """The same strings with a one-character separator between groups of the given sizes.

    Args:
        automaton: Strings of one length, the sum of ``groups``.
        groups: Sizes of the groups, from left to right.
        separator: One character, or nothing (the automaton comes back as it is).

    Raises:
        ValueError: If the strings have several lengths or another one than ``groups`` say.
    """
    if not separator:
        return automaton
    last_level = automaton.level_start[-2]
    if sum(groups) != automaton.longest or bool(automaton.accepting[:last_level].any()):
        raise ValueError(f"groups must add up to the length of every string, got {tuple(groups)}")
    sizes = np.diff(automaton.level_start)
    is_cut = np.isin(np.arange(len(sizes)), np.cumsum(groups)[:-1])
    shift = np.concatenate([[0], np.cumsum(sizes * is_cut)[:-1]])
    moved = np.arange(automaton.states) + np.repeat(shift, sizes)
    target = moved[automaton.edge_target]
    degree = np.diff(automaton.edge_start)
    symbols, targets, degrees = [], [], []
    for level, size in enumerate(sizes):
        states = slice(automaton.level_start[level], automaton.level_start[level + 1])
        edges = slice(automaton.edge_start[states.start], automaton.edge_start[states.stop])
        if is_cut[level]:
            symbols.append(np.full(size, ord(separator), dtype=np.int32))
            targets.append(moved[states] + size)
            degrees.append(np.ones(size, dtype=np.int64))
        symbols.append(automaton.edge_symbol[edges])
        targets.append(target[edges])
        degrees.append(degree[states])
    level_sizes = [len(block) for block in degrees]
    return Automaton(
        edge_start=np.concatenate([[0], np.cumsum(np.concatenate(degrees))]),
        edge_symbol=np.concatenate(symbols),
        edge_target=np.concatenate(targets).astype(np.int32),
        accepting=np.concatenate(
            [np.zeros(sum(level_sizes[:-1]), dtype=np.bool_), automaton.accepting[last_level:]]
        ),
        level_start=np.cumsum([0, *level_sizes]),
    )


def intersect(left: Automaton, right: Automaton) -> Automaton:
    """All strings that both automata accept."""
    return _product(left, right, needs_right=True, accept=lambda a, b: a and b)


def difference(left: Automaton, right: Automaton) -> Automaton:
    """All strings of ``left`` that ``right`` does not accept."""
    return _product(left, right, needs_right=False, accept=lambda a, b: a and not b)


def _product(
    left: Automaton, right: Automaton, *, needs_right: bool, accept: Callable[[bool, bool], bool]
) -> Automaton:
    """Both automata side by side; the right one is -1 once it has no edge for what was read."""
    following = [dict(right.children(state)) for state in range(right.states)] + [{}]
    right_ends = [*right.accepting.tolist(), False]
    numbers = {(0, 0): 0}
    pairs = [(0, 0)]
    table: list[tuple[int, int, int]] = []
    for number, (a, b) in enumerate(pairs):
        for point, next_a in left.children(a):
            next_b = following[b].get(point, -1)
            if needs_right and next_b < 0:
                continue
            there = numbers.setdefault((next_a, next_b), len(numbers))
            if there == len(pairs):
                pairs.append((next_a, next_b))
            table.append((number, point, there))
    columns = np.array(table, dtype=np.int64).reshape(-1, 3)
    ends = [accept(bool(left.accepting[a]), right_ends[b]) for a, b in pairs]
    return from_edges(columns[:, 0], columns[:, 1], columns[:, 2], ends)
