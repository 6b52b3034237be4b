"""From records to files: figures and one page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from secretaudit.errors import RecordError, UsageError
from secretaudit.records import Record
from secretaudit.report.figure import Figure, Panel, Series
from secretaudit.report.suite import REPORTS, write_report

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    "versions": {"secretaudit": "1.0", "torch": "2.9"},
    "device": "cpu",
    "seed": 3,
    "date": "2026-01-02T03:04:05+00:00",
    "seconds": 90.0,
}
ASKED = {
    "subject": {
        "data": {
            "name": "pets",
            "kind": "image",
            "train": 1200,
            "held_out": 597,
            "classes": ["cat", "<script>alert(1)</script>"],
        },
        "model": {"kind": "architecture", "name": "mlp"},
    },
    "settings": {"epochs": 30},
    "seed": 3,
}
FOUND = {
    "parts": {
        "ease": {"status": "measured", "sentence": "Easy ones are easy."},
        "ease over_time": {"status": "measured", "sentence": "Over time."},
        "critical_samples": {"status": "could not measure", "sentence": "There is no box."},
    },
    "orderings": [
        {"part": "ease", "claim": "A above B", "seen": {"A": 2.0, "B": 1.0}, "holds": True},
        {"part": "critical_samples", "claim": "C above D", "seen": "", "holds": None},
    ],
}


THREE = ("noise-ease", "noise-ease-over-time-each", "noise-together")


def figures(found, names=THREE[:1]):
    values = tuple(float(len(name)) for name in found["parts"])
    series = Series(label="length", x=tuple(found["parts"]), y=values, style="bars")
    panel = Panel(title="P", x_label="part", y_label="letters", series=(series,))
    return [Figure(name=n, title=f"Title {n}", caption="C", panels=(panel,)) for n in names]


def tables(found):
    return [("Lengths", ["part", "letters"], [[name, str(len(name))] for name in found["parts"]])]


@pytest.fixture(autouse=True)
def _module_of_our_own(monkeypatch):
    """The noise module's figures are ours here."""
    module = ModuleType("figures_of_a_test")
    module.figures, module.tables = figures, tables
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for kind in ("suite-noise", "suite-dissection"):
        monkeypatch.setitem(REPORTS, kind, replace(REPORTS[kind], drawn_by=module.__name__))


def record(kind: str = "suite-noise", **changed) -> Record:
    given = {"asked": ASKED, "found": FOUND, "environment": ENVIRONMENT}
    return Record(kind=kind, **{**given, **changed})


