"""Critical samples during training, and of a model as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from secretaudit.errors import UsageError
from secretaudit.report import noise_critical
from secretaudit.suite.cells import Cells
from secretaudit.suite.data.arrays import digits
from secretaudit.suite.labelled import Labelled, Task
from secretaudit.suite.learner import Architecture, OfModule
from secretaudit.suite.noise import critical
from secretaudit.suite.noise.critical import look_epochs, searches
from secretaudit.suite.noise.critical_summary import condition, orderings
from secretaudit.suite.noise.judging import above, ordering
from secretaudit.suite.noise.settings import NoiseSettings
from secretaudit.suite.subject import ClassifierSubject, Run


def small(**more: object) -> NoiseSettings:
    dials: dict[str, object] = {
        "csr_examples": 20,
        "csr_training": 100,
        "csr_epochs": 9,
        "csr_looks": 3,
        "csr_iterations": 10,
        "csr_seeds": 2,
    }
    return NoiseSettings(**(dials | more))  # type: ignore[arg-type]  # any dial


def subject_of(task: Task) -> ClassifierSubject:
    return ClassifierSubject(task=task, learner=Architecture(task=task))


def test_the_part_is_measured_resumed_and_drawn(tmp_path: Path) -> None:
    """A second run finds every training of the first and gives the same; figures and tables come from the record."""
    subject = subject_of(digits().smaller(200, 60))
    run = Run(cells=Cells(place=tmp_path), identity="digits")
    found = critical.measure(subject, small(), run)
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert critical.measure(subject, small(), run) == found
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == finished
    part, claims = found
    json.dumps(part, allow_nan=False)
    assert part["status"] == "measured"
    assert part["given"] is None
    assert [(c["kind"], c["fraction"]) for c in part["conditions"]] == [
        ("real", 0.0),
        ("randX", 0.5),
        ("randX", 1.0),
        ("randY", 0.5),
        ("randY", 1.0),
    ]
    assert [look["epoch"] for look in part["conditions"][0]["looks"]] == [1, 3, 9]
    ratios = [
        mean["mean"]
        for one in part["conditions"]
        for look in one["looks"]
        for values in look["csr"].values()
        for mean in values
    ]
    assert all(0 <= ratio <= 1 for ratio in ratios)
    assert {o["part"] for o in claims} == {"critical"}
    names = [figure.name for figure in noise_critical.figures(part)]
    assert names == [
        "noise-critical",
        "noise-critical-radii",
        "noise-critical-mixed-randY",
        "noise-critical-mixed-randX",
    ]
    assert len(noise_critical.tables(part)[0][2]) == 5


def test_a_larger_box_holds_more_critical_samples() -> None:
    """The ratio does not fall with the radius, as the boxes lie in each other."""
    settings = small(csr_radii=(0.3, 3.0, 30.0), csr_fractions=(), csr_seeds=1)
    part, _ = critical.measure(subject_of(digits().smaller(200, 60)), settings, Run())
    for one in part["conditions"]:
        for look in one["looks"]:
            means = [mean["mean"] for mean in look["csr"]["held_out"]]
            assert means == sorted(means)
            assert means[-1] > means[0]


def test_a_given_model_is_looked_at_as_it_is() -> None:
    """Of a linear model with a margin that all examples keep, or none, the ratio is 0 or 1, whatever is trained besides."""
    x = torch.rand(60, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    x[:, 0, 0, 0] = torch.arange(60) % 2 * 0.2 + 0.4
    part = Labelled(inputs=x, labels=torch.arange(60) % 2)
    task = Task(
        name="t",
        kind="image",
        train=part,
        held_out=part,
        class_names=["a", "b"],
        pixel=1 / 255,
    )
    layer = nn.Linear(4, 2)
    with torch.no_grad():  # s_1 − s_0 = x_00 − 0.5: every example is 0.1 away, 25.5 steps of 255
        layer.weight.copy_(torch.tensor([[0.0, 0, 0, 0], [1.0, 0, 0, 0]]))
        layer.bias.copy_(torch.tensor([0.0, -0.5]))
    learner = OfModule(module=nn.Sequential(nn.Flatten(), layer))
    settings = small(csr_radii=(25.0, 26.0), csr_beta=0.0, csr_fractions=(), csr_seeds=1)
    found, _ = critical.measure(ClassifierSubject(task=task, learner=learner), settings, Run())
    assert found["given"]["csr"] == {"held_out": [0.0, 1.0], "training": [0.0, 1.0]}
    assert found["given"]["held_out_accuracy"] == 1.0
    labels = [s.label for s in noise_critical.figures(found)[1].panels[0].series]  # type: ignore[union-attr]  # a panel
    assert "the given model" in labels
    assert noise_critical.tables(found)[0][2][-1][0] == "the given model"


def test_diverged_trainings_are_told_and_nothing_is_judged() -> None:
    """With steps far too large no number is given, and no ordering is called right or wrong."""
    settings = small(csr_learning_rate=1e30)
    part, claims = critical.measure(subject_of(digits().smaller(100, 40)), settings, Run())
    assert part["status"] == "could not measure"
    assert part["diverged"] == 10
    assert all(claim["holds"] is None for claim in claims)
    assert noise_critical.figures(part) == []


def test_looks_are_geometric_and_end_at_the_end() -> None:
    """First, last, and equal ratios between; no epoch twice."""
    assert look_epochs(1000, 4) == [1, 10, 100, 1000]
    assert look_epochs(3, 10) == [1, 2, 3]
    assert look_epochs(7, 1) == [7]


def test_searches_take_the_unit_of_the_task() -> None:
    """Images have the radii of the 0–255 scale, tables those in deviations; α/r is as released."""
    images = digits().smaller(20, 20)
    flat = Labelled(inputs=images.train.inputs.flatten(1), labels=images.train.labels)
    table = Task(name="t", kind="table", train=flat, held_out=flat, class_names=images.class_names)
    settings = NoiseSettings(csr_radii=(0.3, 3.0), csr_deviation_radii=(0.06,), csr_clip=True)
    assert [lass.radius for lass in searches(images, settings)] == [0.3, 3.0]
    assert [lass.alpha for lass in searches(images, settings)] == pytest.approx([0.25, 2.5])
    assert [lass.alpha for lass in searches(table, settings)] == pytest.approx([0.05])
    assert searches(images, settings)[0].valid_high == 1.0


def training(csr: list[float], train: list[float], held: list[float]) -> dict[str, object]:
    """What a cell gives, with a look after every epoch and one radius."""
    looks = [{"epoch": i, "csr": {"held_out": [value]}} for i, value in enumerate(csr, 1)]
    return {"status": "done", "looks": looks, "train_accuracy": train, "held_out_accuracy": held}


def test_orderings_follow_their_rules() -> None:
    """Planted curves: every claim of the paper holds; turned round, none does."""
    noise = [training([0.1, 0.2, 0.8 + s], [0.3, 0.4, 0.9], [0.5, 0.7, 0.4]) for s in (0, 0.01)]
    data = [training([0.2, 0.1, 0.1 + s], [0.8, 0.9, 1.0], [0.8, 0.9, 0.95]) for s in (0, 0.01)]
    noisy = [("randX", 0.5), ("randX", 1.0), ("randY", 0.5), ("randY", 1.0)]
    good = [condition("real", 0.0, data)] + [condition(k, f, noise) for k, f in noisy]
    bad = [condition("real", 0.0, noise)] + [condition(k, f, data) for k, f in noisy]
    right, wrong = orderings([0.3], good), orderings([0.3], bad)
    assert len(right) == len(wrong) == 8
    assert all(o["holds"] for o in right)
    assert all(o["holds"] is False for o in wrong)


def test_above_needs_its_interval() -> None:
    """An interval above 0 holds, a mean not above 0 does not, all else is left open; a seed without a value does not count."""
    assert above([2.0, 3.1, 4.0], [1.0, 2.0, 3.0])[0] is True
    assert above([1.0, 2.0], [2.0, 3.1])[0] is False
    assert above([5.0, 0.0], [0.0, 1.0])[0] is None
    assert above([2.0], [1.0])[0] is None
    assert above([], []) == (None, "not measured")
    assert above([2.0, None, 4.1], [1.0, 9.0, 3.0])[0] is True
    assert ordering("p", "c", [1.0, 1.0], [2.0, 2.1], lower_bounds=True)["holds"] is None


@pytest.mark.parametrize(
    ("dial", "value"),
    [
        ("csr_radii", ()),
        ("csr_radii", (0.3, 0.3)),
        ("csr_radii", (-1.0,)),
        ("csr_fractions", (1.5,)),
        ("csr_iterations", 0),
        ("csr_optimizer", "adagrad"),
        ("csr_seeds", 0),
    ],
)
def test_dials_have_ranges(dial: str, value: object) -> None:
    """A value without a meaning is refused by its name."""
    with pytest.raises(UsageError, match=f"{dial} must"):
        NoiseSettings(**{dial: value})  # type: ignore[arg-type]  # that is the point
