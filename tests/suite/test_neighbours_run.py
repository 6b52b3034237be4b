"""``suite neighbours`` from end to end on the digits: record, resume, figures, orderings, refusals, and predictors without layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from secretaudit.errors import ModelError, UsageError
from secretaudit.report.drawing import svg
from secretaudit.report.neighbours import figures, tables
from secretaudit.suite.cells import Cells
from secretaudit.suite.data.arrays import digits
from secretaudit.suite.labelled import Task
from secretaudit.suite.learner import Architecture, OfModule
from secretaudit.suite.neighbours.comparison import Seen
from secretaudit.suite.neighbours.predictor import agreement_of
from secretaudit.suite.neighbours.run import run
from secretaudit.suite.neighbours.settings import NeighboursSettings
from secretaudit.suite.subject import ClassifierSubject, Run

SMALL = NeighboursSettings(
    seeds=2, epochs=2, overfit_examples=80, k=10, k_values=(1, 10, 100), probe_examples=60
)


def few_digits() -> Task:
    return digits().smaller(240, 80)


def small_mlp(task: Task) -> Architecture:
    return Architecture(task=task, architecture="mlp", options={"hidden": 16, "layers": 1})


def test_a_whole_run_is_plain_json_and_resumes_to_the_same(tmp_path: Path) -> None:
    """All conditions; the second run trains nothing and finds the same; figures and tables are made of it."""
    task = few_digits()
    subject = ClassifierSubject(task=task, learner=small_mlp(task))
    cells = Cells(place=tmp_path / "cells")
    found = run(subject, SMALL, Run(seed=1, cells=cells, identity="x"))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    heard = _Listener()
    again = run(
        subject,
        SMALL,
        Run(seed=1, cells=Cells(place=tmp_path / "cells", progress=heard), identity="x"),
    )
    assert again == found
    assert heard.announced == ["8 of 8 trainings (neighbours) were done already."]
    assert {name: part["status"] for name, part in found["parts"].items()} == {
        "layers": "measured",
        "agreement": "measured",
        "k": "measured",
        "language": "not applicable",
    }
    for figure in figures(found):
        assert svg(figure).startswith(b"<?xml")
    assert [figure.name for figure in figures(found)] == [
        "neighbours-agreement", "neighbours-layers", "neighbours-layers-training", "neighbours-k",
    ]  # fmt: skip
    assert all(len(row) == len(head) for _, head, rows in tables(found) for row in rows)
    assert all(set(entry) == {"part", "claim", "seen", "holds"} for entry in found["orderings"])
    _check_rows(found)


def _check_rows(found: dict[str, Any]) -> None:
    """Facts of a run that stand apart from the code: identity, sizes, layers, k without examples."""
    for row in found["parts"]["agreement"]["conditions"]:
        assert len(row["networks"]) == 2
        for network in row["networks"]:
            for one in network["agreement"]["knn"].values():
                acc = one["accuracy"]
                mixed = (one["mc"] or 0) * acc + (one["me"] or 0) * (1 - acc)
                assert one["p_same"] == pytest.approx(mixed)
    sizes = {
        row["condition"]: row["networks"][0]["train_examples"]
        for row in found["parts"]["agreement"]["conditions"]
    }
    assert sizes["over-fit"] == 80 and sizes["true labels"] == 240
    layers = found["parts"]["layers"]["conditions"][0]["summary"]
    assert [row["layer"] for row in layers] == ["input", "module.1", "embedding", "module.3"]
    few = {row["condition"]: row["summary"] for row in found["parts"]["k"]["conditions"]}
    assert few["over-fit"][2]["status"] == "not applicable: 80 training examples"
    assert few["over-fit"][2]["held_out_accuracy"]["mean"] is None
    assert "did not reach" in found["parts"]["agreement"]["sentence"]


class _Listener:
    def __init__(self) -> None:
        self.announced: list[str] = []

    def update(self, **figures: object) -> None:
        pass

    def announce(self, sentence: str) -> None:
        self.announced.append(sentence)


def test_a_given_model_is_measured_as_it_is() -> None:
    """One network, no training: its accuracy is the module's own, and its neighbours are those of its hidden layer."""
    task = few_digits()
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10))
    settings = NeighboursSettings(parts=("agreement",), k=5, probes=())
    found = run(ClassifierSubject(task=task, learner=OfModule(module=module)), settings, Run())
    (row,) = found["parts"]["agreement"]["conditions"]
    assert row["condition"] == "given" and row["fits"] == [None]
    with torch.no_grad():
        said = module(task.held_out.inputs).argmax(1)
        hidden = module[:3](task.train.inputs).double(), module[:3](task.held_out.inputs).double()
    one = row["networks"][0]["agreement"]["knn"]["held_out"]
    assert one["accuracy"] == pytest.approx(float((said == task.held_out.labels).double().mean()))
    near = torch.cdist(hidden[1], hidden[0], p=1).topk(5, largest=False).indices
    votes = nn.functional.one_hot(task.train.labels[near], 10).sum(1).argmax(1)
    assert one["p_same"] == pytest.approx(float((votes == said).double().mean()), abs=1 / 80)


