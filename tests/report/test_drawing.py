"""Figures as SVG and PNG: the same bytes each time, nothing hidden, nothing that breaks the file."""

from __future__ import annotations

import re
import struct
import xml.etree.ElementTree as ET  # our own drawings
from itertools import pairwise

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure as Canvas

from secretaudit.report.drawing import is_wide, panel_svgs, png, svg
from secretaudit.report.figure import Figure, Matrix, Panel, Series
from secretaudit.report.scales import distinct, number, turning
from secretaudit.report.series import draw_panel
from secretaudit.report.style import look, looks

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def panel(*series: Series, **more) -> Panel:
    return Panel(title="A panel", x_label="epoch", y_label="share", series=series, **more)


def figure(*panels: Panel | Matrix) -> Figure:
    return Figure(name="noise-ease", title="Easy examples", caption="A caption.", panels=panels)


def square(size: int, value: float | None = 0.25, **more) -> Matrix:
    names = tuple(f"c{index}" for index in range(size))
    values = tuple((value,) * size for _ in names)
    given = {"title": "M", "x_label": "x", "y_label": "y", "columns": names, "rows": names}
    return Matrix(**{**given, "values": values, **more})


def texts(document: bytes) -> list[str]:
    """Everything that is written in the drawing."""
    root = ET.fromstring(document)  # noqa: S314  # our own drawing
    return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]


def drawn(given: Panel):
    """The panel on axes of its own."""
    axes = Canvas().add_subplot()
    draw_panel(axes, given, looks([given]), 3.5)
    return axes


LINE = Series(label="real", x=(1, 2, 3, 4, 5), y=(0.1, 0.4, None, 0.7, 0.8))
BARS = Series(label="train", x=("a", "b", "c"), y=(0.2, None, 0.4), style="bars")


def test_the_same_figure_gives_the_same_bytes_whatever_the_user_has_set():
    """No date, no random name, and no setting of matplotlib from outside gets into a file."""
    given = figure(panel(LINE), square(3))
    before = svg(given), png(given), panel_svgs(given)
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "lines.linewidth": 9}):
        assert (svg(given), png(given), panel_svgs(given)) == before
        assert matplotlib.rcParams["font.size"] == 30


def test_drawing_leaves_the_settings_of_matplotlib_as_they_were():
    """A user's own figures look as before."""
    before = dict(matplotlib.rcParams)
    svg(figure(panel(LINE)))
    assert dict(matplotlib.rcParams) == before


def test_a_picture_has_150_dots_per_inch():
    """The PNG says its resolution: 150 / 2.54 cm ≈ 5,906 dots per metre."""
    picture = png(figure(panel(LINE)))
    assert picture.startswith(b"\x89PNG")
    at = picture.index(b"pHYs") + 4
    assert struct.unpack(">II", picture[at : at + 8]) == (5906, 5906)


def test_a_missing_value_leaves_a_gap_in_a_line():
    """No line is drawn through None: the point is not a number, not zero and not left out."""
    (line,) = drawn(panel(LINE)).lines
    assert np.isnan(line.get_ydata()[2]) and len(line.get_ydata()) == 5


def test_a_point_without_neighbours_is_marked_in_a_long_line():
    """Between two gaps no line is seen, so that the marker is all there is."""
    y = tuple(0.5 if index in (0, 17) or index > 20 else None for index in range(40))
    (line,) = drawn(panel(Series(label="a", x=tuple(range(40)), y=y))).lines
    assert 17 in line.get_markevery()


def test_a_missing_bar_says_so():
    """A gap in a row of bars would be read as zero."""
    axes = drawn(panel(BARS))
    assert len(axes.patches) == 2
    assert [text.get_text() for text in axes.texts] == ["no value"]


def test_intervals_are_bands_around_many_points_and_bars_at_few():
    """Both show low and high; a point whose interval is unknown has none."""
    x = tuple(range(30))
    many = Series(label="a", x=x, y=(0.5,) * 30, low=(0.4,) * 30, high=(0.6,) * 30)
    few = Series(label="a", x=(1, 2), y=(0.5, 0.6), low=(0.4, None), high=(0.7, None))
    band = drawn(panel(many)).collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == pytest.approx((0.4, 0.6))
    (segment,) = drawn(panel(few)).collections[0].get_segments()
    assert segment[:, 1].tolist() == [0.4, 0.7]


def test_a_zero_is_seen_on_a_logarithmic_axis():
    """Epoch 0 and a rate of 0 have a place of their own."""
    given = Series(label="a", x=(0, 1, 10, 100), y=(0.0, 0.01, 0.1, 1.0))
    axes = drawn(panel(given, log_x=True, log_y=True))
    assert axes.get_xscale() == axes.get_yscale() == "symlog"
    assert axes.get_xlim()[0] < 0 < axes.get_xlim()[1] and axes.get_ylim()[0] < 0
    assert 0.0 in axes.get_yticks()


