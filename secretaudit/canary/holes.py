"""The kinds of holes, by name. Each turns what stands in its braces into an automaton.

To add a kind, write a builder and one line in :data:`KINDS`.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from secretaudit import _checks
from secretaudit.canary import checksum
from secretaudit.canary.automaton import Automaton
from secretaudit.canary.construction import (
    alternatives,
    characters,
    concatenate,
    difference,
    grouped,
    literal,
    words,
)
from secretaudit.canary.iban import BBAN_SHAPES, iban
from secretaudit.canary.regex import regular_expression
from secretaudit.canary.shipped import DEFAULT_WORDS
from secretaudit.canary.template import Hole
from secretaudit.errors import FormatError

Lists = Mapping[str, tuple[str, ...]]
Builder = Callable[[Hole], Automaton]

DIGITS = "0123456789"
LOWER = "abcdefghijklmnopqrstuvwxyz"
UPPER = LOWER.upper()
VISIBLE = "".join(chr(point) for point in range(0x21, 0x7F))
STYLES = {"plain": "", "spaced": " ", "dashed": "-"}
MOST_YEARS = 400
MOST_CHARACTERS = 10_000
MAIL_DOMAINS = "example.com|example.net|example.org"


def needed_list(hole: Hole) -> str | None:
    """Name of the word list that a hole draws from, if it does."""
    if hole.kind == "choice":
        return hole.values[0] if hole.values else None
    return hole.options.get("list", DEFAULT_WORDS) if hole.kind == "words" else None


def build_hole(hole: Hole, lists: Lists) -> Automaton:
    """The automaton of one hole.

    Args:
        hole: The parsed hole.
        lists: Contents of the word lists it may name.

    Raises:
        FormatError: If the kind is unknown or its argument is not possible.
    """
    check_kind(hole)
    name = needed_list(hole)
    return KINDS[hole.kind](hole if name is None else replace(hole, entries=lists[name]))


def check_kind(hole: Hole) -> None:
    """Refuse a kind of hole that does not exist."""
    if hole.kind not in KINDS:
        raise FormatError(
            f"There is no kind of hole named {hole.kind!r}.",
            f"Known kinds: {', '.join(sorted(KINDS))}.",
            _checks.suggestion(hole.kind, KINDS)
            or "Use one of these, or {regex:…} for a pattern of your own.",
        )


def _refuse(hole: Hole, why: str, example: str) -> FormatError:
    return FormatError(
        f"The hole {hole.written} is not possible.", why, f"Write it for example as {example}."
    )


def _only(hole: Hole, values: int, options: tuple[str, ...], example: str) -> None:
    """Refuse more values than ``values``, and options other than ``options``."""
    surplus = sorted(set(hole.options) - set(options))
    if surplus:
        raise _refuse(hole, f"It has no option {surplus[0]!r}.", example)
    if len(hole.values) > values:
        raise _refuse(hole, f"It takes at most {values} value(s), got {len(hole.values)}.", example)


def _lengths(hole: Hole, text: str, example: str) -> tuple[int, int]:
    """Read ``n`` or ``n-m``."""
    match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", text)
    if match is None:
        raise _refuse(hole, "A length is a number n or a range n-m.", example)
    low = int(match[1])
    high = int(match[2]) if match[2] else low
    if not 0 <= low <= high or high < 1 or high > MOST_CHARACTERS:
        raise _refuse(
            hole,
            f"Lengths must ascend and lie in 0 … {MOST_CHARACTERS}, the longest at least 1.",
            example,
        )
    return low, high


def _class_of(chars: str) -> Builder:
    """A builder for ``{kind:n}`` and ``{kind:n-m}`` over a set of characters; n defaults to 1."""

    def build(hole: Hole) -> Automaton:
        example = f"{{{hole.kind}:6}}"
        _only(hole, 1, (), example)
        return characters(chars, *_lengths(hole, hole.values[0] if hole.values else "1", example))

    return build


def _style(hole: Hole, default: str) -> tuple[str, list[str]]:
    """The separator of the style among the hole's values, and the other values."""
    styles = [value for value in hole.values if value in STYLES]
    others = [value for value in hole.values if value not in STYLES]
    if len(styles) > 1:
        raise _refuse(hole, "It can be written in one style only.", f"{{{hole.kind}:{styles[0]}}}")
    return STYLES[styles[0] if styles else default], others


