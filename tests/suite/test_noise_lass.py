"""LASS against classifiers whose critical samples are known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from secretaudit.errors import ModelError, UsageError
from secretaudit.suite.classifier import Classifier, Plain
from secretaudit.suite.labelled import Labelled, Task
from secretaudit.suite.learner import Architecture
from secretaudit.suite.noise.lass import (
    Lass,
    critical_sample_ratio,
    released,
    scale_of,
    search,
)

STEEPEST = Lass(beta=0.0, iterations=20)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def linear(weights: Tensor, bias: Tensor) -> Classifier:
    """s = W x + b."""
    layer = nn.Linear(weights.shape[1], weights.shape[0])
    with torch.no_grad():
        layer.weight.copy_(weights)
        layer.bias.copy_(bias)
    return Plain(layer)


def random_linear(classes: int, features: int = 12) -> tuple[Classifier, Tensor, Tensor]:
    weights = torch.randn(classes, features, generator=seeded(1))
    bias = torch.randn(classes, generator=seeded(2))
    return linear(weights, bias), weights, bias


def text_task(rows: list[list[int]]) -> Task:
    part = Labelled(inputs=torch.tensor(rows), labels=torch.arange(len(rows)) % 2)
    return Task(
        name="text",
        kind="text",
        train=part,
        held_out=part,
        class_names=["a", "b"],
        vocabulary=9,
    )


@pytest.mark.parametrize("radius", [0.1, 0.3, 1.0])
def test_two_linear_classes_are_critical_where_the_margin_is_below_the_box(radius: float) -> None:
    """x is critical exactly where |w·x + b| < r ‖w‖₁, w and b the difference of the two classes."""
    model, weights, bias = random_linear(2)
    x = torch.randn(400, 12, generator=seeded(3))
    w, b = weights[0] - weights[1], bias[0] - bias[1]
    expected = (x @ w + b).abs() < radius * w.abs().sum()
    found = search(model, x, STEEPEST.at(radius), 1.0, seeded()).critical
    assert 0 < int(expected.sum()) < 400
    assert found.tolist() == expected.tolist()


def test_many_linear_classes_never_exceed_the_nearest_pair() -> None:
    """The closed form min_j (s_k − s_j − r ‖w_k − w_j‖₁) < 0 bounds what is found, and most of it is found."""
    model, weights, bias = random_linear(6)
    x = torch.randn(600, 12, generator=seeded(4))
    scores = (x @ weights.T + bias).numpy()
    w = weights.numpy()
    expected = []
    for row in scores:
        k = int(row.argmax())
        gaps = [row[k] - row[j] - 0.3 * np.abs(w[k] - w[j]).sum() for j in range(6) if j != k]
        expected.append(min(gaps) < 0)
    found = search(model, x, released(0.3), 1.0, seeded()).critical.numpy()
    assert not (found & ~np.array(expected)).any()
    assert found.sum() >= 0.9 * sum(expected) > 0


def test_noise_loses_little_of_the_closed_form() -> None:
    """With the released β the ratio of a linear classifier lies below r ‖w‖₁'s and above that of three quarters of the box."""
    model, weights, bias = random_linear(2)
    x = torch.randn(2000, 12, generator=seeded(5))
    w, b = weights[0] - weights[1], bias[0] - bias[1]
    margin = (x @ w + b).abs() / w.abs().sum()
    found = critical_sample_ratio(model, x, released(0.3), 1.0, seeded())
    assert float((margin < 0.225).double().mean()) <= found <= float((margin < 0.3).double().mean())


def test_the_released_constants_are_the_defaults() -> None:
    """α = 0.25, β = 0.2, r = 0.3, 100 steps, on the 0–255 scale (Arpit et al.'s released code)."""
    lass = Lass()
    assert (lass.alpha, lass.beta, lass.radius, lass.iterations) == (0.25, 0.2, 0.3, 100)
    assert lass.stop_below == 0.0
    wider = lass.at(3.0)
    assert (wider.alpha, wider.beta, wider.radius) == pytest.approx((2.5, 2.0, 3.0))


def test_no_point_leaves_the_box() -> None:
    """‖x' − x‖_∞ ≤ r, and somewhere the box is used up."""
    model, _, _ = random_linear(3)
    x = torch.randn(50, 12, generator=seeded(6))
    found = search(model, x, released(2.0), 0.01, seeded())
    away = (found.points - x).abs()
    assert float(away.max()) <= 0.02 + 1e-6
    assert float(away.max()) > 0.0199


def test_points_stay_in_the_valid_range() -> None:
    """With bounds, every coordinate stays between them."""
    model, _, _ = random_linear(3)
    x = torch.rand(50, 12, generator=seeded(7))
    found = search(model, x, Lass(radius=5.0, valid_low=0.0, valid_high=1.0), 1.0, seeded())
    assert 0.0 <= float(found.points.min()) <= float(found.points.max()) <= 1.0


def test_critical_points_are_of_another_class() -> None:
    """The point of a critical example is predicted otherwise than the example; of another one it is not."""
    model, _, _ = random_linear(4)
    x = torch.randn(200, 12, generator=seeded(8))
    found = search(model, x, released(0.3), 1.0, seeded())
    changed = model(found.points).argmax(1) != model(x).argmax(1)
    assert found.critical.tolist() == changed.tolist()
    assert 0 < found.ratio < 1
    assert found.ratio == float(changed.double().mean())


def test_a_critical_example_stays_critical_and_rests() -> None:
    """Once found, an example takes no further step, though noise could carry it back."""
    model = linear(torch.tensor([[1.0], [-1.0]]), torch.zeros(2))
    x = torch.tensor([[0.01], [50.0]])
    found = search(model, x, Lass(beta=5.0, alpha=0.001, radius=1.0, iterations=30), 1.0, seeded())
    assert found.critical.tolist() == [True, False]
    assert int(found.steps[0]) < 30 == int(found.steps[1])


