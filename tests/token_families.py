"""Tokenizers of the families that public models use, trained in a moment on texts of our own formats."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from secretaudit.canary.format import library
from secretaudit.models.tokens.cache import Cache
from secretaudit.models.tokens.view import FastTokenizerView

#: The pattern of cl100k and Llama 3 in our spelling: contractions, a leading sign with letters, chunks of three digits.
THREE_DIGITS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
ONE_DIGIT = THREE_DIGITS.replace(r"\p{N}{1,3}", r"\p{N}")
#: Words cut where lower case turns to upper, contractions at their end (o200k).
CASES = (
    r"[^\r\n\p{L}\p{N}]?\p{Lu}*\p{Ll}+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?\p{Lu}+\p{Ll}*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s+(?!\S)|\s+"
)
#: Chunks of three digits counted from the right.
FROM_THE_RIGHT = r"\p{N}{1,3}(?=(?:\p{N}{3})*(?:\P{N}|$))| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+"


def texts() -> list[str]:
    """Some texts of most formats, and English with apostrophes and double spaces."""
    rng = np.random.default_rng(0)
    chosen = [form for name, form in library().items() if name != "aadhaar"]
    found = [f.render(s) for f in chosen for s in f.sample(min(f.size // 2, 40), rng)]
    english = [
        "don't we'll they've I'm he'd you're it's $'s 'so'",
        "HTTPServer fooBar  two   spaces",
    ]
    return found + english * 20


def byte_level(pattern: str, *, ignore_merges: bool = False) -> Tokenizer:
    """Byte-level BPE within the pieces of a pattern."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, level])
    tokenizer.train_from_iterator(
        texts(),
        trainers.BpeTrainer(
            vocab_size=1000,
            special_tokens=["<|end|>"],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    return tokenizer


def unreachable() -> Tokenizer:
    """``ignore_merges`` with tokens that no merge makes: every seventh merge is taken away, its token stays."""
    description = json.loads(byte_level(THREE_DIGITS, ignore_merges=True).to_str())
    merges = description["model"]["merges"]
    description["model"]["merges"] = [m for i, m in enumerate(merges) if i % 7 != 3]
    return Tokenizer.from_str(json.dumps(description))


def space_before_texts() -> Tokenizer:
    """GPT-2's own pieces, a space put before each text (RoBERTa)."""
    tokenizer = byte_level(THREE_DIGITS)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return tokenizer


def sentence_pieces(style: str) -> Tokenizer:
    """SentencePiece BPE with byte fallback, in the three ways in which it is written as a fast tokenizer."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if style == "normalizer":
        steps = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        tokenizer.normalizer = normalizers.Sequence(steps)
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", "first", split=style == "split")
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=special, limit_alphabet=60, show_progress=False
    )
    tokenizer.train_from_iterator(texts(), trainer)
    description = json.loads(tokenizer.to_str())
    frames = ("<unk>", "<s>", "</s>")  # the trainer declares the bytes special, too
    description["added_tokens"] = [t for t in description["added_tokens"] if t["content"] in frames]
    return Tokenizer.from_str(json.dumps(description))


def word_pieces(*, lower: bool) -> Tokenizer:
    """BERT's pieces."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=900, special_tokens=["[UNK]", "[CLS]"], show_progress=False
    )
    tokenizer.train_from_iterator(texts(), trainer)
    return tokenizer


FAMILIES: dict[str, Callable[[], Tokenizer]] = {
    "three digits": lambda: byte_level(THREE_DIGITS),
    "three digits, ignore_merges": lambda: byte_level(THREE_DIGITS, ignore_merges=True),
    "tokens without merges": unreachable,
    "one digit": lambda: byte_level(ONE_DIGIT),
    "cases": lambda: byte_level(CASES),
    "three digits from the right": lambda: byte_level(FROM_THE_RIGHT),
    "space before texts": space_before_texts,
    "sentence pieces, normalizer": lambda: sentence_pieces("normalizer"),
    "sentence pieces, whole": lambda: sentence_pieces("whole"),
    "sentence pieces, split": lambda: sentence_pieces("split"),
    "word pieces": lambda: word_pieces(lower=False),
    "word pieces, lower case": lambda: word_pieces(lower=True),
}


def view_of(tokenizer: Tokenizer, cache: Cache | None = None) -> FastTokenizerView:
    """What an audit sees of it."""
    return FastTokenizerView(PreTrainedTokenizerFast(tokenizer_object=tokenizer), cache=cache)
