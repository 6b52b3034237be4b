"""randX, randY and mixtures."""

from __future__ import annotations

import pytest
import torch

from secretaudit.errors import UsageError
from secretaudit.suite.labelled import Labelled
from secretaudit.suite.noise.builders import (
    generator,
    noisy,
    random_inputs,
    random_inputs_like,
    random_labels,
)


def _images(n: int = 400) -> Labelled:
    rng = torch.Generator().manual_seed(3)
    inputs = 0.3 + 0.2 * torch.rand(n, 1, 4, 4, generator=rng)
    return Labelled(inputs=inputs, labels=torch.arange(n) % 4)


def _text() -> Labelled:
    rows = torch.tensor([[1, 2, 2, 0], [2, 2, 0, 0], [2, 1, 2, 2]])
    return Labelled(inputs=rows, labels=torch.tensor([0, 1, 0]))


def test_random_inputs_have_mean_and_variance_of_the_data():
    """randX is Gaussian with the data set's two moments, and labels stay."""
    data = _images()
    found = random_inputs(data, generator(0))
    assert found.mask.all()
    assert torch.equal(found.examples.labels, data.labels)
    assert found.examples.inputs.mean() == pytest.approx(0.4, abs=0.005)
    assert found.examples.inputs.var() == pytest.approx(0.2**2 / 12, rel=0.05)


def test_random_tokens_keep_lengths_and_frequencies():
    """A row of text keeps its padding, and tokens come as often as in the text."""
    data = _text()
    many = data.inputs.repeat(2_000, 1)
    found = random_inputs_like(many, data.inputs, generator(1))
    assert torch.equal(found == 0, many == 0)
    assert float((found == 2).sum() / (found != 0).sum()) == pytest.approx(7 / 9, abs=0.01)


def test_text_without_tokens_is_refused():
    """Nothing can be drawn from nothing."""
    empty = torch.zeros(2, 3, dtype=torch.int64)
    with pytest.raises(UsageError, match="no tokens"):
        random_inputs_like(empty, empty, generator(0))


def test_uniform_labels_are_right_by_chance():
    """1/K of the uniform labels are the old ones."""
    data = _images(4_000)
    found = random_labels(data, 4, generator(2))
    same = (found.examples.labels == data.labels).double().mean()
    assert float(same) == pytest.approx(0.25, abs=0.03)
    assert torch.equal(found.examples.inputs, data.inputs)


def test_permuted_labels_keep_their_counts():
    """A permutation changes no frequency."""
    data = _images()
    found = random_labels(data, 4, generator(2), how="permuted")
    assert torch.equal(found.examples.labels.bincount(), data.labels.bincount())
    assert not torch.equal(found.examples.labels, data.labels)


@pytest.mark.parametrize("kind", ["randX", "randY"])
def test_a_fraction_is_exact_and_leaves_the_rest_alone(kind):
    """round(fraction · n) examples are noise, and the mask says which."""
    data = _images()
    found = noisy(kind, data, 4, generator(5), fraction=0.3)
    assert int(found.mask.sum()) == 120
    kept = ~found.mask
    assert torch.equal(found.examples.inputs[kept], data.inputs[kept])
    assert torch.equal(found.examples.labels[kept], data.labels[kept])


@pytest.mark.parametrize("kind", ["randX", "randY"])
def test_more_noise_contains_less_noise(kind):
    """From the same state, what is noise at 20 % is the same noise at 60 %."""
    data = _images()
    few = noisy(kind, data, 4, generator(5), fraction=0.2)
    many = noisy(kind, data, 4, generator(5), fraction=0.6)
    assert bool((many.mask | ~few.mask).all())
    assert torch.equal(many.examples.inputs[few.mask], few.examples.inputs[few.mask])
    assert torch.equal(many.examples.labels[few.mask], few.examples.labels[few.mask])


def test_real_data_stay():
    """The kind "real" marks nothing."""
    data = _images()
    found = noisy("real", data, 4, generator(0))
    assert found.examples is data
    assert not found.mask.any()


def test_the_seed_decides():
    """Same seed and use, same noise; another use, other noise."""
    data = _images()
    one, same, other = (random_inputs(data, generator(7, use)) for use in (1, 1, 2))
    assert torch.equal(one.examples.inputs, same.examples.inputs)
    assert not torch.equal(one.examples.inputs, other.examples.inputs)


def test_bad_values_are_refused():
    """A share above 1, an unknown kind, an unknown way to draw labels."""
    data = _images()
    with pytest.raises(UsageError, match="fraction must be between 0 and 1"):
        random_inputs(data, generator(0), 1.5)
    with pytest.raises(UsageError, match="kind of noise must be one of"):
        noisy("randZ", data, 4, generator(0))
    with pytest.raises(UsageError, match="labels must be one of"):
        random_labels(data, 4, generator(0), how="shuffled")
