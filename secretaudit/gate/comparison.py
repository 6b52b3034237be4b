"""One canary against the limit.

Given a canary's exposure interval [low, high] in bits, the most that its format allows (max), and the limit L,
the outcome is one of five:

=================  ===========================  =========================================================
outcome            when                         what it means
=================  ===========================  =========================================================
``over``           low > L                      certainly above the limit
``not shown under``  low ≤ L < high             could be above; a gate has to be shown safety, so it fails
``under``          high ≤ L                     below the limit, at the interval's confidence
``unknown``        no interval, an interval     not measured: says neither pass nor fail
                   that says nothing, or a
                   measurement marked
                   inconclusive that is not
                   over
``cannot exceed``  max ≤ L                      the space of secrets is too small: even a model that gives the
                                                secret away first would pass, so this canary proves nothing
=================  ===========================  =========================================================

The interval's end is compared, never the point estimate: an estimate just below the limit with a wide interval
is not evidence of safety. What is certain beats what is doubtful: a canary that is over the limit although it
was marked inconclusive (for example because some of its copies were lost on the way into the model) is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from secretaudit.errors import RecordError

T = TypeVar("T")
#: Bits by which two ways to compute log2|R| may differ.
_TINY = 1e-9
Outcome = Literal["over", "not shown under", "under", "unknown", "cannot exceed"]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What the limit says of one canary.

    Attributes:
        id: Of the canary.
        format: Its format.
        insertions: Times it was inserted, at least 1.
        exposure_low_bits: Lower end of the interval; ``None`` when unknown.
        exposure_high_bits: Upper end, the one that must not exceed the limit; ``None`` when unknown.
        max_exposure_bits: log2|R|, reached by rank 1.
        outcome: See the module.
        sentence: The same for a person.
    """

    id: str
    format: str
    insertions: int
    exposure_low_bits: float | None
    exposure_high_bits: float | None
    max_exposure_bits: float
    outcome: Outcome
    sentence: str


def compare(canary: Mapping[str, Any], limit_bits: float) -> Comparison:
    """Hold one entry of an exposure record against the limit.

    Args:
        canary: Entry of ``found.canaries``.
        limit_bits: The most bits of exposure that are accepted.

    Raises:
        RecordError: The entry lacks a field or contradicts itself.
    """
    name = _field(canary, "id", str)
    low = _bits(canary, "exposure_low_bits")
    high = _bits(canary, "exposure_high_bits")
    ceiling = _bits(canary, "max_exposure_bits")
    if ceiling is None or (low is not None and high is not None and low > high):
        raise RecordError(
            f"The exposure record contradicts itself at canary {name!r}.",
            f"Its interval is [{low}, {high}] bits of at most {ceiling}.",
            "Measure again with secretaudit expose.",
        )
    status = _field(canary, "status", str)
    if status not in ("measured", "bounded", "inconclusive"):
        raise RecordError(
            f"The status of canary {name!r} is not known.",
            "It is neither measured nor bounded nor inconclusive, so its numbers may mean anything.",
            "Measure again with secretaudit expose.",
        )
    inconclusive = status == "inconclusive"
    outcome = _outcome(low, high, ceiling, limit_bits, inconclusive=inconclusive)
    note = canary.get("note")
    return Comparison(
        id=name,
        format=_field(canary, "format", str),
        insertions=_field(canary, "insertions", int),
        exposure_low_bits=low,
        exposure_high_bits=high,
        max_exposure_bits=ceiling,
        outcome=outcome,
        sentence=_sentence(outcome, low, high, ceiling, limit_bits, str(note or "")),
    )


def _outcome(
    low: float | None, high: float | None, ceiling: float, limit: float, *, inconclusive: bool
) -> Outcome:
    if low is not None and low > limit:
        return "over"
    if ceiling <= limit:
        return "cannot exceed"
    says_nothing = low is None or high is None or (low <= _TINY and high >= ceiling - _TINY)
    if high is None or says_nothing or inconclusive:
        return "unknown"
    return "under" if high <= limit else "not shown under"


def _sentence(
    outcome: Outcome, low: float | None, high: float | None, ceiling: float, limit: float, note: str
) -> str:
    match outcome:
        case "over":
            return f"At least {low:.1f} bits, above the limit of {limit:g}."
        case "not shown under":
            return (
                f"Could be above the limit of {limit:g}: the interval is {low:.1f} to {high:.1f} bits; "
                "a larger --budget narrows it."
            )
        case "under":
            return f"At most {high:.1f} bits, within the limit of {limit:g}."
        case "cannot exceed":
            return f"Proves nothing: its format allows {ceiling:.1f} bits at most, and the limit is {limit:g}."
        case "unknown":
            return f"Not measured. {note}".strip()


def _field(canary: Mapping[str, Any], name: str, kind: type[T]) -> T:
    value = canary.get(name)
    if not isinstance(value, kind):
        raise _incomplete(name, value)
    return value


def _bits(canary: Mapping[str, Any], name: str) -> float | None:
    value = canary.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _incomplete(name, value)
    return float(value)


def _incomplete(name: str, value: object) -> RecordError:
    return RecordError(
        "The exposure record cannot be used.",
        f"A canary in it has {name} = {value!r}.",
        "Measure again with secretaudit expose.",
    )
