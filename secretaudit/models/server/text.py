"""Token ids as text, for servers that take nothing else.

Such a server tokenizes by itself. Whether it found the tokens that were meant shows only in what it sends back: the text of each token, which
must be the text of ours, one for one. Two kinds of token cannot be compared that way and are treated with care:

* a token that is part of a character (byte tokens) is sent back as nothing or as "�", so only tokens of whole characters are held against
  each other, and the number of tokens against the number of tokens;
* several tokens may have the same text ("1" and the byte token 0x31 of SentencePiece), so a list keyed by text does not say which
  of them is meant. Only a text that belongs to exactly one token is looked up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property

from secretaudit.errors import CouldNotMeasure
from secretaudit.models.language_model import TokenView
from secretaudit.models.server.answers import WrongAnswer


class TokenTexts:
    """The text of tokens and sequences of tokens.

    Args:
        tokenizer: The local tokenizer.
        before: Tokens that the server puts before every text and shows; they are not part of the text.
    """

    def __init__(self, tokenizer: TokenView, before: tuple[int, ...] = ()) -> None:
        self._bytes = tokenizer.token_bytes
        self._lead = tokenizer.lead
        self.before = before

    def text(self, tokens: Sequence[int]) -> str:
        """What has to be sent so that the server reads these tokens.

        Raises:
            CouldNotMeasure: They spell no text.
        """
        inside = tokens[len(self.before) :]
        pieces = [self._bytes[token] for token in inside]
        spelled = b"".join(piece for piece in pieces if piece is not None)
        try:
            if tuple(tokens[: len(self.before)]) != self.before or None in pieces:
                raise ValueError
            return spelled.removeprefix(self._lead).decode()
        except ValueError:
            raise CouldNotMeasure(
                "A prefix of a canary cannot be sent to the server as text.",
                "It ends inside a character or holds a special token, and this server takes no token ids.",
                "Use a server that takes token ids (vLLM, SGLang), or open the model in this process.",
            ) from None

    def check(self, tokens: Sequence[int], returned: Sequence[object]) -> None:
        """Hold the tokens that a server says to have read against those that were meant.

        Raises:
            WrongAnswer: Their number or their texts differ.
        """
        if len(returned) not in (len(tokens), len(tokens) + 1):
            raise WrongAnswer(
                f"it read {len(returned)} tokens, the last of them its own, where the local tokenizer has {len(tokens)}"
            )
        for place in range(len(self.before), len(tokens)):
            expected, got = self.piece(tokens[place]), returned[place]
            first = place == len(self.before)
            same = got == expected or (
                first and isinstance(got, str) and self._unled(got) == self._unled(expected or "")
            )
            if expected is not None and not same:
                raise WrongAnswer(
                    f"token {place + 1} of {len(tokens)} is another one than the local tokenizer's"
                )

    def piece(self, token: int) -> str | None:
        """The text of one token; ``None`` when it is no whole text."""
        try:
            spelled = self._bytes[token]
            return None if spelled is None else spelled.decode()
        except UnicodeDecodeError:
            return None

    @cached_property
    def by_text(self) -> dict[str, int]:
        """The token of each text that belongs to one token only."""
        texts = [self.piece(token) for token in range(len(self._bytes))]
        count = Counter(texts)
        return {t: i for i, t in enumerate(texts) if t is not None and count[t] == 1}

    def _unled(self, text: str) -> str:
        """The first token of a text without what the tokenizer puts before every text."""
        return text.removeprefix(self._lead.decode())
