"""Regularizers on any classifier, and how flat their curves are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from secretaudit.errors import UsageError
from secretaudit.report import noise_regularizers
from secretaudit.suite.cells import Cells
from secretaudit.suite.classifier import Classifier, Plain
from secretaudit.suite.data.arrays import digits
from secretaudit.suite.fitting import FitSettings, cross_entropy, fit
from secretaudit.suite.labelled import Labelled, Task
from secretaudit.suite.learner import Architecture
from secretaudit.suite.noise import regularizers
from secretaudit.suite.noise.lass import Lass, released
from secretaudit.suite.noise.regularizers import Point, area, free_cap
from secretaudit.suite.noise.settings import NoiseSettings
from secretaudit.suite.noise.techniques import (
    TECHNIQUES,
    Technique,
    hidden_places,
    regularized,
)
from secretaudit.suite.subject import ClassifierSubject, Run

SEARCH = released(3.0, 3)


def image_task(count: int = 60) -> Task:
    return digits().smaller(count, 40)


def text_task() -> Task:
    rng = torch.Generator().manual_seed(0)
    rows = torch.randint(1, 30, (40, 6), generator=rng)
    rows[:, 4:] = 0
    part = Labelled(inputs=rows, labels=(rows[:, 0] > 15).long())
    return Task(
        name="text",
        kind="text",
        train=part,
        held_out=part,
        class_names=["low", "high"],
        vocabulary=30,
    )


class Functional(nn.Module):
    """A network that calls its activation as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.last(F.relu(self.first(x.flatten(1))))
        return scores


def loss_of(model: Classifier, task: Task, technique: Technique, seed: int = 0) -> float:
    """The objective on the whole training part, in training mode."""
    torch.manual_seed(seed)
    model.train()
    with regularized(model, task, technique, SEARCH) as objective:
        return float(objective(model, task.train.inputs, task.train.labels).detach())


@pytest.mark.parametrize("name", TECHNIQUES)
@pytest.mark.parametrize("task", [image_task(), text_task()], ids=["image", "text"])
def test_a_strength_of_zero_is_no_regularizer(name: str, task: Task) -> None:
    """Every technique at 0 gives the plain cross-entropy."""
    model = Architecture(task=task).fresh(0)
    plain = float(cross_entropy(model, task.train.inputs, task.train.labels).detach())
    assert loss_of(model, task, Technique(name=name, value=0.0)) == pytest.approx(plain, rel=1e-6)


@pytest.mark.parametrize("name", [n for n in TECHNIQUES if n != "weight-decay"])
@pytest.mark.parametrize("task", [image_task(), text_task()], ids=["image", "text"])
def test_a_technique_changes_the_loss_in_training_only(name: str, task: Task) -> None:
    """With a strength the objective differs; the scores in evaluation mode do not, and afterwards nothing is left."""
    model = Architecture(task=task).fresh(0)
    model.eval()
    scores = model(task.train.inputs)
    plain = loss_of(model, task, Technique(name="dropout", value=0.0))
    assert loss_of(model, task, Technique(name=name, value=0.5)) != pytest.approx(plain, rel=1e-6)
    with regularized(model, task, Technique(name=name, value=0.5), SEARCH):
        model.eval()
        assert torch.equal(model(task.train.inputs), scores)
    model.train()
    assert torch.equal(model(task.train.inputs), scores)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_dropout_equals_the_networks_own() -> None:
    """The hooks give, draw by draw, what nn.Dropout layers after the activations give."""
    task = image_task()
    plain = Architecture(task=task).fresh(3)
    own = Architecture(task=task, options={"dropout": 0.4}).fresh(3)
    own.train()
    torch.manual_seed(5)
    expected = float(cross_entropy(own, task.train.inputs, task.train.labels).detach())
    found = loss_of(plain, task, Technique(name="dropout", value=0.4), seed=5)
    assert found == pytest.approx(expected, rel=1e-6)


def test_places_are_activations_or_the_last_linear_layers_input() -> None:
    """Modules that are activations are found; where functions are called, the last linear layer's input is taken."""
    names, on_input = hidden_places(nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 2)))
    assert (names, on_input) == (["1"], False)
    assert hidden_places(Functional()) == (["last"], True)


def test_a_network_of_functions_is_disturbed_before_its_last_layer() -> None:
    """Dropout of almost everything leaves the bias of the last layer."""
    task = image_task()
    model = Plain(Functional())
    model.train()
    with regularized(model, task, Technique(name="dropout", value=0.999999), SEARCH):
        scores = model(task.train.inputs)
    bias = model.get_submodule("module.last").bias
    assert isinstance(bias, Tensor)
    assert torch.allclose(scores, bias.expand_as(scores))


