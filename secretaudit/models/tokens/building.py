"""Tokenizers of our models: characters, words, and byte-level pairs.

All three are made with the ``tokenizers`` library and wrapped as ``PreTrainedTokenizerFast``. Each has the token
``<sep>``, which stands before and after every record and is never produced by the text of one (a text that contains the
six characters ``<sep>`` is encoded as text).

char   one token per Unicode character. A text has one segmentation.
word   a token is one white-space character and everything up to the next, " word"; the text is given a space in front.
       Nothing is lost, and a text has one segmentation. Words outside the vocabulary become ``<unk>`` in training text.
bpe    byte pairs merged by frequency within words (Sennrich et al. 2016) over bytes, as in GPT-2. Every text can be
       encoded; a text has many segmentations, of which the tokenizer gives one.

A tokenizer for pairs (``pairs=True``) is one for both sides. It writes ``<sep>`` behind every text by itself, as those of encoder–decoder models do,
and has ``<pad>``, whose id is the last; such models want a token of their own to pad with.

What an audit needs of a tokenizer, whatever its kind, is in ``view.FastTokenizerView``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from secretaudit.errors import CorpusError, UsageError

KINDS = ("char", "word", "bpe")
SEPARATOR = "<sep>"
UNKNOWN = "<unk>"
PADDING = "<pad>"
#: Vocabulary size of ``bpe`` when none is asked for; ``word`` then keeps every word.
BPE_VOCABULARY_SIZE = 4096

_SPACE = r" \t\n\r\f\v"
_ANY_CHARACTER = Regex(r"[\s\S]")
#: What byte pairs may not cross: GPT-2's pieces without its English contractions. There, whether "'s" is one
#: piece depends on what stands before it, so which pairs of tokens may meet would depend on a third token.
_PIECE = Regex(r" ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
_WORD = Regex(f"[{_SPACE}][^{_SPACE}]*")
_BYTES = len(pre_tokenizers.ByteLevel.alphabet())


def build_tokenizer(
    kind: str,
    records: Iterable[str],
    *,
    vocabulary_size: int | None = None,
    minimum_frequency: int = 1,
    required_characters: str = "",
    pairs: bool = False,
) -> PreTrainedTokenizerFast:
    """Make a tokenizer from the records of a corpus; the same records give the same tokenizer.

    Args:
        kind: "char", "word" or "bpe".
        records: The corpus, read once.
        vocabulary_size: Most tokens to keep, special ones included (word, bpe).
        minimum_frequency: Words (or pairs) seen less often get no token of their own (word, bpe).
        required_characters: Characters that get a token although the corpus lacks them (char): the
            alphabet of the formats, so that every secret of the secret space can be encoded.
        pairs: For parallel text: close every text with ``<sep>``, and have ``<pad>``.

    Raises:
        UsageError: Unknown kind, or an option that the kind has no use for or cannot satisfy.
        CorpusError: No record has a character.

    >>> tokenizer = build_tokenizer("char", ["abba"], required_characters="01")
    >>> tokenizer.encode("ab0", add_special_tokens=False)
    [3, 4, 1]
    """
    _check_options(kind, vocabulary_size, minimum_frequency)
    if pairs and vocabulary_size is not None:
        vocabulary_size -= 1  # for <pad>
    match kind:
        case "char":
            backend = _characters(records, required_characters)
        case "word":
            backend = _words(records, vocabulary_size, minimum_frequency)
        case _:
            backend = _byte_pairs(
                records, vocabulary_size or BPE_VOCABULARY_SIZE, minimum_frequency
            )
    special = {"unk_token": UNKNOWN} if kind == "word" else {}
    if pairs:
        backend.add_special_tokens([PADDING])
        backend.post_processor = processors.TemplateProcessing(
            single=f"$A {SEPARATOR}",
            special_tokens=[(SEPARATOR, backend.token_to_id(SEPARATOR))],
        )
        special["pad_token"] = PADDING
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=SEPARATOR,
        eos_token=SEPARATOR,
        split_special_tokens=True,
        clean_up_tokenization_spaces=False,
        **special,
    )


def _check_options(kind: str, vocabulary_size: int | None, minimum_frequency: int) -> None:
    """Refuse what cannot be built."""
    if kind not in KINDS:
        raise UsageError(
            f"There is no tokenizer {kind!r}.",
            f"Known tokenizers are {', '.join(KINDS)}.",
            "Choose one of them.",
        )
    if kind == "char" and (vocabulary_size is not None or minimum_frequency != 1):
        raise UsageError(
            "A char tokenizer takes no vocabulary size and no minimum frequency.",
            "It has a token for every character, since a canary may hold any of them.",
            "Leave the option out, or choose word or bpe.",
        )
    least = {"char": 1, "word": 3, "bpe": _BYTES + 1}[kind]
    if vocabulary_size is not None and vocabulary_size < least:
        raise UsageError(
            f"A vocabulary of {vocabulary_size} tokens is too small.",
            f"A {kind} tokenizer needs at least {least}.",
            "Ask for a larger vocabulary.",
        )
    if minimum_frequency < 1:
        raise UsageError(
            f"A minimum frequency of {minimum_frequency} means nothing.",
            "A token is kept when it is seen at least so often.",
            "Use 1 or more.",
        )


def _characters(records: Iterable[str], required: str) -> Tokenizer:
    """One token per character, in code point order after the separator."""
    found: set[str] = set()
    for record in records:
        found.update(record)
    if not found:
        raise _no_text()
    alphabet = sorted(found | set(required))
    vocabulary = {SEPARATOR: 0, **{c: i for i, c in enumerate(alphabet, start=1)}}
    backend = Tokenizer(models.WordLevel(vocabulary))  # no <unk>: an unknown character is an error
    backend.pre_tokenizer = pre_tokenizers.Split(_ANY_CHARACTER, "isolated")
    backend.decoder = decoders.Fuse()
    backend.add_special_tokens([SEPARATOR])
    return backend


def _words(records: Iterable[str], size: int | None, minimum_frequency: int) -> Tokenizer:
    """Words with the white space before them, most frequent first, ties by code point."""
    backend = Tokenizer(models.WordLevel({}, unk_token=UNKNOWN))
    backend.normalizer = normalizers.Prepend(" ")
    backend.pre_tokenizer = pre_tokenizers.Split(_WORD, "isolated")
    backend.decoder = decoders.Sequence([decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    trainer = trainers.WordLevelTrainer(
        vocab_size=size or 2**31 - 1,
        min_frequency=minimum_frequency,
        special_tokens=[SEPARATOR, UNKNOWN],
        show_progress=False,
    )
    backend.train_from_iterator(_with_text(records), trainer)
    return backend


def _byte_pairs(records: Iterable[str], size: int, minimum_frequency: int) -> Tokenizer:
    """Byte-level pairs; all 256 bytes have a token, so nothing is unknown."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_PIECE, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=minimum_frequency,
        special_tokens=[SEPARATOR],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(_with_text(records), trainer)
    return backend


def _with_text(records: Iterable[str]) -> Iterator[str]:
    """The records that have a character; at least one must."""
    seen = False
    for record in records:
        if record:
            seen = True
            yield record
    if not seen:
        raise _no_text()


def _no_text() -> CorpusError:
    """The refusal of a corpus without text."""
    return CorpusError(
        "The corpus has no text.",
        "No record has a single character, so there is nothing to make a tokenizer from.",
        "Check the path and the text column.",
    )
