"""The whole of ``suite pretraining`` on digits and on clips, resumed and drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from secretaudit.errors import ModelError, UsageError
from secretaudit.report.pretraining import figures, tables
from secretaudit.suite.cells import Cells
from secretaudit.suite.data.arrays import digits
from secretaudit.suite.data.moving_shapes import moving_shapes_task
from secretaudit.suite.learner import Architecture, Factory
from secretaudit.suite.pretraining.run import run
from secretaudit.suite.pretraining.settings import PretrainingSettings
from secretaudit.suite.subject import ClassifierSubject, Run
from secretaudit.suite.transformers_learner import OfDirectory

SMALL: dict[str, Any] = {
    "examples": 30,
    "seeds": 2,
    "rounds": 2,
    "target": 0.9,
    "memorize_epochs": 80,
    "epochs": 3,
    "learning_rate": 0.05,
}


def on_digits(**options: Any) -> ClassifierSubject:
    task = digits().smaller(200, 50)
    return ClassifierSubject(
        task=task, learner=Architecture(task=task, options={"hidden": 32} | options)
    )


def headless() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_a_run_measures_rounds_and_transfer_and_is_found_again(tmp_path: Path) -> None:
    """Plain JSON, all conditions, all orderings; a second run finds every seed done and says the same."""
    settings = PretrainingSettings(**SMALL)
    here = Run(seed=3, cells=Cells(place=tmp_path), identity="digits")
    found = run(on_digits(), settings, here)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    parts = found["parts"]
    assert [part["status"] for part in parts.values()] == ["measured", "measured", "not applicable"]
    assert parts["rounds"]["examples"] == 30 and len(parts["rounds"]["rounds"]) == 2
    assert list(parts["transfer"]["conditions"]) == [
        "scratch", "pre-trained", "rescaled", "re-initialized 1",
    ]  # fmt: skip
    assert [o["part"] for o in found["orderings"]] == ["rounds", "transfer", "transfer"]
    assert len(list(tmp_path.glob("*.json"))) == 2
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")}
    assert run(on_digits(), settings, here) == found
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")} == stamps


def test_the_seed_decides_everything() -> None:
    """The same seed gives the same numbers, another gives others."""
    settings = PretrainingSettings(**SMALL | {"seeds": 1, "parts": ("rounds",)})
    first, again, other = (run(on_digits(), settings, Run(seed=s)) for s in (1, 1, 2))
    assert first == again
    assert first["parts"]["rounds"]["per_seed"] != other["parts"]["rounds"]["per_seed"]


def test_parts_can_be_left_out() -> None:
    """Rounds alone need no fine-tuning, transfer alone only its own round."""
    rounds = run(on_digits(), PretrainingSettings(**SMALL | {"parts": ("rounds",)}), Run())
    assert list(rounds["parts"]) == ["rounds"]
    transfer = run(on_digits(), PretrainingSettings(**SMALL | {"parts": ("transfer",)}), Run())
    assert list(transfer["parts"]) == ["transfer"]
    assert figures(transfer)[0].name == "pretraining-transfer-gain" and len(figures(transfer)) == 1


def test_uniform_labels_may_have_other_classes_than_the_true_ones() -> None:
    """Three random classes are memorized with a head of three outputs, and ten are fine-tuned."""
    settings = PretrainingSettings(**SMALL | {"labels": "uniform", "random_classes": 3})
    found = run(on_digits(), settings, Run())
    assert found["parts"]["rounds"]["classes"] == 3
    assert found["parts"]["transfer"]["status"] == "measured"


def test_a_target_out_of_reach_is_reported_with_what_was_reached() -> None:
    """One epoch memorizes nothing; the transfer is measured all the same, and says so."""
    found = run(on_digits(), PretrainingSettings(**SMALL | {"memorize_epochs": 1}), Run())
    rounds, transfer = found["parts"]["rounds"], found["parts"]["transfer"]
    assert rounds["status"] == "not reached" and rounds["rounds"][0]["reached"] == 0
    assert 0 < rounds["rounds"][0]["accuracy"]["mean"] < 0.9
    assert transfer["memorization_not_reached"] == 2
    assert "2 of 2 pre-trainings ended below their target" in transfer["sentence"]


def test_memorizations_that_diverge_measure_nothing() -> None:
    """Both parts say so, and nothing is drawn."""
    found = run(on_digits(), PretrainingSettings(**SMALL | {"learning_rate": 1e30}), Run())
    assert [found["parts"][n]["status"] for n in ("rounds", "transfer")] == [
        "could not measure",
        "could not measure",
    ]
    assert figures(found) == [] and tables(found) == []
    assert all(ordering["holds"] is None for ordering in found["orderings"])


def test_what_every_seed_would_trip_over_is_refused_first() -> None:
    """More layers than there are, and a model without a head."""
    with pytest.raises(UsageError, match="last 2 layers before the head"):
        run(on_digits(), PretrainingSettings(**SMALL | {"reinitialize": (2,)}), Run())
    subject = ClassifierSubject(task=digits(), learner=Factory(make=headless, name="headless"))
    with pytest.raises(ModelError, match="no linear layer that gives its class scores"):
        run(subject, PretrainingSettings(**SMALL), Run())


def test_figures_and_tables_show_what_was_found() -> None:
    """Figure 1 by its number, epochs with intervals, gains in points."""
    found = run(on_digits(), PretrainingSettings(**SMALL), Run())
    rounds, gain = figures(found)
    assert "figure 1" in rounds.title
    bars = rounds.panels[1].series[0]  # type: ignore[union-attr]  # a panel
    assert bars.y == tuple(r["epochs"]["mean"] for r in found["parts"]["rounds"]["rounds"])
    shown = gain.panels[1].series[0]  # type: ignore[union-attr]  # a panel
    expected = [100 * g["mean"] for g in found["parts"]["transfer"]["gains"].values()]
    assert list(shown.y) == pytest.approx(expected)
    assert [len(rows) for _, _, rows in tables(found)] == [2, 4]


def test_clips_go_through_the_3d_network() -> None:
    """Moving shapes, read by clip-cnn."""
    task = moving_shapes_task(6, classes="shape", frames=4, size=8)
    subject = ClassifierSubject(task=task, learner=Architecture(task=task, options={"filters": 4}))
    found = run(subject, PretrainingSettings(**SMALL | {"seeds": 1}), Run())
    assert found["parts"]["transfer"]["conditions"]["scratch"]["held_out"]["n"] == 1


@pytest.mark.parametrize("kind", ["videomae", "vivit"])
def test_video_transformers_go_through(tmp_path: Path, kind: str) -> None:
    """Tiny ones made from a configuration: head found, replaced and fine-tuned."""
    import transformers

    common: dict[str, Any] = {
        "image_size": 16,
        "num_channels": 3,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "num_labels": 3,
    }
    config: Any = (
        transformers.VideoMAEConfig(patch_size=8, num_frames=4, tubelet_size=2, **common)
        if kind == "videomae"
        else transformers.VivitConfig(num_frames=4, tubelet_size=[2, 8, 8], **common)
    )
    config.architectures = [
        "VideoMAEForVideoClassification" if kind == "videomae" else "VivitForVideoClassification"
    ]
    config.save_pretrained(tmp_path)
    task = moving_shapes_task(4, classes="shape", frames=4, size=16)
    subject = ClassifierSubject(task=task, learner=OfDirectory(path=tmp_path, task=task))
    dials = SMALL | {"seeds": 1, "memorize_epochs": 3, "labels": "uniform", "random_classes": 5}
    with torch.random.fork_rng():
        found = run(subject, PretrainingSettings(**dials), Run())
    assert found["parts"]["rounds"]["classes"] == 5
    assert len(found["parts"]["transfer"]["conditions"]["pre-trained"]["curve"]) == 3