def _styled(automaton: Callable[[], Automaton], groups: tuple[int, ...], default: str) -> Builder:
    """A builder for a number with a fixed length that may be written plain, spaced or dashed."""

    def build(hole: Hole) -> Automaton:
        _only(hole, 1, (), f"{{{hole.kind}:spaced}}")
        separator, others = _style(hole, default)
        if others:
            raise _refuse(hole, f"Styles are {', '.join(STYLES)}.", f"{{{hole.kind}:spaced}}")
        return grouped(automaton(), groups, separator)

    return build


def _regex(hole: Hole) -> Automaton:
    if not hole.argument:
        raise _refuse(hole, "It holds no pattern.", "{regex:[A-Z]{2}\\d{6}}")
    return regular_expression(hole.argument)


def _regex_luhn(hole: Hole) -> Automaton:
    if not hole.argument:
        raise _refuse(hole, "It holds no pattern.", "{regex-luhn:(\\d{4} ){3}\\d{4}}")
    return checksum.passing_luhn(regular_expression(hole.argument))


def _choice(hole: Hole) -> Automaton:
    _only(hole, 1, (), "{choice:names.txt}")
    if not hole.values:
        raise _refuse(hole, "It names no file.", "{choice:names.txt}")
    return words(hole.entries)


def _one_of(hole: Hole) -> Automaton:
    entries = [entry for entry in hole.argument.split("|") if entry]
    if not entries:
        raise _refuse(hole, "It lists nothing to choose from.", "{one-of:red|green|blue}")
    return words(entries)


def _words(hole: Hole) -> Automaton:
    example = "{words:4} or {words:4,list=names.txt,separator=-}"
    _only(hole, 1, ("list", "separator"), example)
    count, most = _lengths(hole, hole.values[0] if hole.values else "1", example)
    if count != most or count > 100:
        raise _refuse(hole, "The number of words is one number up to 100.", example)
    vocabulary = words(hole.entries)
    separator = literal(hole.options.get("separator", " "))
    return concatenate(*[vocabulary, separator] * (count - 1), vocabulary)


def _luhn(hole: Hole) -> Automaton:
    _only(hole, 1, (), "{luhn:16}")
    low, high = _lengths(hole, hole.values[0] if hole.values else "16", "{luhn:16}")
    if low < 2:
        raise _refuse(hole, "A number with a check digit has at least two digits.", "{luhn:16}")
    return alternatives(*[checksum.luhn(length) for length in range(low, high + 1)])


def _credit_card(hole: Hole) -> Automaton:
    separator, brands = _style(hole, "plain")
    unknown = [brand for brand in brands if brand not in checksum.CARDS]
    if unknown or hole.options:
        raise _refuse(
            hole,
            f"Brands are {', '.join(checksum.CARDS)}; styles {', '.join(STYLES)}.",
            "{credit-card:visa}",
        )
    chosen = brands or list(checksum.CARDS)
    machines = [
        grouped(checksum.payment_card(brand), checksum.CARDS[brand][2], separator)
        for brand in chosen
    ]
    return alternatives(*machines)


def _iban(hole: Hole) -> Automaton:
    separator, countries = _style(hole, "plain")
    unknown = [country for country in countries if country not in BBAN_SHAPES]
    if unknown or len(countries) > 1 or hole.options:
        raise _refuse(
            hole,
            f"One country of {', '.join(BBAN_SHAPES)}; styles {', '.join(STYLES)}.",
            "{iban:DE,spaced}",
        )
    machine = iban(countries[0] if countries else "DE")
    whole, rest = divmod(machine.longest, 4)
    return grouped(machine, (4,) * whole + ((rest,) if rest else ()), separator)


def _ssn_number() -> Automaton:
    """Area 001-899 but 666, group 01-99, serial 0001-9999, without three published numbers."""
    areas = words(f"{area:03}" for area in range(1, 900) if area != 666)
    groups = words(f"{group:02}" for group in range(1, 100))
    serials = difference(characters(DIGITS, 4), literal("0000"))
    return difference(
        concatenate(areas, groups, serials), words(["078051120", "457555462", "219099999"])
    )


