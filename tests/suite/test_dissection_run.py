"""The whole dissection at toy sizes: it runs, goes on after a kill, says what was not reached, and refuses what cannot be measured."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from secretaudit.errors import UsageError
from secretaudit.report.dissection import figures, tables
from secretaudit.suite.cells import Cells
from secretaudit.suite.classifier import Classifier
from secretaudit.suite.data.arrays import digits
from secretaudit.suite.dissection.conditions import (
    INDEPENDENT,
    PARTLY,
    SAME,
    TRUE,
    compared_layers,
    labels_of,
)
from secretaudit.suite.dissection.run import run
from secretaudit.suite.dissection.settings import PARTS, DissectionSettings
from secretaudit.suite.labelled import Labelled, Task
from secretaudit.suite.learner import Architecture, Factory, OfModule
from secretaudit.suite.subject import ClassifierSubject, Run

SMALL = DissectionSettings(
    models=2,
    target=0.9,
    epochs=60,
    examples=40,
    held_out=24,
    batch_size=20,
    learning_rate=0.01,
    gradient_examples=10,
    pattern_models=2,
    pattern_epochs=2,
    cue_pixels=(1, 8),
    cue_tokens=(1, 2),
)


def subject() -> ClassifierSubject:
    task = digits()
    return ClassifierSubject(task=task, learner=Architecture(task=task, options={"hidden": 64}))


def words() -> ClassifierSubject:
    """Texts whose class is which half of the vocabulary they are made of."""
    drawn = torch.Generator().manual_seed(0)
    labels = torch.arange(120) % 2
    inputs = torch.randint(1, 20, (120, 8), generator=drawn) + 20 * labels[:, None]
    part = Labelled(inputs=inputs, labels=labels)
    task = Task(
        name="words",
        kind="text",
        train=part.first(80),
        held_out=part.chosen(slice(80, 120)),
        class_names=["a", "b"],
        vocabulary=60,
    )
    options = {"dimension": 8, "filters": 8}
    return ClassifierSubject(task=task, learner=Architecture(task=task, options=options))


def test_all_parts_on_digits_and_again_after_a_kill(tmp_path):
    """Plain JSON, every part measured; a second run finds the cells, a lost one is done again, and the result is the same."""
    first = run(subject(), SMALL, Run(seed=1, cells=Cells(place=tmp_path)))
    assert json.loads(json.dumps(first, allow_nan=False)) == first
    assert set(first["parts"]) == set(PARTS)
    for name, part in first["parts"].items():
        assert part["status"] == ("not applicable" if name == "language" else "measured")
        assert part["sentence"]
    for kept in sorted(tmp_path.glob("*.json"))[::3]:
        kept.unlink()
    assert run(subject(), SMALL, Run(seed=1, cells=Cells(place=tmp_path))) == first


def test_with_two_networks_a_condition_no_ordering_of_pairs_is_judged(tmp_path):
    """Six divisions cannot give p < 0.01; the orderings say that they could not be judged."""
    found = run(subject(), replace(SMALL, parts=("agreement",)), Run(seed=1))
    assert [claim["holds"] for claim in found["orderings"]] == [None, None]
    assert found["parts"]["agreement"]["measures"]["kappa"]["tests"][SAME]["splits"] == 6


def test_text_and_figures_and_tables():
    """A text task runs through every part, and its record can be drawn and printed."""
    found = run(words(), SMALL, Run(seed=0))
    made = figures(found)
    assert {figure.name for figure in made} == {
        "dissection-agreement",
        "dissection-representation",
        "dissection-input-gradients",
        "dissection-coherence",
        "dissection-patterns-cues",
        "dissection-patterns-order",
    }
    for title, head, rows in tables(found):
        assert title and rows and all(len(row) == len(head) for row in rows)


def test_a_target_that_is_never_reached_is_said_and_nothing_is_claimed():
    """After one epoch no network fits its labels: parts are 'not reached', networks are named with what they reached."""
    found = run(subject(), replace(SMALL, epochs=1, target=1.0), Run(seed=0))
    assert {network["status"] for network in found["networks"]} == {"not reached"}
    assert all(0 <= network["train_accuracy"] < 1 for network in found["networks"])
    for name in ("agreement", "representation", "input gradients", "coherence", "patterns"):
        assert found["parts"][name]["status"] == "not reached"
    assert {claim["holds"] for claim in found["orderings"]} == {None}
    figures(found), tables(found)


def test_a_model_that_was_brought_is_held_against_the_others():
    """Its agreement with networks of true and of random labels, and its coherence, without training it."""
    task = digits()
    module = Architecture(task=task).fresh(3)
    learner = OfModule(module=module)
    found = run(
        ClassifierSubject(task=task, learner=learner),
        replace(SMALL, parts=("agreement", "representation", "coherence")),
        Run(seed=0),
    )
    assert found["networks"][-1]["name"] == "given"
    assert set(found["parts"]["agreement"]["given"]["kappa"]) == {TRUE, SAME, INDEPENDENT}
    assert found["parts"]["agreement"]["networks"][-1] == "given"
    assert found["parts"]["coherence"]["given"]["epoch"] == 0


class Rounded(Classifier):
    """Rounds its input, so that no gradient comes through, and trains all the same."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def from_continuous(self, points, inputs):
        return self.layer((points.flatten(1) * 4).detach().round())


