"""Numbers as sentences say them: a true minus sign, no minus before a zero, intervals in brackets, "1 epoch" and "2 epochs"."""

from __future__ import annotations

from typing import Any

__all__ = ["counted", "interval", "said"]


def said(value: float, form: str) -> str:
    """A number with a true minus sign; what is rounded to zero has no sign.

    >>> said(-0.25, ".2f"), said(-0.001, ".2f"), said(0.5, "+.1f")
    ('−0.25', '0.00', '+0.5')
    """
    text = format(value, form)
    if not text.strip("+-0.,"):
        return text.lstrip("+-")
    return text.replace("-", "−")


def interval(mean: dict[str, Any], form: str, times: float = 1.0) -> str:
    """The ends of an interval, " (0.1 to 0.3)"; "" where there is none.

    Args:
        mean: What ``mean_interval`` returns.
        form: Of each end.
        times: Factor, such as 100 for points.

    >>> interval({"mean": 0.2, "low": -0.1, "high": 0.5, "n": 3}, "+.0f", 100.0)
    ' (−10 to +50)'
    """
    if mean["low"] is None:
        return ""
    return f" ({said(times * mean['low'], form)} to {said(times * mean['high'], form)})"


def counted(count: int, what: str) -> str:
    """A number of things.

    >>> counted(1, "epoch"), counted(20, "epoch")
    ('1 epoch', '20 epochs')
    """
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
