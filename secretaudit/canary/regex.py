r"""Regular expressions as automata, parsed by greenery.

The whole secret must match (there is nothing to search in, so ``^`` and ``$`` are not used). ``.``
and negated classes such as ``[^0-9]`` range over printable ASCII (space to tilde), so that every
pattern with bounded repetition has a finite number of secrets; characters outside ASCII can be
named explicitly.
"""

from __future__ import annotations

import re

from secretaudit.canary.automaton import Automaton, from_edges
from secretaudit.errors import FormatError

_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[\^$]", re.DOTALL)
#: Longest text that a pattern may match.
MOST_CHARACTERS = 1000
#: Widths from here on mean that a count has no end, which is refused elsewhere.
_UNBOUNDED = 2**31
PRINTABLE = "".join(chr(point) for point in range(0x20, 0x7F))


def regular_expression(pattern: str) -> Automaton:
    """All strings that match ``pattern`` from end to end.

    Raises:
        FormatError: If the pattern cannot be parsed, matches nothing, or matches infinitely many
            strings.
    """
    _check_length(pattern)
    spelled = _spelled_out(pattern)
    import greenery  # parsing a pattern is the only use; `import secretaudit` must not pay for it

    try:
        machine = greenery.parse(spelled).to_fsm()
    except Exception as error:  # greenery signals malformed patterns by several exception types
        raise FormatError(
            f"The regular expression of this hole cannot be read ({type(error).__name__}).",
            "Supported are classes, groups, alternatives and counts; no anchors, no look-around, no back references.",
            "Write it for example as {regex:[A-Z]{2}\\d{6}}.",
        ) from error
    source: list[int] = []
    symbol: list[int] = []
    target: list[int] = []
    numbers = {
        state: number
        for number, state in enumerate([machine.initial, *(machine.states - {machine.initial})])
    }
    for state, row in machine.map.items():
        for charclass, following in row.items():
            named = set(charclass.get_chars())
            allowed = set(PRINTABLE) - named if charclass.negated else named
            source.extend([numbers[state]] * len(allowed))
            symbol.extend(ord(character) for character in allowed)
            target.extend([numbers[following]] * len(allowed))
    accepting = [state in machine.finals for state in numbers]
    return from_edges(source, symbol, target, accepting)


def _check_length(pattern: str) -> None:
    """Refuse strings so long that already building the automaton would take minutes."""
    try:
        longest = int(re._parser.parse(pattern).getwidth()[1])  # type: ignore[attr-defined] # not in the stubs
    except (re.error, RecursionError, OverflowError):
        return  # what cannot be read is refused by the parser that reads it
    if MOST_CHARACTERS < longest < _UNBOUNDED:
        raise FormatError(
            "The regular expression of this hole is too long.",
            f"It matches texts of up to {longest:,} characters.",
            f"Use shorter counts; {MOST_CHARACTERS:,} characters are the most.",
        )


def _spelled_out(pattern: str) -> str:
    r"""The pattern with literal punctuation as ``\xHH``, since the parser knows only some of it.

    That is every escaped punctuation character, and inside a class every one but a leading ``^``
    and the ``-`` of a range.

    Raises:
        FormatError: If ``^`` or ``$`` stands outside a class: the parser would take it for a
            character.
    """
    return _TOKEN.sub(_spelled_part, pattern)


def _spelled_part(found: re.Match[str]) -> str:
    part = found[0]
    if part in "^$":
        raise _anchored()
    if part[0] == "\\":
        return _spelled_character(part)
    opening = "[^" if part.startswith("[^") else "["
    body = part[len(opening) : -1]

    def spelled(inner: re.Match[str]) -> str:
        is_range = inner[0] == "-" and inner.start() > 0 and inner.end() < len(body)
        return "-" if is_range else _spelled_character(inner[0])

    return opening + re.sub(r"\\.|.", spelled, body, flags=re.DOTALL) + "]"


def _spelled_character(text: str) -> str:
    """A character, perhaps after a backslash: punctuation by number, any other as it is."""
    character = text[-1]
    if "!" <= character <= "~" and not character.isalnum():
        return f"\\x{ord(character):02x}"
    return text


def _anchored() -> FormatError:
    return FormatError(
        "The regular expression of this hole has an anchor.",
        "The whole secret is matched from end to end, so ^ and $ have nothing to do.",
        r"Leave them out, or write \^ and \$ for the characters themselves.",
    )