def test_a_part_that_the_model_does_not_allow_is_reported_and_the_others_are_measured():
    """Without gradients by the input one part could not be measured, and says why."""
    task = digits()
    learner = Factory(make=Rounded, name="rounded")
    parts = ("agreement", "input gradients", "coherence")
    settings = replace(SMALL, parts=parts, learning_rate=0.02, target=0.7, epochs=100)
    found = run(ClassifierSubject(task=task, learner=learner), settings, Run(seed=0))["parts"]
    assert {name: found[name]["status"] for name in found} == {
        "agreement": "measured",
        "input gradients": "could not measure",
        "coherence": "measured",
    }
    assert "no gradient by the input" in found["input gradients"]["sentence"]


def test_labels_of_the_conditions():
    """True ones stay; random ones are permutations, the same or not; a share of partly wrong ones is wrong."""
    labels = torch.arange(200) % 4
    part = Labelled(inputs=torch.zeros(200, 1), labels=labels)

    def of(condition, index):
        return labels_of(condition, index, part, 4, 0.2, 7)

    assert torch.equal(of(TRUE, 0), labels)
    assert torch.equal(of(SAME, 0), of(SAME, 1))
    assert not torch.equal(of(INDEPENDENT, 0), of(INDEPENDENT, 1))
    for condition in (SAME, INDEPENDENT):
        assert torch.equal(torch.bincount(of(condition, 0)), torch.bincount(labels))
        assert float((of(condition, 0) == labels).double().mean()) < 0.45
    assert int((of(PARTLY, 0) != labels).sum()) == 40


def test_layers_are_spread_from_the_first_to_the_last():
    """Linear and convolutional layers in order; a name that is not there lists the ones that are."""
    model = Architecture(task=digits(), architecture="lenet").fresh(0)
    assert compared_layers(model, (), 2) == ("module.0", "module.9")
    assert len(compared_layers(model, (), 9)) == 4
    with pytest.raises(UsageError, match=r"no layer 'module\.77'"):
        compared_layers(model, ("module.77",), 2)


def test_parts_and_dials_that_mean_nothing_are_refused():
    """Each by its message."""
    with pytest.raises(UsageError, match="parts must be one of"):
        DissectionSettings(parts=("agrement",))
    with pytest.raises(UsageError, match="No part is chosen"):
        DissectionSettings(parts=())
    with pytest.raises(UsageError, match="models must be at least 2"):
        DissectionSettings(models=1)
    with pytest.raises(UsageError, match="number of cue_pixels"):
        DissectionSettings(cue_pixels=(2, 2))
    with pytest.raises(UsageError, match="No part applies to a classifier"):
        run(subject(), replace(SMALL, parts=("language",)), Run())
    with pytest.raises(UsageError, match="no layer 'nowhere'"):
        run(subject(), replace(SMALL, layers=("nowhere",)), Run())
