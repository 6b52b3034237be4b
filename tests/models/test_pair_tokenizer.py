"""A tokenizer for pairs closes every text by itself, and has a token of its own to pad with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from secretaudit.errors import ModelError
from secretaudit.models.encoder_decoder.loading import sides
from secretaudit.models.tokens.building import build_tokenizer
from secretaudit.models.tokens.view import FastTokenizerView

TEXTS = ["my pin is 0412", "meine pin ist 0412 <pad> <sep>"]
KINDS = {"char": {}, "word": {"vocabulary_size": 8}, "bpe": {"vocabulary_size": 270}}


@pytest.mark.parametrize("kind", KINDS)
def test_every_text_is_closed_and_none_can_spell_a_mark(kind: str, tmp_path: Path) -> None:
    """In memory and read back: what stands around a text is one <sep> behind it, on either side, whatever the text says."""
    made: Any = build_tokenizer(kind, TEXTS, pairs=True, **KINDS[kind])
    made.save_pretrained(tmp_path)
    for tokenizer in (made, AutoTokenizer.from_pretrained(tmp_path)):
        plain = tokenizer(TEXTS, add_special_tokens=False)["input_ids"]
        closed = [[*ids, tokenizer.eos_token_id] for ids in plain]
        assert tokenizer(TEXTS)["input_ids"] == closed
        assert tokenizer(text_target=TEXTS)["input_ids"] == closed
        assert not {tokenizer.eos_token_id, tokenizer.pad_token_id} & {
            i for ids in plain for i in ids
        }
        assert FastTokenizerView(tokenizer).encode_corpus(TEXTS) == plain


@pytest.mark.parametrize("kind", KINDS)
def test_the_padding_is_one_more_token_within_the_size(kind: str) -> None:
    """Its id is the last, and all others are as they are without it."""
    made = build_tokenizer(kind, TEXTS, pairs=True, **KINDS[kind])
    fewer = {"vocabulary_size": KINDS[kind]["vocabulary_size"] - 1} if KINDS[kind] else {}
    without = build_tokenizer(kind, TEXTS, **fewer)
    assert made.pad_token_id == len(made) - 1 == len(without)
    assert {t: i for t, i in made.get_vocab().items() if t != "<pad>"} == without.get_vocab()
    assert len(made) == KINDS[kind].get("vocabulary_size", len(made))


def test_a_source_with_an_unknown_character_is_refused() -> None:
    """By an error of ours that says what to do."""
    _, encode_source = sides(build_tokenizer("char", TEXTS, pairs=True))
    with pytest.raises(ModelError, match="A source has a character that the tokenizer lacks"):
        encode_source(["x@y"])
