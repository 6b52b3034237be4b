"""Labelled examples refuse what cannot be learned from, by name, and nothing else."""

from __future__ import annotations

import math

import pytest
import torch

from secretaudit.errors import UsageError
from secretaudit.suite.data.arrays import digits, split
from secretaudit.suite.labelled import Labelled, Task


def examples(n: int = 6, labels: list[int] | None = None) -> Labelled:
    return Labelled(
        inputs=torch.arange(2.0 * n).reshape(n, 2),
        labels=torch.tensor(labels if labels is not None else [i % 2 for i in range(n)]),
    )


def task(**changes: object) -> Task:
    given = {
        "name": "toy",
        "kind": "table",
        "train": examples(),
        "held_out": examples(4),
        "class_names": ["a", "b"],
    }
    return Task(**(given | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_feature_that_is_no_number_is_refused_with_its_example(bad: float) -> None:
    """Distances and gradients of NaN are not numbers."""
    inputs = torch.zeros(5, 3)
    inputs[2, 1] = bad
    inputs[4, 0] = bad
    with pytest.raises(
        UsageError,
        match="2 of 5 examples have a feature that is NaN or infinite, the first is example 2",
    ):
        Labelled(inputs=inputs, labels=torch.zeros(5, dtype=torch.int64))


def test_one_class_is_refused() -> None:
    """With one class every classifier is right."""
    with pytest.raises(UsageError, match="All training examples of toy have one class"):
        task(train=examples(labels=[1] * 6))


def test_a_label_out_of_range_is_refused() -> None:
    """The example is named."""
    with pytest.raises(UsageError, match="The label of held-out example 3 is 2"):
        task(held_out=examples(4, [0, 1, 0, 2]))
    with pytest.raises(UsageError, match="The label of example 1 is -1"):
        examples(3, [0, -1, 1])


def test_other_refusals() -> None:
    """No examples, lengths that differ, and parts of different shapes."""
    with pytest.raises(UsageError, match="There is no example"):
        Labelled(inputs=torch.zeros(0, 2), labels=torch.zeros(0, dtype=torch.int64))
    with pytest.raises(UsageError, match="2 examples have labels of shape"):
        Labelled(inputs=torch.zeros(2, 2), labels=torch.zeros(3, dtype=torch.int64))
    wide = Labelled(inputs=torch.zeros(4, 3), labels=torch.tensor([0, 1, 0, 1]))
    with pytest.raises(
        UsageError, match=r"Training inputs have shape \(2,\), held-out inputs \(3,\)"
    ):
        task(held_out=wide)
    text = Labelled(inputs=torch.tensor([[1, 9], [2, 0]]), labels=torch.tensor([0, 1]))
    with pytest.raises(UsageError, match="A token of the training text is 9"):
        task(kind="text", train=text, held_out=text, vocabulary=5)


def test_the_fingerprint_is_of_inputs_and_labels() -> None:
    """Equal data have equal digests; one other label has another."""
    assert task().fingerprint() == task(name="other name").fingerprint()
    assert task().fingerprint() != task(train=examples(labels=[1, 1, 0, 1, 0, 1])).fingerprint()


def test_a_split_is_a_partition() -> None:
    """Every example lands in exactly one part, by the seed."""
    train, held = split(examples(40), seed=3)
    assert (len(train), len(held)) == (30, 10)
    assert sorted(torch.cat([train.inputs, held.inputs])[:, 0].tolist()) == [
        2.0 * i for i in range(40)
    ]
    assert torch.equal(train.inputs, split(examples(40), seed=3)[0].inputs)
    assert not torch.equal(train.inputs, split(examples(40), seed=4)[0].inputs)
    with pytest.raises(UsageError, match="There are 3 examples"):
        split(examples(3), seed=0)


def test_digits_are_what_scikit_learn_bundles() -> None:
    """1,797 images of 8×8 with values in [0, 1]."""
    found = digits()
    assert len(found.train) + len(found.held_out) == 1797
    assert (found.shape, found.classes) == ((1, 8, 8), 10)
    assert float(found.train.inputs.min()) == 0.0
    assert float(found.train.inputs.max()) == 1.0
