"""Harmless texts that a server is tried with, as tokens.

A server that reads texts cuts them into tokens by itself, so only sequences are used that the tokenizer would write for the text that they spell
(*writable* ones): the beginnings of ordinary sentences, and random tokens as far as they survive.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from secretaudit.errors import ModelError
from secretaudit.models.language_model import Framing, TokenView

#: Texts that no audit is about. Those that the tokenizer can write are used.
TEXTS = (
    "The answer came the next day, and nobody was surprised.",
    "Once upon a time there was a little girl named Lily.",
    "the first 12 of 3456 numbers are 7, 8 and 90",
    "she said that the code on the door had been changed",
    "the cat sat on the mat",
    "a b c d e",
)
_ROWS = 4
_TOKENS = 24


class Probes:
    """The probes of one tokenizer.

    Args:
        tokenizer: The local tokenizer.
        framing: What stands around texts.
        context: Most tokens that the server reads, where it is known.
    """

    def __init__(self, tokenizer: TokenView, framing: Framing, context: int | None) -> None:
        self._tokenizer = tokenizer
        self._framing = framing
        self._context = context or 10**6

    def texts(self) -> list[tuple[int, ...]]:
        """Tokens of the probes, with what stands before a text."""
        found = []
        for text in TEXTS:
            try:
                (tokens,) = self._tokenizer.encode([text])
            except ModelError:
                continue
            found.append(self._fitting((*self._framing.before, *tokens)))
        return [tokens for tokens in found if len(tokens) >= 4][:_ROWS] or [self.random()]

    def _fitting(self, tokens: tuple[int, ...]) -> tuple[int, ...]:
        """The longest beginning that is short enough and that even a server that reads text takes for these tokens."""
        longest = min(len(self._framing.before) + _TOKENS, self._context - 4)
        return next(
            (
                tokens[:n]
                for n in range(min(longest, len(tokens)), 1, -1)
                if self.writable(tokens[:n])
            ),
            (),
        )

    def random(self) -> tuple[int, ...]:
        """Random tokens that even a server that reads text takes for these very tokens."""
        drawn = self._drawn(12)
        if self.writable(drawn):
            return drawn
        inside = drawn[len(self._framing.before) :]
        spelled = b"".join(self._tokenizer.token_bytes[token] or b"" for token in inside)
        text = spelled.removeprefix(self._tokenizer.lead).decode()
        return (*self._framing.before, *self._tokenizer.encode([text])[0])

    def _drawn(self, count: int) -> tuple[int, ...]:
        """Random tokens of the vocabulary that stand for text; the same on every call."""
        known = [i for i, b in enumerate(self._tokenizer.token_bytes) if b and b.isascii()]
        drawn = np.random.default_rng(0).choice(np.array(known), size=count)
        return (*self._framing.before, *drawn.tolist())

    def writable(self, tokens: Sequence[int]) -> bool:
        """Whether a server that reads text would read these very tokens."""
        inside = tokens[len(self._framing.before) :]
        spelled = b"".join(self._tokenizer.token_bytes[token] or b"" for token in inside)
        try:
            text = spelled.removeprefix(self._tokenizer.lead).decode()
            return self._tokenizer.encode([text]) == [list(inside)]
        except (UnicodeDecodeError, ModelError):
            return False
