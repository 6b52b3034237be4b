"""Sensitivity through the unrolled training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from secretaudit.suite.classifier import Plain
from secretaudit.suite.labelled import Labelled
from secretaudit.suite.networks import WordCNN
from secretaudit.suite.noise import unrolled
from secretaudit.suite.noise.sensitivity import (
    class_matrices,
    diagonal_dominance,
    example_sensitivities,
    looks,
    mean_matrix,
)
from secretaudit.suite.noise.unrolled import sensitivities, train_unrolled

ETA = 0.3


def _network(seed=0, features=3, classes=3):
    torch.manual_seed(seed)
    parts = [torch.nn.Linear(features, 5), torch.nn.Tanh(), torch.nn.Linear(5, classes)]
    return Plain(torch.nn.Sequential(*parts)).double()


def _examples(n=7, seed=1):
    rng = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, 3, generator=rng, dtype=torch.float64)
    return Labelled(inputs=inputs, labels=torch.arange(n) % 3)


def _trained(model, examples, updates, batch_size=None, seed=2):
    rng = torch.Generator().manual_seed(seed)
    return train_unrolled(
        model, examples, updates=updates, learning_rate=ETA, batch_size=batch_size, rng=rng
    )


def _loss_after(inputs, labels, batches, of=slice(None)):
    """The training written out with torch's own optimizer: the loss that the updates lead to."""
    model = _network()
    optimizer = torch.optim.SGD(model.parameters(), lr=ETA)
    for rows in batches:
        optimizer.zero_grad()
        F.cross_entropy(model(inputs[rows]), labels[rows]).backward()
        optimizer.step()
    with torch.no_grad():
        return float(F.cross_entropy(model(inputs), labels, reduction="none")[of].sum()) / len(
            inputs
        )


def _difference(examples, batches, row, feature, of=slice(None), step=1e-5):
    """Central difference of the loss by one feature of one example."""
    ends = []
    for sign in (1, -1):
        moved = examples.inputs.clone()
        moved[row, feature] += sign * step
        ends.append(_loss_after(moved, examples.labels, batches, of))
    return (ends[0] - ends[1]) / (2 * step)


@pytest.mark.parametrize("batch_size", [None, 3])
def test_two_updates_match_finite_differences(batch_size):
    """dL_2/dx of every feature equals what retraining with that feature moved gives."""
    examples = _examples()
    kept = _trained(_network(), examples, 2, batch_size)
    found = sensitivities(kept, [2], torch.full((1, 7), 1 / 7, dtype=torch.float64))[0, 0]
    expected = [[_difference(examples, kept.batches, i, j) for j in range(3)] for i in range(7)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-9)


def test_the_recursion_equals_the_graph_of_the_whole_training():
    """Five updates differentiated by autograd, and by the recursion at two values of t."""
    examples = _examples()
    kept = _trained(_network(), examples, 5)
    points = examples.inputs.clone().requires_grad_(True)
    names, weights = zip(*_network().named_parameters(), strict=True)
    losses = []
    for _ in range(6):
        scores = torch.func.functional_call(
            _network(), dict(zip(names, weights, strict=True)), (points,)
        )
        losses.append(F.cross_entropy(scores, examples.labels))
        slopes = torch.autograd.grad(losses[-1], weights, create_graph=True)
        weights = tuple(w - ETA * g for w, g in zip(weights, slopes, strict=True))
    found = example_sensitivities(kept, [3, 5])
    for row, t in zip(found, (3, 5), strict=True):
        (expected,) = torch.autograd.grad(losses[t], points, retain_graph=True)
        np.testing.assert_allclose(row, expected.abs().sum(1).numpy(), rtol=1e-10)


def test_truncation_keeps_the_last_updates():
    """Through no more updates than one, the rest of the training counts as given; through all, nothing is left out."""
    examples = _examples()
    kept = _trained(_network(), examples, 4)
    started = _network()
    with torch.no_grad():
        for p, w in zip(started.parameters(), kept.weights(3), strict=True):
            p.copy_(w)
    last = _trained(started, examples, 1)
    np.testing.assert_allclose(
        example_sensitivities(kept, [4], unroll=1), example_sensitivities(last, [1]), rtol=1e-10
    )
    exact = example_sensitivities(kept, [4])
    np.testing.assert_allclose(example_sensitivities(kept, [4], unroll=4), exact)
    assert not np.allclose(example_sensitivities(kept, [4], unroll=1), exact)