def test_more_steps_find_at_least_as_much() -> None:
    """The flags of a longer search contain those of a shorter one with the same noise."""
    model, _, _ = random_linear(5)
    x = torch.randn(200, 12, generator=seeded(9))
    few = search(model, x, Lass(alpha=0.02, iterations=5), 1.0, seeded()).critical
    many = search(model, x, Lass(alpha=0.02, iterations=50), 1.0, seeded()).critical
    assert bool((many | ~few).all())
    assert int(many.sum()) > int(few.sum())


def test_the_stop_rule_is_a_share() -> None:
    """A search that may stop ends after the first step that finds too few; without the rule it goes on."""
    model = linear(torch.tensor([[1.0], [-1.0]]), torch.zeros(2))
    x = torch.full((10, 1), 50.0)
    stopping = Lass(iterations=30, stop_below=0.1)
    assert search(model, x, stopping, 1.0, seeded()).steps.tolist() == [1] * 10
    assert search(model, x, Lass(iterations=30), 1.0, seeded()).steps.tolist() == [30] * 10


def test_a_sure_model_is_still_searched() -> None:
    """Scores far apart, where the cross-entropy in single precision has no gradient, are crossed all the same."""
    model = linear(torch.tensor([[1e4], [-1e4]]), torch.zeros(2))
    x = torch.tensor([[0.2], [-0.2]])
    assert search(model, x, STEEPEST, 1.0, seeded()).critical.tolist() == [True, True]


def test_the_mode_is_evaluation_and_put_back() -> None:
    """Dropout does not make an example critical, and a model in training goes on training."""
    steep = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.9), nn.Linear(8, 3))
    model = Plain(steep)
    model.train()
    x = torch.randn(50, 4, generator=seeded(10))
    tiny = Lass(radius=1e-9, alpha=1e-9, beta=0.0, iterations=3)
    assert critical_sample_ratio(model, x, tiny, 1.0, seeded()) == 0.0
    assert model.training


def test_text_moves_in_its_embeddings_and_padding_rests() -> None:
    """Embeddings of tokens move, those of padding do not; the unit is the standard deviation of the tokens' coordinates."""
    task = text_task([[3, 4, 5, 0, 0], [6, 7, 0, 0, 0]])
    model = Architecture(task=task, architecture="word-cnn").fresh(0)
    rows = task.train.inputs
    points = model.continuous(rows).detach()
    unit = float(scale_of(task, model))
    coordinates = points[rows != 0].numpy()
    assert unit == pytest.approx(float(coordinates.std(ddof=1)), rel=1e-5)
    found = search(model, rows, released(0.1), unit, seeded())
    moved = (found.points - points).abs().amax(2)
    assert bool((moved[rows == 0] == 0).all())
    assert bool((moved[rows != 0] > 0).all())
    assert float(moved.max()) <= 0.1 * unit + 1e-6


def test_tables_are_measured_in_deviations_of_each_feature() -> None:
    """A feature of a hundredfold scale has a hundredfold box; a constant one is not moved."""
    x = torch.randn(200, 3, generator=seeded(11)) * torch.tensor([1.0, 100.0, 0.0])
    part = Labelled(inputs=x, labels=torch.arange(200) % 2)
    task = Task(name="t", kind="table", train=part, held_out=part, class_names=["a", "b"])
    model, _, _ = random_linear(2, 3)
    scale = scale_of(task, model)
    assert scale.tolist() == pytest.approx(x.numpy().std(0).tolist(), rel=1e-5)
    away = (search(model, x, released(0.3), scale, seeded()).points - x).abs().amax(0)
    assert bool((away <= 0.3 * scale * 1.001).all())
    assert float(away[2]) == 0.0


def test_images_are_measured_in_steps_of_the_pixel_scale() -> None:
    """A task with a pixel size has it as the unit."""
    x = torch.rand(8, 1, 2, 2, generator=seeded(12))
    part = Labelled(inputs=x, labels=torch.arange(8) % 2)
    task = Task(
        name="i", kind="image", train=part, held_out=part, class_names=["a", "b"], pixel=1 / 255
    )
    assert float(scale_of(task, Plain(nn.Flatten()))) == pytest.approx(1 / 255)


def test_the_same_generator_gives_the_same_points() -> None:
    """Noise comes from the generator alone."""
    model, _, _ = random_linear(3)
    x = torch.randn(20, 12, generator=seeded(13))
    first, second, third = (
        search(model, x, released(0.3), 1.0, seeded(s)).points for s in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_a_model_without_gradients_is_refused() -> None:
    """Scores that do not depend on the input by a gradient are named."""

    class Rounded(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.detach().round()

    with pytest.raises(ModelError, match="no gradient by the input"):
        search(Plain(Rounded()), torch.randn(4, 3), Lass(), 1.0, seeded())


def test_one_score_per_example_is_refused() -> None:
    """With one score no prediction can change."""
    model, _, _ = random_linear(1)
    with pytest.raises(ModelError, match="one score per example"):
        search(model, torch.randn(4, 12), Lass(), 1.0, seeded())


@pytest.mark.parametrize("dial", ["alpha", "radius", "iterations"])
def test_dials_of_the_search_have_ranges(dial: str) -> None:
    """A value without a meaning is refused by its name."""
    with pytest.raises(UsageError, match=f"{dial} must be"):
        Lass(**{dial: 0})
    with pytest.raises(UsageError, match="beta must be"):
        Lass(beta=-1.0)
    with pytest.raises(UsageError, match="radius must be"):
        Lass(radius=math.inf)
