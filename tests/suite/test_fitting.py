"""Training a classifier: the same seed gives the same weights, targets have a status, and nothing leaks out of the generators."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from secretaudit.errors import ModelError, UsageError
from secretaudit.suite.classifier import (
    Plain,
    activations,
    last_linear,
    layer,
    logits,
    predictions,
)
from secretaudit.suite.fitting import FitSettings, accuracy, fit
from secretaudit.suite.labelled import Labelled, Task
from secretaudit.suite.learner import Architecture, Factory, OfModule


def blobs(n: int = 80) -> Labelled:
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 2
    points = torch.randn(n, 2, generator=draw) * 0.3 + 2.0 * labels.unsqueeze(1)
    return Labelled(inputs=points, labels=labels)


def blob_task() -> Task:
    return Task(
        name="blobs", kind="table", train=blobs(), held_out=blobs(20), class_names=["0", "1"]
    )


def weights_of(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def noisy_network() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 2))


def test_the_same_seed_gives_the_same_weights_and_leaves_torch_alone() -> None:
    """Dropout included; torch's own generator is where it was."""
    settings = FitSettings(epochs=3, batch_size=16)
    learner = Factory(make=noisy_network, name="toy")
    before = torch.get_rng_state()
    first, second, third = learner.fresh(1), learner.fresh(1), learner.fresh(1)
    for model, seed in ((first, 5), (second, 5), (third, 6)):
        fit(model, blobs(), settings, seed)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(weights_of(first), weights_of(second))
    assert not torch.equal(weights_of(first), weights_of(third))


def test_one_step_of_plain_descent_is_the_gradient_times_the_rate() -> None:
    """One batch of everything, no momentum: θ − η ∂L/∂θ, with the gradient from torch alone."""
    model = Plain(nn.Linear(2, 2))
    start = weights_of(model)
    data = blobs()
    loss = nn.functional.cross_entropy(model(data.inputs), data.labels)
    slope = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])
    fit(model, data, FitSettings(epochs=1, batch_size=80, learning_rate=0.1, momentum=0.0), 0)
    assert torch.allclose(weights_of(model), start - 0.1 * slope, atol=1e-6)


def test_a_target_is_reached_or_not() -> None:
    """Separable blobs are learned; random labels in one epoch are not, and the curve says how far it came."""
    model = Architecture(task=blob_task(), options={"hidden": 8}).fresh(0)
    found = fit(model, blobs(), FitSettings(epochs=50, target=1.0), 0, held_out=blobs(20))
    assert found.status == "reached"
    assert found.epochs_to_target == len(found.epochs)
    assert accuracy(model, blobs()) == 1.0
    random = blobs().relabelled(
        torch.randint(0, 2, (80,), generator=torch.Generator().manual_seed(1))
    )
    short = fit(model, random, FitSettings(epochs=1, target=1.0, learning_rate=1e-4), 0)
    assert (short.status, short.epochs_to_target) == ("not reached", None)
    assert short.train_accuracy is not None
    assert 0.2 < short.train_accuracy < 0.8


def test_a_loss_that_is_no_number_ends_the_training() -> None:
    """The status says so and no accuracy is made up."""
    model = Architecture(task=blob_task(), options={"hidden": 8}).fresh(0)
    found = fit(model, blobs(), FitSettings(epochs=9, learning_rate=1e30), 0)
    assert found.status == "diverged"
    assert len(found.epochs) < 9


def test_the_rate_is_halved_when_asked() -> None:
    """Two epochs at η and η/2 on one batch equal two trainings of one epoch at these rates."""
    settings = FitSettings(epochs=2, batch_size=80, learning_rate=0.2, momentum=0.0, halve_every=1)
    first, second = Plain(nn.Linear(2, 2)), Plain(nn.Linear(2, 2))
    second.load_state_dict(first.state_dict())
    fit(first, blobs(), settings, 0)
    for rate in (0.2, 0.1):
        fit(
            second,
            blobs(),
            FitSettings(epochs=1, batch_size=80, learning_rate=rate, momentum=0.0),
            0,
        )
    assert torch.allclose(weights_of(first), weights_of(second), atol=1e-7)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"target": 1.5}, "target must be above 0 and at most 1"),
        ({"optimizer": "sdg"}, "optimizer must be one of"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
    ],
)
def test_dials_out_of_range_are_refused(wrong: dict[str, object], message: str) -> None:
    """By name."""
    with pytest.raises(UsageError, match=message):
        FitSettings(**wrong)  # type: ignore[arg-type]


def test_layers_are_found_by_name() -> None:
    """The input of the last linear layer is what the layers before it make."""
    model = Plain(noisy_network())
    assert last_linear(model) == "module.3"
    x = blobs().inputs
    by_hand = torch.relu(model.module[0](x)).detach()  # type: ignore[index]  # a Sequential
    assert torch.allclose(activations(model, x, "module.3", of="input"), by_hand)
    with pytest.raises(UsageError, match=r"The model has no layer 'module\.4'") as refused:
        layer(model, "module.4")
    assert "module.3" in str(refused.value)
    with pytest.raises(ModelError, match="has no linear layer"):
        last_linear(Plain(nn.Conv2d(1, 1, 1)))


def test_a_model_for_other_data_is_refused() -> None:
    """The shape is named; so is a model that gives something else than scores."""
    with pytest.raises(ModelError, match=r"cannot read inputs of shape \(2,\)"):
        logits(Plain(nn.Linear(3, 2)), blobs().inputs)
    with pytest.raises(ModelError, match=r"gives scores of shape \(80, 1, 2\)"):
        logits(Plain(nn.Unflatten(1, (1, 2))), blobs().inputs)


def test_predictions_do_not_depend_on_the_batch() -> None:
    """Batch normalization and dropout are off."""
    model = Plain(nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2), nn.Dropout(0.5)))
    x = blobs().inputs
    assert torch.equal(predictions(model, x, 7), predictions(model, x, 80))


def test_a_users_module_is_copied_and_made_anew() -> None:
    """``given`` has its weights, ``fresh`` new ones by the seed; neither changes the user's."""
    module = noisy_network()
    learner = OfModule(module=module)
    start = weights_of(module)
    assert torch.equal(weights_of(learner.given()), start)
    assert torch.equal(weights_of(learner.fresh(1)), weights_of(learner.fresh(1)))
    assert not torch.equal(weights_of(learner.fresh(1)), weights_of(learner.fresh(2)))
    assert torch.equal(weights_of(module), start)


def test_a_layer_that_cannot_be_made_anew_is_named() -> None:
    """A bare parameter has no ``reset_parameters``."""

    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

    with pytest.raises(ModelError, match="The layer 1 cannot be given new weights"):
        OfModule(module=nn.Sequential(nn.Linear(2, 2), Bare())).fresh(0)
