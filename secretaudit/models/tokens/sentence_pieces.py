"""The ``TokenView`` of a SentencePiece model with a vocabulary of its own, as Marian's translation models have.

SentencePiece writes a space as ▁, puts one before every text, and cuts the result into pieces. Which id a piece has says a separate list, since two
languages may share one. Pieces that are in no list are unknown, and a text with one is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from secretaudit.errors import ModelError

_SPACE = "▁"


class PieceEncoder(Protocol):
    """A SentencePiece model."""

    def encode(self, texts: list[str], *, out_type: type) -> list[list[str]]:
        """The pieces of each text."""


class SentencePieceView:
    """A tokenizer made of a SentencePiece model and a list of ids.

    Args:
        pieces: The model.
        ids: The id of each piece; others are unknown.
        special: Pieces that stand for no text.

    Attributes:
        token_bytes: For each id, the bytes it stands for inside a text; ``None`` for special tokens.
        lead: Bytes that the model puts before every text.
        unambiguous: False.
        reversible: Whether a text can be read off its tokens: False where the model normalizes its characters.
    """

    unambiguous = False

    def __init__(
        self, pieces: PieceEncoder, ids: Mapping[str, int], special: Collection[str]
    ) -> None:
        self._pieces = pieces
        self._ids = {piece: number for piece, number in ids.items() if piece not in special}
        self.token_bytes: Sequence[bytes | None] = _spelled(self._ids, 1 + max(ids.values()))
        shown = self._joined("My PIN is 28, 1-2.x")
        self.reversible = shown.endswith("My PIN is 28, 1-2.x")
        self.lead = b" " if shown.startswith(" ") else b""

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without special tokens.

        Raises:
            ModelError: A text has a piece that the vocabulary lacks.
        """
        try:
            return [
                [self._ids[piece] for piece in pieces]
                for pieces in self._pieces.encode(list(texts), out_type=str)
            ]
        except KeyError:
            raise ModelError(
                "A text has a piece that the tokenizer lacks.",
                "The model would read it as <unk>, so its cost would not be the cost of the text.",
                "Use a format whose characters all stand in the model's vocabulary.",
            ) from None

    def _joined(self, text: str) -> str:
        return "".join(self._pieces.encode([text], out_type=str)[0]).replace(_SPACE, " ")


def _spelled(ids: Mapping[str, int], size: int) -> list[bytes | None]:
    """The bytes of each id."""
    spelled: list[bytes | None] = [None] * size
    for piece, number in ids.items():
        spelled[number] = piece.replace(_SPACE, " ").encode()
    return spelled
