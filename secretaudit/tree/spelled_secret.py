"""From the tokens of a text back to its secret.

Most tokenizers are reversible: the bytes of the tokens, joined, are the text behind what the tokenizer puts before it. Others drop spaces or
change characters (BERT). There the texts of the format are walked along the tokens: a character is read where what the normalizer makes of it
stands next in a token; white space may be passed over between two tokens, and what the normalizer drops anywhere. Of the texts that are
found this way, the one that the tokenizer writes with these tokens is the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from secretaudit.canary.format import Format
from secretaudit.models.language_model import TokenView
from secretaudit.models.tokens.scheme import Scheme


def read_secret(form: Format, tokenizer: TokenView, tokens: Sequence[int]) -> str | None:
    """The secret whose text has these tokens, ``None`` when there is none."""
    if getattr(tokenizer, "reversible", True):
        spelled = b"".join(tokenizer.token_bytes[t] or b"" for t in tokens)
        try:
            text = spelled[len(tokenizer.lead) :].decode()
        except UnicodeDecodeError:
            text = ""
        secret = form.parse(text)
        if secret is not None:
            return secret
    scheme: Scheme | None = getattr(tokenizer, "scheme", None)
    if scheme is None:
        return None
    for text in _texts(form, scheme, tokens):
        if tokenizer.encode([text])[0] == list(tokens):
            return form.parse(text)
    return None


def _texts(form: Format, scheme: Scheme, tokens: Sequence[int]) -> Iterator[str]:
    """All texts of the format that these tokens may stand for, by depth first search."""
    automaton = form.text_automaton()
    words = [_symbols(scheme, token) for token in tokens]
    normal: dict[str, tuple[int, ...]] = {}
    before = scheme.lead + scheme.normalize("a")[:-1]
    symbols = tuple(symbol for c in before for symbol in scheme.symbols(c) or ())
    starts = {(0, 0), _read(words, 0, 0, symbols)} - {None}
    waiting: list[tuple[int, int, int, str]] = [(0, *start, "") for start in starts if start]
    while waiting:
        state, word, offset, text = waiting.pop()
        if word == len(words) and automaton.accepting[state]:
            yield text
        for point, goal in automaton.children(state):
            character = chr(point)
            if character not in normal:
                normal[character] = _written(scheme, character)
            if not normal[character] or (offset == 0 and character.isspace()):
                waiting.append((goal, word, offset, text + character))
            there = _read(words, word, offset, normal[character])
            if there is not None:
                waiting.append((goal, *there, text + character))


def _symbols(scheme: Scheme, token: int) -> tuple[int, ...]:
    """The symbols of a token, wherever in a piece it stands."""
    for spelling in (scheme.beginning, scheme.inside):
        row = slice(int(spelling.start[token]), int(spelling.start[token + 1]))
        if row.start < row.stop:
            return tuple(spelling.symbol[row].tolist())
    return ()


def _written(scheme: Scheme, character: str) -> tuple[int, ...]:
    """The symbols of a character within a text."""
    lead = len(scheme.normalize("a")) - 1
    changed = scheme.normalize(f"a{character}a")[lead + 1 : -1]
    return tuple(symbol for c in changed for symbol in scheme.symbols(c) or ())


def _read(
    words: list[tuple[int, ...]], word: int, offset: int, symbols: tuple[int, ...]
) -> tuple[int, int] | None:
    """Where in the tokens the reader stands after these symbols, ``None`` when others stand there."""
    if not symbols:
        return None
    for symbol in symbols:
        if word == len(words) or words[word][offset] != symbol:
            return None
        offset += 1
        if offset == len(words[word]):
            word, offset = word + 1, 0
    return word, offset