def test_hidden_noise_has_the_deviation_that_was_asked_for() -> None:
    """What an activation gives differs from what it gave by noise of that standard deviation."""
    task = image_task()
    last = nn.Linear(4096, 10, bias=False)
    model = Plain(nn.Sequential(nn.Flatten(), nn.Linear(64, 4096), nn.ReLU(), last))
    seen: list[Tensor] = []
    last.register_forward_pre_hook(lambda _module, given: seen.append(given[0].detach()))
    model.eval()
    model(task.train.inputs)
    model.train()
    with regularized(model, task, Technique(name="hidden-noise", value=0.3), SEARCH):
        model(task.train.inputs)
    assert float((seen[1] - seen[0]).std()) == pytest.approx(0.3, rel=0.02)


def test_dropped_tokens_leave_at_least_one() -> None:
    """Of text, a share of tokens is left out in their order, padding stays on the right, and no row is empty."""
    task = text_task()
    seen: list[Tensor] = []

    class Seeing(Classifier):
        def continuous(self, inputs: Tensor) -> Tensor:
            seen.append(inputs)
            return F.one_hot(inputs, 30).float()

        def from_continuous(self, points: Tensor, inputs: Tensor) -> Tensor:
            scores: Tensor = points.sum(1)[:, :2]
            return scores

    loss_of(Seeing(), task, Technique(name="input-dropout", value=0.9))
    last, given = seen[-1], task.train.inputs
    for row, whole in zip(last.tolist(), given.tolist(), strict=True):
        kept = [token for token in row if token]
        rest = iter(whole)
        assert kept
        assert row == kept + [0] * (len(row) - len(kept))
        assert all(token in rest for token in kept)  # in the order that they had
    # of 4 tokens, 0.4 stay and with probability 0.9⁴ one more: 1.06 on average
    assert int((last != 0).sum()) == pytest.approx(1.06 * len(given), rel=0.15)


def test_adversarial_training_mixes_two_losses() -> None:
    """(1 − w) L(x) + w L(x'), for a linear classifier: x' is in a corner of the box, so L(x') is known."""
    task = image_task()
    model = Plain(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    sure = Lass(alpha=1e6, beta=0.0, radius=30.0, iterations=1)
    x, y = task.train.inputs, task.train.labels
    moving = x.clone().requires_grad_(True)
    scores = model(moving)
    (slope,) = torch.autograd.grad(F.cross_entropy(scores, scores.argmax(1)), moving)
    corner = x + 30 / 255 * slope.sign()
    with torch.no_grad():
        expected = 0.7 * F.cross_entropy(model(x), y) + 0.3 * F.cross_entropy(model(corner), y)
    with regularized(model, task, Technique(name="adversarial", value=0.3), sure) as objective:
        found = float(objective(model, x, y).detach())
    assert found == pytest.approx(float(expected), rel=1e-5)


def test_weight_decay_is_the_optimizers() -> None:
    """Only that technique has one."""
    assert Technique(name="weight-decay", value=0.1).weight_decay == 0.1
    assert Technique(name="dropout", value=0.1).weight_decay == 0.0


def test_a_regularized_training_is_repeated_by_its_seed() -> None:
    """The same seed, the same weights; noise leaves torch's generator as it was."""
    task = image_task()
    weights = []
    before = torch.get_rng_state()
    for _ in range(2):
        model = Architecture(task=task).fresh(0)
        one = Technique(name="adversarial", value=0.5, dropout=0.3)
        with regularized(model, task, one, SEARCH) as objective:
            fit(model, task.train, FitSettings(epochs=2), 7, objective=objective)
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(*weights)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("name", "value"), [("dropout", 1.0), ("input-noise", -1.0), ("adversarial", 1.5)]
)
def test_strengths_have_ranges(name: str, value: float) -> None:
    """A probability of 1, a negative deviation and a weight above 1 are refused."""
    with pytest.raises(UsageError, match="must be at least"):
        Technique(name=name, value=value)
    with pytest.raises(UsageError, match="technique must be one of"):
        Technique(name="drop-out", value=0.5)


PLAIN = Point(memorized=1.0, learned=0.9)


def test_free_cap_is_what_goes_before_accuracy_goes() -> None:
    """The least memorization among strengths that lose at most the tolerance, against none; nothing where all of them cost."""
    points = [
        Point(memorized=0.7, learned=0.92),
        Point(memorized=0.4, learned=0.89),
        Point(memorized=0.2, learned=0.6),
    ]
    assert free_cap(PLAIN, points, 0.01) == pytest.approx(0.6)
    assert free_cap(PLAIN, points, 0.005) == pytest.approx(0.3)
    assert free_cap(PLAIN, points[2:], 0.01) == 0.0