def _nanp_number() -> Automaton:
    """Area code and exchange 200-999 but N11, then four digits."""
    code = words(f"{code}" for code in range(200, 1000) if code % 100 != 11)
    return concatenate(code, code, characters(DIGITS, 4))


def _date(hole: Hole) -> Automaton:
    example = "{date:1940-2009,pattern=MM/DD/YYYY}"
    _only(hole, 1, ("pattern",), example)
    match = re.fullmatch(r"(\d{4})-(\d{4})", hole.values[0] if hole.values else "1940-2009")
    first, last = (int(match[1]), int(match[2])) if match else (0, -1)
    if not 1 <= first <= last or last - first >= MOST_YEARS:
        raise _refuse(hole, f"It takes a range of at most {MOST_YEARS} years.", example)
    pattern = hole.options.get("pattern", "YYYY-MM-DD")
    if any(pattern.count(field) != 1 for field in ("YYYY", "MM", "DD")):
        raise _refuse(hole, "A pattern holds YYYY, MM and DD once each.", example)
    return words(
        pattern.replace("YYYY", f"{year:04}")
        .replace("MM", f"{month:02}")
        .replace("DD", f"{day:02}")
        for year in range(first, last + 1)
        for month in range(1, 13)
        for day in range(1, calendar.monthrange(year, month)[1] + 1)
    )


def _ipv4(hole: Hole) -> Automaton:
    _only(hole, 0, (), "{ipv4}")
    part, dot = words(str(byte) for byte in range(256)), literal(".")
    return concatenate(part, dot, part, dot, part, dot, part)


def _uuid4(hole: Hole) -> Automaton:
    _only(hole, 0, (), "{uuid4}")
    hexadecimal = "0123456789abcdef"

    def digits(count: int) -> Automaton:
        return characters(hexadecimal, count)

    dash = literal("-")
    version, variant = literal("4"), characters("89ab", 1)
    return concatenate(
        digits(8),
        dash,
        digits(4),
        dash,
        version,
        digits(3),
        dash,
        variant,
        digits(3),
        dash,
        digits(12),
    )


def _aws_access_key(hole: Hole) -> Automaton:
    _only(hole, 0, (), "{aws-access-key}")
    return concatenate(literal("AKIA"), characters(UPPER + "234567", 16))


def _email(hole: Hole) -> Automaton:
    example = "{email:domains=example.com|example.org}"
    _only(hole, 0, ("domains",), example)
    domains = [domain for domain in hole.options.get("domains", MAIL_DOMAINS).split("|") if domain]
    if not domains:
        raise _refuse(hole, "It names no domain.", example)
    first, last = characters(LOWER, 3, 8), characters(LOWER, 3, 8)
    return concatenate(first, literal("."), last, literal("@"), words(domains))


KINDS: Final[dict[str, Builder]] = {
    "aadhaar": _styled(checksum.aadhaar, (4, 4, 4), "plain"),
    "alnum": _class_of(UPPER + LOWER + DIGITS),
    "aws-access-key": _aws_access_key,
    "choice": _choice,
    "credit-card": _credit_card,
    "date": _date,
    "digits": _class_of(DIGITS),
    "email": _email,
    "hex": _class_of(DIGITS + "abcdef"),
    "hex-upper": _class_of(DIGITS + "ABCDEF"),
    "iban": _iban,
    "ipv4": _ipv4,
    "letters": _class_of(UPPER + LOWER),
    "lower": _class_of(LOWER),
    "lower-alnum": _class_of(LOWER + DIGITS),
    "luhn": _luhn,
    "nhs": _styled(checksum.nhs_number, (3, 3, 4), "plain"),
    "one-of": _one_of,
    "printable": _class_of(VISIBLE),
    "regex": _regex,
    "regex-luhn": _regex_luhn,
    "routing-number": _styled(checksum.routing_number, (4, 4, 1), "plain"),
    "ssn": _styled(_ssn_number, (3, 2, 4), "dashed"),
    "upper": _class_of(UPPER),
    "upper-alnum": _class_of(UPPER + DIGITS),
    "us-phone": _styled(_nanp_number, (3, 3, 4), "dashed"),
    "uuid4": _uuid4,
    "words": _words,
}
"""Kind of hole → its builder."""
