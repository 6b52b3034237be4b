"""Orderings with their verdicts, and numbers as sentences show them.

"True above random" is judged by the permutation tests against both kinds of random labels (or text): it holds when both p-values are below 0.01. With too few networks
for such a p-value, or too few that reached the target, it could not be judged: ``holds`` is ``None``.
"""

from __future__ import annotations

from typing import Any

__all__ = ["above", "alike", "higher", "interval", "number", "p_sentence", "percent"]

#: p-values below this decide for the ordering.
SIGNIFICANT = 0.01


def alike(part: str, measure: str, found: dict[str, Any]) -> dict[str, Any]:
    """One way to learn, N ways to memorize, by a measure of pairs.

    Args:
        part: Of the record.
        measure: Its name.
        found: What ``pairs.compared`` returns.
    """
    return _tested(part, f"Networks that learned are more alike than networks that memorized ({measure};", found["tests"], found["within"])  # fmt: skip


def higher(part: str, what: str, means: dict[str, Any], tests: dict[str, Any]) -> dict[str, Any]:
    """The same of a number that each network has."""
    return _tested(part, f"{what} are more coherent in networks that learned (ours;", tests, means)


def above(
    part: str, claim: str, found: dict[str, Any], limit: float, seen: str = ""
) -> dict[str, Any]:
    """A claim that holds when the interval of a mean lies above a limit; fewer than three values do not decide."""
    judged = found["n"] >= 3 and found["low"] is not None
    return {
        "part": part,
        "claim": claim,
        "seen": f"{interval(found)}{seen}",
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
        "seen": "; ".join(f"{name} {interval(value)}" for name, value in means.items())
        + "; p = "
        + ", ".join("none" if p is None else f"{p:.2g}" for p in ps),
        "holds": all(p < SIGNIFICANT for p in ps) if judged else None,
    }


def p_sentence(tests: dict[str, Any]) -> str:
    """The larger of the p-values, in words."""
    ps = [test["p_value"] for test in tests.values()]
    if any(p is None for p in ps):
        return "Too few networks reached the target for a test."
    return f"True above random: p = {max(ps):.2g} (permutation of networks)."


def percent(value: float | None) -> str:
    """A share; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.0f} %"


def number(value: float | None, digits: int = 2) -> str:
    """A number; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def interval(found: dict[str, Any]) -> str:
    """Mean and 95 % interval."""
    if found["mean"] is None:
        return "–"
    if found["low"] is None:
        return f"{found['mean']:.3f}"
    return f"{found['mean']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
