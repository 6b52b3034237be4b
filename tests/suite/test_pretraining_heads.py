"""Finding and replacing the head of any classifier."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from secretaudit.errors import ModelError, UsageError
from secretaudit.suite.classifier import Plain, logits
from secretaudit.suite.data.arrays import digits
from secretaudit.suite.labelled import Labelled, Task
from secretaudit.suite.learner import Architecture
from secretaudit.suite.pretraining.heads import (
    body_layers,
    copy_layers,
    find_head,
    last_layers,
    replace_head,
)


class HeadFirst(nn.Module):
    """A classifier whose head is made before its body, beside another layer of as many outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Linear(5, 3)
        self.body = nn.Linear(4, 5)
        self.gate = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.scores(torch.relu(self.body(x) * self.gate(x).mean()))
        return found


class Tied(nn.Module):
    """A head that shares its weights with the body."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 4)
        self.head = nn.Linear(4, 4)
        self.head.weight = self.body.weight

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.body(x))
        return found


def text_task() -> Task:
    part = Labelled(inputs=torch.randint(1, 9, (6, 5)), labels=torch.arange(6) % 3)
    return Task(
        name="t", kind="text", train=part, held_out=part, class_names=list("abc"), vocabulary=9
    )


@pytest.mark.parametrize(
    ("architecture", "head"),
    [("mlp", "module.5"), ("lenet", "module.9"), ("small-alexnet", "module.16")],
)
def test_the_head_of_our_image_networks_is_their_last_layer(architecture: str, head: str) -> None:
    """Named as torch names it."""
    task = digits()
    made = Architecture(task=task, architecture=architecture).fresh(0)
    assert find_head(made, task.train.inputs) == head


@pytest.mark.parametrize("architecture", ["word-cnn", "word-transformer"])
def test_the_head_of_text_networks_is_found(architecture: str) -> None:
    """It is called head in both."""
    task = text_task()
    made = Architecture(task=task, architecture=architecture).fresh(0)
    assert find_head(made, task.train.inputs) == "head"


def test_the_head_is_found_by_use_and_not_by_place() -> None:
    """The layer called last counts, wherever it was made."""
    assert find_head(Plain(HeadFirst()), torch.zeros(2, 4)) == "module.scores"


def test_a_classifier_without_a_linear_head_is_refused() -> None:
    """A convolution followed by a mean gives scores as well."""
    model = Plain(nn.Sequential(nn.Conv1d(1, 3, 3), nn.AdaptiveAvgPool1d(1), nn.Flatten()))
    with pytest.raises(ModelError, match="no linear layer that gives its class scores"):
        find_head(model, torch.zeros(2, 1, 8))


def test_a_head_that_shares_its_weights_is_refused() -> None:
    """Dropping it would change the body."""
    with pytest.raises(ModelError, match="shares its weights"):
        find_head(Plain(Tied()), torch.zeros(2, 4))


def test_a_new_head_has_the_outputs_asked_for_and_leaves_the_body() -> None:
    """The scores change their number, the body's weights stay, the seed decides the new ones."""
    task = digits()
    model = Architecture(task=task).fresh(0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    replace_head(model, "module.5", 17, seed=3)
    weight = model.get_submodule("module.5").weight.detach().clone()  # type: ignore[operator, union-attr]  # a linear layer
    assert logits(model, task.train.inputs[:4]).shape == (4, 17)
    for name, value in model.state_dict().items():
        assert name.startswith("module.5") or torch.equal(value, before[name])
    replace_head(model, "module.5", 17, seed=3)
    assert torch.equal(model.get_submodule("module.5").weight, weight)  # type: ignore[arg-type]  # as above


def test_a_layer_that_is_not_linear_cannot_be_replaced_as_a_head() -> None:
    """By its message."""
    with pytest.raises(ModelError, match="is not linear"):
        replace_head(Architecture(task=digits()).fresh(0), "module.2", 3, 0)


def test_layers_are_counted_from_the_end_with_what_follows_them() -> None:
    """A normalization after the last weight matrix goes with it."""
    model = nn.Sequential(
        nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)
    )
    assert body_layers(model, "4") == ["0", "2", "3"]
    assert last_layers(model, "4", 1) == ["2", "3"]
    with pytest.raises(UsageError, match="last 2 layers before the head"):
        last_layers(model, "4", 2)


def test_copied_layers_bring_their_statistics() -> None:
    """Running means of a normalization are copied like weights; other layers stay."""
    source, target = (nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)) for _ in range(2))
    source[1].running_mean.fill_(7.0)  # type: ignore[union-attr, operator]  # a tensor
    kept = target[0].weight.detach().clone()  # type: ignore[operator]  # as above
    copy_layers(source, target, ["1"])
    assert target[1].running_mean.tolist() == [7.0, 7.0, 7.0]  # type: ignore[union-attr, operator]  # as above
    assert torch.equal(target[0].weight, kept)  # type: ignore[arg-type]  # as above
