"""Which tokens may follow which within a piece of text.

A tokenizer cuts a text into pieces and writes each piece as tokens, whatever stands around it. What a token that was read asks of those
that follow it in the same piece is a *constraint*, a non-negative integer:

    begin(t)          the constraint after a token t that begins a piece, −1 where t cannot begin one
    inside(t)         the constraint after a token t that goes on within one, when nothing before it matters
    exceptions(c, …)  the tokens after which, coming after constraint c, the constraint is another one, or −1: they may not follow
    may_end(c)        whether the piece may end under constraint c
    may_go_on(c)      whether any token may follow within the piece

A sequence of tokens is what the tokenizer gives for its piece exactly when it passes through these. Exceptions are few, and that keeps
trees small: whatever was read before, mostly the same may follow.

Here are the two simplest; byte pairs and word pieces have files of their own.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from secretaudit.models.tokens.trie import Integers

Flags = NDArray[np.bool_]
#: (which of the constraints, token, constraint afterwards or −1), three arrays of one length.
Exceptions = tuple[Integers, Integers, Integers]


def rows(start: Integers, chosen: Integers) -> tuple[Integers, Integers]:
    """All entries of chosen rows of a table in which row s owns ``start[s]:start[s + 1]``.

    Returns:
        (index into ``chosen``, index of the entry), row after row.
    """
    length = start[chosen + 1] - start[chosen]
    owner = np.repeat(np.arange(len(chosen)), length)
    before = np.cumsum(length) - length
    return owner, np.arange(len(owner)) - np.repeat(before - start[chosen], length)


class Rule(Protocol):
    """What tokens ask of those that follow them in the same piece; see the module."""

    def begin(self, token: Integers) -> Integers:
        """Constraint after each token that begins a piece, −1 where it may not."""

    def inside(self, token: Integers) -> Integers:
        """Constraint after each token that goes on within a piece, when nothing before it matters."""

    def exceptions(self, constraint: Integers, used: Integers) -> Exceptions:
        """Where ``inside`` does not hold.

        Args:
            constraint: int64 (N,), distinct.
            used: int64 (M,), ascending: the tokens that are asked about.

        Returns:
            The exceptions by ascending constraint (its place) and token.
        """

    def alike(self, constraint: Integers, used: Integers) -> Integers:
        """For each constraint, one that makes the same exceptions to these tokens; itself, where that is not known cheaply."""

    def may_end(self, constraint: Integers) -> Flags:
        """Whether a piece may end under each constraint."""

    def may_go_on(self, constraint: Integers) -> Flags:
        """Whether a piece may go on under each constraint."""


def in_order(owner: Integers, token: Integers, after: Integers) -> Exceptions:
    """Exceptions in the order in which they are told."""
    order = np.lexsort((token, owner))
    return owner[order], token[order], after[order]


class AnyTokens:
    """Every token may follow every other: tokenizers with one segmentation of each text."""

    def begin(self, token: Integers) -> Integers:
        """Constraint after each token that begins a piece."""
        return np.zeros_like(token)

    def inside(self, token: Integers) -> Integers:
        """Constraint after each token within a piece."""
        return np.zeros_like(token)

    def exceptions(self, constraint: Integers, used: Integers) -> Exceptions:
        """None."""
        del constraint, used
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing, nothing

    def alike(self, constraint: Integers, used: Integers) -> Integers:
        """Each for itself."""
        del used
        return constraint

    def may_end(self, constraint: Integers) -> Flags:
        """Whether a piece may end."""
        return np.ones(len(constraint), dtype=np.bool_)

    def may_go_on(self, constraint: Integers) -> Flags:
        """Whether a piece may go on."""
        return np.ones(len(constraint), dtype=np.bool_)


class WholePieces(AnyTokens):
    """A piece is one token."""

    def may_go_on(self, constraint: Integers) -> Flags:
        """Whether a piece may go on."""
        return np.zeros(len(constraint), dtype=np.bool_)
