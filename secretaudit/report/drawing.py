"""Figures drawn as SVG and PNG, from data alone.

The same figure gives the same bytes: no date and no random names are written, and settings of matplotlib that a user has made are
set aside while we draw. No global state of ``pyplot`` is touched, so that this works inside a user's own program. Text stays text
in SVG: it can be searched, and a reader's own fonts show scripts that ours lack.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine

from secretaudit.report.figure import Figure, Matrix, Panel
from secretaudit.report.matrix import MATRIX_INCHES, draw_matrix
from secretaudit.report.scales import (
    CHARACTERS,
    LONGEST_NAME,
    clean,
    distinct,
    names_height,
    wrapped,
)
from secretaudit.report.series import draw_panel, legend_label, names_of, series_label
from secretaudit.report.style import RULES, Looks, looks

__all__ = ["is_wide", "panel_svgs", "png", "svg", "whole"]

_IN_A_ROW = 3
_WIDTH, _HEIGHT = 4.3, 3.0
_WIDE = 6.2
_BESIDE_MATRIX = 1.3  # name of the axis, colour bar and its numbers
_MARGIN = 0.75
_LINE = 0.24
_DPI = 150
_CHARACTERS_PER_INCH = 13.5
_BOLD = 10.4


def svg(figure: Figure) -> bytes:
    """The whole figure with its title as an SVG document."""
    return whole(figure)[0]


def png(figure: Figure) -> bytes:
    """The whole figure with its title as a PNG picture of 150 dots per inch."""
    return whole(figure)[1]


def whole(figure: Figure) -> tuple[bytes, bytes]:
    """The whole figure with its title, as SVG and as PNG of 150 dots per inch."""
    with _our_rules(figure.name):
        canvas = _canvas(figure, figure.panels, figure.title)
        drawing = _as_svg(canvas, figure.title)
        canvas.set_layout_engine("none")  # found once, kept for the picture
        return drawing, _as_png(canvas)


def panel_svgs(figure: Figure) -> list[bytes]:
    """Each panel as an SVG document of its own, for pages that arrange them by the width that there is.

    A series looks the same in all of them.
    """
    drawn = []
    for index, panel in enumerate(figure.panels):
        with _our_rules(f"{figure.name} {index}"):
            canvas = _canvas(figure, (panel,), None)
            drawn.append(_as_svg(canvas, f"{figure.title}: {panel.title}"))
    return drawn


def is_wide(panel: Panel | Matrix) -> bool:
    """Whether a panel needs more room than others: many names, or a matrix of more than five columns."""
    return len(panel.columns) > 5 if isinstance(panel, Matrix) else _width(panel) > _WIDTH


def _as_svg(canvas: Canvas, title: str) -> bytes:
    file = io.BytesIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    canvas.savefig(file, format="svg", dpi=_DPI, metadata={**nothing, "Title": clean(title)})
    return file.getvalue()


def _as_png(canvas: Canvas) -> bytes:
    file = io.BytesIO()
    FigureCanvasAgg(canvas)
    canvas.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})
    return file.getvalue()


@contextmanager
def _our_rules(salt: str) -> Iterator[None]:
    """Matplotlib's own defaults with our rules on top, and the user's put back afterwards."""
    defaults = matplotlib.rcParamsDefault.items()
    rules: dict[Any, Any] = {k: v for k, v in defaults if not k.startswith("backend")}
    rules |= {**RULES, "svg.hashsalt": salt}
    with warnings.catch_warnings(), matplotlib.rc_context(rules):
        # A script that our font lacks: SVG shows it in the reader's font, the picture as empty boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _canvas(figure: Figure, panels: Sequence[Panel | Matrix], title: str | None) -> Canvas:
    """All panels in rows of at most three (four: two by two), each with its legend below."""
    columns = 2 if len(panels) == 4 else max(1, min(_IN_A_ROW, len(panels)))
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    width = max((_width(panel) for panel in panels), default=_WIDTH)
    heights = [height for row in rows for height in _row_heights(row, width)] or [0.1]
    title_lines = wrapped(title, int(width * columns * 11)) if title else ""
    above = 0.1 + 0.3 * len(title_lines.splitlines())
    size = (width * columns, sum(heights) + above)
    canvas = Canvas(figsize=size, layout=ConstrainedLayoutEngine(h_pad=0.05, w_pad=0.08))
    if title_lines:
        canvas.suptitle(title_lines, x=0.01, ha="left", fontsize=11.5, fontweight="bold")
    grid = canvas.add_gridspec(len(heights), columns, height_ratios=heights)
    chosen = looks([panel for panel in figure.panels if isinstance(panel, Panel)])
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        axes = canvas.add_subplot(grid[2 * row, column])
        below = canvas.add_subplot(grid[2 * row + 1, column])
        below.set_axis_off()
        _draw_one(canvas, axes, below, panel, chosen, width)
    return canvas


def _draw_one(
    canvas: Canvas, axes: Axes, below: Axes, panel: Panel | Matrix, chosen: Looks, width: float
) -> None:
    room = width - _MARGIN - (0.6 if isinstance(panel, Matrix) else 0.0)
    axes.set_title(wrapped(panel.title, int(room * _BOLD)))
    if isinstance(panel, Matrix):
        draw_matrix(canvas, axes, panel)
        return
    draw_panel(axes, panel, chosen, width - _MARGIN)
    handles, labels = axes.get_legend_handles_labels()
    named = dict(zip(labels, handles, strict=True))
    if named:
        columns = _legend_columns(list(named), width)
        order = [label for label in _labels(panel) if label in named]
        order = [label for column in range(columns) for label in order[column::columns]]
        below.legend(
            [named[label] for label in order],
            order,
            loc="upper center",
            ncols=columns,
            columnspacing=1.2,
            handletextpad=0.5,
            borderaxespad=0.0,
        )


def _row_heights(panels: Sequence[Panel | Matrix], width: float) -> tuple[float, float]:
    """Inches of a row of panels and of the legends below it."""
    tallest = max(_height(panel, width) for panel in panels)
    lines = 0
    for panel in panels:
        labels = _labels(panel)
        if labels:
            lines = max(lines, math.ceil(len(labels) / _legend_columns(labels, width)))
    return tallest, max(0.02, lines * _LINE)


def _height(panel: Panel | Matrix, width: float) -> float:
    if isinstance(panel, Matrix):
        few = len(panel.rows) <= 5
        return (_HEIGHT if few else 3.5) + names_height(panel.columns, MATRIX_INCHES)
    return _HEIGHT + names_height(names_of(panel), width - _MARGIN)


def _width(panel: Panel | Matrix) -> float:
    """Inches; more where many names stand along the axis, or long ones beside a large matrix."""
    if isinstance(panel, Panel):
        return _WIDE if len(names_of(panel)) > 14 else _WIDTH
    if len(panel.rows) <= 5:
        return _WIDTH
    longest = max(map(len, distinct(panel.rows, LONGEST_NAME)), default=0)
    return max(_WIDTH, MATRIX_INCHES + _BESIDE_MATRIX + longest / CHARACTERS)


def _labels(panel: Panel | Matrix) -> list[str]:
    """What stands in the legend, in order."""
    if isinstance(panel, Matrix):
        return []
    given = [series_label(one) for one in panel.series]
    given += [legend_label(label) for _, label in panel.lines]
    return list(dict.fromkeys(label for label in given if label))


def _legend_columns(labels: Sequence[str], width: float) -> int:
    """As many columns as have room beside each other, with the sign of a series worth seven characters."""
    widest = max(len(label) for label in labels) + 7
    return max(1, min(len(labels), int(width * _CHARACTERS_PER_INCH / widest)))
