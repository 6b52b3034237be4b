"""The ``TokenView`` of a vocabulary that is a plain list: id i stands for entry i.

Home-made models often come with nothing but such a list, one character or one word to an id:

characters  a text is its characters, one token each
words       a text is its words, parted by single spaces; each token stands for a space and a word, and the text is read as if a
            space stood before it, so that all words are written alike

An entry ``None`` stands for no text: padding, a mark between records, the unknown word. Such ids are never read as text. Every text has one
segmentation, so the tree of a secret space needs no more than this list.
"""

from __future__ import annotations

from collections.abc import Sequence

from secretaudit.errors import ModelError

#: Kinds of vocabulary, and the bytes that each puts before every text.
_LEADS = {"characters": b"", "words": b" "}


class VocabularyView:
    """A tokenizer made of a list of characters or words.

    Args:
        tokens: The text of each id; ``None`` where an id stands for no text.
        kind: "characters" or "words".
        unknown: The id that training text has in place of what the vocabulary lacks; only ``encode_corpus`` uses it.

    Attributes:
        token_bytes: For each id, the bytes it stands for inside a text; ``None`` where it stands for none.
        lead: Bytes put before every text: a space for words, nothing for characters.
        unambiguous: True: each text has one segmentation.

    Raises:
        ModelError: An unknown kind, an entry that is no single character or word, an entry that stands there twice, or an ``unknown``
            that is no id.

    >>> view = VocabularyView([None, "a", "b"])
    >>> view.encode(["abba"])
    [[1, 2, 2, 1]]
    >>> VocabularyView(["<eos>", "the", "cat"], kind="words").token_bytes[1]
    b' the'
    """

    unambiguous = True

    def __init__(
        self,
        tokens: Sequence[str | None],
        *,
        kind: str = "characters",
        unknown: int | None = None,
    ) -> None:
        if kind not in _LEADS:
            raise ModelError(
                f"A vocabulary of {kind!r} is not known.",
                "A list of tokens is read as characters or as words.",
                'Give kind="characters" or kind="words".',
            )
        self._kind, self._unknown = kind, unknown
        self.lead = _LEADS[kind]
        self._ids = {token: place for place, token in enumerate(tokens) if token is not None}
        self._check(tokens)
        self.token_bytes: Sequence[bytes | None] = [
            None if token is None else self.lead + token.encode() for token in tokens
        ]

    def __len__(self) -> int:
        """Number of token ids."""
        return len(self.token_bytes)

    def _check(self, tokens: Sequence[str | None]) -> None:
        for place, token in enumerate(tokens):
            if token is None:
                continue
            fits = len(token) == 1 if self._kind == "characters" else token.split() == [token]
            if not fits:
                raise ModelError(
                    f"Entry {place} of the vocabulary cannot be read as one of its {self._kind}.",
                    f"It is {token!r}.",
                    "Put None where an id stands for no text (padding, marks, unknown words).",
                )
            if self._ids[token] != place:
                raise ModelError(
                    f"{token!r} stands twice in the vocabulary.",
                    f"It has the ids {place} and {self._ids[token]}, so a text could be written in two ways.",
                    "Put None at the id that the model does not use.",
                )
        if self._unknown is not None and not 0 <= self._unknown < len(tokens):
            raise ModelError(
                f"The id {self._unknown} for unknown {self._kind} is not in the vocabulary.",
                f"It has the ids 0 to {len(tokens) - 1}.",
                "Give the id that the model was trained with, or none.",
            )

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text.

        Raises:
            ModelError: A text has a character or word that the vocabulary lacks. The message names a character, and never a word,
                which may be part of a secret.
        """
        try:
            return [[self._ids[part] for part in self._parts(text)] for text in texts]
        except KeyError as error:
            raise self._missing(error.args[0]) from None

    def encode_corpus(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of training text, with ``unknown`` for what the vocabulary lacks.

        Raises:
            ModelError: The vocabulary lacks something and has no id for the unknown.
        """
        if self._unknown is None:
            return self.encode(texts)
        return [
            [self._ids.get(part, self._unknown) for part in self._parts(text)] for text in texts
        ]

    def _parts(self, text: str) -> Sequence[str]:
        return text if self._kind == "characters" else text.split(" ")

    def _missing(self, part: str) -> ModelError:
        what = f"the character {part!r}" if self._kind == "characters" else "one of a text's words"
        return ModelError(
            f"The vocabulary has no token for {what}.",
            "The model was not made for texts in which it occurs.",
            "Use a format all of whose texts can be written with the vocabulary.",
        )
