"""Lines, points and bars over common axes.

An interval is a band around a line of many points, and a bar through each point otherwise; series with such bars over numbers stand a hair's breadth beside each other. A value that is ``None`` leaves a gap; in a row
of bars, where a gap would look like a zero, the words "no value" stand in its place. Series over names share the positions of the names and
stand beside each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.transforms import ScaledTranslation, Transform
from numpy.typing import NDArray

from secretaudit.report.figure import Panel, Series
from secretaudit.report.scales import number, set_names, set_scale, shorten, wrapped
from secretaudit.report.style import GREY, INK, Look, Looks, reference_look

__all__ = ["draw_panel", "legend_label", "names_of", "series_label"]

_BAND_FROM = 13
_MARKERS_UP_TO = 25
_CLOUD_FROM = 300
_RASTER_FROM = 2000
_BARS_WIDTH = 0.8
_BESIDE = 0.14
_SHIFT = 3.0  # so that whiskers at one position do not cover each other
_NAMES_AT_LEAST = 3  # so wide is an axis; a single bar does not fill it


@dataclass(frozen=True, kw_only=True)
class _Places:
    """Where x positions are: numbers, or the index of a name."""

    names: tuple[str, ...] | None
    bar_width: float
    beside: float

    def of(self, series: Series) -> NDArray[np.float64]:
        """Positions of the series, shape (n,)."""
        if self.names is None:
            return np.array(series.x, dtype=float)
        return np.array([self.names.index(_name(x)) for x in series.x], dtype=float)


def draw_panel(axes: Axes, panel: Panel, chosen: Looks, inches: float) -> None:
    """Draw the series, the reference lines and the axes of one panel.

    Args:
        axes: Where.
        panel: What.
        chosen: What ``looks`` gives for all panels of the figure.
        inches: About how long the x axis is.
    """
    axes.set_xlabel(wrapped(panel.x_label, 44))
    axes.set_ylabel(wrapped(panel.y_label, 26))
    heights = _heights(panel)
    if not heights:
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "no values", transform=axes.transAxes, ha="center", color=GREY)
        return
    places = _places(panel)
    set_scale(axes, "y", heights, log=panel.log_y)
    if places.names is None:
        xs = [float(x) for one in panel.series for x in one.x]
        set_scale(axes, "x", xs, log=panel.log_x, at_values=True)
    else:
        set_names(axes, "x", places.names, inches)
    _set_limits(axes, panel, places, heights)
    _draw_all(axes, panel, places, chosen)


def _draw_all(axes: Axes, panel: Panel, places: _Places, chosen: Looks) -> None:
    bars = [one for one in panel.series if one.style == "bars"]
    if bars and axes.get_ylim()[0] < 0:
        axes.axhline(0, color=GREY, linewidth=0.8)
    others = [one for one in panel.series if one.style != "bars"]
    for index, one in enumerate(bars):
        offset = (index - (len(bars) - 1) / 2) * places.bar_width
        x = places.of(one) + offset
        _draw_bars(
            axes, one, x, places.bar_width, chosen[one.label, one.style], alone=len(bars) == 1
        )
    whiskered = [one for one in others if one.low and not _has_band(one) and not places.names]
    for index, one in enumerate(others):
        step = places.beside if one.style == "points" else 0.0
        offset = (index - (len(others) - 1) / 2) * step
        shift = 0.0
        if one in whiskered:
            shift = (whiskered.index(one) - (len(whiskered) - 1) / 2) * _SHIFT
        _draw_marks(axes, one, places.of(one) + offset, chosen[one.label, one.style], shift)
    for index, (height, label) in enumerate(panel.lines):
        given = reference_look(index + _dashed_of(panel))
        axes.axhline(
            height,
            color=given.colour,
            linestyle=given.stroke,
            linewidth=1.2,
            label=legend_label(label),
        )


def _draw_bars(
    axes: Axes, one: Series, x: NDArray[np.float64], width: float, given: Look, *, alone: bool
) -> None:
    y = _floats(one.y)
    there = np.isfinite(y)
    axes.bar(
        x[there],
        y[there],
        width=width * 0.92,
        color=given.colour,
        edgecolor="white",
        linewidth=0.4,
        hatch=None if alone else given.hatch,
        label=series_label(one),
    )
    _draw_intervals(axes, one, x, y, INK, axes.transData)
    for place in x[~there]:
        axes.text(
            place,
            0.02,
            "no value",
            transform=axes.get_xaxis_transform(),
            rotation=90,
            ha="center",
            va="bottom",
            fontsize=7.5,
            color=GREY,
        )


def _draw_marks(axes: Axes, one: Series, x: NDArray[np.float64], given: Look, shift: float) -> None:
    """Draw a line or points, with the intervals; all ``shift`` dots (1/72 inch) to the right."""
    y = _floats(one.y)
    moved = axes.transData + ScaledTranslation(shift / 72, 0, axes.figure.dpi_scale_trans)
    if one.style == "points":
        cloud = len(y) >= _CLOUD_FROM
        axes.plot(
            x,
            y,
            linestyle="none",
            marker="." if cloud else given.marker or "o",
            color=given.colour,
            markersize=3.0 if cloud else 5.5,
            alpha=0.5 if cloud else 1.0,
            markeredgewidth=0.0,
            rasterized=len(y) >= _RASTER_FROM,
            transform=moved,
            label=series_label(one),
        )
    else:
        dashed = one.style == "dashed"
        axes.plot(
            x,
            y,
            linestyle=given.stroke,
            marker=given.marker,
            markerfacecolor="white" if given.hollow else given.colour,
            transform=moved,
            markevery=_marked(y),
            color=given.colour,
            linewidth=1.3 if dashed else 1.7,
            label=series_label(one),
        )
    if _has_band(one):
        _draw_band(axes, one, x, given)
    else:
        _draw_intervals(axes, one, x, y, given.colour, moved)


def _has_band(one: Series) -> bool:
    return one.style != "points" and len(one.y) >= _BAND_FROM


def _draw_band(axes: Axes, one: Series, x: NDArray[np.float64], given: Look) -> None:
    if one.low and one.high:
        low, high = _floats(one.low), _floats(one.high)
        there = np.isfinite(low) & np.isfinite(high) & np.isfinite(_floats(one.y))
        axes.fill_between(
            x, low, high, where=there.tolist(), color=given.colour, alpha=0.18, linewidth=0
        )


def _draw_intervals(
    axes: Axes,
    one: Series,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    colour: str,
    moved: Transform,
) -> None:
    if not (one.low and one.high):
        return
    low, high = _floats(one.low), _floats(one.high)
    there = np.isfinite(y) & np.isfinite(low) & np.isfinite(high)
    axes.vlines(
        x[there], low[there], high[there], color=colour, linewidth=1.2, transform=moved, zorder=2.4
    )
    for ends in (low[there], high[there]):
        axes.plot(
            x[there],
            ends,
            linestyle="none",
            marker="_",
            markersize=6,
            color=colour,
            transform=moved,
            zorder=2.5,
        )


def _set_limits(axes: Axes, panel: Panel, places: _Places, heights: list[float]) -> None:
    """Ends of the axes, before anything is drawn: everything is inside, with room for markers."""
    bars = any(one.style == "bars" for one in panel.series)
    if panel.y_range is not None:
        bottom, top = panel.y_range
        room = 0.0 if panel.log_y else 0.03 * (top - bottom)
        below = 0.0 if bars or min(heights) >= bottom + room else room
        axes.set_ylim(bottom - below, top + room)
    else:
        bottom, top = _with_room(axes.yaxis, min(heights), max(heights))
        axes.set_ylim(0.0 if bars and min(heights) == 0.0 else bottom, top)
    if places.names is not None:
        beside = 0.5 + max(0.1, (_NAMES_AT_LEAST - len(places.names)) / 2)
        axes.set_xlim(-beside, len(places.names) - 1 + beside)
    else:
        xs = [float(x) for one in panel.series for x in one.x]
        half = places.bar_width * sum(o.style == "bars" for o in panel.series) / 2
        axes.set_xlim(*_with_room(axes.xaxis, min(xs) - half, max(xs) + half))


def _with_room(axis: Axis, low: float, high: float) -> tuple[float, float]:
    """Ends a twentieth further apart at either side, as the axis is scaled; some room about a single value."""
    scale = axis.get_transform()
    ends = scale.transform(np.array([[low], [high]], dtype=float)).ravel()
    room = 0.05 * (ends[1] - ends[0]) or 0.1 * abs(ends[0]) or 1.0
    wide = scale.inverted().transform(np.array([[ends[0] - room], [ends[1] + room]])).ravel()
    return float(wide[0]), float(wide[1])


def names_of(panel: Panel) -> tuple[str, ...]:
    """The names along the x axis; none where it has numbers."""
    return _places(panel).names or ()


def _places(panel: Panel) -> _Places:
    """Names if there are any, or if bars stand at uneven numbers."""
    bars = [one for one in panel.series if one.style == "bars"]
    points = [one for one in panel.series if one.style == "points"]
    xs = [x for one in panel.series for x in one.x]
    numbers = sorted({float(x) for x in xs if not isinstance(x, str)})
    gaps = np.diff(numbers)
    even = not len(gaps) or bool(np.allclose(gaps, gaps[0], rtol=1e-3))
    only_bars = bool(bars) and len(bars) == len(panel.series)
    if any(isinstance(x, str) for x in xs) or (only_bars and (panel.log_x or not even)):
        ordered = xs if any(isinstance(x, str) for x in xs) else numbers
        names = tuple(dict.fromkeys(_name(x) for x in ordered))
        return _Places(
            names=names,
            bar_width=_BARS_WIDTH / max(1, len(bars)),
            beside=min(_BESIDE, 0.6 / max(1, len(points))),
        )
    gap = float(gaps.min()) if len(gaps) else 1.0
    many = len(numbers) > 12
    width = gap * (1.0 if many else _BARS_WIDTH) / max(1, len(bars))
    return _Places(names=None, bar_width=width, beside=0.0)


def _heights(panel: Panel) -> list[float]:
    """Every finite y, ends of intervals included where the axis can show them, and the reference lines."""
    values = [y for one in panel.series for y in one.y if y is not None and math.isfinite(y)]
    if not values:
        return []
    ends = [
        end
        for one in panel.series
        for side in (one.low, one.high)
        for end, y in zip(side, one.y, strict=bool(side))
        if end is not None and y is not None
    ]
    if panel.log_y:
        ends = [end for end in ends if end > 0]
    bars = [0.0] if any(o.style == "bars" for o in panel.series) and not panel.log_y else []
    return [float(v) for v in values] + ends + bars + [height for height, _ in panel.lines]


def _marked(y: NDArray[np.float64]) -> list[int]:
    """Points that get a marker: all if they are few; always those without neighbours, which no line shows."""
    if len(y) <= _MARKERS_UP_TO:
        return list(range(len(y)))
    there = np.isfinite(y)
    padded = np.concatenate([[False], there, [False]])
    alone = there & ~padded[:-2] & ~padded[2:]
    step = math.ceil(len(y) / 12)
    return sorted({*range(0, len(y), step), *np.flatnonzero(alone).tolist()})


def _dashed_of(panel: Panel) -> int:
    return len({one.label for one in panel.series if one.style == "dashed"})


def _floats(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([math.nan if v is None else v for v in values], dtype=float)


def _name(x: float | str) -> str:
    return x if isinstance(x, str) else number(float(x))


def series_label(one: Series) -> str:
    """What the legend says of a series, and that there is nothing to see of it where it has no value."""
    empty = all(y is None for y in one.y)
    return legend_label(f"{one.label} (no value)" if one.label and empty else one.label)


def legend_label(text: str) -> str:
    """The label as it is drawn; matplotlib would hide one that begins with an underscore, as it does ""."""
    shown = shorten(text, 52)
    return f"\u200b{shown}" if shown.startswith("_") else shown
