"""Texts in pieces × tokens × what tokens ask of each other.

A node is (state of the text, group of constraints, ``following``). From a node lead

    the tokens that go on within the piece, less the exceptions that the group makes,
    if the piece may end: the tokens that begin a piece there, and the token that closes the record where the text may end.

All nodes of one state of the text share one row of edges; where an edge leads depends on its token alone, the exceptions apart. Nodes are
made level by level of the text: when a level's turn comes, all edges that arrive there are known, and those that arrive under
constraints of one group become one node.
"""

from __future__ import annotations

import numpy as np

from secretaudit.models.tokens.rules import Rule
from secretaudit.models.tokens.trie import Integers
from secretaudit.tree.automaton import Rows, TokenAutomaton
from secretaudit.tree.following import ENDING_ONLY, GOING_ON_ONLY, Following
from secretaudit.tree.packing import assemble
from secretaudit.tree.symbol_automaton import SymbolAutomaton
from secretaudit.tree.vocabulary_edges import VocabularyEdges, rows

_TERMINAL, _CLOSING = -1, -2


def product(
    texts: SymbolAutomaton,
    beginning: VocabularyEdges,
    inside: VocabularyEdges,
    rule: Rule,
    after: tuple[int, ...],
) -> TokenAutomaton:
    """The token automaton of all texts. It may have several edges of one token in a state.

    Args:
        texts: The texts in pieces.
        beginning: Tokens that may begin a piece in each state of the text.
        inside: Tokens that may go on within one.
        rule: What tokens of one piece ask of each other.
        after: Tokens that close a record.
    """
    end = len(texts.ends)
    if not after:
        beginning, inside = _ending(beginning, texts, end), _ending(inside, texts, end)
    growth = _Growth(texts, beginning, inside, rule, after)
    for level in np.unique(texts.level).tolist():
        growth.grow(level)
    return assemble(growth.finished())


def _ending(edges: VocabularyEdges, texts: SymbolAutomaton, end: int) -> VocabularyEdges:
    """The same edges, and one more to the state ``end`` beside each after which the text may end."""
    source = np.repeat(np.arange(len(edges.start) - 1), np.diff(edges.start))
    last = np.flatnonzero(texts.ends[edges.goal])
    source = np.concatenate([source, source[last]])
    token = np.concatenate([edges.token, edges.token[last]])
    goal = np.concatenate([edges.goal, np.full(len(last), end)])
    order = np.lexsort((goal, token, source))
    start = np.searchsorted(source[order], np.arange(len(edges.start)))
    return VocabularyEdges(start=start, token=token[order], goal=goal[order])