def test_area_equals_a_sum_over_a_fine_grid() -> None:
    """The area is the mean over a grid of x of the frontier's height (naive twin: points that another dominates are left out)."""
    points = [
        Point(memorized=0.7, learned=0.92),
        Point(memorized=0.2, learned=0.3),
        Point(memorized=0.4, learned=0.89),
        Point(memorized=0.5, learned=0.6),
        Point(memorized=1.2, learned=0.99),
        Point(memorized=0.05, learned=0.2),
    ]
    chance, steps = 0.1, 5_000
    kept = [
        p
        for p in [*points, PLAIN]
        if chance < p.memorized <= 1.0
        and p.learned > chance
        and not any(
            q != p and q.memorized <= p.memorized and q.learned >= p.learned for q in points
        )
    ]
    kept.sort(key=lambda p: p.memorized)
    x = [chance] + [p.memorized for p in kept]
    y = [chance] + [p.learned for p in kept]
    grid = chance + (1.0 - chance) * (np.arange(steps) + 0.5) / steps
    expected = float(np.interp(grid, x, y).mean())  # constant to the right of the last
    assert area(PLAIN, points, chance) == pytest.approx(expected, abs=1e-4)


def test_area_has_its_extremes() -> None:
    """Nearly capped at no cost: nearly the accuracy; never capped: the line to chance; nothing memorized: not known."""
    best = area(PLAIN, [Point(memorized=0.1 + 1e-9, learned=0.9)], 0.1)
    assert best == pytest.approx(0.9)
    assert area(PLAIN, [], 0.1) == pytest.approx((0.1 + 0.9) / 2)
    assert area(Point(memorized=0.1, learned=0.9), [], 0.1) is None


def small(**more: object) -> NoiseSettings:
    return NoiseSettings(
        regularizer_techniques=("dropout", "weight-decay", "adversarial"),
        regularizer_dropout=(0.5,),
        regularizer_weight_decay=(0.5,),
        regularizer_adversarial_dropout=(0.5,),
        regularizer_iterations=2,
        regularizer_examples=40,
        regularizer_epochs=50,
        regularizer_seeds=2,
        **more,  # type: ignore[arg-type]  # any other dial
    )


def test_the_part_is_measured_resumed_and_drawn(tmp_path: Path) -> None:
    """Memorization is complete without a regularizer and capped with one; a second run reads the first; figures come from the record."""
    task = image_task()
    subject = ClassifierSubject(task=task, learner=Architecture(task=task))
    run = Run(cells=Cells(place=tmp_path), identity="digits")
    part, orderings = regularizers.measure(subject, small(), run)
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = regularizers.measure(subject, small(), run)
    assert again == (part, orderings)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == finished
    json.dumps(part, allow_nan=False)
    assert part["status"] == "measured"
    assert part["without"]["memorized"]["mean"] > 0.8
    decayed = part["techniques"][1]
    assert decayed["technique"] == "weight-decay"
    assert decayed["points"][0]["memorized"]["mean"] < 0.4
    assert {o["part"] for o in orderings} == {"regularizers"}
    figures = noise_regularizers.figures(part)
    assert [f.name for f in figures] == ["noise-regularizers", "noise-regularizers-flatness"]
    assert [row[0] for row in noise_regularizers.tables(part)[0][2]] == [
        "dropout",
        "weight-decay",
        "adversarial",
    ]


def test_too_little_memorization_is_a_status() -> None:
    """Where random labels are not fitted without a regularizer, the part says so and how far it came."""
    task = image_task()
    subject = ClassifierSubject(task=task, learner=Architecture(task=task))
    settings = NoiseSettings(
        regularizer_techniques=("dropout",),
        regularizer_dropout=(0.5,),
        regularizer_examples=60,
        regularizer_epochs=1,
        regularizer_seeds=1,
    )
    part, _ = regularizers.measure(subject, settings, Run())
    assert part["status"] == "not reached"
    assert "% of random labels are fitted in 1 epoch:" in part["sentence"]


def test_diverged_trainings_are_told() -> None:
    """Where no training without a regularizer comes to an end, nothing is measured and nothing is drawn."""
    task = image_task()
    subject = ClassifierSubject(task=task, learner=Architecture(task=task))
    settings = NoiseSettings(
        regularizer_techniques=("dropout",),
        regularizer_dropout=(0.5,),
        regularizer_examples=60,
        regularizer_epochs=3,
        regularizer_seeds=1,
        regularizer_learning_rate=1e30,
    )
    part, orderings = regularizers.measure(subject, settings, Run())
    assert part["status"] == "could not measure"
    assert all(o["holds"] is None for o in orderings)
    assert noise_regularizers.figures(part) == []
