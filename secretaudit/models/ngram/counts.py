"""Counting for Kneser–Ney: a stream of records → the levels of the model, one per order.

An *event* is a token that is predicted, with the n − 1 tokens before it. Histories are numbered level by level, from the newest token to the
oldest: the number of a history of k tokens is its place among the sorted pairs (number of the newest k − 1 tokens, older token). Counts of order n
are numbers of events; those below are numbers of distinct older tokens, taken from the level above. All of it is sorting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secretaudit.errors import ModelError

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

#: Discounts where the counts of counts give none.
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)


@dataclass(frozen=True, kw_only=True, eq=False)
class Level:
    """All histories of k − 1 tokens, and what followed them: order k.

    Attributes:
        history: int64 (H,): shorter history · (V + 1) + older token + 1, ascending; a history's number is its place. The older token 0 is
            the mark before a record.
        backoff: float64 (H,): γ_k(h).
        start: int64 (H + 1,): what followed history h stands at ``start[h]:start[h + 1]``.
        key: int64 (E,): history · V + token, ascending.
        share: float64 (E,): max(a − D(a), 0) / A.
        discounts: D(1), D(2), D(3+).
    """

    history: Integers
    backoff: Floats
    start: Integers
    key: Integers
    share: Floats
    discounts: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Stream:
    """Records one after the other, each with n − 1 marks (−1) before it.

    Attributes:
        tokens: int64 (T,).
        event: int64 (E,): places that are predicted.
        owner: int64 (E,): the record that each belongs to.
    """

    tokens: Integers
    event: Integers
    owner: Integers

    @classmethod
    def of(
        cls, records: Sequence[Sequence[int]], order: int, given: int, vocabulary_size: int
    ) -> Stream:
        """The stream of some records, of which the first ``given`` tokens are not predicted."""
        length = np.array([len(record) for record in records], dtype=np.int64)
        end = np.cumsum(length + order - 1)
        tokens = np.full(int(end[-1]) if len(end) else 0, -1, dtype=np.int64)
        charged = np.maximum(length - given, 0)
        owner = np.repeat(np.arange(len(records)), charged)
        event = (end - charged - np.cumsum(charged) + charged)[owner] + np.arange(len(owner))
        inside = np.repeat(end - length - np.cumsum(length) + length, length) + np.arange(
            int(length.sum())
        )
        tokens[inside] = np.fromiter(
            (token for record in records for token in record), dtype=np.int64, count=len(inside)
        )
        outside = (tokens[inside] < 0) | (tokens[inside] >= vocabulary_size)
        if outside.any():
            raise ModelError(
                f"Token id {int(tokens[inside][outside][0])} cannot be scored.",
                f"The model has the tokens 0 to {vocabulary_size - 1}.",
                "Encode the text with the tokenizer that the model was trained with.",
            )
        return cls(tokens=tokens, event=event, owner=owner)


def count_levels(streams: Sequence[Stream], order: int, vocabulary_size: int) -> list[Level]:
    """The levels of the model, order 1 first."""
    word = np.concatenate([stream.tokens[stream.event] for stream in streams])
    node, histories = np.zeros(len(word), dtype=np.int64), [np.zeros(1, dtype=np.int64)]
    for back in range(1, order):
        older = np.concatenate([stream.tokens[stream.event - back] for stream in streams])
        keys, node = np.unique(node * (vocabulary_size + 1) + older + 1, return_inverse=True)
        histories.append(keys)
    pairs, counts = np.unique(node * vocabulary_size + word, return_counts=True)
    levels = [_level(histories[-1], pairs, counts, vocabulary_size)]
    for longer in histories[:0:-1]:
        shorter = longer // (vocabulary_size + 1)
        history, token = np.divmod(pairs, vocabulary_size)
        pairs, counts = np.unique(shorter[history] * vocabulary_size + token, return_counts=True)
        levels.append(
            _level(histories[len(histories) - 1 - len(levels)], pairs, counts, vocabulary_size)
        )
    return levels[::-1]


def _level(history: Integers, pairs: Integers, counts: Integers, vocabulary_size: int) -> Level:
    """One order: discounted shares, and the mass that goes to the order below."""
    discounts = modified_discounts(np.bincount(np.minimum(counts, 5), minlength=6)[1:5].tolist())
    discount = np.array(discounts)[np.minimum(counts, 3) - 1]
    owner = pairs // vocabulary_size
    total = np.bincount(owner, weights=counts, minlength=len(history))
    taken = np.bincount(owner, weights=discount, minlength=len(history))
    return Level(
        history=history,
        backoff=taken / total,
        start=np.searchsorted(owner, np.arange(len(history) + 1)),
        key=pairs,
        share=(counts - discount) / total[owner],
        discounts=discounts,
    )


def modified_discounts(counts_of_counts: Sequence[int]) -> tuple[float, float, float]:
    """D(1), D(2) and D(3+) of n_1 … n_4, or ``FALLBACK_DISCOUNTS`` where these give none between 0 and the count.

    >>> modified_discounts([10, 4, 2, 1])
    (0.555..., 1.166..., 1.888...)
    >>> modified_discounts([3, 0, 0, 0])
    (0.5, 1.0, 1.5)
    """
    n1, n2, n3, n4 = counts_of_counts
    if min(n1, n2, n3) == 0:
        return FALLBACK_DISCOUNTS
    y = n1 / (n1 + 2 * n2)
    one, two, more = 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3
    if not (0 < one <= 1 and 0 < two <= 2 and 0 < more <= 3):
        return FALLBACK_DISCOUNTS
    return one, two, more
