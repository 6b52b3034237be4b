r"""Which characters a pre-tokenizer can tell apart, read from its patterns.

A regular expression sees a character by its Unicode properties, unless it names the character itself, or a range that holds it. So characters
of one general category that no pattern names are cut alike. Names are read generously: whatever may be a literal counts as one, in both
cases, and all of them are told apart; too many classes cost time and change nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

#: What GPT-2's expression names; pre-tokenizers that have it built in do not show it.
_BUILT_IN = "'strevmld"
_NO_LITERAL = re.compile(
    r"\\[pP]\{[^}]*\}|\[:\^?\w+:\]|\\[A-Za-z]|\{\d*,?\d*\}|\(\?[a-zA-Z-]*[:=!>]?|\(\?<[=!]|[()|?*+^]"
)
_RANGE = re.compile(r"(.)-(.)")


def classifier(steps: list[dict[str, Any]]) -> Callable[[str], object]:
    r"""A function that gives characters of one class the same value.

    Args:
        steps: The pre-tokenizers, as in tokenizer.json.

    >>> kind = classifier([{"type": "Split", "pattern": {"Regex": r"'s|\\p{N}{1,3}|[A-F]+"}}])
    >>> kind("c") == kind("e"), kind("s") == kind("e"), kind("B") == kind("G"), kind("1") == kind("7")
    (True, False, False, True)
    """
    patterns = list(_patterns(steps))
    stripped = [_NO_LITERAL.sub("", pattern) for pattern in patterns]
    named = {c for pattern in stripped for c in (pattern + pattern.lower() + pattern.upper())}
    ranges = [m.groups() for pattern in patterns for m in _RANGE.finditer(pattern)]
    hexadecimal = any("xdigit" in pattern or r"\h" in pattern for pattern in patterns)

    def kind(character: str) -> object:
        if not character.isascii() or character in named:
            return character
        within = tuple(low <= character <= high for low, high in ranges)
        hexed = hexadecimal and character in "0123456789abcdefABCDEF"
        return unicodedata.category(character), character.isspace(), within, hexed

    return kind


def _patterns(steps: list[dict[str, Any]]) -> Iterator[str]:
    """All patterns, and the characters that steps without a pattern name."""
    for step in steps:
        match step:
            case {"pattern": {"Regex": pattern}} | {"pattern": {"String": pattern}}:
                yield str(pattern)
            case {"type": "ByteLevel", "use_regex": False}:
                pass
            case _:
                yield _BUILT_IN + str(step.get("replacement", "")) + str(step.get("delimiter", ""))
