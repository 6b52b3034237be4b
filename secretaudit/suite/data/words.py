"""Text as ids of words, for models that bring no tokenizer.

Words are runs of letters, digits and underscores, lower-cased; every other character that is not a space is a word of its own. The most frequent
words of the training texts get an id each; all others share one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from secretaudit.suite.labelled import PADDING

__all__ = ["encode_words"]

_WORD = re.compile(r"\w+|[^\w\s]")
_UNKNOWN = PADDING + 1


def encode_words(
    train: Sequence[str], held_out: Sequence[str], *, longest: int = 64, most: int = 8000
) -> tuple[Tensor, Tensor, int]:
    """Ids of both parts, of one width.

    Args:
        train: Texts whose words get ids.
        held_out: Other texts.
        longest: Words that count of each text.
        most: Words with an id of their own.

    Returns:
        Ids of shape (n, T) and (m, T), padded with 0 on the right, and the number of ids; 1 stands for every unknown word.

    >>> encode_words(["a b a"], ["a c"])[0].tolist(), encode_words(["a b a"], ["a c"])[1].tolist()
    ([[2, 3, 2]], [[2, 1, 0]])
    """
    words = [_WORD.findall(text.lower())[:longest] for text in train]
    counts = Counter(word for text in words for word in text)
    ranked = sorted(counts, key=lambda word: (-counts[word], word))[:most]
    ids = {word: index for index, word in enumerate(ranked, _UNKNOWN + 1)}
    other = [_WORD.findall(text.lower())[:longest] for text in held_out]
    width = max([1, *(len(text) for text in [*words, *other])])
    return _rows(words, ids, width), _rows(other, ids, width), len(ids) + _UNKNOWN + 1


def _rows(texts: Sequence[Sequence[str]], ids: dict[str, int], width: int) -> Tensor:
    filled = torch.full((len(texts), width), PADDING, dtype=torch.int64)
    for row, text in zip(filled, texts, strict=True):
        row[: len(text)] = torch.tensor(
            [ids.get(word, _UNKNOWN) for word in text], dtype=torch.int64
        )
    return filled
