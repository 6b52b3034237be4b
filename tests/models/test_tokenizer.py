"""Tokenizers and what an audit sees of them."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from secretaudit.errors import CorpusError, ModelError, UsageError
from secretaudit.models.tokens.building import KINDS, SEPARATOR, build_tokenizer
from secretaudit.models.tokens.view import FastTokenizerView

from .conftest import RECORDS

TEXT = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from(" \n\t<>sepunk"), max_size=30
)


def view_of(kind: str, records: list[str], **options: object) -> FastTokenizerView:
    return FastTokenizerView(build_tokenizer(kind, records, **options))


@pytest.mark.parametrize("kind", KINDS)
@given(text=TEXT)
@settings(max_examples=60, deadline=None)
def test_the_bytes_of_the_tokens_are_the_text(kind: str, text: str) -> None:
    """Lead and text come back from the tokens' bytes, whatever the text, special spellings included."""
    view = view_of(kind, [*RECORDS, text])
    ids = view.encode([text])[0]
    assert view.separator not in ids
    pieces = [view.token_bytes[i] for i in ids]
    assert None not in pieces
    assert b"".join(pieces) == (view.lead + text.encode() if text else b"")


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_gives_the_text_back(kind: str) -> None:
    """The library's own decoder loses nothing either."""
    tokenizer = build_tokenizer(kind, RECORDS)
    view = FastTokenizerView(tokenizer)
    for text in RECORDS:
        assert tokenizer.decode(view.encode([text])[0]) == text


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_tokenizer_gives_the_same_view(kind: str, tmp_path: Path) -> None:
    """Bytes, lead and ids survive the way through a directory."""
    tokenizer = build_tokenizer(kind, RECORDS)
    tokenizer.save_pretrained(tmp_path)
    before = FastTokenizerView(tokenizer)
    after = FastTokenizerView(AutoTokenizer.from_pretrained(tmp_path))
    assert after.token_bytes == before.token_bytes
    assert (after.lead, after.unambiguous, after.separator) == (
        before.lead,
        before.unambiguous,
        before.separator,
    )
    assert after.encode(RECORDS) == before.encode(RECORDS)


def test_text_that_spells_the_separator_is_text(tmp_path: Path) -> None:
    """Six characters in a record never become the token that ends records, in memory or from disk."""
    tokenizer = build_tokenizer("char", RECORDS)
    tokenizer.save_pretrained(tmp_path)
    for each in (tokenizer, AutoTokenizer.from_pretrained(tmp_path)):
        assert len(each.encode(SEPARATOR, add_special_tokens=False)) == len(SEPARATOR)


def test_characters_are_one_token_each() -> None:
    """A char tokenizer has every character of the corpus and those required, and the separator."""
    view = view_of("char", ["abé"], required_characters="90")
    assert view.token_bytes == [None, b"0", b"9", b"a", b"b", "é".encode()]
    assert view.encode(["é9"]) == [[5, 2]]
    assert view.unambiguous
    assert view.lead == b""


@given(texts=st.lists(TEXT, max_size=5))
@settings(max_examples=40, deadline=None)
def test_characters_are_encoded_as_the_library_does(texts: list[str]) -> None:
    """The table of code points gives what the tokenizers library gives, text by text."""
    tokenizer = build_tokenizer("char", [*RECORDS, *texts])
    library = [tokenizer.encode(text, add_special_tokens=False) if text else [] for text in texts]
    assert FastTokenizerView(tokenizer).encode(texts) == library


def test_words_carry_the_space_before_them() -> None:
    """A word's token includes its leading space, and repeated spaces are kept."""
    view = view_of("word", ["a b a  c"])
    pieces = [view.token_bytes[i] for i in view.encode(["a  c a"])[0]]
    assert pieces == [b" a", b" ", b" c", b" a"]
    assert view.lead == b" "
    assert view.unambiguous


@pytest.mark.parametrize("kind", ["word", "bpe"])
def test_the_vocabulary_size_is_kept(kind: str) -> None:
    """No more tokens than asked for, special ones included."""
    words = [f"word{i} word{i % 7}" for i in range(500)]
    assert len(view_of(kind, words, vocabulary_size=300)) == 300


