"""From the files of a tokenizer, whatever their kind, to a fast tokenizer, or to a refusal that says what to do.

tokenizer.json     the tokenizers library's own description, with tokenizer_config.json beside it or without
*.model            a SentencePiece model (Llama, Mistral, T5)
vocab.txt          the word pieces of BERT, one to a line

A SentencePiece model is converted by transformers, and the result is compared with what SentencePiece itself gives for some texts: a
converted tokenizer that writes texts otherwise would make every cost wrong.
"""

from __future__ import annotations

from pathlib import Path

from transformers import (
    AutoTokenizer,
    BertTokenizer,
    LlamaTokenizer,
    PreTrainedTokenizerFast,
    T5Tokenizer,
)

from secretaudit.errors import ModelError
from secretaudit.models.quiet import quiet

#: Texts on which a converted tokenizer and SentencePiece must agree.
_PROBES = (
    "my pin is 2812",
    "The random number is 281265017, isn't it?",
    "mail to a.b-c_d@example.com or +49 (30) 555-0199",
    "Größe 12 µm – naïve café, 東京",
    "0 00 000 0000 00000 AKIA2Q7X",
)


def open_tokenizer(path: str | Path) -> PreTrainedTokenizerFast:
    """The tokenizer in a directory, or in one of the files named above.

    Args:
        path: A directory with tokenizer.json, a SentencePiece .model or vocab.txt (the first of these that is there), or such a file.

    Raises:
        ModelError: There is none, it is damaged, or its conversion does not write texts as the original does.
    """
    place = Path(path)
    if not place.exists():
        raise ModelError(
            f"There is no tokenizer {place}.",
            "The path does not exist.",
            "Give a directory with tokenizer.json, a SentencePiece .model or vocab.txt.",
        )
    try:
        with quiet():
            return _opened(place)
    except ModelError:
        raise
    except Exception as error:  # the tokenizers library raises bare Exception
        raise ModelError(
            f"The tokenizer in {place} cannot be read.",
            f"Its files are damaged or of another kind than their names say ({type(error).__name__}).",
            "Copy the tokenizer's files again from where the model came from.",
        ) from error


def _opened(place: Path) -> PreTrainedTokenizerFast:
    """The tokenizer in the first file that is there."""
    if place.is_file():
        return _from_file(place)
    if (place / "tokenizer.json").is_file():
        if (place / "tokenizer_config.json").is_file():
            return _fast(place, AutoTokenizer.from_pretrained(place, local_files_only=True))
        return _from_file(place / "tokenizer.json")
    for file in (*sorted(place.glob("*.model")), place / "vocab.txt"):
        if file.is_file():
            return _from_file(file)
    raise ModelError(
        f"{place} holds no tokenizer.",
        "There is no tokenizer.json, no SentencePiece .model and no vocab.txt in it.",
        "Copy the tokenizer's files into the directory.",
    )


def _from_file(file: Path) -> PreTrainedTokenizerFast:
    """The tokenizer in one file, by its name."""
    if file.suffix == ".json":
        return PreTrainedTokenizerFast(tokenizer_file=str(file))
    if file.suffix == ".model":
        return _sentence_pieces(file)
    if file.name == "vocab.txt":
        return _word_pieces(file)
    raise ModelError(
        f"{file} is not a tokenizer that is known.",
        "A tokenizer is a tokenizer.json, a SentencePiece .model or a vocab.txt.",
        "Give one of these, or the directory that holds it.",
    )


def _fast(place: Path, tokenizer: object) -> PreTrainedTokenizerFast:
    """The tokenizer, if it is of the fast kind."""
    if isinstance(tokenizer, PreTrainedTokenizerFast):
        return tokenizer
    raise ModelError(
        f"The tokenizer in {place} is not a fast tokenizer.",
        "An audit reads the steps of a tokenizer from tokenizer.json.",
        "Convert it to a fast tokenizer and save it again.",
    )


def _word_pieces(file: Path) -> PreTrainedTokenizerFast:
    """BERT's word pieces; a vocabulary without capital letters is that of a lower-casing tokenizer."""
    tokens = file.read_text(encoding="utf-8").split("\n")
    words = [token for token in tokens if not (token.startswith("[") and token.endswith("]"))]
    lower = not any(token != token.lower() for token in words)
    return _fast(file, BertTokenizer(vocab=str(file), do_lower_case=lower))


def _sentence_pieces(file: Path) -> PreTrainedTokenizerFast:
    """A SentencePiece model, converted and compared with itself."""
    try:
        from sentencepiece import SentencePieceProcessor  # heavy and needed for these files only
    except ImportError as error:
        raise ModelError(
            f"{file} is a SentencePiece model.",
            "The package sentencepiece, which reads it, is not installed.",
            "Install it (pip install sentencepiece), or save the tokenizer as tokenizer.json.",
        ) from error
    pieces = SentencePieceProcessor()
    pieces.Load(str(file))
    expected = [pieces.encode(text) for text in _PROBES]
    for kind in (LlamaTokenizer, T5Tokenizer):
        try:
            converted = kind.from_pretrained(
                file.parent, vocab_file=str(file), local_files_only=True
            )
            found = [converted.encode(text, add_special_tokens=False) for text in _PROBES]
        except Exception:  # noqa: BLE001, S112 # the wrong converter for this model; the next one is tried
            continue
        if found == expected:
            return _fast(file, converted)
    raise ModelError(
        f"The SentencePiece model {file} cannot be converted.",
        "What transformers makes of it writes texts otherwise than SentencePiece itself.",
        "Save the tokenizer as tokenizer.json from the program that trained the model.",
    )
