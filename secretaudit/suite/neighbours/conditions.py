"""The trainings that are compared.

After Cohen et al. (read): *true labels*, with weight decay; *random labels*, one uniform draw per training example that stays, no weight decay;
*over-fit*, few examples and no weight decay; *large batch*, all examples in one step, a large rate. Sizes and rates are ours, and dials; theirs (500 of
MNIST, 5,000 of CIFAR-10, full batches of 60,000 at rate 10 falling in steps) are reached through them, except for the falling rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from secretaudit import _checks
from secretaudit.errors import UsageError
from secretaudit.suite.fitting import FitSettings
from secretaudit.suite.labelled import Labelled, Task
from secretaudit.suite.neighbours.settings import TRAINED, NeighboursSettings

__all__ = ["Condition", "condition"]

#: Random labels and large batches take more epochs.
_PATIENCE = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Condition:
    """A training.

    Attributes:
        train: The examples with the labels that are trained on.
        fit: How.
    """

    train: Labelled
    fit: FitSettings


def condition(name: str, task: Task, settings: NeighboursSettings, seed: int) -> Condition:
    """What is trained on, and how.

    Args:
        name: "true labels", "random labels", "over-fit" or "large batch".
        task: The examples.
        settings: Sizes and rates.
        seed: Of random labels, and of which few examples.

    Raises:
        UsageError: An unknown name, or few examples of one class only.
    """
    _checks.one_of("conditions", name, TRAINED)
    rng = torch.Generator().manual_seed(seed)
    train = task.train
    if name == "random labels":
        drawn = torch.randint(task.classes, (len(train),), generator=rng)
        return Condition(
            train=train.relabelled(drawn), fit=_fit(settings, epochs=_PATIENCE, decay=False)
        )
    if name == "over-fit":
        few = torch.randperm(len(train), generator=rng)[: settings.overfit_examples]
        chosen = train.chosen(few)
        if len(chosen.labels.unique()) < 2:
            raise UsageError(
                f"The {len(chosen)} examples of the over-fitting run have one class.",
                "They are drawn from the training examples.",
                "Take more of them (--overfit-examples).",
            )
        return Condition(train=chosen, fit=_fit(settings, decay=False))
    if name == "large batch":
        batch = settings.large_batch or len(train)
        rate = settings.large_batch_rate
        return Condition(
            train=train, fit=_fit(settings, epochs=_PATIENCE, batch=batch, learning_rate=rate)
        )
    return Condition(train=train, fit=_fit(settings))


def _fit(
    settings: NeighboursSettings,
    *,
    epochs: int = 1,
    decay: bool = True,
    batch: int | None = None,
    learning_rate: float | None = None,
) -> FitSettings:
    """The training of a condition; ``epochs`` in units of the setting."""
    return FitSettings(
        epochs=epochs * settings.epochs,
        batch_size=batch or settings.batch_size,
        learning_rate=learning_rate or settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay if decay else 0.0,
        target=settings.target,
    )