def test_positive_values_get_a_plain_logarithmic_axis_with_ticks_at_few_positions():
    """Sizes of 100, 200, 500 and 1,000 examples are named as they are."""
    given = Series(label="a", x=(100, 200, 500, 1000), y=(1, 2, 3, 4))
    axes = drawn(panel(given, log_x=True))
    assert axes.get_xscale() == "log"
    assert {"100", "200", "500", "1,000"} <= set(
        texts(svg(figure(panel(given, log_x=True))))
    ) and axes.get_xticks().tolist() == [100, 200, 500, 1000]


@pytest.mark.parametrize("last", [5.5, 8.0, 40.0])
def test_a_short_logarithmic_axis_has_no_raw_mathematics(last):
    """Labels of minor ticks would be written as "$3 times 10^0$"."""
    values = tuple(1 + (last - 1) * index / 9 for index in range(10))
    given = panel(Series(label="a", x=values, y=values), log_x=True, log_y=True)
    assert not [text for text in texts(svg(figure(given))) if "$" in text]


def test_an_interval_below_zero_does_not_hide_a_positive_value_on_a_logarithmic_axis():
    """The lower end is beyond the axis; the point stays."""
    given = Series(label="a", x=(1, 2), y=(0.1, 1.0), low=(-0.1, 0.5), high=(0.3, 2.0))
    axes = drawn(panel(given, log_y=True))
    assert axes.get_yscale() == "log" and axes.get_ylim()[0] < 0.1


def test_marks_at_the_ends_of_a_fixed_range_are_whole():
    """An accuracy of 1 is not cut by the frame, nor is one of 0."""
    given = Series(label="a", x=(1, 2), y=(0.0, 1.0))
    bottom, top = drawn(panel(given, y_range=(0, 1))).get_ylim()
    assert bottom < 0 and top > 1


def test_bars_at_uneven_numbers_stand_beside_each_other():
    """k = 1, 5 and 100 are three cases, not places on a line."""
    given = Series(label="L1", x=(1, 5, 100), y=(0.9, 0.8, 0.7), style="bars")
    axes = drawn(panel(given))
    centres = [patch.get_x() + patch.get_width() / 2 for patch in axes.patches]
    assert centres == pytest.approx([0, 1, 2])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "5", "100"]


def test_two_rows_of_bars_do_not_cover_each_other():
    """The bars of one name stand side by side."""
    other = Series(label="held out", x=("a", "b", "c"), y=(0.1, 0.2, 0.3), style="bars")
    axes = drawn(panel(BARS, other))
    spans = sorted((patch.get_x(), patch.get_x() + patch.get_width()) for patch in axes.patches)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_a_label_looks_the_same_in_all_panels_and_no_two_look_alike_in_one():
    """Colours mean the same throughout a figure."""
    series = [Series(label=name, x=(1,), y=(1,)) for name in "abc"]
    first, second = panel(series[0], series[1]), panel(series[2], series[1])
    chosen = looks([first, second])
    assert chosen["b", "line"] != chosen["c", "line"]
    assert chosen["a", "line"] != chosen["b", "line"]
    assert len({str(look(index)) for index in range(32)}) == 32


def test_a_dashed_curve_takes_the_colour_of_its_line():
    """Training solid, held out dashed, noise by colour; a reference curve or two stay grey."""
    solid = [Series(label=name, x=(1,), y=(1,)) for name in "ab"]
    broken = [Series(label=f"{name}, held out", x=(1,), y=(1,), style="dashed") for name in "ab"]
    chosen = looks([panel(*solid, *broken), panel(Series(label="c", x=(1,), y=(1,)))])
    for name in "ab":
        assert chosen[name, "line"].colour == chosen[f"{name}, held out", "dashed"].colour
        assert chosen[f"{name}, held out", "dashed"].hollow
    grey = looks([panel(solid[0], *broken)])
    assert {grey[one.label, "dashed"].marker for one in broken} == {""}


def test_whiskers_at_one_position_stand_beside_each_other_inside_the_axes():
    """Three series at the same epochs: their bars do not cover each other, and none is beyond the frame."""
    x, y = (1, 2, 4, 64), (0.1, 0.2, 0.3, 0.4)
    series = [Series(label=n, x=x, y=y, low=(0.0,) * 4, high=(1.0,) * 4) for n in "abc"]
    axes = drawn(panel(*series, log_x=True))
    places = []
    for bars in axes.collections:
        ends = bars.get_transform().transform(np.concatenate(bars.get_segments()))
        places.append(ends[::2, 0])
        frame = axes.bbox
        assert (frame.x0 < ends[:, 0]).all() and (ends[:, 0] < frame.x1).all()
        assert (frame.y0 < ends[:, 1]).all() and (ends[:, 1] < frame.y1).all()
    assert (np.diff(np.array(places), axis=0) > 2).all()


@pytest.mark.parametrize("style", ["line", "points", "bars", "dashed"])
@pytest.mark.parametrize("log", [False, True])
def test_everything_is_inside_the_axes(style, log):
    """The first and the last point too, of numbers with and without zero, and single ones."""
    for x, y in [((0, 5, 90), (0.0, 3.0, 1000.0)), ((1, 2, 3), (1.0, 1.0, 1.0)), ((7,), (-2.0,))]:
        axes = drawn(panel(Series(label="a", x=x, y=y, style=style), log_x=log, log_y=log))
        low, high = axes.get_ylim()
        assert low <= min(y) and max(y) < high
        if style != "bars":
            assert axes.get_xlim()[0] < x[0] and x[-1] < axes.get_xlim()[1]


