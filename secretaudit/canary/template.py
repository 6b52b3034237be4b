r"""Templates: literal text with holes.

    template = (literal | hole)*        hole = "{" kind [":" argument] "}"

``{{`` and ``}}`` stand for a literal brace. Inside a hole braces must be balanced, and in a
``regex`` or ``regex-luhn`` hole a backslash takes away the meaning of the character after it, so
``{regex:[A-Z]{2}\d{6}}`` is one hole. An argument is a list of values and ``option=value`` pairs
divided by commas; the argument of a ``regex`` or ``regex-luhn`` hole is taken whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from secretaudit.errors import FormatError

#: Kinds whose argument is a pattern, commas and all.
TAKEN_WHOLE = ("regex", "regex-luhn")


@dataclass(frozen=True, kw_only=True)
class Hole:
    """One hole of a template.

    Attributes:
        kind: Name of the hole, such as ``digits``.
        argument: Everything after the colon, as written.
        values: The argument's plain values, in order.
        options: The argument's ``option=value`` pairs.
        entries: Contents of the word list that the hole names, once it was read.
    """

    kind: str
    argument: str = ""
    values: tuple[str, ...] = ()
    options: dict[str, str] = field(default_factory=dict, hash=False)
    entries: tuple[str, ...] = field(default=(), repr=False)

    @property
    def written(self) -> str:
        """The hole as it stands in the template."""
        return f"{{{self.kind}:{self.argument}}}" if self.argument else f"{{{self.kind}}}"


Part = str | Hole


def parse_template(template: str) -> tuple[Part, ...]:
    """Split a template into literals and holes, in order; neighbouring literals are one.

    Raises:
        FormatError: If a brace is not closed or stands alone.

    >>> [part if isinstance(part, str) else part.kind for part in parse_template("pin {{{digits:4}}}")]
    ['pin {', 'digits', '}']
    """
    parts: list[Part] = []
    literal: list[str] = []
    place = 0
    while place < len(template):
        character = template[place]
        if character in "{}" and template[place + 1 : place + 2] == character:
            literal.append(character)
            place += 2
        elif character == "{":
            end = _end_of_hole(template, place)
            if literal:
                parts.append("".join(literal))
                literal = []
            parts.append(_hole(template[place + 1 : end]))
            place = end + 1
        elif character == "}":
            raise _unbalanced(template, place)
        else:
            literal.append(character)
            place += 1
    if literal:
        parts.append("".join(literal))
    return tuple(parts)


def _end_of_hole(template: str, start: int) -> int:
    """Position of the brace that closes the hole opened at ``start``."""
    escapes = template.startswith(("{regex:", "{regex-luhn:"), start)
    depth = 0
    place = start
    while place < len(template):
        character = template[place]
        if escapes and character == "\\":
            place += 1
        elif character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return place
        place += 1
    raise _unbalanced(template, start)


def _unbalanced(template: str, place: int) -> FormatError:
    return FormatError(
        f"The template has an unbalanced brace at character {place + 1} of {len(template)}.",
        "A hole begins with { and ends with its own }.",
        "Close the hole, or write {{ or }} for a literal brace.",
    )


def _hole(inside: str) -> Hole:
    """Read what stands between a hole's braces."""
    kind, _, argument = inside.partition(":")
    kind = kind.strip()
    if kind in TAKEN_WHOLE:
        return Hole(kind=kind, argument=argument, values=(argument,) if argument else ())
    values: list[str] = []
    options: dict[str, str] = {}
    for piece in argument.split(",") if argument else []:
        name, equals, value = piece.partition("=")
        if equals:
            options[name.strip()] = value
        else:
            values.append(piece.strip())
    return Hole(kind=kind, argument=argument, values=tuple(values), options=options)
