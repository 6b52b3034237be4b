"""All texts of a format as the model of a tokenizer meets them: normalized, cut into pieces, in symbols.

    automaton of the texts  →  each character replaced by what the normalizer makes of it  ×  scanner of pieces

A path through the result is one text; its edges read symbols (bytes or characters), and each says whether its symbol goes on within a
piece or begins one. Dropped characters are read by no edge: the edges behind them stand before them too.

The normalizer is taken to work character by character, and this is checked on every pair of characters that can stand side by side. When
the normalizer makes one text of two, the automaton has two paths for it, and whoever builds a tree from it finds them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secretaudit.canary.automaton import Automaton
from secretaudit.errors import ModelError
from secretaudit.models.tokens.scheme import Scheme
from secretaudit.tree.piece_scanner import BEGINS, DROPPED, GOES_ON, PieceScanner, learn_scanner
from secretaudit.tree.vocabulary_edges import Integers, SymbolEdges, rows, symbol_edges

#: Levels between the states of neighbouring characters, for the symbols of one character.
_BETWEEN = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class SymbolAutomaton:
    """Texts in pieces; state 0 is before the first symbol.

    Attributes:
        level: int64 (S,): grows along every edge.
        inner: Edges whose symbol goes on within a piece.
        first: Edges whose symbol begins one, so that a piece ends in the state they leave.
        ends: bool (S,): whether a text may end.
        notes: What the normalizer changes, in sentences.
    """

    level: Integers
    inner: SymbolEdges
    first: SymbolEdges
    ends: NDArray[np.bool_]
    notes: tuple[str, ...] = ()


def one_piece(text: Automaton) -> SymbolAutomaton:
    """The texts of an automaton, each as one piece; its symbols are the automaton's."""
    edges = symbol_edges(text)
    source = np.repeat(np.arange(text.states), np.diff(edges.start))
    level = np.repeat(np.arange(len(text.level_start) - 1), np.diff(text.level_start))
    return SymbolAutomaton(
        level=level,
        inner=_edges(text.states, source, edges.symbol, edges.target, source > 0),
        first=_edges(text.states, source, edges.symbol, edges.target, source == 0),
        ends=text.accepting.astype(np.bool_),
    )


def in_pieces(text: Automaton, scheme: Scheme) -> SymbolAutomaton | None:
    """The texts of an automaton over characters as a tokenizer cuts them.

    Returns:
        ``None`` when the tokenizer's steps are not of the kind described above.

    Raises:
        ModelError: The tokenizer drops a character, or has no symbol for it.
    """
    written = _written(text, scheme)
    if written is None:
        return None
    normal, lead = written
    _refuse_alike(text, normal)
    start = _with_lead(text, normal, lead, scheme)
    if start is None:
        return None
    characters = _characters(text, normal, start)
    scanner = learn_scanner(scheme.cut, characters.alphabet, scheme.kind)
    if scanner is None:
        return None
    return _in_symbols(_marked(characters, scanner), scanner, scheme, _notes(normal))


def _written(text: Automaton, scheme: Scheme) -> tuple[dict[str, str], str] | None:
    """(what the normalizer makes of each character, what it puts before a text), or ``None`` if it looks further."""
    characters = [chr(point) for point in np.unique(text.edge_symbol).tolist()]
    base = scheme.normalize("a")
    if not base.endswith("a"):
        return None
    lead = base[:-1]
    normal: dict[str, str] = {}
    for character in characters:
        framed = scheme.normalize(f"a{character}a")
        if not (
            framed.startswith(f"{lead}a") and framed.endswith("a") and len(framed) > len(lead) + 1
        ):
            return None
        normal[character] = framed[len(lead) + 1 : -1]
        if not normal[character]:
            raise ModelError(
                f"The tokenizer drops the character {character!r} (U+{ord(character):04X}).",
                "Texts with and without it would be the same to the model.",
                "Use another format, or another tokenizer.",
            )
    for one, other in _neighbours(text):
        if scheme.normalize(f"a{one}{other}a") != f"{lead}a{normal[one]}{normal[other]}a":
            return None
    for one in {chr(point) for point, _ in text.children(0)}:
        if scheme.normalize(f"{one}a") != f"{lead}{normal[one]}a":
            return None
    return normal, lead


def _refuse_alike(text: Automaton, normal: dict[str, str]) -> None:
    """Refuse two characters that become one in the same place: nothing after them can tell the secrets apart."""
    source = np.repeat(np.arange(text.states), np.diff(text.edge_start)).tolist()
    written = [normal[chr(point)] for point in text.edge_symbol.tolist()]
    if len({*zip(source, written, text.edge_target.tolist(), strict=True)}) < len(source):
        raise ModelError(
            "The tokenizer writes two secrets of the format alike.",
            "Its normalizer makes one character of two (lower case, accents), so the model cannot tell them apart.",
            "Use a tokenizer without normalization, or a format whose secrets it keeps apart.",
        )


