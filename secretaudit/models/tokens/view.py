"""What an audit sees of a fast tokenizer.

A view encodes texts as the model reads them, says which bytes stand behind each token (``token_bytes``), and describes the
steps of the tokenizer for those who follow them over whole sets of texts (``token_scheme``).

Text that spells a special token is encoded as the text it is, so no canary can switch the model's role or end a record.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from secretaudit.errors import ModelError
from secretaudit.models.tokens.cache import Cache
from secretaudit.models.tokens.scheme import Scheme, read_scheme
from secretaudit.models.tokens.spelling import bytes_of_tokens, space_mark, steps

#: Tokens that frame a text in every tokenizer that has them, whether or not it declares them special.
_FRAMES = {"<s>", "</s>", "<unk>", "<pad>"}


class FastTokenizerView:
    """The ``TokenView`` of a ``PreTrainedTokenizerFast``.

    Attributes:
        token_bytes: For each id, the bytes it stands for inside a text; ``None`` for special tokens.
        lead: Bytes that the tokenizer puts before every text.
        unambiguous: True when each text has one segmentation (char, word).
        reversible: True when the bytes of a text's tokens, joined, are the lead and the text; False where the tokenizer drops
            spaces or changes characters (BERT).

    Raises:
        ModelError: The tokenizer uses dropout, or is otherwise not a function of the text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, *, cache: Cache | None = None) -> None:
        description = _frames_are_special(
            json.loads(tokenizer.backend_tokenizer.to_str()), tokenizer
        )
        self._backend = Tokenizer.from_str(json.dumps(description))
        self._backend.encode_special_tokens = True
        self._backend.no_padding()
        self._backend.no_truncation()
        self._description = description
        self._cache = cache or Cache()
        self._separator = _separator(tokenizer)
        self.token_bytes: Sequence[bytes | None] = bytes_of_tokens(self._backend, description)
        self.unambiguous = _is_unambiguous(description)
        self.lead, self.reversible = _lead(self._backend, description)
        self._unknown = _unknown(description)
        vocabulary = description["model"]["vocab"]
        self._characters = (
            _CharacterTable({token: vocabulary[token] for token in _plain_tokens(description)})
            if self.unambiguous and self.lead == b""
            else None
        )

    def __len__(self) -> int:
        """Number of token ids."""
        return len(self.token_bytes)

    @property
    def separator(self) -> int:
        """Id of the token that stands between records: end of text, or else begin of text.

        Raises:
            ModelError: The tokenizer has neither.
        """
        if self._separator is None:
            raise ModelError(
                "The tokenizer has no token that separates records.",
                "It has neither an end-of-text nor a begin-of-text token.",
                "Set eos_token in tokenizer_config.json to the token that ends a text.",
            )
        return self._separator

    @cached_property
    def scheme(self) -> Scheme | None:
        """The steps of the tokenizer; ``None`` where it has one segmentation per text, or a model that is not understood."""
        if self.unambiguous:
            return None
        return read_scheme(self._backend, self._description, self._cache)

    @property
    def scheme_is_needed(self) -> bool:
        """Whether the bytes of tokens are not enough to know what may follow what."""
        return not self.unambiguous

    @property
    def cache(self) -> Cache:
        """Where tables that depend on the tokenizer are kept."""
        return self._cache

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


def _separator(tokenizer: PreTrainedTokenizerFast) -> int | None:
    """The id that ends a record (eos), or starts it (bos) when there is no end."""
    for token in (tokenizer.eos_token_id, tokenizer.bos_token_id):
        if isinstance(token, int):
            return token
    return None


def _frames_are_special(
    description: dict[str, Any], tokenizer: PreTrainedTokenizerFast
) -> dict[str, Any]:
    """The description with all tokens that frame texts declared special, so that no text can spell them.

    Raises:
        ModelError: The tokenizer draws its merges by chance.
    """
    if description["model"].get("dropout"):
        raise ModelError(
            "The tokenizer writes the same text differently each time.",
            "Its model has dropout switched on.",
            "Set dropout to null in tokenizer.json.",
        )
    frames = {*_FRAMES, *map(str, tokenizer.all_special_tokens)}
    added = [
        {**token, "special": token["special"] or token["content"] in frames}
        for token in description["added_tokens"]
    ]
    return {**description, "added_tokens": added, "post_processor": None}


def _is_unambiguous(description: dict[str, Any]) -> bool:
    """Whether a text has one segmentation, and its tokens are the text: our char and word tokenizers."""
    pieces = steps(description)
    if description["model"]["type"] != "WordLevel" or [p["type"] for p in pieces] != ["Split"]:
        return False
    normalizer = description.get("normalizer")
    if normalizer is None:
        return all(len(token) == 1 for token in _plain_tokens(description))
    return bool(normalizer == {"type": "Prepend", "prepend": " "})


def _lead(backend: Tokenizer, description: dict[str, Any]) -> tuple[bytes, bool]:
    """(what is put before every text, whether a text can be read off its tokens), as one text shows."""
    probe = "My PIN is 28, 1-2.x"
    normalized = str(backend.normalizer.normalize_str(probe)) if backend.normalizer else probe
    cutter = backend.pre_tokenizer
    pieces = cutter.pre_tokenize_str(normalized) if cutter else [(normalized, (0, 0))]
    joined = "".join(piece for piece, _ in pieces)
    if any(step["type"] == "ByteLevel" for step in steps(description)):
        mark: str | None = "Ġ"
    else:
        mark = space_mark(description)
    shown = joined.replace(mark, " ") if mark else joined
    if not shown.endswith(probe):
        return b"", False
    return shown[: len(shown) - len(probe)].encode(), True


def _plain_tokens(description: dict[str, Any]) -> list[str]:
    """The model's tokens less the special ones."""
    special = {t["content"] for t in description["added_tokens"] if t["special"]}
    return [token for token in description["model"]["vocab"] if token not in special]


def _unknown(description: dict[str, Any]) -> int | None:
    """Id of the token that stands for unknown words, if there is one."""
    model = description["model"]
    if isinstance(model["vocab"], list):
        place = model.get("unk_id")
        return place if isinstance(place, int) else None
    unknown = model["vocab"].get(model.get("unk_token"))
    return unknown if isinstance(unknown, int) else None
