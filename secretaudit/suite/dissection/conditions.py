"""The conditions: M networks each on true labels, on the same random labels, on independent random labels.

    true labels                 y_i
    same random labels          y_π(i), one permutation π for all M networks
    independent random labels   y_π(i), a permutation per network
    partly wrong labels         a share of the y_i replaced by another class, drawn per network (for coherence only)

A permutation keeps the classes' frequencies. All networks of all conditions see the same inputs, have initial weights and orders of their own, and stop at the same
training accuracy, so that what is compared are networks that fit their labels equally well. A network that does not reach it is left out of every
comparison, and its status and accuracy stand in the record.

Of each network is kept what the comparisons need: predictions, layers as principal coordinates, directions of input gradients, coherence along training, first-learned epochs.

True and random labels at zero training error are the setting of Gu & Tresp (2019, abstract); the two kinds of random labels are our proposal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from secretaudit.errors import ModelError
from secretaudit.suite.classifier import Classifier, activations, layer, predictions
from secretaudit.suite.dissection.coherence import coherence_of_model, low_ranks_auc
from secretaudit.suite.dissection.input_gradients import directions
from secretaudit.suite.dissection.packed import packed
from secretaudit.suite.dissection.representation import principal_coordinates
from secretaudit.suite.dissection.settings import DissectionSettings
from secretaudit.suite.fitting import Epoch, fit
from secretaudit.suite.labelled import Labelled, Task
from secretaudit.suite.learner import Learner

__all__ = [
    "CONDITIONS",
    "Shared",
    "compared_layers",
    "conditions_of",
    "given",
    "labels_of",
    "train",
]

TRUE, SAME, INDEPENDENT, PARTLY = (
    "true labels",
    "same random labels",
    "independent random labels",
    "partly wrong labels",
)
#: What is compared.
CONDITIONS = (TRUE, SAME, INDEPENDENT)
_NUMBER = {TRUE: 0, SAME: 1, INDEPENDENT: 2, PARTLY: 3}
#: Most numbers of input gradients that are kept of a network.
_SLOPE_NUMBERS = 2_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Shared:
    """What all cells are given.

    Attributes:
        task: The examples, cut to the settings' sizes.
        learner: Makes the networks.
        settings: The dials.
        layers: Layers that are compared.
        seed: Of the run.
    """

    task: Task
    learner: Learner
    settings: DissectionSettings
    layers: tuple[str, ...]
    seed: int


def conditions_of(settings: DissectionSettings) -> tuple[str, ...]:
    """The conditions that the chosen parts need."""
    return (*CONDITIONS, PARTLY) if "coherence" in settings.parts else CONDITIONS


def derived_seed(*numbers: int) -> int:
    """A seed of its own for each row of numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def labels_of(
    condition: str, index: int, examples: Labelled, classes: int, wrong: float, seed: int
) -> Tensor:
    """Labels of one network.

    Args:
        condition: Its name.
        index: Which network of the condition.
        examples: With their true labels.
        classes: K.
        wrong: Share of wrong labels under "partly wrong labels".
        seed: Of the run.

    Returns:
        Shape (n,).
    """
    y = examples.labels
    if condition == TRUE:
        return y
    rng = np.random.default_rng([seed, _NUMBER[condition], 0 if condition == SAME else index + 1])
    if condition == PARTLY:
        chosen = torch.from_numpy(rng.permutation(len(y))[: max(1, round(wrong * len(y)))])
        changed = y.clone()
        changed[chosen] = (
            y[chosen] + torch.from_numpy(rng.integers(1, classes, len(chosen)))
        ) % classes
        return changed
    return y[torch.from_numpy(rng.permutation(len(y)))]


def compared_layers(model: Classifier, names: Sequence[str], most: int) -> tuple[str, ...]:
    """The layers that were named, or linear and convolutional ones evenly spread from the first to the last.

    Raises:
        UsageError: There is no layer of a name.
    """
    if names:
        for name in names:
            layer(model, name)
        return tuple(names)
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    known = [name for name, part in model.named_modules() if name and isinstance(part, kinds)]
    chosen = np.unique(np.linspace(0, len(known) - 1, min(most, len(known))).round().astype(int))
    return tuple(known[i] for i in chosen)


