"""The secret space as an automaton over tokens: automaton × tokenizer.

Given an automaton over the bytes of all texts  prefix + secret + suffix  and a tokenizer, the token automaton
accepts, for each secret, exactly the token sequence that the tokenizer gives for the whole text, followed by the
tokens that close the record, if any. So its paths are the secrets, one each, and their number is |R|.

*Unambiguous* tokenizers (characters, words) have one segmentation for every text, and a state is a state of the
byte automaton. Byte-pair encodings have many segmentations of one text and use one, the canonical. A sequence is
canonical when every adjacent pair of tokens is, so a state is (byte state, last token) and a pair (a, b) is
an edge when the tokenizer gives [a, b] for the text a + b.

The pair rule is checked, not believed: the number of paths must be |R|, and the tokenizer's own sequences of random
secrets must be among them. Where that fails and R can be listed, the automaton is built from the list; where
it cannot, the space is refused. Nothing is ever measured on a tree that is not exactly R.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secretaudit.canary.construction import concatenate, literal
from secretaudit.canary.format import Format
from secretaudit.errors import ModelError
from secretaudit.models.language_model import Framing, TokenView
from secretaudit.tree.vocabulary_edges import PairRule, rows, vocabulary_edges

#: Spaces up to this size are listed, secret by secret, when the pair rule does not hold.
LISTED = 200_000
#: Random secrets whose own token sequence is looked up in the finished automaton.
PROBES = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenAutomaton:
    """A finite, acyclic automaton over token ids; state 0 is the root, before the first token of the text.

    Attributes:
        start: int64 (S + 1,): the edges of state s are ``start[s]:start[s + 1]``.
        token: int64 (E,): the token that an edge reads.
        target: int64 (E,): the state that it leads to.
        leaves: Exact number of secrets below each state.
        log2_leaves: float64 (S,): the same as logarithms.
        terminal: The state of all finished records.
        depth: Edges on the longest path.
    """

    start: NDArray[np.int64]
    token: NDArray[np.int64]
    target: NDArray[np.int64]
    leaves: Sequence[int]
    log2_leaves: NDArray[np.float64]
    terminal: int
    depth: int

    @classmethod
    def empty(cls) -> TokenAutomaton:
        """The automaton without a path."""
        nothing = np.zeros(0, dtype=np.int64)
        return cls(
            start=np.zeros(2, dtype=np.int64),
            token=nothing,
            target=nothing,
            leaves=[0],
            log2_leaves=np.full(1, -np.inf),
            terminal=-1,
            depth=0,
        )

    @property
    def size(self) -> int:
        """|R|: number of secrets."""
        return self.leaves[0]

    def degree(self, states: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of edges that leave each state."""
        return self.start[states + 1] - self.start[states]

    def edges(self, states: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All edges that leave the given states, in order.

        Returns:
            (parent, edge), each (E',): ``parent`` is an index into ``states``, ``edge`` one into ``token``.
        """
        return rows(self.start, states)

    def edge_by_token(
        self, states: NDArray[np.int64], tokens: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """The edge of each state that reads the token beside it, −1 where there is none.

        Where a secret may end or go on with one token, the edge that ends it.
        """
        parent, edge = self.edges(states)
        found = np.full(len(states), -1, dtype=np.int64)
        there = self.token[edge] == tokens[parent]
        found[parent[there]] = edge[there]
        return found

    def shared(self) -> list[int]:
        """The tokens that all paths begin with."""
        found: list[int] = []
        state = 0
        while state != self.terminal and self.start[state + 1] - self.start[state] == 1:
            edge = self.start[state]
            found.append(int(self.token[edge]))
            state = int(self.target[edge])
        return found

    def after_shared(self, count: int) -> int:
        """The state after the first ``count`` tokens that all paths share."""
        state = 0
        for _ in range(count):
            state = int(self.target[self.start[state]])
        return state

    def leaves_below(self, states: NDArray[np.int64]) -> int:
        """Exact number of secrets below these states, each counted as often as it is given."""
        distinct, times = np.unique(states, return_counts=True)
        return sum(self.leaves[s] * int(n) for s, n in zip(distinct.tolist(), times, strict=True))

    def follows(self, tokens: Sequence[int]) -> bool:
        """Whether this sequence of tokens, closing tokens included, is a path to a leaf."""
        state = 0
        for place, wanted in enumerate(tokens, start=1):
            low, high = self.start[state], self.start[state + 1]
            goals = self.target[low:high][self.token[low:high] == wanted]
            goals = goals[(goals == self.terminal) == (place == len(tokens))]
            if not len(goals):
                return False
            state = int(goals[0])
        return state == self.terminal


def build_token_automaton(
    form: Format, tokenizer: TokenView, framing: Framing, rng: np.random.Generator
) -> TokenAutomaton:
    """The tree of all secrets of a format, as this tokenizer writes them.

    Args:
        form: The format.
        tokenizer: The tokenizer.
        framing: What closes a record.
        rng: Chooses the secrets with which the result is checked.

    Raises:
        ModelError: The tokenizer lacks a character of the format, or the tree would not be exactly R.
    """
    built = _pack(_by_pairs(form, tokenizer, framing.after))
    probes = [form.render(form.automaton.unrank(i)) for i in _probe_indices(form.size, rng)]
    sequences = [[*ids, *framing.after] for ids in tokenizer.encode(probes)]
    if built.size == form.size and all(map(built.follows, sequences)):
        return built
    if form.size > LISTED:
        raise ModelError(
            f"The tokenizer does not write the format {form.name!r} in a way that can be searched.",
            f"Its tree has {built.size:,} paths for {form.size:,} secrets.",
            "Use a tokenizer with all characters of the format, or a format with fewer secrets.",
        )
    listed = _pack(_by_list(form, tokenizer, framing.after))
    if listed.size != form.size:
        raise ModelError(
            f"The tokenizer writes two secrets of the format {form.name!r} alike.",
            "It changes the text, so the model cannot tell them apart.",
            "Use a tokenizer without normalization, or another format.",
        )
    return listed


def _probe_indices(size: int, rng: np.random.Generator) -> list[int]:
    """A few random indices below ``size``, and both ends."""
    fractions = rng.random(PROBES).tolist()
    return [0, size - 1, *(min(size - 1, int(size * f)) for f in fractions)]


@dataclass
class _Graph:
    """States in levels, numbered level by level; every edge leads to a later level or to the terminal.

    ``keys`` names the states of each level, ascending; a key of −1 as target is the terminal.
    """

    keys: list[NDArray[np.int64]]
    source: list[NDArray[np.int64]]
    token: list[NDArray[np.int64]]
    target: list[NDArray[np.int64]]
    exact: bool  # counts fit into int64

    def add(
        self, source: NDArray[np.int64], token: NDArray[np.int64], target: NDArray[np.int64]
    ) -> None:
        self.source.append(source)
        self.token.append(token)
        self.target.append(target)


def _by_pairs(form: Format, tokenizer: TokenView, after: tuple[int, ...]) -> _Graph:
    """All sequences in which every adjacent pair of tokens is one that the tokenizer writes, level by level.

    A state (byte state b, last token t) has the key b · (V + 1) + t + 1; unambiguous tokenizers do not need t.
    """
    text = form.text_automaton()
    if tokenizer.lead:
        text = concatenate(literal(tokenizer.lead.decode()), text)
    text = text.over_bytes()
    edges = vocabulary_edges(text, tokenizer.token_bytes)
    rule = None if tokenizer.unambiguous else PairRule(tokenizer)
    width = len(tokenizer.token_bytes) + 1
    level_of = np.repeat(np.arange(len(text.level_start) - 1), np.diff(text.level_start))
    waiting: list[list[NDArray[np.int64]]] = [[] for _ in range(len(text.level_start) - 1)]
    waiting[0].append(np.zeros(1, dtype=np.int64))
    graph = _Graph([], [], [], [], form.size < 2**40)
    closing = width * text.states + np.arange(
        1, max(1, len(after))
    )  # states between closing tokens
    for level in waiting:
        keys = np.unique(np.concatenate(level)) if level else np.zeros(0, dtype=np.int64)
        graph.keys.append(keys)
        byte_state = keys // width
        parent, edge = rows(edges.start, byte_state)
        token, goal = edges.token[edge], edges.goal[edge]
        if rule is not None:
            kept = rule.allows(keys[parent] % width - 1, token)
            parent, token, goal = parent[kept], token[kept], goal[kept]
        target = goal * width + (0 if rule is None else token + 1)
        graph.add(keys[parent], token, target)
        if after:
            ends = keys[text.accepting[byte_state]]
            graph.add(ends, np.full(len(ends), after[0]), np.full(len(ends), [*closing, -1][0]))
        else:
            ends = np.flatnonzero(text.accepting[goal])
            graph.add(keys[parent[ends]], token[ends], np.full(len(ends), -1))
        reached = level_of[goal]
        for there in np.unique(reached).tolist():
            waiting[there].append(np.unique(target[reached == there]))
    for place, key in enumerate(closing.tolist(), start=1):
        graph.keys.append(np.array([key]))
        goal_key = [*closing, -1][place]
        graph.add(np.array([key]), np.array([after[place]]), np.array([goal_key]))
    return graph


def _by_list(form: Format, tokenizer: TokenView, after: tuple[int, ...]) -> _Graph:
    """The tokenizer's own sequence of every single secret, as a trie."""
    texts = [form.render(s) for s in form.automaton.unrank_many(np.arange(form.size))]
    sequences = [[*ids, *after] for ids in tokenizer.encode(texts)]
    lengths = np.array([len(s) for s in sequences])
    table = np.zeros((len(sequences), lengths.max()), dtype=np.int64)
    for row, sequence in zip(table, sequences, strict=True):
        row[: len(sequence)] = sequence
    graph = _Graph([np.zeros(1, dtype=np.int64)], [], [], [], exact=True)
    at, used = np.zeros(len(sequences), dtype=np.int64), 1
    for depth in range(table.shape[1]):
        here = np.flatnonzero(lengths > depth)
        last = lengths[here] == depth + 1
        step = np.stack([at[here], table[here, depth], np.where(last, 0, 1)], axis=1)
        distinct, number = np.unique(step, axis=0, return_inverse=True)
        target = np.where(distinct[:, 2] == 0, -1, used + np.arange(len(distinct)))
        graph.add(distinct[:, 0], distinct[:, 1], target)
        graph.keys.append(target[target >= 0])
        at[here] = target[number.ravel()]
        used += len(distinct)
    return graph


def _pack(graph: _Graph) -> TokenAutomaton:
    """Number the states, count the leaves below each from the end, and drop dead ends."""
    keys = np.concatenate(graph.keys)
    order = np.argsort(keys, kind="stable")
    target_key = np.concatenate(graph.target)
    place = np.searchsorted(keys, target_key, sorter=order)
    target = np.where(target_key < 0, len(keys), order[np.minimum(place, len(keys) - 1)])
    source = order[np.searchsorted(keys, np.concatenate(graph.source), sorter=order)]
    token = np.concatenate(graph.token)
    sequence = np.lexsort((token, source))
    source, token, target = source[sequence], token[sequence], target[sequence]
    start = np.searchsorted(source, np.arange(len(keys) + 2))
    bounds = np.cumsum([0, *(len(k) for k in graph.keys)])
    leaves, height = _count(start, target, bounds, np.int64 if graph.exact else object)
    alive = np.flatnonzero(leaves > 0)
    number = np.cumsum(leaves > 0) - 1
    kept = (leaves[source] > 0) & (leaves[target] > 0)
    counts = [int(n) for n in leaves[alive].tolist()]
    if not leaves[0]:
        return TokenAutomaton.empty()
    return TokenAutomaton(
        start=np.searchsorted(number[source[kept]], np.arange(len(alive) + 1)),
        token=token[kept],
        target=number[target[kept]],
        leaves=counts,
        log2_leaves=np.array([math.log2(n) for n in counts]),
        terminal=int(number[-1]),
        depth=int(height[0]),
    )


def _count(
    start: NDArray[np.int64], target: NDArray[np.int64], bounds: NDArray[np.int64], dtype: type
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Leaves below each state and edges on the longest way down, the last level first; the terminal is the last state."""
    leaves: NDArray[Any] = np.zeros(int(bounds[-1]) + 1, dtype=dtype)
    height = np.zeros(len(leaves), dtype=np.int64)
    leaves[-1] = 1
    for first, last in zip(bounds[-2::-1].tolist(), bounds[:0:-1].tolist(), strict=True):
        states = first + np.flatnonzero(np.diff(start[first : last + 1]))
        if not len(states):
            continue
        below = target[start[states[0]] : start[last]]
        offsets = start[states] - start[states[0]]
        leaves[states] = np.add.reduceat(leaves[below], offsets)
        height[states] = 1 + np.maximum.reduceat(height[below], offsets)
    return leaves, height
