"""Which tokens of a vocabulary may be read in which state of an automaton over symbols.

The trie of the vocabulary and the automaton are walked side by side, from all states at once: each round reads one more symbol,
and where a token ends an edge is written down. The work is the number of (state, token prefix) pairs that fit, not states ×
vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secretaudit.canary.automaton import Automaton
from secretaudit.errors import ModelError
from secretaudit.models.tokens.rules import rows
from secretaudit.models.tokens.trie import Spelling, Trie, build_trie

__all__ = [
    "Integers",
    "SymbolEdges",
    "VocabularyEdges",
    "read_tokens",
    "rows",
    "symbol_edges",
    "vocabulary_edges",
]

Integers = NDArray[np.int64]

#: Most edges that are held: 16 bytes each, several times while they are ordered.
MOST_EDGES = 24_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class VocabularyEdges:
    """Edges of a byte automaton that read a whole token: state s owns ``start[s]:start[s + 1]``, by ascending token.

    Attributes:
        start: int64 (S + 1,).
        token: int64 (E,): token id.
        goal: int64 (E,): byte state after its last byte.
    """

    start: Integers
    token: Integers
    goal: Integers


@dataclass(frozen=True, kw_only=True, eq=False)
class SymbolEdges:
    """Edges of an automaton that read one symbol: state s owns ``start[s]:start[s + 1]``.

    Attributes:
        start: int64 (S + 1,).
        symbol: int64 (E,).
        target: int64 (E,).
    """

    start: Integers
    symbol: Integers
    target: Integers


def vocabulary_edges(text: Automaton, token_bytes: Sequence[bytes | None]) -> VocabularyEdges:
    """All (state, token, state) such that the token's bytes lead from the one to the other.

    Args:
        text: An automaton over bytes.
        token_bytes: The bytes of each token id; ``None`` and empty tokens are never read.
    """
    edges = symbol_edges(text)
    return read_tokens(edges, edges, build_trie(Spelling.of(token_bytes)))


def symbol_edges(text: Automaton) -> SymbolEdges:
    """The edges of an automaton, as they are."""
    return SymbolEdges(
        start=np.asarray(text.edge_start, dtype=np.int64),
        symbol=text.edge_symbol.astype(np.int64),
        target=text.edge_target.astype(np.int64),
    )


def read_tokens(first: SymbolEdges, inner: SymbolEdges, trie: Trie) -> VocabularyEdges:
    """All edges that read a whole token: its first symbol by an edge of ``first``, the others by edges of ``inner``.

    Raises:
        ModelError: There are more of them than can be held.
    """
    states = len(first.start) - 1
    state = origin = np.arange(states, dtype=np.int64)
    node = np.zeros(states, dtype=np.int64)
    found: list[tuple[Integers, Integers, Integers]] = []
    edges = first
    held = 0
    while len(state):
        reading = int((edges.start[state + 1] - edges.start[state]).sum())
        if max(held, reading) > MOST_EDGES:
            raise _too_large(states)
        item, edge = rows(edges.start, state)
        there = trie.step(node[item], edges.symbol[edge])
        fits = np.flatnonzero(there >= 0)
        origin, node, state = origin[item[fits]], there[fits], edges.target[edge[fits]]
        who, end = rows(trie.ends_start, node)
        found.append((origin[who], trie.ends_token[end], state[who]))
        held += len(who)
        edges = inner
    origins, tokens, goals = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.lexsort((tokens, origins))
    origins, tokens, goals = origins[order], tokens[order], goals[order]
    start = np.searchsorted(origins, np.arange(states + 1))
    return VocabularyEdges(start=start, token=tokens, goal=goals)


def _too_large(states: int) -> ModelError:
    return ModelError(
        "The tree of this format is too large for this tokenizer.",
        f"Its {states:,} states of the text have more than {MOST_EDGES:,} edges that read a token.",
        "Use a format with a simpler rule, or a tokenizer with fewer tokens of several digits.",
    )
