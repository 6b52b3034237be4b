"""Input gradients of two networks, and coherence of parameter gradients, against closed forms and loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from secretaudit.errors import ModelError
from secretaudit.suite.classifier import Classifier, Plain
from secretaudit.suite.dissection.coherence import (
    against,
    coherence,
    coherence_of_model,
    low_ranks_auc,
)
from secretaudit.suite.dissection.input_gradients import directions, mean_cosine
from secretaudit.suite.labelled import PADDING, Labelled
from secretaudit.suite.networks import WordCNN
from secretaudit.suite.per_example import parameter_gradients_one_by_one


def linear(weight: torch.Tensor) -> Classifier:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data = weight
    return Plain(layer)


def some(n: int, features: int, classes: int, seed: int = 0) -> Labelled:
    drawn = torch.Generator().manual_seed(seed)
    return Labelled(
        inputs=torch.randn(n, features, generator=drawn),
        labels=torch.randint(0, classes, (n,), generator=drawn),
    )


def test_the_direction_of_a_two_class_linear_network_is_known():
    """∂L/∂x = (p − 1)(w_y − w_other): the unit vector between the rows of the weights, for every example."""
    weight = torch.tensor([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]])
    examples = some(6, 3, 2)
    step = (weight[1] - weight[0]) / (weight[1] - weight[0]).norm()
    expected = torch.where(examples.labels[:, None] == 0, step, -step).numpy()
    np.testing.assert_allclose(directions(linear(weight), examples), expected, atol=1e-6)


def test_cosines_of_the_same_opposite_and_orthogonal_networks():
    """1 with itself and with itself scaled, −1 with the classes swapped, 0 with orthogonal features."""
    examples = some(8, 4, 2)
    weight = torch.tensor([[1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    other = torch.tensor([[0.0, 0.0, 3.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    own = directions(linear(weight), examples)
    found = [
        mean_cosine(own, directions(linear(w), examples))
        for w in (weight, 2.5 * weight, weight.flip(0), other)
    ]
    assert found == pytest.approx([1.0, 1.0, -1.0, 0.0], abs=1e-6)


def test_examples_without_a_direction_are_left_out():
    """A zero row on either side is no cosine; with none left there is no mean."""
    a, b = np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    assert mean_cosine(a, b) == 1.0
    assert mean_cosine(a[1:], b[1:]) is None


def test_text_is_compared_by_positions_that_both_networks_share():
    """One number per token, 0 on padding, the same when the embedding space is rotated."""
    torch.manual_seed(0)
    model = WordCNN(20, 3, dimension=8, filters=4).eval()
    inputs = torch.randint(1, 20, (5, 7))
    inputs[:, 5:] = PADDING
    examples = Labelled(inputs=inputs, labels=torch.tensor([0, 1, 2, 0, 1]))
    own = directions(model, examples)
    assert own.shape == (5, 7)
    assert np.all(own[:, 5:] == 0)
    turn = torch.linalg.qr(torch.randn(8, 8))[0]
    turned = WordCNN(20, 3, dimension=8, filters=4).eval()
    turned.load_state_dict(model.state_dict())
    with torch.no_grad():
        turned.embedding.weight.copy_(model.embedding.weight @ turn)
        for mine, theirs in zip(turned.convolutions, model.convolutions, strict=True):
            mine.weight.copy_(torch.einsum("fdw,de->few", theirs.weight, turn))
    assert mean_cosine(own, directions(turned, examples)) == pytest.approx(1.0, abs=1e-5)


def test_scores_that_do_not_depend_on_the_input_are_named():
    """A network without gradients by its input cannot be compared."""

    class Deaf(Classifier):
        def __init__(self):
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(2))

        def from_continuous(self, points, inputs):
            return self.bias.expand(len(points), 2)

    with pytest.raises(ModelError, match="no gradient by the input"):
        directions(Deaf(), some(4, 3, 2))


def naive(gradients: np.ndarray) -> tuple[float, list[float]]:
    """Mean over pairs by an n × n matrix, and each example against the sum of the others."""
    unit = gradients / np.linalg.norm(gradients, axis=1, keepdims=True)
    pairs = [unit[i] @ unit[j] for i, j in itertools.combinations(range(len(unit)), 2)]
    own = []
    for i, g in enumerate(gradients):
        rest = np.delete(gradients, i, axis=0).sum(0)
        own.append(g @ rest / np.linalg.norm(g) / np.linalg.norm(rest))
    return float(np.mean(pairs)), own


@pytest.mark.parametrize("chunk", [1, 4, 50])
def test_coherence_equals_all_pairs(chunk):
    """The sum of unit gradients gives what the n × n cosines give, whatever the chunks."""
    torch.manual_seed(1)
    gradients = torch.randn(11, 30) * torch.rand(11, 1) + 0.3
    mean, own = naive(gradients.double().numpy())
    found = coherence(lambda: gradients.split(chunk))
    assert found.mean_cosine == pytest.approx(mean, abs=1e-6)
    np.testing.assert_allclose(found.of_examples, own, atol=1e-5)


def test_coherence_of_a_classifier_equals_gradients_one_by_one():
    """The classifier's own gradients, each by a backward pass, give the same."""
    torch.manual_seed(2)
    model = Plain(nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)))
    examples = some(9, 5, 3)
    loop = parameter_gradients_one_by_one(model, examples.inputs, examples.labels)
    mean, own = naive(loop.double().numpy())
    found = coherence_of_model(model, examples)
    assert found.mean_cosine == pytest.approx(mean, abs=1e-5)
    np.testing.assert_allclose(found.of_examples, own, atol=1e-4)


