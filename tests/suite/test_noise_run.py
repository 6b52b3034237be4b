"""The noise module from a subject to figures."""

from __future__ import annotations

import json

import pytest
import torch

from secretaudit.errors import CouldNotMeasure, UsageError
from secretaudit.report.noise import figures, tables
from secretaudit.suite.cells import Cells
from secretaudit.suite.data.arrays import digits
from secretaudit.suite.labelled import Labelled, Task
from secretaudit.suite.learner import Architecture, Factory
from secretaudit.suite.noise.run import run
from secretaudit.suite.noise.settings import PARTS, NoiseSettings
from secretaudit.suite.subject import ClassifierSubject, Run

EASE_AND_SENSITIVITY = NoiseSettings(
    parts=("ease", "sensitivity"),
    ease_initializations=6,
    ease_training=80,
    ease_examples=60,
    sensitivity_initializations=2,
    sensitivity_examples=40,
    sensitivity_class_examples=12,
    sensitivity_updates=8,
    sensitivity_batch_size=20,
    sensitivity_looks=4,
)


def _subject(task=None, **dials):
    task = task or digits().smaller(120, 60)
    return ClassifierSubject(task=task, learner=Architecture(task=task, options=dials))


def _words():
    """A task of text: which of two tokens comes more often."""
    rng = torch.Generator().manual_seed(0)
    rows = torch.randint(1, 8, (60, 6), generator=rng)
    rows[::3, 4:] = 0
    labels = ((rows == 1).sum(1) > (rows == 2).sum(1)).long()
    some = Labelled(inputs=rows, labels=labels)
    return Task(
        name="words",
        kind="text",
        train=some.first(40),
        held_out=some.chosen(slice(40, None)),
        class_names=("no", "yes"),
        vocabulary=8,
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Both parts on a few digits, and where their cells are kept."""
    place = tmp_path_factory.mktemp("cells")
    return run(_subject(hidden=16), EASE_AND_SENSITIVITY, Run(cells=Cells(place=place))), place


def test_both_parts_are_measured_and_plain(found):
    """A status, a sentence, JSON without NaN."""
    what, _ = found
    assert [part["status"] for part in what["parts"].values()] == ["measured", "measured"]
    assert json.loads(json.dumps(what, allow_nan=False)) == what
    assert len(what["orderings"]) == 3 + 5
    assert {order["part"] for order in what["orderings"]} == {"ease", "sensitivity"}
    assert what["parts"]["sensitivity"]["derivative"] == "exact"


def test_a_second_run_finds_the_same_without_training(found, monkeypatch):
    """What was kept is found again; what is trained anew is the same."""
    what, place = found
    again = run(_subject(hidden=16), EASE_AND_SENSITIVITY, Run())
    assert again == what

    def refuse(self, seed):
        raise AssertionError("trained again")

    monkeypatch.setattr(Architecture, "fresh", refuse)
    assert run(_subject(hidden=16), EASE_AND_SENSITIVITY, Run(cells=Cells(place=place))) == what


def test_figures_and_tables_are_drawn_from_it(found):
    """The paper's figures 1, 3 and 4; and none of parts that are absent."""
    what, _ = found
    names = [figure.name for figure in figures(what)]
    assert names[0] == "noise-ease"
    assert "noise-sensitivity" in names
    assert "noise-sensitivity-classes" in names
    assert all(len(row) == len(head) for _, head, rows in tables(what) for row in rows)
    assert figures({"parts": {"ease": {"status": "could not measure", "sentence": "x"}}}) == []
    assert tables({}) == []


def test_truncation_is_written_on_it():
    """An approximation is never shown as exact."""
    settings = NoiseSettings(
        parts=("sensitivity",),
        sensitivity_initializations=2,
        sensitivity_examples=20,
        sensitivity_updates=6,
        sensitivity_unroll=2,
        sensitivity_looks=2,
        sensitivity_class_looks=0,
        sensitivity_class_examples=0,
    )
    what = run(_subject(hidden=8), settings, Run())
    assert what["parts"]["sensitivity"]["derivative"] == "truncated to 2 updates"
    assert "truncated to 2 updates" in what["parts"]["sensitivity"]["sentence"]
    assert "truncated to 2 updates" in figures(what)[0].caption


def test_a_training_that_diverges_is_not_shown_as_measured():
    """The part says so, and what to do."""
    settings = NoiseSettings(
        parts=("sensitivity",),
        sensitivity_initializations=2,
        sensitivity_examples=20,
        sensitivity_updates=30,
        sensitivity_learning_rate=1e20,
        sensitivity_looks=2,
        sensitivity_class_examples=0,
    )
    part = run(_subject(hidden=8), settings, Run())["parts"]["sensitivity"]
    assert part["status"] == "could not measure"
    assert "diverged" in part["sentence"]
    assert "smaller sensitivity_learning_rate" in part["sentence"]


def test_epochs_that_diverge_are_not_shown_as_measured():
    """Weights from before the divergence are no networks of one epoch."""
    settings = NoiseSettings(parts=("ease",), ease_initializations=4, ease_learning_rate=1e30)
    what = run(_subject(hidden=8), settings, Run())
    assert what["parts"]["ease"]["status"] == "could not measure"
    assert "12 of 12 trainings diverged" in what["parts"]["ease"]["sentence"]
    assert what["orderings"] == []


def test_text_is_measured_by_its_own_model():
    """Random tokens, and sensitivity by the embeddings; no class per example."""
    settings = NoiseSettings(
        parts=("ease", "sensitivity"),
        ease_initializations=4,
        sensitivity_initializations=2,
        sensitivity_updates=4,
        sensitivity_looks=2,
    )
    what = run(_subject(_words(), dimension=4, filters=4), settings, Run())
    assert what["parts"]["ease"]["status"] == "measured"
    sensitivity = what["parts"]["sensitivity"]
    assert sensitivity["network"] == "word-cnn"
    assert list(sensitivity["tasks"]) == ["labels"]


class _Frozen(torch.nn.Module):
    """Nothing to train."""

    def forward(self, x):
        return x.flatten(1)[:, :10]


def test_a_part_that_cannot_measure_says_why():
    """A model without parameters has no sensitivity; the other parts are not lost."""
    task = digits().smaller(40, 20)
    subject = ClassifierSubject(task=task, learner=Factory(make=_Frozen, name="frozen"))
    settings = NoiseSettings(parts=("sensitivity",), sensitivity_units=0)
    part = run(subject, settings, Run())["parts"]["sensitivity"]
    assert part["status"] == "could not measure"
    assert "no parameters with gradients" in part["sentence"]


def test_the_language_part_alone_does_not_apply_to_a_classifier():
    """With nothing to measure, the run says so."""
    with pytest.raises(CouldNotMeasure, match="None of these parts applies: language"):
        run(_subject(), NoiseSettings(parts=("language",)), Run())


@pytest.mark.parametrize(
    ("dials", "said"),
    [
        ({"parts": ()}, "No part is chosen"),
        ({"parts": ("eese",)}, "Did you mean 'ease'"),
        ({"labels": "shuffled"}, "labels must be one of uniform, permuted"),
        ({"ease_initializations": 3}, "ease_initializations must be at least 4"),
        ({"ease_learning_rate": 0.0}, "ease_learning_rate must be above 0"),
        ({"sensitivity_updates": 0}, "sensitivity_updates must be at least 1"),
        ({"sensitivity_unroll": 0}, "sensitivity_unroll must be at least 1"),
        ({"sensitivity_units": -1}, "sensitivity_units must be at least 0"),
    ],
)
def test_bad_dials_are_refused(dials, said):
    """Before anything is trained."""
    with pytest.raises(UsageError, match=said):
        NoiseSettings(**dials)


def test_all_parts_are_the_default():
    """What applies is chosen by the subject."""
    assert NoiseSettings().parts == PARTS
