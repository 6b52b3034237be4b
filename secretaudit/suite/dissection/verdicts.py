"""Orderings with their verdicts, and numbers as sentences show them; what has no value is left out of a sentence.

"True above random" is judged by the permutation tests against both kinds of random labels (or text): it holds when both p-values are below 0.01. With too few networks
for such a p-value, or too few that reached the target, it could not be judged: ``holds`` is ``None``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from secretaudit.suite.wording import interval as ends
from secretaudit.suite.wording import said

__all__ = ["above", "alike", "clauses", "higher", "interval", "number", "p_sentence", "percent"]

#: p-values below this decide for the ordering.
SIGNIFICANT = 0.01
_NAMES = {"kappa": "κ", "cosine": "cosine of input gradients"}


def alike(part: str, measure: str, found: dict[str, Any]) -> dict[str, Any]:
    """One way to learn, N ways to memorize, by a measure of pairs.

    Args:
        part: Of the record.
        measure: Its name.
        found: What ``pairs.compared`` returns.
    """
    return _tested(part, f"Networks that learned are more alike than networks that memorized ({_NAMES.get(measure, measure)};", found["tests"], found["within"])  # fmt: skip


def higher(part: str, what: str, means: dict[str, Any], tests: dict[str, Any]) -> dict[str, Any]:
    """The same of a number that each network has."""
    return _tested(part, f"{what} are more coherent in networks that learned (ours;", tests, means)


def above(
    part: str,
    claim: str,
    found: dict[str, Any],
    limit: float,
    seen: str = "",
    of: str = "networks",
) -> dict[str, Any]:
    """A claim that holds when the interval of a mean lies above a limit; fewer than three values do not decide."""
    judged = found["n"] >= 3 and found["low"] is not None
    return {
        "part": part,
        "claim": claim,
        "seen": "not measured" if found["mean"] is None else f"{interval(found, of)}{seen}",
        "holds": bool(found["low"] > limit) if judged else None,
    }


def _tested(part: str, claim: str, tests: dict[str, Any], means: dict[str, Any]) -> dict[str, Any]:
    ps = [test["p_value"] for test in tests.values()]
    judged = all(p is not None for p in ps) and all(
        test["least_p"] < SIGNIFICANT for test in tests.values()
    )
    return {
        "part": part,
        "claim": f"{claim} permutation of networks, p < {SIGNIFICANT} against both kinds of randomness)",
        "seen": _seen(means, tests),
        "holds": all(p < SIGNIFICANT for p in ps) if judged else None,
    }


def _seen(means: dict[str, Any], tests: dict[str, Any]) -> str:
    """Means of the conditions and p-values against each of the random ones, as far as there are any."""
    told = [f"{n} {interval(value)}" for n, value in means.items() if value["mean"] is not None]
    known = {name: p for name, test in tests.items() if (p := test["p_value"]) is not None}
    ps = [f"p = {p:.2g} ({name.split()[0]})" for name, p in known.items()]
    return "; ".join([*told, *ps]) or "too few networks reached the target"


def p_sentence(tests: dict[str, Any]) -> str:
    """The larger of the p-values, in words."""
    ps = [test["p_value"] for test in tests.values()]
    if any(p is None for p in ps):
        return "Too few networks reached the target for a test."
    return f"True above random: p = {max(ps):.2g} (permutation of networks)."


def clauses(start: str, told: Iterable[str], between: str = ", ") -> str:
    """A sentence and a space; nothing where there is nothing to tell.

    >>> clauses("Means: ", ["0.9 here", "0.1 there"]), clauses("Means: ", [])
    ('Means: 0.9 here, 0.1 there. ', '')
    """
    whole = between.join(told)
    return f"{start}{whole}. " if whole else ""


def percent(value: float | None) -> str:
    """A share; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.0f} %"


def number(value: float | None, digits: int = 2) -> str:
    """A number; a dash where there is none."""
    return "–" if value is None else said(value, f".{digits}f")


def interval(found: dict[str, Any], of: str = "networks") -> str:
    """Mean and 95 % interval, and how many there were where two had to do."""
    if found["mean"] is None:
        return "–"
    few = f", 2 {of}" if found["n"] == 2 else ""
    return f"{said(found['mean'], '.3f')}{ends(found, '.3f')}{few}"
