"""Figures of regularizers (Arpit et al. 2017, figures 10 and 11)."""

from __future__ import annotations

from typing import Any

from secretaudit.report.figure import Figure, Panel, Series
from secretaudit.report.values import with_interval

__all__ = ["figures", "tables"]

Table = tuple[str, list[str], list[list[str]]]


def figures(part: dict[str, Any]) -> list[Figure]:
    """Memorization against held-out accuracy, a line per technique; and how flat each line is.

    Args:
        part: "regularizers" of ``found["parts"]``.
    """
    techniques = part.get("techniques", [])
    if not techniques or part["without"]["memorized"]["mean"] is None:
        return []
    return [_frontier(part, techniques), _flatness(part, techniques)]


def tables(part: dict[str, Any]) -> list[Table]:
    """How flat each technique is, one row per technique.

    Args:
        part: "regularizers" of ``found["parts"]``.
    """
    rows = [
        [one["technique"], with_interval(one["free_cap"], ".3f"), with_interval(one["area"], ".3f")]
        for one in part.get("techniques", [])
    ]
    if not rows:
        return []
    title = f"Memorization of random labels capped: without a regularizer {with_interval(part['without']['memorized'], '.3f')}"
    return [(title, ["technique", "taken away at no cost", "area"], rows)]


def _frontier(part: dict[str, Any], techniques: list[dict[str, Any]]) -> Figure:
    plain = part["without"]
    series = [
        Series(
            label="without",
            x=(plain["memorized"]["mean"],),
            y=(plain["learned"]["mean"],),
            style="points",
        )
    ]
    for one in techniques:
        points = sorted(
            (p["memorized"]["mean"], p["learned"]["mean"])
            for p in one["points"]
            if p["memorized"]["mean"] is not None
        )
        points.append((plain["memorized"]["mean"], plain["learned"]["mean"]))
        series.append(
            Series(
                label=one["technique"],
                x=tuple(x for x, _ in points),
                y=tuple(y for _, y in points),
            )
        )
    return Figure(
        name="noise-regularizers",
        title="Which regularizer caps memorization (Arpit et al., figures 10 and 11)",
        caption="One point per strength, means over trainings; every line ends at the training without a regularizer. A line that stays flat to the left keeps "
        "the network from memorizing and not from learning.",
        panels=(
            Panel(
                title=f"{part['examples']} training examples, {part['epochs']} epoch{'s' * (part['epochs'] != 1)}",
                x_label="training accuracy on random labels",
                y_label="best held-out accuracy on the data",
                series=tuple(series),
            ),
        ),
    )


def _flatness(part: dict[str, Any], techniques: list[dict[str, Any]]) -> Figure:
    lost = 100 * part["tolerance"]
    return Figure(
        name="noise-regularizers-flatness",
        title="How flat (ours)",
        caption=f"Left: training accuracy on random labels that a technique takes away at a cost of at most {lost:g} point{'s' * (lost != 1)} of held-out accuracy. Right: mean "
        "height of its line in the figure above, along the best strengths. Both depend on which strengths were tried.",
        panels=tuple(
            Panel(
                title=title,
                x_label="",
                y_label=label,
                series=(_bars(techniques, name),),
            )
            for name, title, label in (
                ("free_cap", "memorization taken away at no cost", "training accuracy"),
                ("area", "area", "held-out accuracy"),
            )
        ),
    )


def _bars(techniques: list[dict[str, Any]], name: str) -> Series:
    return Series(
        label="",
        x=tuple(one["technique"] for one in techniques),
        y=tuple(one[name]["mean"] for one in techniques),
        low=tuple(one[name]["low"] for one in techniques),
        high=tuple(one[name]["high"] for one in techniques),
        style="bars",
    )
