"""What somebody attacked the suite with: refused in three lines, never left out or measured instead."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from secretaudit.errors import CouldNotMeasure, ModelError, UsageError
from secretaudit.suite.cells import Cell, Cells
from secretaudit.suite.classifier import Plain
from secretaudit.suite.data.arrays import digits, read_arrays, task_of_arrays
from secretaudit.suite.data.images import class_folders
from secretaudit.suite.data.tables import read_table
from secretaudit.suite.dissection.settings import DissectionSettings
from secretaudit.suite.fitting import FitSettings, fit
from secretaudit.suite.labelled import Task
from secretaudit.suite.learner import Architecture, Factory, refuse_unfit
from secretaudit.suite.neighbours.settings import NeighboursSettings
from secretaudit.suite.opening import Dials, Reading, open_subject
from secretaudit.suite.run import run_all, run_suite
from secretaudit.suite.subject import ClassifierSubject


def _table(rows: int = 40) -> Task:
    x = np.random.default_rng(0).normal(size=(rows, 6)).astype(np.float32)
    return task_of_arrays(x, (x[:, 0] > 0).astype(int))


def _fails(_shared: Any) -> dict[str, Any]:
    raise ModelError("What.", "Why.", "Way out.")


def test_an_error_of_another_process_keeps_its_lines() -> None:
    """An error that cannot be unpickled looked like a process that the system had killed."""
    back = pickle.loads(pickle.dumps(ModelError("a", "b", "c")))  # noqa: S301  (made in the line itself)
    assert isinstance(back, ModelError)
    assert (back.what, back.why, back.way_out) == ("a", "b", "c")


@pytest.mark.slow
def test_an_error_in_two_processes() -> None:
    """The cell's own error comes out of the pool."""
    cells = [Cell(name=str(i), work=_fails) for i in range(2)]
    with pytest.raises(ModelError, match=r"What\. Why\."):
        Cells(workers=2).run(cells, None, identity="x")


@pytest.mark.parametrize("top", [10_000_000, 2**40])
def test_a_label_beyond_all_classes(top: int) -> None:
    """Names for 2⁴⁰ classes took all memory."""
    with pytest.raises(UsageError, match="more classes than examples"):
        task_of_arrays(np.zeros((8, 2), np.float32), np.array([0, top] * 4))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_label_that_is_no_number(bad: float) -> None:
    """The row is named."""
    with pytest.raises(UsageError, match="label of example 2 is NaN or infinite"):
        task_of_arrays(np.zeros((4, 2), np.float32), np.array([0, 1, bad, 1]))


def test_examples_without_a_feature() -> None:
    """They were "measured": 100 %."""
    with pytest.raises(UsageError, match="no example"):
        task_of_arrays(np.zeros((8, 0), np.float32), np.arange(8) % 2)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04broken"])
def test_a_file_that_only_has_the_name_of_an_archive(tmp_path: Path, content: bytes) -> None:
    """The empty one said "interrupted"."""
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(UsageError, match="cannot be read as arrays"):
        read_arrays(tmp_path / "a.npz")


_BODY = "".join(f'"word{i % 7} foo",{"pos" if i % 2 else "neg"}\n' for i in range(40))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("text,label\n" + _BODY + "foo,pos,more\n", "has 3 cells"),
        ('text,label\n"open,pos\n' + _BODY, "cannot be read as a table"),
        ("text,label\n" + _BODY + "foo, \n", "nothing in column 'label'"),
        ("text,label\n" + _BODY + '"  ",pos\n', "nothing in column 'text'"),
        ("text,text,label\n" + _BODY, "several columns named 'text'"),
    ],
)
def test_tables_of_which_something_would_be_lost(tmp_path: Path, text: str, what: str) -> None:
    """Cells beyond the header, swallowed rows, blank labels and texts, a name that stands twice."""
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UsageError, match=what):
        read_table(tmp_path / "a.csv", text_column="text")


def test_a_table_without_a_header_whose_first_label_is_the_name_of_a_column(tmp_path: Path) -> None:
    """AG News begins with class 3, and its third column is the text."""
    rows = "".join(f'{3 - i % 3},title {i},"text number {i % 5}"\n' for i in range(30))
    (tmp_path / "a.csv").write_text(rows)
    task = read_table(tmp_path / "a.csv", text_column="3", label_column="1")
    assert (len(task.train) + len(task.held_out), task.classes) == (30, 3)


def test_a_byte_order_mark_and_a_long_cell(tmp_path: Path) -> None:
    """As spreadsheets write the one, and books are the other."""
    text = "text,label\n" + _BODY + f'"{"w " * 100_000}",pos\n'
    (tmp_path / "a.csv").write_text("\ufeff" + text)
    assert read_table(tmp_path / "a.csv", text_column="text").classes == 2


def test_the_text_is_not_the_label(tmp_path: Path) -> None:
    """It would be learned at once."""
    (tmp_path / "a.csv").write_text("text,label\n" + _BODY)
    with pytest.raises(UsageError, match="both read from column 'label'"):
        read_table(tmp_path / "a.csv", text_column="label")


