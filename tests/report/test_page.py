"""The page: whole in itself, escaped, and honest about what was not measured or judged."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from secretaudit.report.drawing import panel_svgs
from secretaudit.report.figure import Figure, Matrix, Panel, Series
from secretaudit.report.page import (
    Drawn,
    DrawnPanel,
    Ordering,
    Page,
    Part,
    Section,
    numeric,
    render,
    verdict,
)
from secretaudit.report.values import NOTHING, Table, facts, numbers_behind, shown

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


class Reader(HTMLParser):
    """Tags, ids and addresses of a page, and the classes around each text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.classes: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in {"href", "src", "xlink:href"}:
                self.addresses.append(value)
            if name.startswith("on"):
                self.handlers.append(name)
            if name == "class":
                self.classes.append(value)

    def handle_data(self, data):
        self.text += data


def drawn(name: str = "noise-ease", label: str = "real") -> Drawn:
    panel = Panel(
        title=f"Panel {label}",
        x_label="epoch",
        y_label="share",
        series=(Series(label=label, x=(1, 2), y=(0.5, None), low=(0.4, None), high=(0.6, None)),),
    )
    given = Figure(name=name, title=f"Figure {label}", caption=f"Caption {label}", panels=(panel,))
    return Drawn(
        name=name,
        title=given.title,
        caption=given.caption,
        panels=tuple(
            DrawnPanel(svg=svg, numbers=numbers_behind(panel), wide=False)
            for svg in panel_svgs(given)
        ),
        files={"SVG": f"figures/{name}.svg"},
    )


def section(**changed) -> Section:
    given = {"name": "noise", "title": "Noise", "question": "What is easy?", "source": "A paper."}
    return Section(**{**given, **changed})


def page(*sections: Section) -> str:
    return render(Page(title="Noise: digits", facts=(("seed", "0"),), sections=sections))


def test_a_page_needs_nothing_else():
    """No script, no style sheet, picture or font from elsewhere: only links within, and to the figures' files."""
    read = Reader(page(section(figures=(drawn(),))))
    assert "script" not in read.tags and "link" not in read.tags and "img" not in read.tags
    assert read.handlers == []
    assert all(re.match(r"#|figures/", address) for address in read.addresses)
    assert not re.search(r"@import|url\((?!#)", page(section(figures=(drawn(),))))


def test_the_same_page_gives_the_same_text():
    """Nothing of the moment is in it."""
    assert page(section(figures=(drawn(),))) == page(section(figures=(drawn(),)))


def test_names_from_data_are_escaped_everywhere():
    """A class called like a tag is shown as it is called."""
    hostile = section(
        title=HOSTILE,
        sentence=HOSTILE,
        orderings=(Ordering(part=HOSTILE, claim=HOSTILE, seen=HOSTILE, holds=True),),
        parts=(
            Part(name=HOSTILE, status=HOSTILE, sentence=HOSTILE, figures=(drawn("a", HOSTILE),)),
        ),
        tables=(Table(title=HOSTILE, head=(HOSTILE,), rows=((HOSTILE, HOSTILE),), note=HOSTILE),),
        asked=((HOSTILE, HOSTILE),),
        environment=((HOSTILE, HOSTILE),),
    )
    text = render(Page(title=HOSTILE, facts=((HOSTILE, HOSTILE),), sections=(hostile,)))
    read = Reader(text)
    assert not {"script", "img"} & set(read.tags) and read.handlers == []
    assert read.text.count(HOSTILE) >= 15


def test_ids_differ_throughout_a_page():
    """Two drawings of the same panel do not share their clip paths."""
    read = Reader(page(section(figures=(drawn("a"), drawn("b")))))
    assert len(read.ids) == len(set(read.ids)) > 10
    inside = {address.removeprefix("#") for address in read.addresses if address.startswith("#")}
    assert inside <= set(read.ids)
    clips = set(re.findall(r"url\(#([^)]+)\)", page(section(figures=(drawn("a"), drawn("b"))))))
    assert clips and clips <= set(read.ids)


@pytest.mark.parametrize(
    ("status", "looks"),
    [
        ("measured", "part measured"),
        ("not reached", "part short"),
        ("not applicable", "part missing"),
        ("could not measure", "part missing"),
        ("something new", "part missing"),
        ("", "part missing"),
    ],
)
def test_only_what_was_measured_looks_so(status, looks):
    """Any other status, known or not, is set apart, with its word and its sentence."""
    text = page(section(parts=(Part(name="a_part", status=status, sentence="A reason."),)))
    read = Reader(text)
    assert looks in read.classes
    assert [name for name in read.classes if name.startswith("part ")] == [looks]
    assert "A reason." in read.text and status in read.text and "a part" in read.text


