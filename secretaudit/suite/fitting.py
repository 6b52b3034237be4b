"""One training loop for classifiers, and what the papers ask of it: epochs to a training accuracy.

Mini-batch gradient descent on the mean cross-entropy (nats). Everything random comes from one seed: the order of the examples from a generator
of its own, dropout and other noise inside the model from torch's, which is put back afterwards. So the same seed gives the same weights, on
one CPU thread bit for bit.

Where a *target* is named the training stops after the first epoch whose training accuracy, measured in evaluation mode over all training
examples, reaches it; ``Fit.status`` says "reached", "not reached" (the epochs are used up), "diverged" (the loss is not a number, weights as they were
before that step), or "done" where no target was named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from secretaudit import _checks
from secretaudit.errors import ModelError
from secretaudit.suite.classifier import Classifier, predictions
from secretaudit.suite.labelled import Labelled

__all__ = ["Epoch", "Fit", "FitSettings", "Objective", "Watch", "accuracy", "fit"]

#: Loss of a batch, in nats: (model, inputs, labels) → scalar.
Objective = Callable[[Classifier, Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How a classifier is trained.

    Attributes:
        epochs: Most passes over the examples.
        batch_size: Examples per step.
        optimizer: "sgd" or "adam".
        learning_rate: Of each step.
        momentum: Of SGD.
        weight_decay: L2 penalty, as torch's optimizers take it.
        halve_every: Epochs after which the learning rate is halved, again and again; ``None`` leaves it.
        target: Training accuracy in (0, 1] at which to stop; ``None`` uses all epochs.

    Raises:
        UsageError: A value out of its range.
    """

    epochs: int = 20
    batch_size: int = 64
    optimizer: str = "sgd"
    learning_rate: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 0.0
    halve_every: int | None = None
    target: float | None = None

    def __post_init__(self) -> None:
        _checks.at_least("epochs", self.epochs, 1)
        _checks.at_least("batch_size", self.batch_size, 1)
        _checks.one_of("optimizer", self.optimizer, ("sgd", "adam"))
        _checks.positive("learning_rate", self.learning_rate)
        _checks.at_least("momentum", self.momentum, 0)
        _checks.at_least("weight_decay", self.weight_decay, 0)
        if self.halve_every is not None:
            _checks.at_least("halve_every", self.halve_every, 1)
        if self.target is not None:
            _checks.fraction("target", self.target)


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What is known after an epoch.

    Attributes:
        epoch: Counted from 1.
        loss_nats: Mean over the epoch's batches, as they were trained on.
        train_accuracy: Over all training examples, in evaluation mode.
        held_out_accuracy: The same over the held-out examples; ``None`` without any.
    """

    epoch: int
    loss_nats: float
    train_accuracy: float
    held_out_accuracy: float | None


#: Called after each epoch with the model and what is known; must leave the model as it is.
Watch = Callable[[Classifier, Epoch], None]


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What came out of a training; the model was changed in place.

    Attributes:
        status: "reached", "not reached", "diverged" or "done".
        epochs: One entry per epoch.
        epochs_to_target: Epochs that it took; ``None`` unless "reached".
    """

    status: str
    epochs: tuple[Epoch, ...] = field(default=())

    @property
    def epochs_to_target(self) -> int | None:
        """Epochs until the target was reached."""
        return len(self.epochs) if self.status == "reached" else None

    @property
    def train_accuracy(self) -> float | None:
        """After the last epoch; ``None`` when there was none."""
        return self.epochs[-1].train_accuracy if self.epochs else None

    @property
    def held_out_accuracy(self) -> float | None:
        """After the last epoch."""
        return self.epochs[-1].held_out_accuracy if self.epochs else None

    @property
    def best_held_out_accuracy(self) -> float | None:
        """The largest after any epoch."""
        known = [e.held_out_accuracy for e in self.epochs if e.held_out_accuracy is not None]
        return max(known, default=None)

    def curve(self, name: str) -> list[Any]:
        """One figure of every epoch, by its name in ``Epoch``."""
        return [getattr(epoch, name) for epoch in self.epochs]