def test_what_is_no_image_is_not_left_out(tmp_path: Path) -> None:
    """Neither a file nor a whole class."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "x.png").write_bytes(b"")
    with pytest.raises(UsageError, match=r"class 'b' of .* has no image"):
        class_folders(tmp_path, (".png",))
    (tmp_path / "a" / "x.heic").write_bytes(b"")
    with pytest.raises(UsageError, match=r"x\.heic is not named like an image"):
        class_folders(tmp_path, (".png",))


@pytest.mark.parametrize(
    ("reading", "dials", "flag"),
    [
        (Reading(held_out=Path("nowhere.npz")), Dials(), "--held-out-data"),
        (Reading(text_column="x"), Dials(), "--text-column"),
        (Reading(formats=("foo",)), Dials(), "--format"),
        (Reading(), Dials(weights=Path("x")), "--weights"),
        (Reading(), Dials(training={"units": 5}), "--lm-"),
    ],
)
def test_options_that_nothing_reads(reading: Reading, dials: Dials, flag: str) -> None:
    """Even a held-out file that does not exist was passed over."""
    with pytest.raises(UsageError, match=f"{flag}.* has no meaning"):
        open_subject("digits", reading=reading, dials=dials)


class _Changed(nn.Module):
    """A linear classifier whose scores something happens to."""

    def __init__(self, change: Callable[[Tensor], Any], classes: int = 2) -> None:
        super().__init__()
        self.linear = nn.Linear(6, classes)
        self.change = change

    def forward(self, x: Tensor) -> Any:
        return self.change(self.linear(x))


def _raise(_scores: Tensor) -> Tensor:
    raise KeyError


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: _Changed(lambda s: s.softmax(1)), "probabilities"),
        (lambda: _Changed(lambda s: (s, 1)), "gives tuple"),
        (lambda: _Changed(lambda s: s[:, 0]), "shape"),
        (lambda: _Changed(lambda s: s, 5), "gives 5 scores"),
        (lambda: _Changed(_raise), "KeyError"),
        (lambda: nn.Linear(7, 2), "cannot read inputs"),
        (lambda: int("x"), "cannot be made"),
    ],
)
def test_models_that_give_no_class_scores(make: Callable[[], nn.Module], what: str) -> None:
    """Refused before anything is trained, not as a fault of ours."""
    with pytest.raises(ModelError, match=what):
        refuse_unfit(Factory(make=make, name="mine"), _table())


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
@pytest.mark.parametrize("options", [{"hidden": "x"}, {"hidden": -5}, {"hidden": 0}])
def test_dials_that_make_no_network(options: dict[str, Any]) -> None:
    """A word, less than nothing, nothing."""
    with pytest.raises(ModelError):
        Architecture(task=_table(), architecture="mlp", options=options).fresh(0)
    with pytest.raises(ModelError, match="cannot be made"):
        Architecture(task=_table(), architecture="lenet").fresh(0)


@pytest.mark.parametrize(
    "module", [nn.Linear(6, 2).requires_grad_(requires_grad=False), _Changed(torch.Tensor.detach)]
)
def test_models_that_no_step_changes(module: nn.Module) -> None:
    """All frozen; cut off from the loss."""
    with pytest.raises(ModelError, match="cannot be trained"):
        fit(Plain(module), _table().train, FitSettings(epochs=1), 0)


def test_nothing_asked_and_nothing_that_applies(tmp_path: Path) -> None:
    """An empty record was "done"."""
    subject = ClassifierSubject(task=_table(), learner=Architecture(task=_table()))
    with pytest.raises(UsageError, match="No part"):
        run_suite("neighbours", subject, tmp_path, settings=NeighboursSettings(parts=()))
    with pytest.raises(CouldNotMeasure, match="None of these parts applies"):
        run_suite("neighbours", subject, tmp_path, settings=NeighboursSettings(parts=("language",)))
    assert not (tmp_path / "neighbours.json").exists()


def test_a_module_that_refuses_leaves_the_others(tmp_path: Path) -> None:
    """Too few examples for k are told in the record of all."""
    task = digits().smaller(20, 10)
    subject = ClassifierSubject(task=task, learner=Architecture(task=task))
    whole, records = run_all(subject, tmp_path, modules=["neighbours"])
    assert records == []
    told = whole.found["modules"]["neighbours"]
    assert told["status"] == "could not measure"
    assert "k is 30" in told["sentence"]


def test_cues_that_do_not_fit_leave_the_other_parts(tmp_path: Path) -> None:
    """A table of six columns has no room for a cue of eight; agreement is looked at all the same."""
    subject = ClassifierSubject(task=_table(), learner=Architecture(task=_table()))
    settings = DissectionSettings(parts=("agreement", "patterns"), models=2, epochs=20)
    found = run_suite("dissection", subject, tmp_path, settings=settings, workers=1).found
    assert found["parts"]["patterns"]["status"] == "could not measure"
    assert "8 pixels does not fit into 6" in found["parts"]["patterns"]["sentence"]
    assert found["parts"]["agreement"]["status"] in ("measured", "not reached")


def test_what_diverged_is_named_and_half_of_two_is_not_low(tmp_path: Path) -> None:
    """The sentence lists conditions without a number; of two classes, agreement below one half is not asked for."""
    subject = ClassifierSubject(task=_table(80), learner=Architecture(task=_table(80)))
    dials: dict[str, Any] = {"parts": ("agreement",), "seeds": 2, "k": 5, "probes": (), "epochs": 8}
    settings = NeighboursSettings(
        conditions=("true labels", "large batch"), learning_rate=1e30, **dials
    )
    found = run_suite("neighbours", subject, tmp_path / "a", settings=settings, workers=1).found
    assert found["parts"]["agreement"]["sentence"].count("Not measured: true labels.") == 1
    settings = NeighboursSettings(conditions=("true labels", "random labels"), **dials)
    found = run_suite("neighbours", subject, tmp_path / "b", settings=settings, workers=1).found
    low = [o for o in found["orderings"] if "below one half" in o["claim"]]
    assert [o["holds"] for o in low] == [None]