def test_closed_forms_of_coherence():
    """Equal gradients: 1. Orthogonal ones: 0. Opposite ones: −1, and of each with the rest."""
    assert coherence(lambda: [torch.ones(4, 3)]).mean_cosine == pytest.approx(1.0)
    assert coherence(lambda: [torch.eye(5)]).mean_cosine == pytest.approx(0.0, abs=1e-9)
    opposite = coherence(lambda: [torch.tensor([[1.0, 0.0], [-2.0, 0.0]])])
    assert opposite.mean_cosine == pytest.approx(-1.0)
    assert opposite.of_examples.tolist() == pytest.approx([-1.0, -1.0])


def test_zero_gradients_are_counted_and_left_out():
    """An example that is fitted perfectly has no direction."""
    rows = torch.cat([torch.eye(3), torch.zeros(2, 3)])
    found = coherence(lambda: [rows])
    assert found.zero == 2
    assert found.mean_cosine == pytest.approx(0.0, abs=1e-9)
    assert np.isnan(found.of_examples[3:]).all() and not np.isnan(found.of_examples[:3]).any()
    assert coherence(lambda: [torch.zeros(3, 2)]).mean_cosine is None


def test_others_are_held_against_the_sum():
    """Cosine with a direction that they are no part of."""
    total = torch.tensor([3.0, 4.0], dtype=torch.float64)
    rows = torch.tensor([[6.0, 8.0], [-4.0, 3.0], [0.0, 0.0]])
    found = against(total, [rows])
    assert found[:2].tolist() == pytest.approx([1.0, 0.0], abs=1e-7)
    assert np.isnan(found[2])


def test_auc_of_low_values_equals_scikit_learns():
    """Ties count half, NaN takes no part."""
    rng = np.random.default_rng(3)
    odd, usual = rng.integers(0, 8, 30).astype(float), rng.integers(2, 10, 40).astype(float)
    truth = np.r_[np.ones(30), np.zeros(40)]
    expected = roc_auc_score(truth, -np.r_[odd, usual])
    assert low_ranks_auc(np.r_[odd, np.nan], usual) == pytest.approx(expected)
    assert low_ranks_auc(np.array([np.nan]), usual) is None
