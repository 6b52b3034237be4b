"""Losses and gradients of single examples, against loops."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from secretaudit.errors import ModelError
from secretaudit.suite.classifier import Plain
from secretaudit.suite.networks import WordCNN
from secretaudit.suite.per_example import (
    example_losses,
    input_gradients,
    parameter_gradients,
    parameter_gradients_one_by_one,
    parameters_of,
)


def _network():
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5)
    )
    return Plain(nn.Sequential(body, nn.Linear(32, 3)))


def _batch(n=10):
    rng = torch.Generator().manual_seed(1)
    return torch.randn(n, 1, 4, 4, generator=rng), torch.arange(n) % 3


def _loop(model, x, y):
    """Gradients by backward passes, written out."""
    model.eval()
    rows = []
    for one, label in zip(x, y, strict=True):
        model.zero_grad()
        F.cross_entropy(model(one[None]), label[None]).backward()
        rows.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    return torch.stack(rows)


@pytest.mark.parametrize("chunk", [1, 3, 64])
def test_parameter_gradients_equal_a_loop(chunk):
    """Whatever the chunks, with batch normalization and dropout in evaluation mode."""
    model, (x, y) = _network(), _batch()
    torch.testing.assert_close(parameter_gradients(model, x, y, chunk=chunk), _loop(model, x, y))


def test_the_fallback_equals_the_loop():
    """One by one: the same numbers."""
    model, (x, y) = _network(), _batch(4)
    torch.testing.assert_close(parameter_gradients_one_by_one(model, x, y), _loop(model, x, y))


class _Unmappable(nn.Module):
    """Looks at a number in Python, which cannot be mapped."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(16, 3)

    def forward(self, x):
        flat = x.flatten(1)
        return self.linear(flat) * (2.0 if float(flat.detach().sum()) > 0 else 1.0)


def test_models_that_cannot_be_mapped_are_gone_through_one_by_one():
    """The choice by a value of each example is respected."""
    model, (x, y) = Plain(_Unmappable()), _batch(6)
    torch.testing.assert_close(parameter_gradients(model, x, y), _loop(model, x, y))


def test_reduce_sees_each_chunk_once_and_may_keep_a_view():
    """What is kept of one chunk is not written over by the next."""
    model, (x, y) = _network(), _batch()
    whole = _loop(model, x, y)
    some = parameter_gradients(model, x, y, reduce=lambda rows: rows[:, :5], chunk=3)
    torch.testing.assert_close(some, whole[:, :5])
    norms = parameter_gradients(model, x, y, reduce=lambda r: r.norm(dim=1), chunk=4)
    torch.testing.assert_close(norms, whole.norm(dim=1))


def test_named_parameters_only():
    """The columns are those of the parameters that were named."""
    model, (x, y) = _network(), _batch()
    found = parameter_gradients(model, x, y, names=["module.1.bias"])
    torch.testing.assert_close(found, _loop(model, x, y)[:, -3:])


def test_input_gradients_equal_a_loop():
    """Row i is the derivative of example i's loss alone."""
    model, (x, y) = _network().eval(), _batch()
    found = input_gradients(model, x, y)
    for i in range(len(x)):
        one = x[i : i + 1].clone().requires_grad_(True)
        F.cross_entropy(model(one), y[i : i + 1]).backward()
        torch.testing.assert_close(found[i], one.grad[0])


def test_input_gradients_of_text_are_by_the_embeddings():
    """Shape (n, T, d); padding has none."""
    torch.manual_seed(0)
    model = WordCNN(6, 2, dimension=4, filters=3)
    rows = torch.tensor([[1, 2, 3, 0], [4, 3, 0, 0]])
    found = input_gradients(model, rows, torch.tensor([0, 1]))
    assert found.shape == (2, 4, 4)
    assert float(found[rows == 0].abs().max()) == 0.0


def test_losses_are_cross_entropies():
    """−log of the probability of the label."""
    model, (x, y) = _network().eval(), _batch()
    expected = -model(x).softmax(1)[torch.arange(len(x)), y].log()
    torch.testing.assert_close(example_losses(model, x, y), expected.detach())


def test_frozen_models_are_refused():
    """Nothing to differentiate by."""
    model = _network().requires_grad_(False)
    with pytest.raises(ModelError, match="no parameters with gradients"):
        parameters_of(model)


class _Counts(nn.Module):
    """Rounds its input, so that nothing goes back through it."""

    def forward(self, x):
        return x.detach().flatten(1)[:, :3]


def test_scores_without_gradients_are_refused():
    """The measure says so instead of giving zeros."""
    x, y = _batch()
    with pytest.raises(ModelError, match="no gradient by the input"):
        input_gradients(Plain(_Counts()), x, y)