def _neighbours(text: Automaton) -> list[tuple[str, str]]:
    """All pairs of characters that stand side by side in some text."""
    _, edge = rows(np.asarray(text.edge_start, dtype=np.int64), text.edge_target.astype(np.int64))
    behind = np.repeat(np.arange(len(text.edge_symbol)), np.diff(text.edge_start)[text.edge_target])
    pairs = np.unique(text.edge_symbol[behind].astype(np.int64) * 0x110000 + text.edge_symbol[edge])
    return [(chr(pair // 0x110000), chr(pair % 0x110000)) for pair in pairs.tolist()]


def _with_lead(text: Automaton, normal: dict[str, str], lead: str, scheme: Scheme) -> str | None:
    """All that stands before the text itself; ``None`` when it depends on how the text begins."""
    if not scheme.lead:
        return lead
    if lead:
        return lead if lead.startswith((" ", "▁")) else scheme.lead + lead
    spaces = {normal[chr(point)].startswith((" ", "▁")) for point, _ in text.children(0)}
    if len(spaces) > 1:
        return None
    return "" if spaces.pop() else scheme.lead


def _notes(normal: dict[str, str]) -> tuple[str, ...]:
    """A sentence for what a reader of results must know."""
    lowered = sorted(c for c, to in normal.items() if to != c and to == c.lower())
    changed = sorted(c for c, to in normal.items() if to not in (c, "▁") and c not in lowered)
    notes = []
    if lowered:
        notes.append("The tokenizer lower-cases the text; no two secrets become alike by it.")
    if changed:
        notes.append(
            f"The tokenizer's normalizer changes {len(changed)} of the format's characters; no two secrets become alike by it."
        )
    return tuple(notes)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Characters:
    """The normalized texts: edges over characters, as places in ``alphabet``; state 0 is before what is put in front."""

    alphabet: str
    level: Integers
    start: Integers
    place: Integers
    target: Integers
    ends: NDArray[np.bool_]


def _characters(text: Automaton, normal: dict[str, str], start: str) -> _Characters:
    """The automaton of normalized texts; a character that becomes several passes through states of its own."""
    alphabet = "".join(sorted(set("".join(normal.values()) + start)))
    place = {character: i for i, character in enumerate(alphabet)}
    ahead = len(start)
    source = np.repeat(np.arange(text.states), np.diff(text.edge_start)) + ahead
    target = text.edge_target.astype(np.int64) + ahead
    written = [normal[chr(point)] for point in text.edge_symbol.tolist()]
    depth = np.repeat(np.arange(len(text.level_start) - 1), np.diff(text.level_start))
    level = [*range(ahead), *(ahead + depth).tolist()]
    table = [(i, place[c], i + 1) for i, c in enumerate(start)]
    level = [_BETWEEN * value for value in level]
    for here, there, text_of in zip(source.tolist(), target.tolist(), written, strict=True):
        for i, character in enumerate(text_of):
            if i + 1 < len(text_of):
                level.append(level[here] + 1)
                table.append((here, place[character], len(level) - 1))
                here = len(level) - 1
            else:
                table.append((here, place[character], there))
    edges = np.array(table, dtype=np.int64)
    edges = edges[np.argsort(edges[:, 0], kind="stable")]
    ends = np.zeros(len(level), dtype=np.bool_)
    ends[ahead : ahead + text.states] = text.accepting
    return _Characters(
        alphabet=alphabet,
        level=np.array(level, dtype=np.int64),
        start=np.searchsorted(edges[:, 0], np.arange(len(level) + 1)),
        place=edges[:, 1],
        target=edges[:, 2],
        ends=ends,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Marked:
    """The normalized texts with their marks; state 0 is the start."""

    level: Integers
    source: Integers
    place: Integers
    mark: Integers
    target: Integers
    ends: NDArray[np.bool_]


def _marked(characters: _Characters, scanner: PieceScanner) -> _Marked:
    """The product of the normalized texts and the scanner, grown level by level."""
    width = len(scanner.may_end)
    waiting: dict[int, list[Integers]] = {0: [np.zeros(1, dtype=np.int64)]}
    keys: list[Integers] = []
    found: list[tuple[Integers, Integers, Integers, Integers]] = []
    for level in np.unique(characters.level).tolist():
        if level not in waiting:
            continue
        here = np.unique(np.concatenate(waiting.pop(level)))
        keys.append(here)
        parent, edge = rows(characters.start, here // width)
        place, goal = characters.place[edge], characters.target[edge]
        for kind in (GOES_ON, BEGINS, DROPPED):
            state = scanner.next_state[(here % width)[parent], place, kind]
            right = np.flatnonzero(state >= 0)
            target = goal[right] * width + state[right]
            found.append((here[parent[right]], place[right], np.full(len(right), kind), target))
            later = characters.level[goal[right]]
            for there in np.unique(later).tolist():
                waiting.setdefault(there, []).append(target[later == there])
    source, place, mark, target = (np.concatenate(column) for column in zip(*found, strict=True))
    every = np.sort(np.concatenate(keys))
    return _Marked(
        level=characters.level[every // width] * _BETWEEN,
        source=np.searchsorted(every, source),
        place=place,
        mark=mark,
        target=np.searchsorted(every, target),
        ends=characters.ends[every // width] & scanner.may_end[every % width],
    )


def _in_symbols(
    marked: _Marked, scanner: PieceScanner, scheme: Scheme, notes: tuple[str, ...]
) -> SymbolAutomaton:
    """Characters become their symbols, and dropped characters no longer stand in the way.

    Raises:
        ModelError: The tokenizer has no symbol for a character.
    """
    source, symbol, target, begins, level = _spelled(marked, scanner, scheme)
    ends = np.concatenate([marked.ends, np.zeros(len(level) - len(marked.ends), dtype=np.bool_)])
    first = _edges(len(level), source, symbol, target, begins)
    dropped = _edges(
        len(marked.level), marked.source, marked.place, marked.target, marked.mark == DROPPED
    )
    here = there = np.arange(len(marked.level))
    sources, symbols, targets = [source[begins]], [symbol[begins]], [target[begins]]
    while len(here):
        item, edge = rows(dropped.start, there)
        here, there = here[item], dropped.target[edge]
        np.logical_or.at(ends, here, marked.ends[there])
        item, edge = rows(first.start, there)
        sources.append(here[item])
        symbols.append(first.symbol[edge])
        targets.append(first.target[edge])
    every = [np.concatenate(column) for column in (sources, symbols, targets)]
    first = _edges(len(level), every[0], every[1], every[2], np.ones(len(every[0]), dtype=np.bool_))
    return SymbolAutomaton(
        level=level,
        inner=_edges(len(level), source, symbol, target, ~begins),
        first=first,
        ends=ends,
        notes=notes,
    )


def _spelled(
    marked: _Marked, scanner: PieceScanner, scheme: Scheme
) -> tuple[Integers, Integers, Integers, NDArray[np.bool_], Integers]:
    """(source, symbol, target, whether the symbol begins a piece) of all edges, and the levels of all states."""
    columns: list[tuple[Integers, Integers, Integers, NDArray[np.bool_]]] = []
    levels = [marked.level]
    states = len(marked.level)
    for place, character in enumerate(scanner.alphabet):
        chosen = np.flatnonzero((marked.place == place) & (marked.mark != DROPPED))
        if not len(chosen):
            continue
        symbols = scheme.symbols(character)
        if symbols is None:
            raise _missing(character)
        here, begins = marked.source[chosen], marked.mark[chosen] == BEGINS
        for depth, symbol in enumerate(symbols, start=1):
            if depth == len(symbols):
                there = marked.target[chosen]
            else:
                there = np.arange(states, states + len(chosen))
                states += len(chosen)
                levels.append(marked.level[marked.source[chosen]] + depth)
            columns.append((here, np.full(len(chosen), symbol), there, begins))
            here, begins = there, np.zeros(len(chosen), dtype=np.bool_)
    source, symbol_of, target = (np.concatenate([c[i] for c in columns]) for i in range(3))
    return (
        source,
        symbol_of,
        target,
        np.concatenate([c[3] for c in columns]),
        np.concatenate(levels),
    )


def _missing(character: str) -> ModelError:
    return ModelError(
        f"The tokenizer has no token for the character {character!r} (U+{ord(character):04X}).",
        "The model would read it as unknown, so texts that differ in it would be the same to it.",
        "Use another format, or a tokenizer with byte fallback.",
    )


def _edges(
    states: int,
    source: Integers,
    symbol: Integers,
    target: Integers,
    kept: NDArray[np.bool_],
) -> SymbolEdges:
    """The kept edges, in order of the state they leave."""
    chosen = np.flatnonzero(kept)
    chosen = chosen[np.argsort(source[chosen], kind="stable")]
    return SymbolEdges(
        start=np.searchsorted(source[chosen], np.arange(states + 1)),
        symbol=symbol[chosen],
        target=target[chosen],
    )