class _Growth:
    """Nodes and rows found so far; edges that wait for their level to be numbered."""

    def __init__(
        self,
        texts: SymbolAutomaton,
        beginning: VocabularyEdges,
        inside: VocabularyEdges,
        rule: Rule,
        after: tuple[int, ...],
    ) -> None:
        self._texts, self._beginning, self._inside = texts, beginning, inside
        self._rule, self._after = rule, after
        self._begin = rule.begin(beginning.token)
        self._go_on = rule.inside(inside.token)
        self._following = Following(inside, rule)
        self._edges: list[tuple[Integers, Integers, Integers]] = []
        self._nodes: list[tuple[Integers, Integers, Integers]] = []
        self._rows = 0
        self._levels: list[int] = [0]
        nowhere, zero = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
        #: Level → (targets to fill in, which of them, state of the text, constraint).
        self._waiting: dict[int, list[tuple[Integers, Integers, Integers, Integers]]] = {
            int(texts.level[0]): [(nowhere, zero, zero, zero)]
        }

    def grow(self, level: int) -> None:
        """Number the nodes of a level and find the rows of edges that leave them."""
        arriving = self._waiting.pop(level, None)
        if arriving is None:
            return
        states = len(self._texts.ends)
        key = np.concatenate([constraint * states + state for _, _, state, constraint in arriving])
        distinct, which = np.unique(key, return_inverse=True)
        group = self._following.groups(distinct % states, distinct // states)
        node, number = np.unique(group * states + distinct % states, return_inverse=True)
        numbers = self._levels[-1] + number[which]
        low = 0
        for targets, places, _, _ in arriving:
            targets[places] = numbers[low : low + len(places)]
            low += len(places)
        self._expand(node % states, node // states)
        self._levels.append(self._levels[-1] + len(node))

    def _expand(self, state: Integers, group: Integers) -> None:
        """The rows of the newest level's nodes: those shared by all nodes of one state, and those of their own."""
        key, which = np.unique(3 * state + self._following.variant[group], return_inverse=True)
        shared = self._rows + which
        self._shared_rows(key // 3, key % 3)
        self._rows += len(key)
        self._nodes.append((shared, self._own_rows(state, group), group + 1))

    def _shared_rows(self, state: Integers, variant: Integers) -> None:
        """One row for each state: first what goes on within the piece, then what begins one, then what closes the record."""
        going_on = np.flatnonzero(variant != ENDING_ONLY)
        owner, edge = rows(self._inside.start, state[going_on])
        self._add(
            going_on[owner], self._inside.token[edge], self._inside.goal[edge], self._go_on[edge]
        )
        ending = np.flatnonzero(variant != GOING_ON_ONLY)
        owner, edge = rows(self._beginning.start, state[ending])
        can = np.flatnonzero(self._begin[edge] >= 0)
        owner, edge = owner[can], edge[can]
        tokens, goals = self._beginning.token[edge], self._beginning.goal[edge]
        self._add(ending[owner], tokens, goals, self._begin[edge])
        if self._after:
            closing = ending[self._texts.ends[state[ending]]]
            self._put(closing, np.full(len(closing), self._after[0]), _CLOSING)

    def _own_rows(self, state: Integers, group: Integers) -> Integers:
        """The row of each node for tokens that it allows with another constraint than its shared row; −1 where it has none."""
        following = self._following
        owner, entry = rows(following.skip_start, group)
        allowed = following.after[entry] >= 0
        owner, entry = owner[allowed], entry[allowed]
        edge = self._inside.start[state[owner]] + following.skip[entry]
        having, number = np.unique(owner, return_inverse=True)
        row = np.full(len(state), -1, dtype=np.int64)
        row[having] = self._rows + np.arange(len(having))
        self._add(number, self._inside.token[edge], self._inside.goal[edge], following.after[entry])
        self._rows += len(having)
        return row

    def _add(self, row: Integers, token: Integers, state: Integers, constraint: Integers) -> None:
        """Edges to nodes that are numbered when their level's turn comes, and to the end of the text."""
        end = len(self._texts.ends)
        stays = (state < end) | self._rule.may_end(constraint)
        row, token, state, constraint = row[stays], token[stays], state[stays], constraint[stays]
        targets = self._put(row, token, _TERMINAL)
        going = np.flatnonzero(state < end)
        if not len(going):
            return
        level = self._texts.level[state[going]]
        order = np.argsort(level, kind="stable")
        cuts = np.flatnonzero(np.diff(level[order])) + 1
        for some in np.split(order, cuts):
            places = going[some]
            waiting = self._waiting.setdefault(int(level[some[0]]), [])
            waiting.append((targets, places, state[places], constraint[places]))

    def _put(self, row: Integers, token: Integers, target: int) -> Integers:
        targets = np.full(len(row), target, dtype=np.int64)
        self._edges.append((self._rows + row, token, targets))
        return targets

    def finished(self) -> Rows:
        """All levels, then the tokens that close a record, one state between each two, then the terminal."""
        self._close()
        states, empty = self._levels[-1], self._rows + 1
        source, token, target = (np.concatenate(c) for c in zip(*self._edges, strict=True))
        closing = states - max(0, len(self._after) - 1)
        target = np.where(
            target == _TERMINAL, states, np.where(target == _CLOSING, closing, target)
        )
        order = np.argsort(source, kind="stable")
        terminal = np.array([self._rows])
        shared, own, skips = (
            np.concatenate([*column, last])
            for column, last in zip(
                zip(*self._nodes, strict=True),
                (terminal, terminal, np.zeros(1, dtype=np.int64)),
                strict=True,
            )
        )
        following = self._following
        return Rows(
            start=np.searchsorted(source[order], np.arange(empty + 1)),
            token=token[order],
            target=target[order],
            row=shared,
            own=np.where(own < 0, self._rows, own),
            skips=skips,
            skip_start=np.concatenate([np.zeros(1, dtype=np.int64), following.skip_start]),
            skip=following.skip,
            skip_choice=np.concatenate([np.zeros(1, dtype=np.int64), following.choice]),
            levels=np.array(self._levels, dtype=np.int64),
        )

    def _close(self) -> None:
        """The states between the tokens that close a record."""
        nothing = np.zeros(1, dtype=np.int64)
        for place, token in enumerate(self._after[1:], start=1):
            here = self._levels[-1]
            target = _TERMINAL if place == len(self._after) - 1 else here + 1
            self._put(nothing, np.array([token]), target)
            self._nodes.append((np.array([self._rows]), np.array([-1]), nothing))
            self._rows += 1
            self._levels.append(here + 1)
