"""Panels that the figures of the dissection share: matrices of pairs, bars by condition, series with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from secretaudit.report.figure import Matrix, Panel, Series

__all__ = ["ABOUT", "mean_series", "pair_bars", "pair_matrix", "pair_values"]

Found = dict[str, Any]

#: In titles: the paper's own figures are not known to us.
ABOUT = "ours, after Gu & Tresp 2019"
_NAMES = {"kappa": "κ"}


def pair_matrix(part: Found, measure: str, said: str) -> Matrix:
    """A measure of all pairs of networks as colours."""
    names = tuple(_short(name) for name in part["networks"])
    return Matrix(
        title=f"{said} of pairs",
        x_label="network",
        y_label="network",
        columns=names,
        rows=names,
        values=tuple(tuple(row) for row in pair_values(part, measure)),
    )


def pair_bars(part: Found, measures: Sequence[str]) -> Panel:
    """Means over the pairs of each condition, a row of bars per measure."""
    conditions = list(part["measures"][measures[0]]["within"])
    return Panel(
        title="mean over pairs",
        x_label="condition",
        y_label="similarity",
        series=tuple(
            mean_series(
                _NAMES.get(measure, measure),
                conditions,
                [part["measures"][measure]["within"][c] for c in conditions],
                "bars",
            )
            for measure in measures
        ),
    )


def mean_series(label: str, x: Sequence[Any], rows: Sequence[Found], style: str = "line") -> Series:
    """Means with their intervals."""
    return Series(
        label=label,
        x=tuple(x),
        y=tuple(row["mean"] for row in rows),
        low=tuple(row["low"] for row in rows),
        high=tuple(row["high"] for row in rows),
        style=style,
    )


def pair_values(part: Found, measure: str) -> list[list[float | None]]:
    """A measure of all pairs, a row per network."""
    found: list[list[float | None]] = part["measures"][measure]["matrix"]
    return found


def _short(name: str) -> str:
    """The first word and the number: "true labels/0" as "true 0"."""
    condition, _, number = name.partition("/")
    return f"{condition.split()[0]} {number}".strip()