def cross_entropy(model: Classifier, inputs: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of a batch, in nats."""
    return F.cross_entropy(model(inputs), labels)


def accuracy(model: Classifier, examples: Labelled) -> float:
    """Share of examples whose prediction is their label, in evaluation mode."""
    return float((predictions(model, examples.inputs) == examples.labels).double().mean())


def fit(
    model: Classifier,
    examples: Labelled,
    settings: FitSettings,
    seed: int,
    *,
    held_out: Labelled | None = None,
    objective: Objective = cross_entropy,
    watch: Watch | None = None,
) -> Fit:
    """Train a classifier in place.

    Args:
        model: Changed in place; parameters that need no gradient stay as they are. Left in evaluation mode.
        examples: What it is trained on.
        settings: How.
        seed: Of the order of the examples and of noise inside the model.
        held_out: Measured after every epoch.
        objective: What is minimized.
        watch: Called after every epoch.

    Returns:
        The curve and whether the target was reached.
    """
    _refuse_untrainable(model, examples, objective)
    optimizer = _optimizer(model, settings)
    order = torch.Generator().manual_seed(seed)
    done: list[Epoch] = []
    status = "done" if settings.target is None else "not reached"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for number in range(1, settings.epochs + 1):
            if settings.halve_every and number > 1 and (number - 1) % settings.halve_every == 0:
                for group in optimizer.param_groups:
                    group["lr"] /= 2
            loss = _epoch(model, examples, settings, optimizer, order, objective)
            if loss is None:
                status = "diverged"
                break
            model.eval()
            after = Epoch(
                epoch=number,
                loss_nats=loss,
                train_accuracy=accuracy(model, examples),
                held_out_accuracy=None if held_out is None else accuracy(model, held_out),
            )
            done.append(after)
            if watch is not None:
                watch(model, after)
            if settings.target is not None and after.train_accuracy >= settings.target:
                status = "reached"
                break
    model.eval()
    return Fit(status=status, epochs=tuple(done))


def _refuse_untrainable(model: Classifier, examples: Labelled, objective: Objective) -> None:
    """Refuse a model that no step would change; torch's generator is left as it was."""
    why = ""
    if not any(p.requires_grad for p in model.parameters()):
        why = "It has no parameter that needs a gradient."
    else:
        model.eval()
        with torch.random.fork_rng(devices=[]):
            if not objective(model, examples.inputs[:2], examples.labels[:2]).requires_grad:
                why = "No gradient of the loss reaches its parameters, as after detach or argmax."
    if why:
        raise ModelError(
            "The model cannot be trained.",
            why,
            "Leave some parameters free, and compute the scores by operations that have gradients.",
        )


def _optimizer(model: Classifier, settings: FitSettings) -> torch.optim.Optimizer:
    weights = [p for p in model.parameters() if p.requires_grad]
    if settings.optimizer == "adam":
        return torch.optim.Adam(
            weights, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
    return torch.optim.SGD(
        weights,
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )


def _epoch(
    model: Classifier,
    examples: Labelled,
    settings: FitSettings,
    optimizer: torch.optim.Optimizer,
    order: torch.Generator,
    objective: Objective,
) -> float | None:
    """One pass over the examples: the mean loss, or nothing when a loss was not a number."""
    model.train()
    total = 0.0
    for rows in torch.randperm(len(examples), generator=order).split(settings.batch_size):
        if len(rows) == 1 and len(examples) > 1:
            continue  # batch normalization has no variance of one example
        loss = objective(model, examples.inputs[rows], examples.labels[rows])
        if not bool(torch.isfinite(loss)):
            return None
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += float(loss.detach()) * len(rows)
    return total / len(examples)