def test_rare_words_are_unknown_in_training_text_only() -> None:
    """Training text may have <unk>; a canary may not, and the message does not say the word."""
    view = view_of("word", ["red red blue"], minimum_frequency=2)
    assert view.encode_corpus(["red blue"]) == [[2, 1]]
    with pytest.raises(ModelError, match="has a word that the tokenizer lacks") as caught:
        view.encode(["red blue"])
    assert "blue" not in str(caught.value)


def test_an_unknown_character_is_named() -> None:
    """A char tokenizer refuses what it has no token for, and does not show the text around it."""
    view = view_of("char", ["my pin is 0123"])
    with pytest.raises(ModelError, match="no token for the character '7'") as caught:
        view.encode(["my pin is 3721"])
    assert "3721" not in str(caught.value)


def test_the_same_records_give_the_same_byte_pairs_in_another_process() -> None:
    """No hash seed or thread order shows in the vocabulary."""
    program = (
        "from secretaudit.models.tokens.building import build_tokenizer;"
        "records = [f'the {i % 13} cats of no {i * i}' for i in range(400)];"
        "import hashlib;"
        "text = build_tokenizer('bpe', records, vocabulary_size=400).backend_tokenizer.to_str();"
        "print(hashlib.sha256(text.encode()).hexdigest())"
    )
    records = [f"the {i % 13} cats of no {i * i}" for i in range(400)]
    text = build_tokenizer("bpe", records, vocabulary_size=400).backend_tokenizer.to_str()
    other = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == hashlib.sha256(text.encode()).hexdigest()


def test_byte_pairs_are_ambiguous_and_cover_every_byte() -> None:
    """Every byte has a token of its own, and merged tokens make several segmentations."""
    view = view_of("bpe", ["the the the then"] * 5, vocabulary_size=280)
    singles = {b for b in view.token_bytes if b is not None and len(b) == 1}
    assert singles == {bytes([b]) for b in range(256)}
    assert not view.unambiguous
    assert any(b is not None and len(b) > 1 for b in view.token_bytes)


def test_a_foreign_byte_level_tokenizer_is_understood() -> None:
    """A GPT-2 style tokenizer with a prefix space and an added token: bytes and lead are right."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>")
    tokenizer.add_tokens(["secret"])
    view = FastTokenizerView(tokenizer)
    assert view.lead == b" "
    assert view.token_bytes[view.separator] is None
    assert view.token_bytes[-1] == b"secret"
    pieces = [view.token_bytes[i] for i in view.encode(["é <|endoftext|>"])[0]]
    assert b"".join(pieces) == " é <|endoftext|>".encode()


def test_a_tokenizer_without_a_separator_is_refused_when_it_is_asked_for() -> None:
    """Records need a token between them; everything else of such a tokenizer can be used."""
    backend = Tokenizer(models.WordLevel({"a": 0}))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    view = FastTokenizerView(PreTrainedTokenizerFast(tokenizer_object=backend))
    assert view.encode(["aa"]) == [[0, 0]]
    with pytest.raises(ModelError, match="no token that separates records"):
        _ = view.separator


def test_a_tokenizer_with_dropout_is_refused() -> None:
    """A text that is written differently each time has no cost."""
    backend = Tokenizer(models.BPE({"a": 0, "aa": 1}, [("a", "a")], dropout=0.5))
    with pytest.raises(ModelError, match="differently each time"):
        FastTokenizerView(PreTrainedTokenizerFast(tokenizer_object=backend))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("sentencepiece", {}, "There is no tokenizer 'sentencepiece'"),
        ("char", {"vocabulary_size": 50}, "char tokenizer takes no vocabulary size"),
        ("bpe", {"vocabulary_size": 100}, "needs at least 257"),
        ("word", {"minimum_frequency": 0}, "minimum frequency of 0 means nothing"),
    ],
)
def test_options_that_make_no_tokenizer_are_refused(
    kind: str, options: dict[str, int], message: str
) -> None:
    """Each refusal says what is wrong."""
    with pytest.raises(UsageError, match=message):
        build_tokenizer(kind, RECORDS, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_a_corpus_without_text_is_refused(kind: str) -> None:
    """Empty records make no vocabulary."""
    with pytest.raises(CorpusError, match="has no text"):
        build_tokenizer(kind, ["", ""])