@pytest.mark.parametrize(
    ("holds", "words"), [(True, "holds"), (False, "does not hold"), (None, "could not be judged")]
)
def test_a_verdict_is_said_in_words(holds, words):
    """What could not be judged is never marked as holding."""
    text = page(section(orderings=(Ordering(part="p", claim="c", seen="s", holds=holds),)))
    (marked,) = re.findall(
        r'class="verdict (\w+)"><span aria-hidden="true">.</span> ([^<]+)<', text
    )
    assert marked == (verdict(holds)[0], words)
    assert (marked[0] == "holds") is (holds is True)


def test_the_summary_counts_verdicts_and_parts_without_result():
    """Four of a kind each: nothing is added to what holds."""
    text = page(
        section(
            orderings=tuple(
                Ordering(part="p", claim="c", seen="s", holds=holds)
                for holds in (True, False, False, None)
            ),
            parts=tuple(
                Part(name=status, status=status, sentence="s")
                for status in ("measured", "not reached", "not applicable")
            ),
        )
    )
    said = re.sub(r"<[^>]+>", "", text)
    assert "1 of 4 orderings of the papers hold" in said
    assert "2 do not hold" in said and "1 could not be judged" in said
    assert (
        "1 of 3 measures did not reach its goal" in said and "1 of 3 measures has no result" in said
    )


def test_a_figure_has_its_caption_its_numbers_and_a_name_for_screen_readers():
    """What is seen can be read."""
    text = page(
        section(parts=(Part(name="e", status="measured", sentence="s", figures=(drawn(),)),))
    )
    read = Reader(text)
    assert 'role="img" aria-label="Figure real: Panel real"' in text
    assert "<title>Figure real: Panel real</title>" in text
    assert "Caption real" in read.text and "0.5 (0.4 to 0.6)" in read.text
    assert "details" in read.tags and "figures/noise-ease.svg" in read.addresses


def test_a_figure_of_nothing_says_so():
    """No empty frame."""
    empty = Drawn(name="a", title="t", caption="c", panels=(), files={})
    assert "Nothing was measured" in page(section(figures=(empty,)))


def test_the_numbers_of_a_panel():
    """A row for each position, a column for each series, a dash where there is no value, the lines below."""
    panel = Panel(
        title="T",
        x_label="epoch",
        y_label="share",
        series=(
            Series(label="a", x=(1, 2), y=(0.5, None)),
            Series(label="b", x=(2, 0), y=(1.0, 2.0), low=(0.5, None), high=(1.5, None)),
        ),
        lines=((0.1, "chance"),),
    )
    table = numbers_behind(panel)
    assert table.head == ("epoch", "a", "b")
    assert table.rows == (
        ("0", NOTHING, "2"),
        ("1", "0.5", NOTHING),
        ("2", NOTHING, "1 (0.5 to 1.5)"),
    )
    assert table.note == "Lines: chance 0.1."


def test_points_that_share_a_position_keep_a_row_each():
    """A cloud has several values at one place."""
    cloud = Series(label="a", x=(1, 1), y=(0.1, 0.2), style="points")
    panel = Panel(title="T", x_label="x", y_label="y", series=(cloud,))
    assert numbers_behind(panel).rows == (("a", "1", "0.1"), ("a", "1", "0.2"))


def test_a_long_table_says_that_it_was_cut():
    """Nothing is left out without a word."""
    series = Series(label="a", x=tuple(range(1000)), y=(0.0,) * 1000)
    table = numbers_behind(Panel(title="T", x_label="x", y_label="y", series=(series,)))
    assert len(table.rows) == 400 and "400 of 1,000 rows" in table.note


def test_the_numbers_of_a_matrix():
    """Rows and columns by name."""
    matrix = Matrix(
        title="T",
        x_label="input",
        y_label="loss",
        columns=("a", "b"),
        rows=("c",),
        values=((1.0, None),),
    )
    table = numbers_behind(matrix)
    assert table.head == ("loss \\ input", "a", "b") and table.rows == (("c", "1", NOTHING),)


def test_values_in_words():
    """Every kind of value that a record can hold."""
    assert shown(0.000012345) == "1.234e−05" and shown(-1.5) == "−1.5" and shown("x") == "x"
    assert shown([]) == NOTHING and shown({}) == NOTHING
    assert shown(list(range(20))).endswith("11, … (20 in all)")
    assert dict(facts({"a": {"b": [1, None]}, "seed": 12345, "c": {}})) == {
        "a.b": f"1, {NOTHING}",
        "seed": "12345",
        "c": NOTHING,
    }


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("0.5", True),
        ("−1", True),
        ("3 (2 to 4)", True),
        ("–", True),
        ("< 0.01", True),
        ("cat", False),
        ("3-layer", False),
    ],
)
def test_numbers_are_set_to_the_right(cell, expected):
    """Words are not."""
    assert numeric(cell) is expected
