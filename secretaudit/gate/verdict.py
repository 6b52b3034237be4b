"""Pass, fail, or could not measure.

A gate holds every *inserted* canary of an exposure record against one limit L (bits). Controls were never
inserted: they are the null distribution, and are not judged.

* **fail** (exit 1): some canary is over the limit, or could be (``comparison.py``: the interval's end counts).
* **inconclusive** (exit 3): none fails, but some could not be measured, or nothing was inserted.
  Never shown as a pass.
* **pass** (exit 0): every canary is shown to be within the limit.

A limit that no canary could ever exceed is refused (``PolicyError``, exit 2): a gate that cannot fail is no gate.
When only some canaries are out of its reach, the others decide and a warning names the formats.

How low may a limit be? Under the null (nothing memorized) the rank is uniform on 1 … |R|, so one canary exceeds L
bits with probability 2^-L, and the largest of n with probability 1 − (1 − 2^-L)^n. This false-alarm probability stands in
the record, with a warning above 5 %. L = log2(n) + 4.3 keeps it there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal

from secretaudit.errors import PolicyError, RecordError
from secretaudit.gate.comparison import Comparison, compare
from secretaudit.records import Record, environment

Verdict = Literal["pass", "fail", "inconclusive"]

#: What the process says to a pipeline. 2 is kept for usage and policy errors.
EXIT_CODES: dict[str, int] = {"pass": 0, "fail": 1, "inconclusive": 3}

_ACCEPTED_FALSE_ALARM = 0.05


def gate(record: Record, *, max_exposure: float) -> Record:
    """Judge an exposure record by a limit.

    Args:
        record: A record of kind ``"exposure"``.
        max_exposure: The most bits of exposure accepted for an inserted canary; at least 0. The upper end of the 95 %
            interval is held against it.

    Returns:
        A record of kind ``"gate"``; ``found`` has ``verdict`` (``"pass"``, ``"fail"`` or ``"inconclusive"``), ``exit_code``
        (0, 1, 3), ``sentence``, ``canaries`` (one ``Comparison`` per inserted canary, in the order of the record),
        ``counts`` by outcome, ``false_alarm_probability`` and ``warnings``.

    Raises:
        PolicyError: The limit is negative, not finite, or one that no canary of the record can exceed.
        RecordError: Not an exposure record, or one that lacks what a gate needs.

    >>> canary = {"id": "pin-1x-00", "format": "pin", "insertions": 1, "exposure_low_bits": 2.0,
    ...     "exposure_high_bits": 2.5, "max_exposure_bits": 13.3, "status": "measured"}
    >>> exposure = Record(kind="exposure", asked={}, found={"canaries": [canary]}, environment={})
    >>> gate(exposure, max_exposure=10).found["verdict"]
    'pass'
    """
    started = time.time()
    check_limit(max_exposure)
    comparisons = [
        compare(canary, max_exposure) for canary in _canaries(record) if _inserted(canary)
    ]
    verdict = _verdict(comparisons, max_exposure)
    counts: dict[str, int] = {}
    for comparison in comparisons:
        counts[comparison.outcome] = counts.get(comparison.outcome, 0) + 1
    return Record(
        kind="gate",
        asked={"max_exposure_bits": float(max_exposure), "exposure": record.asked},
        found={
            "verdict": verdict,
            "exit_code": EXIT_CODES[verdict],
            "sentence": _sentence(verdict, comparisons, max_exposure),
            "canaries": [asdict(comparison) for comparison in comparisons],
            "counts": counts,
            "false_alarm_probability": _false_alarm(len(comparisons), max_exposure),
            "warnings": _warnings(comparisons, max_exposure),
        },
        environment=environment(seed=None, started=started),
    )


def check_limit(limit: float) -> None:
    """Refuse a limit that is no number of bits, before anything is measured against it."""
    if isinstance(limit, bool) or not isinstance(limit, int | float):
        raise PolicyError(
            f"The limit must be a number of bits, got {limit!r}.",
            "Exposure is measured in bits.",
            "Give a number, for example --max-exposure 10.",
        )
    if not (math.isfinite(limit) and limit >= 0):
        raise PolicyError(
            f"The limit must be a number of bits from 0 up, got {limit}.",
            "Exposure is at least 0 and finite, so no other limit can be held.",
            "Give a number, for example --max-exposure 10.",
        )


def _canaries(record: Record) -> list[dict[str, object]]:
    if record.kind != "exposure":
        raise RecordError(
            f"A record of kind {record.kind!r} cannot be judged.",
            "A gate reads exposures.",
            "Name the record that secretaudit expose wrote.",
        )
    canaries = record.found.get("canaries")
    if not isinstance(canaries, list) or not all(isinstance(canary, dict) for canary in canaries):
        raise RecordError(
            "The exposure record cannot be used.",
            "It holds no list of canaries.",
            "Measure again with secretaudit expose.",
        )
    return canaries


def _inserted(canary: dict[str, object]) -> bool:
    """Whether the canary is one to judge; whoever left the number out did not write a record of ours."""
    insertions = canary.get("insertions")
    if isinstance(insertions, bool) or not isinstance(insertions, int) or insertions < 0:
        raise RecordError(
            "The exposure record cannot be used.",
            f"A canary in it has insertions = {insertions!r}.",
            "Measure again with secretaudit expose.",
        )
    return insertions > 0


def _verdict(comparisons: Sequence[Comparison], limit: float) -> Verdict:
    outcomes = {comparison.outcome for comparison in comparisons}
    if outcomes & {"over", "not shown under"}:
        return "fail"
    if "unknown" in outcomes or not outcomes:
        return "inconclusive"
    if "under" in outcomes:
        return "pass"
    most = max(comparison.max_exposure_bits for comparison in comparisons)
    raise PolicyError(
        f"A limit of {limit:g} bits can never be exceeded here.",
        f"The formats of these canaries allow {most:.1f} bits at most, so the gate could not fail.",
        f"Set the limit below {most:.1f} bits, or insert canaries of a larger format.",
    )


def _sentence(verdict: Verdict, comparisons: Sequence[Comparison], limit: float) -> str:
    total = len(comparisons)
    over = sum(comparison.outcome == "over" for comparison in comparisons)
    doubtful = sum(comparison.outcome == "not shown under" for comparison in comparisons)
    unknown = sum(comparison.outcome == "unknown" for comparison in comparisons)
    if verdict == "pass":
        return (
            f"Every canary that can exceed {limit:g} bits of exposure is shown to stay within it."
        )
    if verdict == "fail":
        parts = [f"{over} of {total} inserted canaries are above {limit:g} bits of exposure"]
        if doubtful:
            parts.append(f"{doubtful} could be")
        return ", ".join(parts) + "."
    if not comparisons:
        return "Nothing to judge: the record holds no canary that was inserted."
    return f"Could not measure: {unknown} of {total} inserted canaries have no usable exposure."


def _warnings(comparisons: Sequence[Comparison], limit: float) -> list[str]:
    warnings = []
    blind = sorted({each.format for each in comparisons if each.outcome == "cannot exceed"})
    if blind:
        warnings.append(
            f"The limit of {limit:g} bits is out of reach for the formats {', '.join(blind)}; "
            "their canaries prove nothing."
        )
    chance = _false_alarm(len(comparisons), limit)
    if chance > _ACCEPTED_FALSE_ALARM:
        lowest = math.log2(len(comparisons)) + 4.3
        warnings.append(
            f"With {len(comparisons)} canaries, a model that memorized nothing would exceed {limit:g} bits "
            f"in {100 * chance:.0f} % of audits by chance alone; {lowest:.1f} bits keep that below 5 %."
        )
    return warnings


def _false_alarm(canaries: int, limit: float) -> float:
    """Probability that the largest of n null exposures exceeds the limit: 1 − (1 − 2^-L)^n."""
    if canaries == 0:
        return 0.0
    single = 2.0**-limit
    return 1.0 if single == 1.0 else -math.expm1(canaries * math.log1p(-single))
