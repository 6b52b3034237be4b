"""The bytes behind each token of a fast tokenizer, by its own description.

ByteLevel   a token is written with 256 printable stand-ins for bytes (GPT-2, RoBERTa, Llama 3, Qwen, our bpe)
Metaspace   a space is written as ▁, and a byte may be written ``<0x0A>`` (SentencePiece: Llama, Mistral, T5)
WordPiece   a token that goes on within a word stands behind ##; spaces are in no token
others      a token is its text
"""

from __future__ import annotations

from functools import cache
from typing import Any

from tokenizers import Tokenizer, pre_tokenizers

from secretaudit.errors import ModelError


def steps(description: dict[str, Any]) -> list[dict[str, Any]]:
    """The pre-tokenizers in their order."""
    first = description.get("pre_tokenizer") or {"type": "none"}
    found: list[dict[str, Any]] = first.get("pretokenizers", [first])
    return found


def normalizers(description: dict[str, Any]) -> list[dict[str, Any]]:
    """The normalizers in their order."""
    first = description.get("normalizer")
    if first is None:
        return []
    found: list[dict[str, Any]] = first.get("normalizers", [first])
    return found


def is_byte_level(description: dict[str, Any]) -> bool:
    """Whether tokens are written with stand-ins for bytes."""
    return any(step["type"] == "ByteLevel" for step in steps(description))


def space_mark(description: dict[str, Any]) -> str | None:
    """The character that is written for a space, if there is one."""
    for step in steps(description):
        if step["type"] == "Metaspace":
            return str(step.get("replacement", "▁"))
    for step in normalizers(description):
        if step["type"] == "Replace" and step.get("pattern") == {"String": " "}:
            return str(step["content"])
    return None


def bytes_of_tokens(backend: Tokenizer, description: dict[str, Any]) -> list[bytes | None]:
    """The bytes of each id; ids without a token, like special tokens, have none."""
    vocabulary = backend.get_vocab(with_added_tokens=True)
    result: list[bytes | None] = [None] * (max(vocabulary.values()) + 1)
    added = {token["id"]: token for token in description["added_tokens"]}
    spell = _speller(description)
    for text, token in vocabulary.items():
        if token in added:
            result[token] = None if added[token]["special"] else text.encode()
        else:
            result[token] = spell(text)
    return result


def _speller(description: dict[str, Any]) -> Any:
    """The function from a token's text to its bytes."""
    model = description["model"]
    if is_byte_level(description):
        table = stand_ins()
        return lambda text: bytes(map(table.__getitem__, text)) if set(text) <= set(table) else None
    mark = space_mark(description)
    fallback = (
        {f"<0x{b:02X}>": bytes([b]) for b in range(256)} if model.get("byte_fallback") else {}
    )
    prefix = model.get("continuing_subword_prefix") or ""

    def spelled(text: str) -> bytes:
        if text in fallback:
            return fallback[text]
        inside = text.removeprefix(prefix) if text != prefix else text
        return (inside.replace(mark, " ") if mark else inside).encode()

    return spelled


@cache
def stand_ins() -> dict[str, int]:
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