def test_weights_between_marks_are_those_of_the_training():
    """Whatever order they are asked for in, the weights are those of torch's SGD."""
    examples = _examples()
    kept = _trained(_network(), examples, 10, batch_size=2)
    model = _network()
    optimizer = torch.optim.SGD(model.parameters(), lr=ETA)
    expected = [[p.detach().clone() for p in model.parameters()]]
    for rows in kept.batches:
        optimizer.zero_grad()
        F.cross_entropy(model(examples.inputs[rows]), examples.labels[rows]).backward()
        optimizer.step()
        expected.append([p.detach().clone() for p in model.parameters()])
    for update in (10, 0, 5, 4, 8, 9, 1):
        for found, wanted in zip(kept.weights(update), expected[update], strict=True):
            torch.testing.assert_close(found, wanted)


def test_classes_match_finite_differences_and_add_up():
    """Row i is the loss of class i; the rows' derivatives add up to that of the whole loss."""
    examples = _examples()
    kept = _trained(_network(), examples, 2)
    (found,) = class_matrices(kept, [2], 3)
    for i in range(3):
        rows = (examples.labels == i).nonzero().squeeze(1)
        slopes = np.array(
            [
                [_difference(examples, kept.batches, x, j, of=rows) for j in range(3)]
                for x in range(7)
            ]
        )
        for j in range(3):
            of_class = np.abs(slopes[examples.labels.numpy() == j]).sum(1).mean()
            assert found[i][j] == pytest.approx(of_class, rel=1e-4)


def test_classes_without_examples_are_left_white():
    """No number stands for a class that is not there."""
    kept = _trained(_network(classes=4), _examples(), 1)
    (found,) = class_matrices(kept, [1], 4)
    assert found[3] == [None] * 4
    assert [row[3] for row in found] == [None] * 4
    assert diagonal_dominance(found) is not None


def test_dominance_of_plain_matrices():
    """1 when all are alike, large when the diagonal is; unknown entries do not count."""
    assert diagonal_dominance([[2.0, 2.0], [2.0, 2.0]]) == 1.0
    assert diagonal_dominance([[9.0, 1.0, None], [2.0, 3.0, None], [None] * 3]) == 4.0
    assert diagonal_dominance([[1.0]]) is None
    two = [[[1.0, None], [4.0, None]], [[3.0, 5.0], [None, None]]]
    assert mean_matrix(two) == [[2.0, 5.0], [4.0, None]]


def test_text_is_moved_by_its_embeddings():
    """One row per token; padding that no convolution shows has no effect, and nothing needs to be mapped for it."""
    torch.manual_seed(0)
    rows = torch.tensor([[1, 2, 3, 0], [4, 3, 2, 1], [2, 2, 0, 0]])
    examples = Labelled(inputs=rows, labels=torch.tensor([0, 1, 0]))
    kept = _trained(WordCNN(6, 2, dimension=4, filters=3), examples, 3)
    found = sensitivities(kept, [3], torch.full((1, 3), 1 / 3))
    assert found.shape == (1, 1, 3, 4, 4)
    size = found.abs().sum(4)[0, 0]
    assert bool((size[rows == 0] == 0).all())
    assert float(size.sum()) > 0


def test_mapped_and_one_by_one_give_the_same(monkeypatch):
    """Models whose operations cannot be mapped are gone through one loss after the other."""
    kept = _trained(_network(), _examples(), 3)
    terms = torch.eye(7, dtype=torch.float64)
    mapped = sensitivities(kept, [1, 3], terms)

    def refuse(*_):
        raise RuntimeError("vmap: no batching rule")

    monkeypatch.setattr(unrolled, "_together", refuse)
    torch.testing.assert_close(sensitivities(kept, [1, 3], terms), mapped)


def test_looks_are_evenly_spaced_and_end_at_the_last_update():
    """At most as many as updates."""
    assert looks(100, 4) == [25, 50, 75, 100]
    assert looks(3, 10) == [1, 2, 3]
