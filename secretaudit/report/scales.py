"""Axes that can be read: where ticks stand and what they say, names of any length, zeros on logarithmic axes.

A logarithmic axis shows a zero (epoch 0, a rate of 0) by becoming linear below its smallest positive value; a value is never left
out because of the axis. Where there are few positions, the ticks stand at them and not at round numbers between.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from itertools import pairwise, takewhile
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import (
    AutoLocator,
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

__all__ = [
    "CHARACTERS",
    "LONGEST_NAME",
    "clean",
    "distinct",
    "names_height",
    "number",
    "set_names",
    "set_scale",
    "shorten",
    "turning",
    "wrapped",
]

#: Characters of a name on an axis, in an inch.
CHARACTERS = 13.5
#: Longer names are cut.
LONGEST_NAME = 18

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_PITCH = 0.15  # inches between names
_FEW = 8
_APART = 0.09


def clean(text: str) -> str:
    """The text without line breaks and the control characters that XML cannot hold."""
    spaced = " ".join(text.split())
    return "".join(c if c.isprintable() else "�" for c in spaced)


def shorten(text: str, length: int) -> str:
    """The cleaned text, cut in the middle to at most ``length`` characters.

    >>> shorten("n02099601 golden retriever", 15)
    'n0209960…triever'
    """
    cleaned = clean(text)
    if len(cleaned) <= length:
        return cleaned
    tail = (length - 1) // 2
    return f"{cleaned[: length - tail]}…{cleaned[-tail:]}"


def wrapped(text: str, width: int) -> str:
    """The cleaned text in lines of at most ``width`` characters; a longer word is broken."""
    return "\n".join(textwrap.wrap(clean(text), width)) or " "


def number(value: float) -> str:
    """A number on an axis.

    >>> number(0.05), number(2000.0), number(1e6), number(3e-7), number(-0.5)
    ('0.05', '2,000', '10⁶', '3·10⁻⁷', '−0.5')
    """
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    size = abs(value)
    if size * (1 + 1e-9) >= 1e-3 and size < 999_999.5:
        text = f"{size:,.4g}" if size < 10_000 else f"{size:,.0f}"
    else:
        power = math.floor(math.log10(size) + 1e-9)
        ten = "10" + str(power).translate(_SUPERSCRIPTS)
        factor = f"{size / 10.0**power:.3g}"
        text = ten if factor == "1" else f"{factor}·{ten}"
    return text if value > 0 else f"−{text}"


def distinct(names: Sequence[str], length: int) -> list[str]:
    """Names of at most about ``length`` characters: what all have in common at either end is left out first.

    >>> distinct(["encoder.layer.0.attention.output", "encoder.layer.1.attention.output"], 18)
    ['…0…', '…1…']
    """
    cleaned = [clean(name) for name in names]
    if len(cleaned) > 1 and max(map(len, cleaned)) > length:
        front = _common(cleaned)
        back = _common([name[front:][::-1] for name in cleaned])
        cleaned = [
            f"{'…' * (front > 0)}{name[front : len(name) - back]}{'…' * (back > 0)}"
            for name in cleaned
        ]
    return [shorten(name, length) for name in cleaned]


def set_names(axes: Axes, side: Literal["x", "y"], names: Sequence[str], inches: float) -> None:
    """Label the positions 0, 1, … of an axis with names; long ones are folded or turned, of very many some are shown.

    Args:
        axes: Where.
        side: Which axis.
        names: One per position.
        inches: About how long the axis is.
    """
    step = max(1, math.ceil(len(names) * _PITCH / inches))
    positions = list(range(0, len(names), step))
    shown = [distinct(names, LONGEST_NAME)[position] for position in positions]
    axis = axes.xaxis if side == "x" else axes.yaxis
    axis.set_minor_locator(NullLocator())
    if side == "y":
        axes.set_yticks(positions, shown)
        return
    full = [clean(names[position]) for position in positions]
    turned, folded = turning(full, inches), _folded(full, inches)
    if folded is not None:
        axes.set_xticks(positions, folded)
    else:
        align = "center" if turned == 90 else "top"
        axes.set_xticks(
            positions, shown, rotation=turned, ha="right", va=align, rotation_mode="anchor"
        )


def turning(names: Sequence[str], inches: float) -> int:
    """Degrees by which names below an axis of that length are turned: 0, 45 or 90."""
    if _folded(names, inches) is not None:
        return 0
    return 90 if len(names) * 2 * _PITCH > inches else 45


def names_height(names: Sequence[str], inches: float) -> float:
    """Inches that the names below an axis take beyond the first line."""
    folded = _folded(names, inches)
    if folded is not None:
        return 0.16 * max((name.count("\n") for name in folded), default=0)
    longest = max(map(len, distinct(names, LONGEST_NAME)), default=0) / CHARACTERS
    return longest * (1.0 if turning(names, inches) == 90 else 0.75)


def set_scale(
    axes: Axes,
    side: Literal["x", "y"],
    values: Iterable[float],
    *,
    log: bool,
    at_values: bool = False,
) -> None:
    """Set the scale and the ticks of a numeric axis.

    Args:
        axes: Where.
        side: Which axis.
        values: Everything that is drawn along it.
        log: Logarithmic, with a linear piece at zero if something is not positive.
        at_values: Ticks at the values themselves, if they are few and apart.
    """
    given = sorted({float(value) for value in values})
    axis = axes.xaxis if side == "x" else axes.yaxis
    setter = axes.set_xscale if side == "x" else axes.set_yscale
    positive = [value for value in given if value > 0]
    if log and positive and positive != given:
        setter("symlog", linthresh=positive[0], linscale=0.5)
    elif log and positive:
        setter("log", nonpositive="clip")
    logarithmic = log and bool(positive)
    _set_ticks(axis, given, logarithmic=logarithmic, at_values=at_values)
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axis.set_minor_formatter(
        NullFormatter()
    )  # else a short logarithmic axis has "$3\\times10^{0}$" between


def _set_ticks(axis: Axis, given: list[float], *, logarithmic: bool, at_values: bool) -> None:
    if at_values and 1 < len(given) <= _FEW and _apart(given, logarithmic=logarithmic):
        axis.set_major_locator(FixedLocator(given))
        axis.set_minor_locator(NullLocator())
    elif logarithmic:
        _set_log_ticks(axis, given)
    elif given and all(value.is_integer() for value in given) and at_values:
        axis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    else:
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))


def _set_log_ticks(axis: Axis, given: list[float]) -> None:
    positive = [value for value in given if value > 0]
    decades = math.log10(positive[-1] / positive[0])
    if len(positive) != len(given):
        axis.set_major_locator(FixedLocator(_powers_with_zero(given)))
        axis.set_minor_locator(NullLocator())
    elif decades < 0.7:
        axis.set_major_locator(AutoLocator())
        axis.set_minor_locator(NullLocator())
    else:
        subs = (1.0, 2.0, 5.0) if decades < 2 else (1.0,)
        axis.set_major_locator(LogLocator(subs=subs, numticks=8))


def _powers_with_zero(given: list[float]) -> list[float]:
    """Zero and powers of ten on both sides of it, at most about seven a side."""
    ticks = {0.0}
    for sign in (1.0, -1.0):
        sizes = [sign * value for value in given if sign * value > 0]
        if sizes:
            first = math.floor(math.log10(min(sizes)) + 1e-9)
            last = math.ceil(math.log10(max(sizes)) - 1e-9)
            step = max(1, math.ceil((last - first + 1) / 6))
            ticks |= {sign * 10.0**power for power in range(first, last + 1, step)}
    return sorted(ticks)


def _apart(given: list[float], *, logarithmic: bool) -> bool:
    """Whether labels at the values would have room."""
    if logarithmic and given[0] <= 0:
        return False
    places = [math.log10(value) for value in given] if logarithmic else given
    span = places[-1] - places[0]
    return all(after - before >= _APART * span for before, after in pairwise(places))


def _folded(names: Sequence[str], inches: float) -> list[str] | None:
    """Names in up to three lines each, or ``None`` if they have no room beside each other."""
    room = int(inches * CHARACTERS / max(1, len(names))) - 1
    lines = [textwrap.wrap(clean(name), max(1, room), break_long_words=False) for name in names]
    fits = all(len(one) <= 3 and all(len(line) <= room for line in one) for one in lines)
    return ["\n".join(one) for one in lines] if fits else None


def _common(names: Sequence[str]) -> int:
    """Length of the common beginning, back to where a word ends; 0 if that is not worth a mark."""
    columns = zip(*names, strict=False)
    shared = sum(1 for _ in takewhile(lambda letters: len(set(letters)) == 1, columns))
    while shared and names[0][shared - 1].isalnum():
        shared -= 1
    return shared if shared > 3 else 0
