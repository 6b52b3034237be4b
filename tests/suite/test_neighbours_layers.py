"""Layers, embeddings, linear classifiers, conditions and the trainings behind them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from secretaudit.errors import CouldNotMeasure, ModelError, UsageError
from secretaudit.suite.classifier import Plain
from secretaudit.suite.labelled import Labelled, Task
from secretaudit.suite.learner import Architecture
from secretaudit.suite.neighbours.conditions import condition
from secretaudit.suite.neighbours.layers import (
    Layer,
    class_probabilities,
    embedding_of,
    features,
    layers_of,
    projected,
    spread,
)
from secretaudit.suite.neighbours.probes import linear_probe
from secretaudit.suite.neighbours.settings import NeighboursSettings


def image_task(count: int = 40) -> Task:
    drawn = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 3
    inputs = torch.randn(count, 1, 8, 8, generator=drawn) + labels[:, None, None, None]
    return Task(
        name="toy",
        kind="image",
        train=Labelled(inputs=inputs, labels=labels),
        held_out=Labelled(inputs=inputs[:9] + 0.1, labels=labels[:9]),
        class_names=["a", "b", "c"],
    )


def small_lenet(task: Task) -> nn.Module:
    options = {"filters": 2, "units": 6, "normalize": True}
    return Architecture(task=task, architecture="lenet", options=options).fresh(0)


def test_layers_stand_in_the_order_of_use_with_the_embedding_among_them() -> None:
    """LeNet: input, two convolutions with ReLU and pooling, the hidden layer, unit length = embedding, scores."""
    task = image_task()
    found = layers_of(small_lenet(task), task.train.inputs)
    kinds = [one.kind for one in found]
    assert kinds[:-2] == [
        "input", "Conv2d", "ReLU", "MaxPool2d", "Conv2d", "ReLU", "MaxPool2d", "Linear", "ReLU",
    ]  # fmt: skip
    assert found[-2].name == "embedding"
    assert kinds[-1] == "Linear"


def test_the_embedding_times_the_last_weights_gives_the_scores() -> None:
    """The features of the embedding are what the last linear layer reads."""
    task = image_task()
    model = small_lenet(task)
    points = torch.from_numpy(features(model, task.train.inputs, embedding_of(model)))
    last = [part for part in model.modules() if isinstance(part, nn.Linear)][-1]
    with torch.no_grad():
        assert torch.allclose(last(points), model(task.train.inputs), atol=1e-6)
    assert torch.allclose(points.norm(dim=1), torch.ones(40), atol=1e-5)


def test_pooling_is_the_mean_over_places() -> None:
    """One number per map of a convolution, one per feature of a sequence; a row stays as it is."""
    task = image_task()
    model = small_lenet(task)
    inputs = task.train.inputs
    pooled = features(model, inputs, Layer(name="c", module="module.0"), pool="all")
    with torch.no_grad():
        maps = model.get_submodule("module.0")(inputs)
    assert np.allclose(pooled, maps.mean((2, 3)).numpy(), atol=1e-6)
    row = embedding_of(model)
    assert np.array_equal(features(model, inputs, row, pool="all"), features(model, inputs, row))
    words = Plain(nn.Sequential(nn.Conv1d(2, 3, 1), nn.Flatten(), nn.Linear(15, 2)))
    text = torch.randn(4, 2, 5, generator=torch.Generator().manual_seed(1))
    place = Layer(name="c", module="module.0")
    found = features(words, text, place, pool="sequences")
    with torch.no_grad():
        assert np.allclose(found, words.get_submodule("module.0")(text).mean(2).numpy(), atol=1e-6)
    assert features(words, text, place).shape == (4, 15)
    assert features(model, inputs, Layer(name="c", module="module.0"), pool="sequences").shape == (
        40,
        128,
    )


def test_a_sequence_of_vectors_is_pooled_over_its_tokens() -> None:
    """(n, T, d) of an embedding: the mean over T."""
    table = nn.Embedding(7, 3)
    model = Plain(nn.Sequential(table, nn.Flatten(), nn.Linear(12, 2)))
    ids = torch.tensor([[1, 2, 3, 4], [5, 5, 6, 0]])
    found = features(model, ids, Layer(name="e", module="module.0"), pool="sequences")
    assert np.allclose(found, table.weight.detach()[ids].mean(1).numpy(), atol=1e-6)


def test_of_very_many_layers_some_are_looked_at_with_the_embedding() -> None:
    """First and last, equal steps between, and the embedding wherever it stands."""
    places = [Layer(name=str(i), module="m") for i in range(20)]
    places[13] = Layer(name="embedding", module="m")
    found = [one.name for one in spread(places, 5)]
    assert found == ["0", "5", "10", "embedding", "14", "19"]
    assert spread(places, 20) == places


def test_a_layer_that_is_not_there_is_refused_with_the_names() -> None:
    """As embedding and in the list."""
    task = image_task()
    model = small_lenet(task)
    with pytest.raises(UsageError, match=r"no layer 'hidden'.*Its layers are: .*module.0"):
        embedding_of(model, "hidden")
    with pytest.raises(UsageError, match="no layer 'hidden'"):
        layers_of(model, task.train.inputs, ("module.0", "hidden"))


def test_a_model_without_a_linear_layer_needs_a_name() -> None:
    """The way out names it; with a name it can be looked at."""
    model = Plain(nn.Sequential(nn.Conv2d(1, 3, 8), nn.Flatten()))
    with pytest.raises(ModelError, match="no linear layer"):
        embedding_of(model)
    named = embedding_of(model, "module.0")
    assert features(model, torch.zeros(4, 1, 8, 8), named).shape == (4, 3)


def test_a_layer_that_is_used_twice_is_refused_and_not_listed() -> None:
    """One row per example is what a distance needs."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.turn, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.turn(self.turn(x)))

    torch.manual_seed(0)
    model, inputs = Plain(Twice()), torch.randn(5, 4)
    assert [one.module for one in layers_of(model, inputs)] == ["", "module.head", "module.head"]
    with pytest.raises(ModelError, match="does not give one row per example"):
        features(model, inputs, Layer(name="turn", module="module.turn"))