def train(shared: Shared, *, condition: str, index: int) -> dict[str, Any]:
    """Train one network and keep what it shows.

    Args:
        shared: Data, learner and settings.
        condition: Its name.
        index: Which network of the condition.
    """
    s, task = shared.settings, shared.task
    labels = labels_of(condition, index, task.train, task.classes, s.wrong_labels, shared.seed)
    examples = task.train.relabelled(labels)
    seed = derived_seed(shared.seed, 10, _NUMBER[condition], index)
    model = shared.learner.fresh(seed)
    watch = _Watch(examples, task.train.labels, s)
    watch.look(model, 0, None)
    found = fit(model, examples, s.fit_settings(), seed, held_out=task.held_out, watch=watch)
    last = len(found.epochs)
    if watch.looks and watch.looks[-1]["epoch"] != last:
        watch.look(model, last, found.train_accuracy)
    return {
        "status": found.status,
        "epochs": last,
        "train_accuracy": found.train_accuracy,
        "held_out_accuracy": found.held_out_accuracy,
        "first_learned": watch.first.tolist(),
        "coherence": watch.looks,
        **_with_error({} if condition == PARTLY else shown(shared, model), watch.error),
    }


def given(shared: Shared) -> dict[str, Any]:
    """What a network that the user brought shows, without training."""
    model = shared.learner.given()
    if model is None:
        return {}
    watch = _Watch(shared.task.train, shared.task.train.labels, shared.settings)
    watch.look(model, 0, None)
    right = predictions(model, shared.task.train.inputs) == shared.task.train.labels
    return {
        "train_accuracy": float(right.double().mean()),
        "coherence": watch.looks,
        **_with_error(shown(shared, model), watch.error),
    }


def shown(shared: Shared, model: Classifier) -> dict[str, Any]:
    """What the comparisons of pairs need, as far as the parts ask for it; ``errors`` says which part the model does not allow, and why."""
    s, task = shared.settings, shared.task
    found: dict[str, Any] = {"errors": {}}
    if "agreement" in s.parts:
        found["held_out_predictions"] = predictions(model, task.held_out.inputs).tolist()
        found["train_predictions"] = predictions(model, task.train.inputs).tolist()
    if "representation" in s.parts:
        try:
            found["layers"] = _layers(shared, model)
        except ModelError as error:
            found["errors"]["representation"] = str(error)
    if "input gradients" in s.parts:
        some = task.held_out.first(slope_examples(task, s))
        try:
            found["directions"] = packed(directions(model, some))
        except ModelError as error:
            found["errors"]["input gradients"] = str(error)
    return found


def _layers(shared: Shared, model: Classifier) -> dict[str, Any]:
    """Each compared layer as principal coordinates."""
    inputs = shared.task.held_out.inputs
    return {
        name: packed(principal_coordinates(activations(model, inputs, name).numpy()))
        for name in shared.layers
    }


def slope_examples(task: Task, settings: DissectionSettings) -> int:
    """Held-out examples whose input gradients are compared: those asked for, as far as the memory kept for them goes."""
    numbers = task.train.inputs[0].numel()
    return max(2, min(settings.gradient_examples, len(task.held_out), _SLOPE_NUMBERS // numbers))


def _with_error(found: dict[str, Any], error: str) -> dict[str, Any]:
    """With what kept coherence from being measured, if anything did."""
    errors = {**found.get("errors", {}), **({"coherence": error} if error else {})}
    return found | {"errors": errors}


class _Watch:
    """First-learned epochs, and coherence after epochs 0, 1, 2, 4, 8 and so on."""

    def __init__(self, examples: Labelled, truth: Tensor, settings: DissectionSettings) -> None:
        self.examples = examples
        self.some = examples.first(settings.gradient_examples)
        self.wrong = (examples.labels != truth)[: len(self.some)].numpy()
        self.wanted = "coherence" in settings.parts
        self.first = torch.zeros(len(examples), dtype=torch.int64)  # 0: not learned
        self.looks: list[dict[str, Any]] = []
        self.error = ""

    def __call__(self, model: Classifier, after: Epoch) -> None:
        right = predictions(model, self.examples.inputs) == self.examples.labels
        self.first[right & (self.first == 0)] = after.epoch
        if after.epoch & (after.epoch - 1) == 0:
            self.look(model, after.epoch, after.train_accuracy)

    def look(self, model: Classifier, epoch: int, train_accuracy: float | None) -> None:
        """Measure coherence, where it is asked for."""
        if not self.wanted or self.error:
            return
        try:
            found = coherence_of_model(model, self.some)
        except ModelError as error:
            self.error = str(error)
            return
        own = found.of_examples
        known = own[~np.isnan(own)]
        self.looks.append(
            {
                "epoch": epoch,
                "train_accuracy": train_accuracy,
                "mean_cosine": found.mean_cosine,
                "of_examples": float(known.mean()) if len(known) else None,
                "zero": found.zero,
                "wrong_label_auc": low_ranks_auc(own[self.wrong], own[~self.wrong]),
            }
        )
