"""Reading JSON that a server sent, without trusting its shape.

Whatever is missing, of the wrong type or no log-probability raises ``WrongAnswer`` with a sentence about the *shape* of the answer; the
sentence never quotes what was asked, which may hold a secret.
"""

from __future__ import annotations

import math
from typing import TypeVar

T = TypeVar("T")

#: vLLM writes minus infinity, which JSON lacks, as this number.
STANDS_FOR_ZERO = -9999.0
#: How far above zero rounding may lift the logarithm of a probability.
ROUNDING = 1e-4


class WrongAnswer(Exception):
    """What is wrong with an answer, one sentence without a full stop."""


def entry(value: object, key: str | int, kind: type[T]) -> T:
    """The entry of a JSON object or list, which must be there and of this kind.

    >>> entry({"choices": [7]}, "choices", list)
    [7]

    Raises:
        WrongAnswer: It is missing or of another kind.
    """
    found: object = None
    if (isinstance(value, dict) and isinstance(key, str)) or (
        isinstance(value, list) and isinstance(key, int) and -len(value) <= key < len(value)
    ):
        found = value.get(key) if isinstance(value, dict) else value[int(key)]
    if not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool):
        raise WrongAnswer(f"it has no {key!r} of type {kind.__name__}")
    return found


def log_probability(value: object) -> float:
    """A natural logarithm of a probability above zero.

    >>> log_probability(-1.5)
    -1.5

    Raises:
        WrongAnswer: No number, not finite, above zero, or the stand-in for minus infinity.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise WrongAnswer("a log-probability is not a finite number")
    if value > ROUNDING:
        raise WrongAnswer("a log-probability is above zero, so it is no logarithm of a probability")
    if value <= STANDS_FOR_ZERO:
        raise WrongAnswer("a token has probability zero, as if the server forbade it")
    return min(0.0, float(value))


def whole_number(value: object) -> int:
    """A JSON integer.

    Raises:
        WrongAnswer: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise WrongAnswer("a token id is not a whole number")
    return value