def test_the_legend_stands_below_the_data():
    """It never covers a point: its text is further down than the name of the x axis."""
    places = dict(re.findall(r'y="([\d.]+)" transform="[^"]*">([^<]*)<', svg_text(panel(LINE))))
    heights = {label: float(y) for y, label in places.items()}
    assert heights["real"] > heights["epoch"]


def svg_text(given: Panel) -> str:
    return svg(figure(given)).decode()


def test_text_stays_text_and_hostile_names_are_only_names():
    """Tags, mathematics, line breaks, control characters and other scripts: the file stays whole."""
    names = ("<script>alert(1)</script>", r"$\frac{$", "a\nb\x07", "_hidden", "犬")
    given = Series(label=names[0], x=names, y=(1, 2, 3, 4, 5), style="bars")
    hidden = Series(label="_hidden", x=names, y=(1, 2, 3, 4, 5), style="points")
    matrix = square(5, columns=names, rows=names)
    for document in (svg(figure(panel(given, hidden), matrix)), *panel_svgs(figure(matrix))):
        assert b"<script" not in document
        written = texts(document)
        assert r"$\frac{$" in written and "犬" in written and "a b�" in written
    assert names[0] in texts(svg(figure(panel(given))))
    written = texts(svg(figure(panel(hidden))))  # once at the axis, once in the legend
    assert sum(text.endswith("_hidden") for text in written) == 2


def test_small_matrices_carry_their_numbers_and_large_ones_do_not():
    """2 × 2 to 10 × 10 can be read cell by cell."""
    assert texts(svg(figure(square(2)))).count("0.25") >= 4
    assert texts(svg(figure(square(10)))).count("0.25") >= 100
    assert texts(svg(figure(square(11)))).count("0.25") < 10


def test_a_matrix_cell_without_a_value_is_a_dash():
    """It is not zero, and a matrix of nothing else can still be drawn."""
    assert texts(svg(figure(square(2, None)))).count("–") == 4


def test_a_logarithmic_matrix_names_what_is_not_positive():
    """A zero has no logarithm; its number stands in a white cell."""
    values = ((0.0, 1.0), (10.0, 100.0))
    written = texts(svg(figure(square(2, values=values, log=True))))
    assert {"0", "1", "10", "100"} <= set(written)


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0])
def test_a_matrix_of_one_value_can_be_drawn(value):
    """No range of colours is needed."""
    assert svg(figure(square(3, value))).startswith(b"<?xml")
    assert svg(figure(square(3, value, log=True))).startswith(b"<?xml")


def test_nothing_to_draw_is_said():
    """A panel without values, and a figure without panels, are still figures."""
    nothing = Series(label="a", x=(1, 2), y=(None, None))
    assert "no values" in texts(svg(figure(panel(nothing))))
    assert "no values" in texts(svg(figure(panel())))
    assert "Easy examples" in texts(svg(figure()))


def test_a_series_without_values_is_named_in_the_legend():
    """A condition that never reached its goal has no line; the legend says so."""
    nothing = Series(label="random labels", x=(1, 2), y=(None, None))
    assert "random labels (no value)" in texts(svg(figure(panel(LINE, nothing))))


def test_more_than_three_panels_go_into_a_second_row():
    """The picture of five is higher than that of three and no wider; four stand two by two."""

    def size(count: int) -> tuple[int, int]:
        return struct.unpack(
            ">II", png(figure(*[panel(Series(label="", x=(1,), y=(1,)))] * count))[16:24]
        )

    assert size(5)[0] == size(3)[0] > size(2)[0] == size(4)[0]
    assert size(5)[1] > size(3)[1] == size(2)[1]


def test_names_that_differ_in_the_middle_keep_what_differs():
    """Layers of a transformer can be told apart on an axis."""
    names = [f"encoder.layer.{index}.attention.output" for index in range(12)]
    assert distinct(names, 18) == [f"…{index}…" for index in range(12)]
    assert distinct(["cat", "dog"], 18) == ["cat", "dog"]


def test_names_are_turned_when_they_have_no_room():
    """Short ones lie, ten longer ones lean, forty stand."""
    assert turning(["yes", "no"], 3.5) == 0
    assert turning(CLASSES, 3.5) == 45
    assert turning([f"class number {index}" for index in range(40)], 3.5) == 90


def test_is_wide():
    """A matrix of ten classes takes more room on a page than one of two."""
    assert is_wide(square(10)) and not is_wide(square(2)) and not is_wide(panel(LINE))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.001, "0.001"),
        (0.0001, "10⁻⁴"),
        (99999, "99,999"),
        (2.5e7, "2.5·10⁷"),
        (-3, "−3"),
    ],
)
def test_numbers_on_axes(value, text):
    """Plain where they are short, powers of ten where not."""
    assert number(value) == text
