"""Numbers of an audit in words and strokes that need no paper.

An exposure of x bits says: of all secrets of the format, the model finds the canary among the likeliest 1 in 2^x.
"""

from __future__ import annotations

from typing import Any

_BAR = "█"
_REST = "░"


def bits(value: float | None) -> str:
    """Bits with one decimal, or a dash.

    >>> bits(29.897), bits(None)
    ('29.9', '–')
    """
    return "–" if value is None else f"{value:.1f}"


def interval(low: float | None, high: float | None) -> str:
    """The two ends of an interval.

    >>> interval(9.96, 11.2), interval(3.0, 3.0)
    ('10.0–11.2', 'exact')
    """
    if low is None or high is None:
        return "–"
    return "exact" if low == high else f"{low:.1f}–{high:.1f}"


def exposure(canary: dict[str, Any]) -> str:
    """The exposure of one canary: a value, "at least" so much, or a question mark.

    >>> exposure({"exposure_bits": None, "exposure_low_bits": 10.6, "status": "bounded"})
    '≥ 10.6'
    """
    if canary["exposure_bits"] is None:
        low = canary["exposure_low_bits"]
        return "?" if low is None or low <= 0 else f"≥ {low:.1f}"
    mark = "?" if canary["status"] == "inconclusive" else ""
    return f"{canary['exposure_bits']:.1f}{mark}"


def known_bits(canary: dict[str, Any]) -> float | None:
    """The exposure to draw or describe: the value, otherwise what is certain, if that is more than nothing.

    >>> known_bits({"exposure_bits": None, "exposure_low_bits": 10.6})
    10.6
    >>> known_bits({"exposure_bits": None, "exposure_low_bits": 0.0}) is None
    True
    """
    value: float | None = canary["exposure_bits"]
    return (canary["exposure_low_bits"] or None) if value is None else value


def bar(value: float | None, maximum: float, width: int = 10) -> str:
    """A share of the maximum as a bar.

    >>> bar(15.0, 30.0)
    '█████░░░░░'
    """
    share = 0.0 if value is None or maximum <= 0 else min(1.0, max(0.0, value / maximum))
    full = round(share * width)
    return _BAR * full + _REST * (width - full)


def one_in(exposure_bits: float | None) -> str:
    """Where the model ranks the secret: among the likeliest 1 in so many.

    >>> one_in(0.2), one_in(9.97), one_in(29.897), one_in(127.0)
    ('no sooner than any', '1 in 1,000', '1 in 1,000,000,000', '1 in 10^38')
    """
    if exposure_bits is None:
        return "not known"
    ratio = 2.0 ** min(exposure_bits, 1000.0)
    if ratio < 1.5:
        return "no sooner than any"
    return f"1 in {many(ratio)}"


def many(number: float) -> str:
    """A count with two significant digits; beyond 10^10 only its magnitude.

    >>> many(3), many(1_234_567), many(999_999_999), many(1e15)
    ('3', '1,200,000', '1,000,000,000', '10^15')
    """
    if number > 2e10:
        return f"10^{len(str(round(number))) - 1}" if number < 1e300 else "10^300 or more"
    magnitude = max(len(str(round(number))) - 2, 0)
    return f"{round(number, -magnitude):,.0f}"


def space(size: int) -> str:
    """|R|: in full when it is short, otherwise its magnitude.

    >>> space(10_000), space(1_000_000_000), space(16**32)
    ('10,000', '1,000,000,000', '3.4e38')
    """
    if size < 10**10:
        return f"{size:,}"
    digits = str(size)
    return f"{digits[0]}.{digits[1]}e{len(digits) - 1}"


def cut(text: str, width: int) -> str:
    """A text that fits a column.

    >>> cut("correct horse", 8), cut("pin", 8)
    ('correct…', 'pin')
    """
    return text if len(text) <= width else text[: width - 1] + "…"
