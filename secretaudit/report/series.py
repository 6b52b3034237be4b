"""Lines, points and bars over common axes.

An interval is a band around a line of many points, and a bar through each point otherwise. A value that is ``None`` leaves a gap; in a row
of bars, where a gap would look like a zero, the words "no value" stand in its place. Series over names share the positions of the names and
stand beside each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from secretaudit.report.figure import Panel, Series
from secretaudit.report.scales import number, set_names, set_scale, shorten, wrapped
from secretaudit.report.style import GREY, Look, look, reference_look

__all__ = ["Looks", "draw_panel", "legend_label", "looks", "names_of"]

Looks = Mapping[tuple[str, str], Look]

_BAND_FROM = 13
_MARKERS_UP_TO = 25
_CLOUD_FROM = 300
_RASTER_FROM = 2000
_REFERENCES_IN_GREY = 2
_BARS_WIDTH = 0.8
_BESIDE = 0.14
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


def looks(panels: Sequence[Panel]) -> Looks:
    """A look for each label and style of a figure: the same wherever it returns, and different within each panel."""
    keys = list(dict.fromkeys(_key(one) for panel in panels for one in panel.series))
    references = [key for key in keys if key[1] == "dashed"]
    grey = len(references) <= _REFERENCES_IN_GREY
    chosen: dict[tuple[str, str], Look] = {}
    given: dict[str, int] = {}
    for key in keys:
        if grey and key in references:
            chosen[key] = reference_look(references.index(key))
        else:
            index = given.setdefault(key[0], _free(key[0], panels, given))
            chosen[key] = look(index)
    return chosen


def _free(label: str, panels: Sequence[Panel], given: Mapping[str, int]) -> int:
    """The first look that no series has which shares a panel with this one."""
    beside = {
        other.label
        for panel in panels
        if any(one.label == label for one in panel.series)
        for other in panel.series
    }
    taken = {given[other] for other in beside if other in given}
    return next(index for index in range(len(taken) + 1) if index not in taken)


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
    _draw_all(axes, panel, places, chosen)
    _finish(axes, panel, places, heights)


def _draw_all(axes: Axes, panel: Panel, places: _Places, chosen: Looks) -> None:
    bars = [one for one in panel.series if one.style == "bars"]
    others = [one for one in panel.series if one.style != "bars"]
    for index, one in enumerate(bars):
        offset = (index - (len(bars) - 1) / 2) * places.bar_width
        x = places.of(one) + offset
        _draw_bars(axes, one, x, places.bar_width, chosen[_key(one)], alone=len(bars) == 1)
    for index, one in enumerate(others):
        beside = places.beside if one.style == "points" else 0.0
        offset = (index - (len(others) - 1) / 2) * beside
        _draw_marks(axes, one, places.of(one) + offset, chosen[_key(one)])
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
        label=legend_label(one.label),
    )
    _draw_intervals(axes, one, x, y, "#222222")
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


def _draw_marks(axes: Axes, one: Series, x: NDArray[np.float64], given: Look) -> None:
    y = _floats(one.y)
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
            label=legend_label(one.label),
        )
    else:
        dashed = one.style == "dashed"
        axes.plot(
            x,
            y,
            linestyle=reference_look(0).stroke if dashed and given.marker else given.stroke,
            marker="" if dashed else given.marker,
            markevery=_marked(y),
            color=given.colour,
            linewidth=1.3 if dashed else 1.7,
            label=legend_label(one.label),
        )
    if one.style != "points" and len(y) >= _BAND_FROM:
        _draw_band(axes, one, x, given)
    else:
        _draw_intervals(axes, one, x, y, given.colour)


def _draw_band(axes: Axes, one: Series, x: NDArray[np.float64], given: Look) -> None:
    if one.low and one.high:
        low, high = _floats(one.low), _floats(one.high)
        there = np.isfinite(low) & np.isfinite(high) & np.isfinite(_floats(one.y))
        axes.fill_between(
            x, low, high, where=there.tolist(), color=given.colour, alpha=0.18, linewidth=0
        )


def _draw_intervals(
    axes: Axes, one: Series, x: NDArray[np.float64], y: NDArray[np.float64], colour: str
) -> None:
    if not (one.low and one.high):
        return
    low, high = _floats(one.low), _floats(one.high)
    there = np.isfinite(y) & np.isfinite(low) & np.isfinite(high)
    axes.vlines(x[there], low[there], high[there], color=colour, linewidth=1.2)
    for ends in (low[there], high[there]):
        axes.plot(
            x[there], ends, linestyle="none", marker="_", markersize=6, color=colour, zorder=2.5
        )


def _finish(axes: Axes, panel: Panel, places: _Places, heights: list[float]) -> None:
    """Ends of the axes: fixed ones with room for markers, and no half empty category at the sides."""
    if panel.y_range is not None:
        bottom, top = panel.y_range
        room = 0.0 if panel.log_y else 0.03 * (top - bottom)
        bars = any(one.style == "bars" for one in panel.series)
        below = 0.0 if bars or min(heights) >= bottom + room else room
        axes.set_ylim(bottom - below, top + room)
    elif max(heights) == min(heights) and not panel.log_y:
        margin = abs(heights[0]) * 0.1 or 1.0
        axes.set_ylim(heights[0] - margin, heights[0] + margin)
    if places.names is not None:
        beside = 0.5 + max(0.1, (_NAMES_AT_LEAST - len(places.names)) / 2)
        axes.set_xlim(-beside, len(places.names) - 1 + beside)
    if any(one.style == "bars" for one in panel.series) and min(heights) < 0:
        axes.axhline(0, color=GREY, linewidth=0.8)


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
    ends = [e for one in panel.series for e in (*one.low, *one.high) if e is not None]
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


def _key(one: Series) -> tuple[str, str]:
    return (one.label, one.style)


def _name(x: float | str) -> str:
    return x if isinstance(x, str) else number(float(x))


def legend_label(text: str) -> str:
    """The label as it is drawn; matplotlib would hide one that begins with an underscore, as it does ""."""
    shown = shorten(text, 52)
    return f"\u200b{shown}" if shown.startswith("_") else shown
