"""Easy examples: sorted rates of misclassification against the binomial curve (Arpit et al., figure 1)."""

from __future__ import annotations

from typing import Any

from secretaudit.report.figure import Figure, Panel, Series
from secretaudit.report.values import said, with_interval

__all__ = ["figures", "tables"]

_LABELS = {"real": "real data", "randX": "random inputs (randX)", "randY": "random labels (randY)"}


def figures(part: dict[str, Any]) -> list[Figure]:
    """The sorted curves, and the ratios behind them."""
    kinds = part["kinds"]
    curves = [
        Series(label=_LABELS[name], x=_shares(kind["curve"]), y=tuple(kind["curve"]))
        for name, kind in kinds.items()
    ]
    reference = part["reference"]["curve"]
    curves.append(
        Series(
            label="binomial, p of randX",
            x=_shares(reference),
            y=tuple(reference),
            style="dashed",
        )
    )
    return [
        Figure(
            name="noise-ease",
            title="Easy examples (Arpit et al., figure 1)",
            caption=(
                f"Misclassification rate of each example over {part['initializations']} trainings of {part['epochs']} epoch{'s' * (part['epochs'] != 1)}, sorted. "
                "Were all examples equally easy, the curve would be the binomial one; the steeper it is, the more some examples are easy and others hard. "
                "Right: variance of the rates over what chance alone gives, with 95 % intervals."
            ),
            panels=(
                Panel(
                    title="Sorted rates",
                    x_label="share of the examples",
                    y_label="misclassification rate",
                    series=tuple(curves),
                    y_range=(0.0, 1.0),
                ),
                _ratios(kinds),
            ),
        )
    ]


def _ratios(kinds: dict[str, Any]) -> Panel:
    """Over-dispersion over all examples and within labels."""
    rows = (
        ("all examples", list(kinds.values())),
        ("within labels", [k["within_labels"] for k in kinds.values()]),
    )
    return Panel(
        title="Over-dispersion",
        x_label="",
        y_label="variance over chance",
        series=tuple(
            Series(
                label=label,
                x=tuple(kinds),
                y=tuple(entry["ratio"] for entry in entries),
                low=tuple(entry["low"] for entry in entries),
                high=tuple(entry["high"] for entry in entries),
                style="bars",
            )
            for label, entries in rows
        ),
        lines=((1.0, "chance alone"),),
    )


def _shares(curve: list[float]) -> tuple[float, ...]:
    """Where the points of a sorted curve stand, in (0, 1)."""
    return tuple((i + 0.5) / len(curve) for i in range(len(curve)))


def tables(part: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """One row per kind of data."""
    head = [
        "data",
        "accuracy",
        "over-dispersion",
        "within labels",
        "correlation of being right",
        "always right",
        "always wrong",
    ]
    rows = [
        [
            _LABELS[name],
            f"{100 * kind['accuracy']['mean']:.1f} %",
            _interval(kind),
            _interval(kind["within_labels"]),
            said(kind["correlation"], ".3f"),
            f"{100 * kind['always_right']:.1f} %",
            f"{100 * kind['always_wrong']:.1f} %",
        ]
        for name, kind in part["kinds"].items()
    ]
    title = f"Easy examples: {part['examples']:,} examples, {part['initializations']} trainings"
    return [(title, head, rows)]


def _interval(entry: dict[str, Any]) -> str:
    return with_interval({**entry, "mean": entry["ratio"]}, ".2f")
