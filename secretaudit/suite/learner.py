"""What is trained: something that gives a fresh classifier for a seed, and perhaps one with weights already.

The suite trains many models of one kind from different initial weights. A ``Learner`` makes them. Where a user brings a trained model,
``given()`` is that model, and measures that need no training (nearest neighbours, critical samples) look at it as it is.

- ``Architecture``: one of ours by name, shaped for a task.
- ``Factory``: a function without arguments that makes a torch module with random weights.
- ``OfModule``: a torch module; fresh ones are copies whose layers' own ``reset_parameters`` was called.
- ``OfDirectory``: a ``transformers`` classifier on disk; fresh ones are made from its configuration.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from secretaudit._checks import one_of
from secretaudit.errors import ModelError, SecretauditError
from secretaudit.suite.classifier import Classifier, Plain, logits, said
from secretaudit.suite.labelled import Task
from secretaudit.suite.networks import ARCHITECTURES, default_architecture

__all__ = ["Architecture", "Factory", "Learner", "OfModule", "refuse_unfit"]


class Learner(Protocol):
    """Makes classifiers of one kind."""

    @property
    def name(self) -> str:
        """What it is called in the record."""

    def fresh(self, seed: int) -> Classifier:
        """A classifier with new random weights; the same for the same seed. Torch's generators are left as they were."""

    def given(self) -> Classifier | None:
        """The classifier with the weights that the user brought, a copy; ``None`` where there is none."""

    def described(self) -> dict[str, Any]:
        """What a record says of it, plain JSON; with the data and the settings it decides every result."""


def seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Make a module while torch's generator is at a seed, and put the generator back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One of the suite's own networks.

    Attributes:
        task: What it is shaped for.
        architecture: A name in ``networks.ARCHITECTURES``; "" takes the usual one for the kind of data.
        options: Its dials, such as ``{"hidden": 256}``.
    """

    task: Task
    architecture: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.architecture:
            object.__setattr__(self, "architecture", default_architecture(self.task))
        one_of("model", self.architecture, ARCHITECTURES)

    @property
    def name(self) -> str:
        """The architecture's."""
        return self.architecture

    def fresh(self, seed: int) -> Classifier:
        """A network with new weights."""
        make = ARCHITECTURES[self.architecture]
        made = _made(lambda: make(self.task, **self.options), seed, self.architecture)
        if any(parameter.numel() == 0 for parameter in made.parameters()):
            raise ModelError(
                f"The {self.architecture} for {self.task.name} has a layer without a unit.",
                f"Its dials are: {self.options or 'the usual ones'}.",
                "Give larger dials with --option.",
            )
        return made if isinstance(made, Classifier) else Plain(made)

    def given(self) -> None:
        """Nothing was brought."""
        return

    def described(self) -> dict[str, Any]:
        """Name and dials."""
        return {"kind": "architecture", "name": self.architecture, "options": dict(self.options)}


@dataclass(frozen=True, kw_only=True)
class Factory:
    """A user's function that makes a module.

    Attributes:
        make: Without arguments; draws its weights from torch's generator.
        name: What it is called in the record.
        weights: A safetensors file with the weights of a trained one; ``None``: there is none.
    """

    make: Callable[[], nn.Module]
    name: str
    weights: Path | None = None

    def fresh(self, seed: int) -> Classifier:
        """A module with new weights."""
        made = _made(self.make, seed, self.name)
        if not isinstance(made, nn.Module):
            raise ModelError(
                f"{self.name} made {type(made).__name__}, not a torch module.",
                "The suite trains torch modules.",
                "Return a torch.nn.Module that maps inputs to class scores.",
            )
        return made if isinstance(made, Classifier) else Plain(made)

    def given(self) -> Classifier | None:
        """A module with the weights of the file.

        Raises:
            ModelError: The file cannot be read, or its weights are for another module.
        """
        if self.weights is None:
            return None
        made = self.fresh(0)
        try:
            state = load_file(self.weights)
            (made.module if isinstance(made, Plain) else made).load_state_dict(state)
        except (OSError, RuntimeError, SafetensorError) as error:
            raise ModelError(
                f"The weights {self.weights} cannot be used.",
                f"They say: {str(error).splitlines()[0]}",
                f"Save the state of what {self.name} makes with safetensors.torch.save_file.",
            ) from error
        return made

    def described(self) -> dict[str, Any]:
        """Its name, its source where Python knows it, and a digest of the weights."""
        given = self.given()
        return {
            "kind": "function",
            "name": self.name,
            "fresh_sha256": weights_sha256(self.fresh(0)),
            "weights_sha256": None if given is None else weights_sha256(given),
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class OfModule:
    """A user's module, with the weights it has.

    Attributes:
        module: Maps inputs to class scores.
        name: What it is called in the record.
    """

    module: nn.Module
    name: str = "module"

    def fresh(self, seed: int) -> Classifier:
        """A copy with new weights.

        Raises:
            ModelError: A layer has parameters and no ``reset_parameters``.
        """
        made = copy.deepcopy(self.module)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for name, part in made.named_modules():
                reset = getattr(part, "reset_parameters", None)
                if callable(reset):
                    reset()
                elif any(True for _ in part.parameters(recurse=False)):
                    raise ModelError(
                        f"The layer {name or type(part).__name__} cannot be given new weights.",
                        "It has parameters and no reset_parameters().",
                        "Give a function that makes the model instead of the model.",
                    )
        for parameter in made.parameters():
            parameter.requires_grad_(True)
        return made if isinstance(made, Classifier) else Plain(made)

    def given(self) -> Classifier:
        """A copy with its weights."""
        made = copy.deepcopy(self.module)
        return made if isinstance(made, Classifier) else Plain(made)

    def described(self) -> dict[str, Any]:
        """Its name and a digest of its weights."""
        return {"kind": "module", "name": self.name, "weights_sha256": weights_sha256(self.module)}


def refuse_unfit(learner: Learner, task: Task) -> None:
    """Refuse, before anything is trained, what gives no class scores for the task's examples.

    Raises:
        ModelError: It cannot be made, cannot read the inputs, or gives probabilities or another number of scores.
    """
    scores = logits(learner.fresh(0), task.train.inputs[:16])
    if scores.shape[1] != task.classes:
        raise ModelError(
            f"{learner.name} gives {scores.shape[1]} scores, {task.name} has {task.classes} classes.",
            "Each class has one score.",
            "Make the model for as many classes as the data has.",
        )
    sums = scores.double().sum(1)
    if bool((scores >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-4):
        raise ModelError(
            f"{learner.name} gives probabilities, not scores.",
            "Its rows are not negative and add up to 1; the softmax would be taken twice.",
            "Return the logits, which go into the softmax.",
        )


def _made(make: Callable[[], nn.Module], seed: int, name: str) -> nn.Module:
    """A module with new weights.

    Raises:
        ModelError: It cannot be made, with what its maker says.
    """
    try:
        return seeded(make, seed)
    except (SecretauditError, MemoryError):
        raise
    except Exception as error:  # whatever a user's function raises
        raise ModelError(
            f"{name} cannot be made for this data.",
            f"Making it says: {said(error)}.",
            "Choose another model or other dials; a function takes nothing, or the task alone.",
        ) from error


def weights_sha256(module: nn.Module) -> str:
    """SHA-256 over names and values of a module's state."""
    import hashlib

    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(
            value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()