def test_a_training_that_diverges_is_not_shown_as_measured() -> None:
    """A rate at which the loss is soon not a number: a status, no figures, no verdict."""
    task = few_digits()
    settings = NeighboursSettings(
        parts=("agreement",), conditions=("true labels",), seeds=1, k=5, learning_rate=1e30
    )
    subject = ClassifierSubject(task=task, learner=small_mlp(task))
    found = run(subject, settings, Run())
    part = found["parts"]["agreement"]
    assert part["status"] == "could not measure" and "diverged" in part["sentence"]
    assert figures(found) == [] and tables(found) == []
    assert {entry["holds"] for entry in found["orderings"]} == {None}


def test_fewer_examples_than_neighbours_are_refused_before_any_training() -> None:
    """k = 30 and 30 training examples: leaving the point out, there are 29."""
    task = digits().smaller(30, 10)
    subject = ClassifierSubject(task=task, learner=small_mlp(task))
    settings = NeighboursSettings(conditions=("true labels",))
    with pytest.raises(UsageError, match="k is 30, and the smallest training set has 30 examples"):
        run(subject, settings, Run())


def test_a_layer_that_the_model_does_not_have_is_refused() -> None:
    """With the names of those that it has."""
    task = few_digits()
    subject = ClassifierSubject(task=task, learner=small_mlp(task))
    settings = NeighboursSettings(
        parts=("layers",), conditions=("true labels",), seeds=1, epochs=1, k=5, layers=("conv9",)
    )
    with pytest.raises(UsageError, match=r"no layer 'conv9'.*module.1"):
        run(subject, settings, Run())


def test_a_label_beyond_the_models_classes_is_refused() -> None:
    """A model of two classes and three labels."""
    points = np.zeros((4, 2), np.float32)
    said = np.full((4, 2), 0.5)
    labels = np.array([0, 1, 2, 0])
    with pytest.raises(UsageError, match="A label is 2, and the classifier knows 2 classes"):
        Seen(
            train=points,
            train_labels=labels,
            rows=np.arange(4),
            held_out=points,
            held_out_labels=labels,
            said_train=said,
            said_held_out=said,
        )


class _OneNeighbour:
    """A predictor that is a nearest-neighbour rule itself, in the space of ``transform``."""

    def __init__(self, task: Task) -> None:
        from sklearn.neighbors import KNeighborsClassifier

        self.rule = KNeighborsClassifier(5, metric="l1", algorithm="brute")
        self.rule.fit(self.transform(task.train.inputs.flatten(1).numpy()), task.train.labels)

    def transform(self, rows: Any) -> Any:
        return np.asarray(rows)[:, ::2]

    def predict_proba(self, rows: Any) -> Any:
        return self.rule.predict_proba(self.transform(rows))


def test_a_nearest_neighbour_rule_agrees_with_itself() -> None:
    """P_SAME = MC = ME = 1 and no divergence on held-out examples, in its own embedding."""
    task = few_digits()
    settings = NeighboursSettings(k=5, k_values=(5,), probes=())
    found = agreement_of(_OneNeighbour(task), task, settings)
    assert found["embedding"] == "transform"
    held = found["agreement"]["knn"]["held_out"]
    assert held["p_same"] == held["mc"] == 1.0 and held["me"] in (1.0, None)
    assert held["kl_nats"] == pytest.approx(0.0, abs=1e-12)


def test_a_predictor_of_other_classes_is_refused() -> None:
    """Fitted on three of ten classes, it gives three columns."""
    task = few_digits()
    rows = task.train.inputs.flatten(1).numpy()
    few = task.train.labels.numpy() < 3
    model = LogisticRegression(max_iter=50).fit(rows[few], task.train.labels.numpy()[few])
    with pytest.raises(ModelError, match=r"shape \(240, 3\) for 240 examples of 10 classes"):
        agreement_of(model, task, NeighboursSettings(k=5))


def test_figures_tolerate_parts_that_are_not_there() -> None:
    """Nothing measured, nothing drawn."""
    empty = {"parts": {"agreement": {"status": "not applicable", "sentence": ""}}}
    assert figures(empty) == [] and tables(empty) == []
    assert figures({}) == [] and tables({}) == []
