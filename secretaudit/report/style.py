"""How figures look: colours, strokes and type, the same in every figure.

Colours are those of Okabe and Ito, told apart by people with any kind of colour blindness. Colour is never the only sign: lines
also differ in marker and stroke, bars in hatching, so that a figure can be read when it is printed in grey. Figures
have a light ground, whatever the page around them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from secretaudit.report.figure import Panel, Series

__all__ = ["GREY", "GRID", "INK", "RULES", "Look", "Looks", "look", "looks", "reference_look"]

INK = "#1f2328"
GREY = "#5b6470"
GRID = "#e3e6ea"

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#444b54")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
# Dots and circles would make SVG files of hundreds of kilobytes.
_HATCHES = ("", "////", "----", "xxx", "\\\\\\\\", "||||", "+++", "//")
_STROKES: tuple[Any, ...] = ("-", (0, (7, 1.6)), (0, (5, 1.4, 1.2, 1.4)), (0, (1.4, 1.2)))
_REFERENCE_STROKES: tuple[Any, ...] = (
    (0, (4, 2)),
    (0, (1, 1.6)),
    (0, (6, 1.6, 1, 1.6)),
    (0, (8, 2.5)),
)

_REFERENCES_IN_GREY = 2

#: What matplotlib is told while a figure is drawn and written, and nobody outside sees.
RULES: dict[str, Any] = {
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Geneva", "Arial", "Helvetica", "sans-serif"],
    "font.size": 10.0,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8.0,
    "axes.labelsize": 10.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.fontsize": 9.0,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "hatch.linewidth": 0.6,
    "lines.linewidth": 1.7,
    "lines.markersize": 5.0,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "none",
    "svg.image_inline": True,
}


@dataclass(frozen=True, kw_only=True)
class Look:
    """How one series is told from the others.

    Attributes:
        colour: Of lines, markers and bars.
        marker: As matplotlib names it; "" for none.
        stroke: As matplotlib takes it.
        hatch: In bars.
        hollow: Whether markers are white inside.
    """

    colour: str
    marker: str
    stroke: Any
    hatch: str
    hollow: bool = False


#: Label and style of a series → how it looks.
Looks = Mapping[tuple[str, str], Look]


def look(index: int) -> Look:
    """The look of the series number ``index``; the first 32 differ."""
    turn = index // len(_COLOURS)
    return Look(
        colour=_COLOURS[index % len(_COLOURS)],
        marker=_MARKERS[(index + turn) % len(_MARKERS)],
        stroke=_STROKES[(index + turn) % len(_STROKES)],
        hatch=_HATCHES[(index + turn) % len(_HATCHES)],
    )


def reference_look(index: int) -> Look:
    """The look of a reference curve or line: grey, broken, without markers."""
    stroke = _REFERENCE_STROKES[index % len(_REFERENCE_STROKES)]
    return Look(colour=GREY, marker="", stroke=stroke, hatch="")


def _beside(given: Look) -> Look:
    """The look of a dashed curve that belongs to a line: its colour and marker, hollow and broken."""
    return replace(given, stroke=_REFERENCE_STROKES[0], hollow=True)


def looks(panels: Sequence[Panel]) -> Looks:
    """A look for each label and style of a figure: the same wherever it returns, and different within each panel.

    One or two dashed curves are references, in grey. Where a panel has as many dashed curves as lines, and more than one, each
    takes the colour of the line in the same place.
    """
    keys = list(dict.fromkeys(_key(one) for panel in panels for one in panel.series))
    references = [key for key in keys if key[1] == "dashed"]
    grey = len(references) <= _REFERENCES_IN_GREY
    pairs = _pairs(panels)
    chosen: dict[tuple[str, str], Look] = {}
    given: dict[str, int] = {}
    for key in keys:
        if key in pairs or (grey and key in references):
            chosen[key] = reference_look(references.index(key))
        else:
            index = given.setdefault(key[0], _free(key[0], panels, given))
            chosen[key] = look(index)
    return chosen | {key: _beside(chosen[line]) for key, line in pairs.items()}


def _pairs(panels: Sequence[Panel]) -> dict[tuple[str, str], tuple[str, str]]:
    """Dashed curves that belong to lines."""
    pairs: dict[tuple[str, str], tuple[str, str]] = {}
    for panel in panels:
        dashed = [_key(one) for one in panel.series if one.style == "dashed"]
        lines = [_key(one) for one in panel.series if one.style == "line"]
        if 1 < len(dashed) == len(lines):
            pairs = dict(zip(dashed, lines, strict=True)) | pairs
    return pairs


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


def _key(one: Series) -> tuple[str, str]:
    return (one.label, one.style)
