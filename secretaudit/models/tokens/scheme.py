"""How a fast tokenizer writes texts, step by step, read from its own description (tokenizer.json).

    text → normalized text → pieces → for each piece, the tokens of the model (byte pairs, word pieces, words)

``Scheme`` holds these steps as functions and tables. What the normalizer does to characters and where the pre-tokenizer cuts is never
re-implemented: the library itself is asked. What the model does within a piece is stated as a ``Rule`` over tokens, which can be
asked about millions of pairs at once.

Models that are understood: BPE over bytes (ByteLevel) or over characters with or without byte fallback, WordPiece and WordLevel. Others have
no scheme; then only spaces that can be listed secret by secret can be audited.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from secretaudit.models.tokens.cache import Cache
from secretaudit.models.tokens.classes import classifier
from secretaudit.models.tokens.merges import Derivations, Merges, PairTable
from secretaudit.models.tokens.pair_rules import BytePairs, BytePairsOrWhole
from secretaudit.models.tokens.rules import Rule, WholePieces
from secretaudit.models.tokens.spelling import is_byte_level, stand_ins, steps
from secretaudit.models.tokens.trie import BYTE, Spelling, build_trie
from secretaudit.models.tokens.word_pieces import WordPieces

#: Symbol before the tokens that continue a word, so that they never mix with those that begin one.
_INSIDE = BYTE + 256


@dataclass(frozen=True, kw_only=True, eq=False)
class Scheme:
    """The steps of a tokenizer.

    Attributes:
        fingerprint: Hash of the tokenizer's description.
        lead: What is put before the normalized text unless it begins with a space.
        normalize: A text → the normalized text, with what the normalizer puts before it.
        cut: A normalized text → the (begin, end) of its pieces; characters in no piece are dropped. ``None``: it is one piece.
        kind: A normalized character → its class; characters of one class are cut alike.
        symbols: A normalized character → the symbols that the model starts from, ``None`` when it has none for it.
        beginning: Symbols of the tokens that can begin a piece.
        inside: Symbols of the tokens that can go on within one.
        rule: What may follow what within a piece.
        added: Texts of added tokens that the tokenizer takes out of a text before everything else.
    """

    fingerprint: str
    lead: str
    normalize: Callable[[str], str]
    cut: Callable[[str], list[tuple[int, int]]] | None
    kind: Callable[[str], object]
    symbols: Callable[[str], tuple[int, ...] | None]
    beginning: Spelling
    inside: Spelling
    rule: Rule
    added: tuple[str, ...]


def read_scheme(backend: Tokenizer, description: dict[str, Any], cache: Cache) -> Scheme | None:
    """The scheme of a tokenizer, or ``None`` when its model is not one of those that are understood.

    Args:
        backend: The tokenizer.
        description: Its tokenizer.json.
        cache: Where the index over its merges is kept.
    """
    model = description["model"]
    fingerprint = hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()
    size = backend.get_vocab_size(with_added_tokens=True)
    size = max(size, 1 + max(backend.get_vocab(with_added_tokens=True).values()))
    match model["type"]:
        case "BPE":
            parts = _byte_pairs(description, size, fingerprint, cache)
        case "WordPiece":
            parts = _word_pieces(model, size)
        case "WordLevel":
            parts = _words(model, size)
        case _:
            parts = None
    if parts is None:
        return None
    symbols, beginning, inside, rule = parts
    return Scheme(
        fingerprint=fingerprint,
        lead=_lead(description),
        normalize=_normalizer(backend),
        cut=_cutter(backend),
        kind=classifier(steps(description)),
        symbols=symbols,
        beginning=beginning,
        inside=inside,
        rule=rule,
        added=tuple(t["content"] for t in description["added_tokens"] if not t["special"]),
    )


_Parts = tuple[Callable[[str], "tuple[int, ...] | None"], Spelling, Spelling, Rule]


def _normalizer(backend: Tokenizer) -> Callable[[str], str]:
    normalizer = backend.normalizer
    if normalizer is None:
        return lambda text: text
    return lambda text: str(normalizer.normalize_str(text))


def _cutter(backend: Tokenizer) -> Callable[[str], list[tuple[int, int]]] | None:
    cutter = backend.pre_tokenizer
    if cutter is None:
        return None
    return lambda text: [span for _, span in cutter.pre_tokenize_str(text)]


def _lead(description: dict[str, Any]) -> str:
    """The space that a pre-tokenizer puts before texts that do not begin with one."""
    for step in steps(description):
        if step["type"] == "ByteLevel" and step.get("add_prefix_space"):
            return " "
        if step["type"] == "Metaspace":
            old = "always" if step.get("add_prefix_space", True) else "never"
            return "" if step.get("prepend_scheme", old) == "never" else " "
    return ""


def _byte_pairs(
    description: dict[str, Any], size: int, fingerprint: str, cache: Cache
) -> _Parts | None:
    """Byte-pair encoding; not with word endings or dropout, which change what a token is."""
    model = description["model"]
    options = ("continuing_subword_prefix", "end_of_word_suffix", "dropout")
    if any(model.get(option) for option in options):
        return None
    vocabulary: dict[str, int] = model["vocab"]
    byte_level = is_byte_level(description)
    texts: list[str | None] = [None] * size
    for text, token in vocabulary.items():
        texts[token] = text
    spelling = _spell_bytes(texts) if byte_level else _spell_characters(texts, model)
    pairs = _pair_table(model, vocabulary, spelling, fingerprint, cache)
    made = pairs.derivations.made
    rule: Rule
    if model.get("ignore_merges"):
        whole = spelling.length > 0
        alone = np.flatnonzero(whole & ~made).tolist()
        rule = BytePairsOrWhole(pairs, whole, _own_sequences(description, alone, texts))
        beginning = spelling
    else:
        rule = BytePairs(pairs)
        beginning = spelling.only(made)
    symbols = _byte_symbols if byte_level else _character_symbols(description, vocabulary)
    return symbols, beginning, spelling.only(made), rule


def _pair_table(
    model: dict[str, Any],
    vocabulary: dict[str, int],
    spelling: Spelling,
    fingerprint: str,
    cache: Cache,
) -> PairTable:
    """The index over the merges, made once per tokenizer."""
    pairs = [m.split(" ") if isinstance(m, str) else m for m in model["merges"]]
    table = np.array(
        [(vocabulary[a], vocabulary[b], vocabulary[a + b]) for a, b in pairs], dtype=np.int64
    ).reshape(-1, 3)
    merges = Merges(left=table[:, 0], right=table[:, 1], merged=table[:, 2], tokens=len(spelling))
    stored = cache.read("merges", fingerprint)
    if stored is not None:
        return PairTable(merges, spelling.length, Derivations(**stored))
    result = PairTable(merges, spelling.length)
    cache.write("merges", fingerprint, vars(result.derivations))
    return result


def _own_sequences(
    description: dict[str, Any], tokens: list[int], texts: list[str | None]
) -> dict[int, list[int]]:
    """What the merges alone give for the text of each token."""
    if not tokens:
        return {}
    model = {**description["model"], "ignore_merges": False}
    bare = {
        **description,
        "model": model,
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "added_tokens": [],
    }
    merging = Tokenizer.from_str(json.dumps(bare))
    encodings = merging.encode_batch([texts[token] or "" for token in tokens])
    return {token: encoding.ids for token, encoding in zip(tokens, encodings, strict=True)}


def _byte_symbols(character: str) -> tuple[int, ...]:
    return tuple(character.encode())


def _spell_bytes(texts: list[str | None]) -> Spelling:
    """Tokens written with stand-ins for bytes; one with any other character is none that a text can hold."""
    table = stand_ins()
    spelled: list[bytes | None] = []
    for text in texts:
        try:
            spelled.append(bytes(map(table.__getitem__, text)) if text else None)
        except KeyError:
            spelled.append(None)
    return Spelling.of(spelled)


def _spell_characters(texts: list[str | None], model: dict[str, Any]) -> Spelling:
    """Tokens written in characters, ``<0x0A>`` being a byte where the model falls back on bytes."""
    spelled: list[list[int] | None] = [list(map(ord, text)) if text else None for text in texts]
    if model.get("byte_fallback"):
        names = {f"<0x{byte:02X}>": byte for byte in range(256)}
        for token, text in enumerate(texts):
            if text in names:
                spelled[token] = [BYTE + names[text]]
    return Spelling.of(spelled)


def _character_symbols(
    description: dict[str, Any], vocabulary: dict[str, int]
) -> Callable[[str], tuple[int, ...] | None]:
    """Characters of the vocabulary are symbols; others are their bytes where the model falls back on bytes."""
    space = next(
        (s.get("replacement", "▁") for s in steps(description) if s["type"] == "Metaspace"), " "
    )
    fallback = bool(description["model"].get("byte_fallback"))

    def symbols(character: str) -> tuple[int, ...] | None:
        written = space if character == " " else character
        if written in vocabulary:
            return (ord(written),)
        spelled = written.encode()
        if fallback and all(f"<0x{byte:02X}>" in vocabulary for byte in spelled):
            return tuple(BYTE + byte for byte in spelled)
        return None

    return symbols


def _word_pieces(model: dict[str, Any], size: int) -> _Parts:
    """Longest match first: tokens that begin a word, and tokens behind a prefix that go on within one."""
    prefix = model["continuing_subword_prefix"]
    beginning: list[list[int] | None] = [None] * size
    inside: list[list[int] | None] = [None] * size
    placed: list[list[int] | None] = [None] * size
    for text, token in model["vocab"].items():
        if text.startswith(prefix) and len(text) > len(prefix):
            inside[token] = list(map(ord, text[len(prefix) :]))
            placed[token] = [_INSIDE, *(inside[token] or ())]
        else:
            beginning[token] = placed[token] = list(map(ord, text))
    rule = WordPieces(build_trie(Spelling.of(placed)), _INSIDE)
    return lambda character: (ord(character),), Spelling.of(beginning), Spelling.of(inside), rule


def _words(model: dict[str, Any], size: int) -> _Parts:
    """A piece is one token."""
    spelled: list[list[int] | None] = [None] * size
    for text, token in model["vocab"].items():
        spelled[token] = list(map(ord, text))
    nothing = Spelling.of([None] * size)
    return lambda character: (ord(character),), Spelling.of(spelled), nothing, WholePieces()