def files(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_the_page_and_each_figure_are_written(tmp_path):
    """SVG and PNG of each figure, the page beside them, and nothing else."""
    page = write_report([record()], tmp_path / "new" / "out")
    expected = {"figures/noise-ease.svg", "figures/noise-ease.png"}
    assert page == tmp_path / "new" / "out" / "report.html"
    assert set(files(page.parent)) == expected | {"report.html"}


def test_the_same_records_give_the_same_bytes(tmp_path):
    """A report can be made again from the record, after it has been through its file."""
    record().write(tmp_path / "noise.json")
    write_report([record()], tmp_path / "a")
    write_report([Record.read(tmp_path / "noise.json")], tmp_path / "b")
    write_report([record()], tmp_path / "b")
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_the_page_says_what_was_examined(tmp_path):
    """Data, sizes, classes, model, seed, date and versions; names of classes are only names."""
    text = write_report([record()], tmp_path).read_text("utf-8")
    for said in ("pets, image", "1,200 for training, 597 held out", "mlp", "torch 2.9", "90 s"):
        assert said in text
    assert "<script" not in text and "&lt;script&gt;" in text


def test_a_figure_stands_with_its_part(tmp_path, monkeypatch):
    """By its name, the longest that fits; others follow after all parts."""
    three = partial(figures, names=THREE)
    monkeypatch.setattr(sys.modules["figures_of_a_test"], "figures", three)
    text = write_report([record()], tmp_path).read_text("utf-8")
    order = re.findall(r'<h3>([\w ]+) <span|<figure id="([\w-]+)"', text)
    assert ["".join(pair) for pair in order] == [
        "ease",
        "figure-noise-ease",
        "ease over time",
        "figure-noise-ease-over-time-each",
        "critical samples",
        "figure-noise-together",
    ]


def test_several_modules_make_one_page_and_names_do_not_clash(tmp_path):
    """Two modules whose figures have the same name get different files."""
    page = write_report([record(), record("suite-dissection")], tmp_path, name="all.html")
    assert page.name == "all.html"
    assert (tmp_path / "figures" / "noise-ease-2.svg").is_file()
    text = page.read_text("utf-8")
    assert '<h2 id="noise">' in text and '<h2 id="dissection">' in text
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_a_module_that_could_not_measure_is_shown_with_its_reason(tmp_path):
    """A run of all modules: the one that left no record is not forgotten, and not counted as measured."""
    modules = {
        "noise": {"status": "measured", "sentence": ""},
        "neighbours": {"status": "could not measure", "sentence": "No layer is linear."},
    }
    whole = record("suite", found={"modules": modules})
    text = write_report([whole, record()], tmp_path).read_text("utf-8")
    assert '<h2 id="neighbours">' in text and "No layer is linear." in text
    assert re.findall(r'"standing">([^<]*)<', text) == [
        "1 of 2 orderings hold",
        "could not measure",
    ]
    assert text.count('class="part missing"') == 2 and text.count('<h2 id="noise">') == 1


def test_a_run_in_which_nothing_could_be_measured_has_a_page(tmp_path):
    """It says so."""
    modules = {"noise": {"status": "could not measure", "sentence": "NaN everywhere."}}
    page = write_report([record("suite", found={"modules": modules})], tmp_path)
    assert "NaN everywhere." in page.read_text("utf-8")


def test_a_name_that_is_no_file_name_stays_in_the_directory(tmp_path, monkeypatch):
    """A figure called like a path is written beside the others."""
    bad = [replace(figures(FOUND)[0], name="../../layer/0 <b>")]
    monkeypatch.setattr(sys.modules["figures_of_a_test"], "figures", lambda found: bad)
    write_report([record()], tmp_path / "out")
    assert (tmp_path / "out" / "figures" / "layer-0-b.svg").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_record_without_parts_has_a_page(tmp_path, monkeypatch):
    """Even the least of what a record may hold can be shown."""
    monkeypatch.setattr(sys.modules["figures_of_a_test"], "figures", lambda found: [])
    monkeypatch.setattr(sys.modules["figures_of_a_test"], "tables", lambda found: [])
    page = write_report([record(asked={}, found={}, environment={})], tmp_path)
    assert '<h2 id="noise">' in page.read_text("utf-8")


def test_an_unknown_kind_of_record_is_refused_before_anything_is_written(tmp_path):
    """By what it is, and with the kinds that have a page."""
    with pytest.raises(RecordError, match=r"'exposure' has no page.*suite-noise"):
        write_report([record(), record("exposure")], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_records_are_refused(tmp_path):
    """There would be nothing to show."""
    with pytest.raises(UsageError, match="no record to show"):
        write_report([], tmp_path)


@pytest.mark.parametrize("name", ["", "..", "a/b.html", "../x.html"])
def test_a_page_with_a_path_for_a_name_is_refused(tmp_path, name):
    """The directory is the place."""
    with pytest.raises(UsageError, match="cannot be called"):
        write_report([record()], tmp_path, name=name)


def test_a_place_that_is_a_file_is_refused(tmp_path):
    """With three sentences, not with a traceback of the system."""
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UsageError, match="was not written"):
        write_report([record()], tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_report_needs_no_model_library_and_no_global_plotting_state():
    """It can be made where torch is not installed, and inside a user's own plotting program."""
    program = (
        "import sys, secretaudit.report.suite; "
        "print(*{'torch', 'transformers', 'sklearn', 'matplotlib.pyplot'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""