def test_a_layer_too_large_to_keep_is_said_with_the_way_out() -> None:
    """128 features of 40 examples are 20 kB."""
    task = image_task()
    with pytest.raises(CouldNotMeasure, match=r"128 features.*--pool"):
        features(
            small_lenet(task), task.train.inputs, Layer(name="c", module="module.0"), memory=20_000
        )


def test_principal_components_keep_distances_when_all_are_kept() -> None:
    """Points in a plane of a space of six dimensions: two components hold all distances (a rotation)."""
    rng = np.random.default_rng(0)
    points = (rng.normal(size=(20, 2)) @ rng.normal(size=(2, 6))).astype(np.float32)
    train, held = projected(points[:15], points[15:], 2)
    assert train.shape == (15, 2)
    before = np.linalg.norm(points[15:, None] - points[None, :15], axis=2)
    after = np.linalg.norm(held[:, None] - train[None], axis=2)
    assert np.allclose(before, after, atol=1e-4)


def test_scores_that_are_nan_are_refused() -> None:
    """A NaN in the head."""
    head = nn.Linear(4, 2)
    with torch.no_grad():
        head.weight[0, 0] = torch.nan
    with pytest.raises(CouldNotMeasure, match="scores that are NaN"):
        class_probabilities(Plain(head), torch.ones(3, 4))


@pytest.mark.parametrize("kind", ["svm", "logistic"])
def test_a_linear_classifier_separates_what_a_plane_separates(kind: str) -> None:
    """Two clouds, whatever their scale: right on both sets."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 30)
    points = (rng.normal(size=(60, 3)) + 8 * labels[:, None]).astype(np.float32) * 1000
    found = linear_probe(kind, points, labels, [points, points[::-1]])
    assert found.status == "measured"
    assert (found.classes[0] == labels).all() and (found.classes[1] == labels[::-1]).all()


@pytest.mark.parametrize("kind", ["svm", "logistic"])
def test_a_linear_classifier_that_does_not_converge_says_so(kind: str) -> None:
    """One iteration (a hundred of the SVM's) on labels that are noise."""
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(300, 20)).astype(np.float32), rng.integers(0, 3, 300)
    assert linear_probe(kind, points, labels, [], iterations=1).status == "not converged"


def test_a_linear_classifier_of_one_class_is_refused() -> None:
    """There is nothing to separate."""
    with pytest.raises(UsageError, match="The 4 examples of a linear classifier have one class"):
        linear_probe("svm", np.zeros((4, 2), np.float32), np.ones(4, int), [])


def test_conditions_are_what_the_paper_says() -> None:
    """Random labels: the same inputs, labels drawn again, no weight decay; few examples; one step per epoch."""
    task, settings = image_task(), NeighboursSettings(overfit_examples=12, k=5)
    true, random, few, large = (
        condition(name, task, settings, 3)
        for name in ("true labels", "random labels", "over-fit", "large batch")
    )
    assert torch.equal(true.train.labels, task.train.labels) and true.fit.weight_decay > 0
    assert torch.equal(random.train.inputs, task.train.inputs) and random.fit.weight_decay == 0
    assert not torch.equal(random.train.labels, task.train.labels)
    assert len(few.train) == 12 and few.fit.weight_decay == 0
    assert large.fit.batch_size == len(task.train) and large.fit.learning_rate == 0.5


def test_random_labels_are_uniform_and_the_seeds_own() -> None:
    """3,000 draws of three classes: each within 5 standard deviations of a third; another seed, other labels."""
    task = image_task(3000)
    first, again, other = (
        condition("random labels", task, NeighboursSettings(), seed).train.labels
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    counts = torch.bincount(first).double()
    assert float((counts - 1000).abs().max()) < 5 * (3000 * 2 / 9) ** 0.5


def test_few_examples_of_one_class_are_refused() -> None:
    """One example has one class."""
    with pytest.raises(UsageError, match="over-fitting run have one class"):
        condition("over-fit", image_task(), NeighboursSettings(overfit_examples=1), 0)


@pytest.mark.parametrize(
    ("dials", "message"),
    [
        ({"k": 0}, "k must be at least 1"),
        ({"k_values": (1, 0)}, "k_values must be at least 1"),
        ({"metric": "l7"}, "metric must be one of"),
        ({"pool": "some"}, "pool must be one of sequences, all, none"),
        ({"engine": "magic"}, "engine must be one of"),
        ({"parts": ("agrement",)}, "Did you mean 'agreement'"),
        ({"conditions": ("random",)}, "conditions must be one of"),
        ({"probes": ("tree",)}, "probes must be one of"),
        ({"target": 1.5}, "target must be above 0 and at most 1"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0"),
    ],
)
def test_settings_out_of_range_are_refused(dials: dict[str, object], message: str) -> None:
    """Each by its name."""
    with pytest.raises(UsageError, match=message):
        NeighboursSettings(**dials)  # type: ignore[arg-type]  # wrong values are the point
