"""What an audit sees of a fast tokenizer: the bytes behind each token.

Three families are understood, told apart by the tokenizer's own description (its pre-tokenizer):

ByteLevel   a token is written with 256 printable stand-ins for bytes (GPT-2, RoBERTa, Llama 3, Qwen, our bpe)
characters  one token per Unicode character
words       one token per white-space character and what follows it, with a space put before the text

Special tokens have no bytes, and text that spells a special token is encoded as the text it is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from tokenizers import Tokenizer, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from secretaudit.errors import ModelError


class FastTokenizerView:
    """The ``TokenView`` of a ``PreTrainedTokenizerFast``.

    Attributes:
        token_bytes: For each id, the bytes it stands for inside a text; ``None`` for special tokens.
        lead: Bytes that the tokenizer puts before every text.
        unambiguous: True when each text has one segmentation (char, word).
        separator: Id of the token that stands before and after every record.

    Raises:
        ModelError: The tokenizer has no separator, or is of a family that is not understood.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        description = json.loads(tokenizer.backend_tokenizer.to_str())
        self._backend = Tokenizer.from_str(json.dumps(description))
        self._backend.encode_special_tokens = True
        self._backend.no_padding()
        self._backend.no_truncation()
        self.separator: int = _separator(tokenizer)
        self.lead, self.unambiguous = _family(description)
        self.token_bytes: Sequence[bytes | None] = _token_bytes(self._backend, description)
        self._unknown = _unknown(description)
        is_char = self.unambiguous and self.lead == b""
        vocabulary = description["model"]["vocab"]
        self._characters = (
            _CharacterTable({token: vocabulary[token] for token in _plain_tokens(description)})
            if is_char
            else None
        )

    def __len__(self) -> int:
        """Number of token ids."""
        return len(self.token_bytes)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without special tokens.

        Raises:
            ModelError: A text has a character or word that the tokenizer lacks. The message names a
                character, and never a word, which may be part of a secret.
        """
        encoded = self.encode_corpus(texts)
        if self._unknown is not None and any(self._unknown in ids for ids in encoded):
            raise ModelError(
                "A text has a word that the tokenizer lacks.",
                "The model would read it as <unk>, so its cost would not be the cost of the text.",
                "Use a char or bpe tokenizer, or a format whose words all stand in the corpus.",
            )
        return encoded

    def encode_corpus(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of training text, where a word tokenizer may put ``<unk>``.

        Raises:
            ModelError: A text has a character that a char tokenizer lacks.
        """
        if self._characters is not None:
            return self._characters.encode(texts)
        encodings = self._backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]


class _CharacterTable:
    """Token ids of characters by code point: what a char tokenizer does, a hundred times faster."""

    def __init__(self, ids: dict[str, int]) -> None:
        characters = sorted(ids)
        self._codes = np.array([ord(c) for c in characters], dtype=np.uint32)
        self._ids = np.array([ids[c] for c in characters], dtype=np.int64)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text."""
        joined = "".join(texts)
        codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        places = np.searchsorted(self._codes, codes).clip(max=len(self._codes) - 1)
        unknown = np.flatnonzero(self._codes[places] != codes)
        if unknown.size:
            raise _unknown_character(joined[unknown[0]])
        ids = self._ids[places].tolist()
        ends = np.cumsum([len(text) for text in texts]).tolist()
        return [ids[begin:end] for begin, end in pairwise([0, *ends])]


def _unknown_character(character: str) -> ModelError:
    """The refusal that names a character, and nothing of the text around it."""
    return ModelError(
        f"The tokenizer has no token for the character {character!r} (U+{ord(character):04X}).",
        "It was made from a corpus in which that character does not occur.",
        "Train on a corpus that has the format's canaries, or use a bpe tokenizer.",
    )


def _separator(tokenizer: PreTrainedTokenizerFast) -> int:
    """The id that ends a record (eos), or starts it (bos) when there is no end."""
    for token in (tokenizer.eos_token_id, tokenizer.bos_token_id):
        if isinstance(token, int):
            return token
    raise ModelError(
        "The tokenizer has no token that separates records.",
        "It has neither an end-of-text nor a begin-of-text token.",
        "Set eos_token in tokenizer_config.json to the token that ends a text.",
    )


def _family(description: dict[str, Any]) -> tuple[bytes, bool]:
    """(lead, unambiguous) of a tokenizer, by its pre-tokenizer."""
    steps = _steps(description)
    byte_level = [step for step in steps if step["type"] == "ByteLevel"]
    if byte_level:
        return (b" " if byte_level[0].get("add_prefix_space") else b""), False
    ours = len(steps) == 1 and steps[0]["type"] == "Split"
    if ours and description["model"]["type"] == "WordLevel":
        normalizer = description.get("normalizer")
        if normalizer is None and all(len(token) == 1 for token in _plain_tokens(description)):
            return b"", True
        if normalizer == {"type": "Prepend", "prepend": " "}:
            return b" ", True
    raise ModelError(
        "This kind of tokenizer cannot be audited yet.",
        "Its tokens are neither bytes (ByteLevel) nor the characters or words of our own tokenizers.",
        "Use a model with a byte-level tokenizer, or one trained by secretaudit.",
    )


def _steps(description: dict[str, Any]) -> list[dict[str, Any]]:
    """The pre-tokenizers in their order."""
    first = description.get("pre_tokenizer") or {"type": "none"}
    steps: list[dict[str, Any]] = first.get("pretokenizers", [first])
    return steps


def _plain_tokens(description: dict[str, Any]) -> list[str]:
    """The model's tokens less the special ones."""
    special = {t["content"] for t in description["added_tokens"] if t["special"]}
    return [token for token in description["model"]["vocab"] if token not in special]


def _unknown(description: dict[str, Any]) -> int | None:
    """Id of the token that stands for unknown words, if there is one."""
    model = description["model"]
    unknown = model["vocab"].get(model.get("unk_token"))
    return unknown if isinstance(unknown, int) else None


def _token_bytes(backend: Tokenizer, description: dict[str, Any]) -> list[bytes | None]:
    """The bytes of each id; ids without a token, like special tokens, have none."""
    byte_level = any(step["type"] == "ByteLevel" for step in _steps(description))
    stand_ins = _stand_ins() if byte_level else None
    vocabulary = backend.get_vocab(with_added_tokens=True)
    result: list[bytes | None] = [None] * (max(vocabulary.values()) + 1)
    added = {token["id"]: token for token in description["added_tokens"]}
    for text, token in vocabulary.items():
        if token in added:
            special = added[token]["special"]
            result[token] = None if special else text.encode()
        elif stand_ins is None:
            result[token] = text.encode()
        else:
            result[token] = bytes(stand_ins[character] for character in text)
    return result


def _stand_ins() -> dict[str, int]:
    """The printable character that stands for each byte in ByteLevel tokenizers.

    A byte whose Latin-1 character is printable stands for itself; the others take, in order, the
    characters from U+0100 on.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    table.update({chr(0x100 + place): byte for place, byte in enumerate(others)})
    if set(table) != set(pre_tokenizers.ByteLevel.alphabet()):
        raise ModelError(
            "The tokenizers library writes bytes in a way that is not known.",
            "Its ByteLevel alphabet is not the one of GPT-2.",
            "Install a version of tokenizers that secretaudit was tested with.",
        )
    return table
