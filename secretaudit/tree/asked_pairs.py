"""Which tokens may follow which, by the tokenizer's own word: for tokenizers of which nothing but ``encode`` is known.

a and b may stand side by side when the tokenizer writes the text a + b as [a, b]. It is asked once per distinct pair, thousands at a
time.
"""

from __future__ import annotations

import numpy as np

from secretaudit.models.language_model import TokenView
from secretaudit.models.tokens.rules import AnyTokens, Exceptions
from secretaudit.models.tokens.trie import Integers, distinct

_AT_ONCE = 200_000


class AskedPairs(AnyTokens):
    """A ``Rule`` whose constraint is the last token."""

    def __init__(self, tokenizer: TokenView) -> None:
        self._tokenizer = tokenizer
        self._width = len(tokenizer.token_bytes)
        self._known = np.zeros(0, dtype=np.int64)
        self._allowed = np.zeros(0, dtype=np.bool_)

    def begin(self, token: Integers) -> Integers:
        """Any token may stand first."""
        return token

    def inside(self, token: Integers) -> Integers:
        """The constraint is the last token."""
        return token

    def exceptions(self, constraint: Integers, used: Integers) -> Exceptions:
        """Pairs that the tokenizer writes otherwise when their texts stand side by side."""
        owner = np.repeat(np.arange(len(constraint)), len(used))
        token = np.tile(used, len(constraint))
        pair = constraint[owner] * self._width + token
        asked = distinct(pair)
        new = asked[~np.isin(asked, self._known)]
        for low in range(0, len(new), _AT_ONCE):
            self._learn(new[low : low + _AT_ONCE])
        barred = np.flatnonzero(~self._allowed[np.searchsorted(self._known, pair)])
        return owner[barred], token[barred], np.full(len(barred), -1)

    def _learn(self, pairs: Integers) -> None:
        spelled = self._tokenizer.token_bytes
        texts: list[str] = []
        asked: list[int] = []
        # Half a character cannot be asked about: it is allowed here, and the count of all paths tells the truth.
        allowed = np.ones(len(pairs), dtype=np.bool_)
        split = [divmod(p, self._width) for p in pairs.tolist()]
        for i, (last, token) in enumerate(split):
            try:
                texts.append(((spelled[last] or b"") + (spelled[token] or b"")).decode())
                asked.append(i)
            except UnicodeDecodeError:
                continue
        for i, ids in zip(asked, self._tokenizer.encode(texts) if texts else [], strict=True):
            allowed[i] = tuple(ids) == split[i]
        known = np.concatenate([self._known, pairs])
        order = np.argsort(known)
        self._known, self._allowed = known[order], np.concatenate([self._allowed, allowed])[order]
