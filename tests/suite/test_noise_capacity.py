"""Epochs to a target over units and examples."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from secretaudit.errors import UsageError
from secretaudit.report import noise_capacity
from secretaudit.suite.cells import Cells
from secretaudit.suite.data.arrays import digits
from secretaudit.suite.learner import Architecture, OfModule
from secretaudit.suite.networks import ARCHITECTURES
from secretaudit.suite.noise import capacity
from secretaudit.suite.noise.capacity import WIDTHS, convergence_slope
from secretaudit.suite.noise.settings import NoiseSettings
from secretaudit.suite.subject import ClassifierSubject, Run


def small(**more: object) -> NoiseSettings:
    dials: dict[str, object] = {
        "capacity_units": (8, 64),
        "capacity_examples": (40, 80),
        "capacity_fixed_units": 32,
        "capacity_fixed_examples": 80,
        "capacity_fractions": (0.5, 1.0),
        "capacity_kinds": ("randX",),
        "capacity_epochs": 60,
        "capacity_seeds": 2,
    }
    return NoiseSettings(**(dials | more))  # type: ignore[arg-type]  # any dial


def subject_of(count: int = 80) -> ClassifierSubject:
    task = digits().smaller(count, 40)
    return ClassifierSubject(task=task, learner=Architecture(task=task))


@pytest.mark.parametrize("logarithm", [False, True])
def test_the_slope_is_that_of_least_squares(logarithm: bool) -> None:
    """Against numpy's polynomial fit."""
    values, epochs = [8, 16, 64, 128], [40.0, 31.0, 12.0, 9.0]
    y = np.log2(epochs) if logarithm else epochs
    expected = np.polyfit(np.log2(values), y, 1)[0]
    assert convergence_slope(values, epochs, logarithm=logarithm) == pytest.approx(expected)


def test_time_in_proportion_has_a_logarithmic_slope_of_one() -> None:
    """T = c · n."""
    assert convergence_slope([10, 20, 40], [3.0, 6.0, 12.0], logarithm=True) == pytest.approx(1)


def test_the_part_is_measured_resumed_and_drawn(tmp_path: Path) -> None:
    """Fewer units take longer on random inputs; a second run gives the same from what is kept; figures come from the record."""
    run = Run(cells=Cells(place=tmp_path), identity="digits")
    found = capacity.measure(subject_of(), small(), run)
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert capacity.measure(subject_of(), small(), run) == found
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == finished
    part, claims = found
    json.dumps(part, allow_nan=False)
    assert part["status"] == "measured"
    assert part["width"] == "hidden"
    curve = next(c for c in part["curves"] if c["axis"] == "units" and c["fraction"] == 1.0)
    assert [p["value"] for p in curve["points"]] == [8, 64]
    assert curve["points"][0]["epochs_at_least"] > curve["points"][1]["epochs_at_least"]
    assert curve["slope"]["mean"] < 0
    assert {o["part"] for o in claims} == {"capacity"}
    assert [f.name for f in noise_capacity.figures(part)] == [
        "noise-capacity",
        "noise-capacity-convergence",
    ]
    assert [len(rows) for _, _, rows in noise_capacity.tables(part)] == [3, 3]


def test_a_target_that_is_never_reached_is_a_status_with_what_was_reached() -> None:
    """After one epoch nothing is fitted: the accuracy that was reached is told, and no ordering is judged."""
    part, claims = capacity.measure(subject_of(), small(capacity_epochs=1), Run())
    assert part["status"] == "not reached"
    assert "not in 1 epoch (" in part["sentence"]
    for curve in part["curves"]:
        for point in curve["points"]:
            assert (point["status"], point["reached"]) == ("not reached", 0)
            assert 0 <= point["train_accuracy"]["mean"] < 1
            assert point["epochs_to_target"]["mean"] is None
        assert curve["slope_is_lower_bound"]
    slower = [o for o in claims if "slow training down" in o["claim"]]
    assert slower
    assert all(o["holds"] is None for o in slower)
    assert "not reached (" in noise_capacity.tables(part)[0][2][0][1]


def test_diverged_trainings_have_no_slope() -> None:
    """Steps far too large: a status of their own."""
    part, claims = capacity.measure(subject_of(), small(capacity_learning_rate=1e30), Run())
    assert {p["status"] for c in part["curves"] for p in c["points"]} == {"diverged"}
    assert all(c["slope"]["mean"] is None for c in part["curves"])
    assert all(o["holds"] is None for o in claims)
    assert noise_capacity.tables(part)[0][2][0][1] == "diverged"


def test_a_users_module_is_varied_by_examples_alone() -> None:
    """A module has no dial of width that is known; the part says so."""
    task = digits().smaller(80, 40)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    subject = ClassifierSubject(task=task, learner=OfModule(module=module))
    part, _ = capacity.measure(subject, small(capacity_seeds=1), Run())
    assert {c["axis"] for c in part["curves"]} == {"examples"}
    assert "no dial of width" in part["not_varied"]
    assert [f.name for f in noise_capacity.figures(part)] == ["noise-capacity-convergence"]


def test_numbers_of_examples_beyond_the_data_are_left_out() -> None:
    """Only numbers that there are become conditions; with none of them, all examples are one."""
    settings = small(capacity_seeds=1, capacity_epochs=2)
    part, _ = capacity.measure(subject_of(50), settings, Run())
    some = [c for c in part["curves"] if c["axis"] == "examples"]
    assert {p["value"] for c in some for p in c["points"]} == {40}
    assert part["left_out_examples"] == [80]
    few, _ = capacity.measure(subject_of(30), settings, Run())
    some = [c for c in few["curves"] if c["axis"] == "examples"]
    assert {p["value"] for c in some for p in c["points"]} == {30}


def test_every_network_of_ours_has_a_dial_of_width() -> None:
    """Names of architectures and of dials belong together."""
    assert set(WIDTHS) == set(ARCHITECTURES)


@pytest.mark.parametrize(
    ("dial", "value"),
    [
        ("capacity_units", ()),
        ("capacity_examples", (2,)),
        ("capacity_kinds", ("randZ",)),
        ("capacity_target", 0.0),
        ("capacity_epochs", 0),
    ],
)
def test_dials_have_ranges(dial: str, value: object) -> None:
    """A value without a meaning is refused by its name."""
    with pytest.raises(UsageError, match=f"{dial} must"):
        NoiseSettings(**{dial: value})  # type: ignore[arg-type]  # that is the point
