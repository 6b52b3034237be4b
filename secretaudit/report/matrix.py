"""A matrix as colours, with its numbers in the cells where they can be read.

Colours go from dark to light with growing values (cividis: even in grey, and for any colour vision). A matrix with values on both sides of zero
gets two hues with white at zero, as far to one side as to the other. A cell without a value is white with a dash; on a logarithmic
scale so is one that is not positive, with its number.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from secretaudit.report.figure import Matrix
from secretaudit.report.scales import number, set_names, wrapped
from secretaudit.report.style import INK

__all__ = ["MATRIX_INCHES", "draw_matrix"]

#: About the length of a side.
MATRIX_INCHES = 2.6
_NUMBERS_UP_TO = 10
_WIDTH_OF_DIGIT = 0.62  # of the size of the type
_SMALLEST = 5.5
_SQUARE_WITHIN = 1.6


def draw_matrix(canvas: Canvas, axes: Axes, matrix: Matrix) -> None:
    """Draw the matrix with its colour bar.

    Args:
        canvas: The figure that the colour bar takes its room from.
        axes: Where the matrix goes.
        matrix: What is drawn.
    """
    values = _array(matrix)
    axes.grid(visible=False)
    axes.set_xlabel(wrapped(matrix.x_label, 44))
    axes.set_ylabel(wrapped(matrix.y_label, 34))
    if not values.size:
        axes.set_axis_off()
        return
    norm, colours = _scale(values, log=matrix.log)
    drawable = np.ma.masked_invalid(np.where(values > 0, values, np.nan) if matrix.log else values)
    image = axes.imshow(
        drawable, cmap=colours, norm=norm, aspect=_aspect(values), interpolation="nearest"
    )
    set_names(axes, "x", matrix.columns, MATRIX_INCHES)
    set_names(axes, "y", matrix.rows, MATRIX_INCHES)
    axes.tick_params(length=0)
    if drawable.count():
        _add_bar(canvas, axes, image, log=matrix.log)
    if max(values.shape) <= _NUMBERS_UP_TO:
        _write_numbers(axes, values, image, log=matrix.log)


def _array(matrix: Matrix) -> NDArray[np.float64]:
    """The values, shape (rows, columns), NaN where there is none."""
    rows = [[math.nan if v is None else float(v) for v in row] for row in matrix.values]
    return np.array(rows, dtype=float).reshape(len(matrix.rows), len(matrix.columns))


def _scale(values: NDArray[np.float64], *, log: bool) -> tuple[Normalize, Colormap]:
    shown = values[np.isfinite(values) & ((values > 0) if log else True)]
    low, high = (float(shown.min()), float(shown.max())) if shown.size else (1.0, 1.0)
    if log:
        low, high = (low, high) if high > low else (low / 2, high * 2)
        return LogNorm(low, high), _on_white("cividis")
    if low < 0 < high:
        far = max(-low, high)
        return Normalize(-far, far), _on_white("PuOr_r")
    if high == low:
        low, high = min(0.0, low), max(0.0, high) or 1.0
    return Normalize(low, high), _on_white("cividis")


def _on_white(name: str) -> Colormap:
    return colormaps[name].with_extremes(bad="white")


def _aspect(values: NDArray[np.float64]) -> Any:
    """Square cells where the matrix is about square."""
    rows, columns = values.shape
    return "equal" if max(rows, columns) <= _SQUARE_WITHIN * min(rows, columns) else "auto"


def _add_bar(canvas: Canvas, axes: Axes, image: Any, *, log: bool) -> None:
    bar = canvas.colorbar(image, ax=axes, shrink=0.8, pad=0.03, aspect=18)
    bar.outline.set_visible(False)
    low, high = image.get_clim()
    if log and high / low >= 10:
        bar.ax.yaxis.set_major_locator(LogLocator(numticks=6))
    else:
        bar.ax.yaxis.set_major_locator(MaxNLocator(5))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    bar.ax.tick_params(labelsize=8, length=2)


def _write_numbers(axes: Axes, values: NDArray[np.float64], image: Any, *, log: bool) -> None:
    """The numbers, as large as the longest of them allows; none where that would be too small to read."""
    texts = {place: _short(value, values, log=log) for place, value in np.ndenumerate(values)}
    cell = 72 * MATRIX_INCHES / max(values.shape)
    size = min(9.0, 0.9 * cell / (_WIDTH_OF_DIGIT * max(map(len, texts.values()))))
    if size < _SMALLEST:
        return
    for (row, column), text in texts.items():
        value = values[row, column]
        coloured = math.isfinite(value) and (value > 0 or not log)
        colour = _readable_on(image.cmap(image.norm(value))) if coloured else INK
        axes.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)


def _short(value: float, values: NDArray[np.float64], *, log: bool) -> str:
    """At most about five characters; two decimals throughout where that is what matters."""
    size, largest = abs(value), float(np.nanmax(np.abs(values), initial=0.0))
    if not math.isfinite(value):
        return "–"
    if size == 0 or (value.is_integer() and size < 10_000):
        text = f"{value:.0f}"
    elif 0.0095 <= size < 10 or (not log and 0.1 <= largest < 10):
        text = f"{value:.2f}".replace("-0.00", "0.00")
    elif 10 <= size < 100:
        text = f"{value:.1f}"
    elif 100 <= size < 10_000:
        text = f"{value:.0f}"
    else:
        text = f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return text.replace("-", "−")


def _readable_on(colour: tuple[float, float, float, float]) -> str:
    """White or ink, whichever stands out on the colour (relative luminance of its sRGB values)."""
    red, green, blue = (
        c / 12.92 if c <= 0.04 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]
    )
    return "white" if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.25 else INK
