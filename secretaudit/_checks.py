"""Checks of arguments: ``x must be …, got …``, the same words everywhere."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable

from secretaudit.errors import UsageError


def positive(name: str, value: float) -> None:
    """Refuse a value that is not finite and above zero.

    >>> positive("count", 3)
    """
    if not (math.isfinite(value) and value > 0):
        raise _refused(name, "above 0", value)


def at_least(name: str, value: float, least: float) -> None:
    """Refuse a value that is not finite or is below ``least``.

    >>> at_least("controls", 0, 0)
    """
    if not (math.isfinite(value) and value >= least):
        raise _refused(name, f"at least {least}", value)


def fraction(name: str, value: float) -> None:
    """Refuse a value that is not above 0 and at most 1.

    >>> fraction("target", 0.99)
    """
    if not (math.isfinite(value) and 0 < value <= 1):
        raise _refused(name, "above 0 and at most 1", value)


def one_of(name: str, value: str, known: Iterable[str]) -> None:
    """Refuse a name that is not known, and suggest the nearest one.

    >>> one_of("method", "exact", ["exact", "sampling"])
    """
    choices = list(known)
    if value not in choices:
        raise UsageError(
            f"{name} must be one of {', '.join(choices)}, got {value!r}.",
            f"There is no {name} of that name.",
            suggestion(value, choices) or "Choose one of these names.",
        )


def suggestion(value: str, known: Iterable[str]) -> str | None:
    """The sentence that offers the nearest known name, if one is near.

    >>> suggestion("credit-crad", ["credit-card", "pin"])
    "Did you mean 'credit-card'?"
    """
    near = difflib.get_close_matches(value, list(known), n=1)
    return f"Did you mean {near[0]!r}?" if near else None


def _refused(name: str, wanted: str, value: float) -> UsageError:
    return UsageError(
        f"{name} must be {wanted}, got {value}.",
        "No other value has a meaning here.",
        f"Give a {name} that is {wanted}.",
    )
