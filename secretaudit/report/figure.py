"""A figure as data: panels of series, or a matrix; what is drawn is decided elsewhere.

A module's figures are made from the ``found`` of its record, so that they can be drawn again from the file. Everything is plain numbers:
a series has one x per y, and where an interval is known, its ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Figure", "Matrix", "Panel", "Series"]


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line, cloud of points, or row of bars.

    Attributes:
        label: In the legend; "" keeps it out.
        x: Positions, or names for bars.
        y: Values; ``None`` leaves a gap.
        low: Lower ends of 95 % intervals, or nothing.
        high: Upper ends.
        style: "line", "points", "bars" or "dashed" (a reference curve).
    """

    label: str
    x: tuple[float | str, ...]
    y: tuple[float | None, ...]
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    style: str = "line"

    def __post_init__(self) -> None:
        for name in ("x", "low", "high"):
            length = len(getattr(self, name))
            if length != len(self.y) and (length or name == "x"):
                raise ValueError(f"{name} must have {len(self.y)} entries, got {length}")


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Series over common axes.

    Attributes:
        title: Above it.
        x_label, y_label: With the unit.
        series: What is drawn.
        log_x, log_y: Logarithmic axes.
        y_range: Ends of the y axis, where they are fixed (shares: 0 to 1).
        lines: Horizontal reference lines with their labels.
    """

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    log_x: bool = False
    log_y: bool = False
    y_range: tuple[float, float] | None = None
    lines: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A matrix of colours.

    Attributes:
        title: Above it.
        x_label, y_label: Of columns and rows.
        columns, rows: Names.
        values: One tuple per row; ``None`` is left white.
        log: Colour by the logarithm.
    """

    title: str
    x_label: str
    y_label: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    log: bool = False


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What is looked at as one.

    Attributes:
        name: Stem of its files, such as "noise-ease".
        title: One line, with the paper's figure it answers to: "Easy examples (Arpit et al., figure 1)".
        caption: What is seen and how to read it, one to three sentences.
        panels: Side by side.
    """

    name: str
    title: str
    caption: str
    panels: tuple[Panel | Matrix, ...] = field(default=())
