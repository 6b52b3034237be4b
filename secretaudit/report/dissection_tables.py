"""Tables of the dissection, from the ``found`` of its record: what a person reads first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from secretaudit.report.values import said, with_interval

__all__ = ["inserted", "tables"]

Found = dict[str, Any]
Table = tuple[str, list[str], list[list[str]]]

#: Measures whose key in the record is not what a person calls them.
_NAMES = {"kappa": "κ", "cosine": "cosine of input gradients"}


def tables(found: Found) -> list[Table]:
    """What is read first: measures by condition with their tests, cues, learning order, canaries; networks last."""
    parts = found.get("parts", {})
    made = [*_measure_tables(parts), *_pattern_tables(parts.get("patterns", {}))]
    canaries = parts.get("language", {}).get("canaries")
    if canaries:
        made.append(_canary_table(canaries))
    if found.get("networks"):
        made.append(_network_table(found["networks"]))
    return made


def _measure_tables(parts: Found) -> list[Table]:
    """One row per measure: its mean in each condition and the p-values."""
    rows: dict[tuple[str, ...], list[list[str]]] = {}
    for name in ("agreement", "representation", "input gradients", "language"):
        for measure, values in parts.get(name, {}).get("measures", {}).items():
            _add(rows, measure, values["within"], values["tests"])
    coherence = parts.get("coherence", {})
    if "tests" in coherence:
        means = {
            name: value
            for name, value in coherence["mean_along_training"].items()
            if name != "partly wrong labels"
        }
        _add(rows, "coherence of gradients", means, coherence["tests"])
    spoken = parts.get("language", {}).get("coherence")
    if spoken:
        _add(rows, "coherence of training lines", spoken["means"], spoken["tests"])
    order = parts.get("patterns", {}).get("order")
    if order:
        shared = order["order_shared"]
        _add(rows, "order of learning", shared["within"], shared["tests"])
    return [
        (
            "One way to learn, N ways to memorize: mean similarity (95 % intervals over networks)",
            ["measure", *head],
            body,
        )
        for head, body in rows.items()
    ]


def _add(
    rows: dict[tuple[str, ...], list[list[str]]], measure: str, means: Found, tests: Found
) -> None:
    head = (*means, *(f"p, {name.split()[0]}" for name in tests))
    ps = [said(test["p_value"], ".2g") for test in tests.values()]
    body = rows.setdefault(head, [])
    name = _NAMES.get(measure, measure)
    digits = 4 if measure.startswith("coherence") else 3  # small numbers, since classes pull apart
    body.append([name, *(_interval(value, digits) for value in means.values()), *ps])


def _pattern_tables(part: Found) -> list[Table]:
    if "cues" not in part:
        return []
    cues, order = part["cues"], part["order"]
    made: list[Table] = [
        (
            "Simple patterns first: reliance on the cue where cue and content disagree (1: always the cue)",
            [f"cue, {cues['unit']}", "reliance, mean over epochs"],
            [[grade, _interval(value)] for grade, value in cues["mean_reliance"].items()],
        )
    ]
    rows = [
        [name, condition, _interval(value["all"]), _interval(value["within_classes"])]
        for name, conditions in order["complexity"].items()
        for condition, value in conditions.items()
    ]
    if rows:
        made.append(
            (
                "Rank correlation of first-learned epoch and complexity (above 0: simple first)",
                ["complexity", "labels", "all examples", "within classes"],
                rows,
            )
        )
    return made


def _canary_table(canaries: Found) -> Table:
    rows = [
        [
            inserted(row["insertions"]),
            with_interval(row["coherence"], ".3g"),
            with_interval(row["nats_per_token"], ".3g"),
        ]
        for row in canaries["by_insertions"]
    ]
    usual = canaries["ordinary"]
    rows.append(
        ["ordinary lines", _interval(usual["coherence"]), _interval(usual["nats_per_token"])]
    )
    return (
        "Canaries and ordinary lines: coherence of their gradients with those of ordinary lines, and what they cost",
        ["records", "coherence", "nats per token"],
        rows,
    )


def inserted(times: int) -> str:
    """How often a canary was inserted, in words."""
    if times == 0:
        return "never inserted"
    return "inserted once" if times == 1 else f"inserted {times} times"


def _network_table(networks: Sequence[Found]) -> Table:
    names = [key for key in networks[0] if key not in ("name", "condition", "status")]
    rows = [
        [row["name"], row["status"], *(_number(row.get(name), 3) for name in names)]
        for row in networks
    ]
    return ("Networks", ["network", "status", *(name.replace("_", " ") for name in names)], rows)


def _number(value: Any, digits: int) -> str:
    return str(value) if isinstance(value, int) else said(value, f".{digits}g")


def _interval(found: Found, digits: int = 3) -> str:
    """A mean with its interval, and how many there were where two had to do."""
    few = ", 2 networks" if found["low"] is not None and found.get("n") == 2 else ""
    return with_interval(found, f".{digits}f") + few
