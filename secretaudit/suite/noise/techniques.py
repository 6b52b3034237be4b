"""Regularizers that go on any classifier: dropout, noise, weight decay, and training on adversarial samples.

Arpit et al. 2017, section 5, asks which of them keep a network from fitting noise without keeping it from learning. Their names and ranges are the
paper's [read]; where exactly they act is not printed, so this is ours:

- *dropout*, *hidden noise* (Gaussian, standard deviation in the activations' own units): after every activation layer; where a model has no such layers
  (it calls functions instead), on the input of the last linear layer.
- *input dropout*: numbers are set to 0 and the others scaled up, as dropout does; of text, tokens are left out and the others move up; one of a row always stays.
- *input noise*: Gaussian, in standard deviations of the inputs; of text, on the embeddings of tokens, in standard deviations of their coordinates.
- *weight decay*: the optimizer's.
- *adversarial*: (1 − w) · L(x) + w · L(x'), with x' where the search of ``lass`` ends, L the cross-entropy with the example's own label; together with dropout.

All of them act while the model trains and not when it is evaluated. The user's module is not changed: what acts inside are forward hooks that are taken
off again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from secretaudit import _checks
from secretaudit.errors import ModelError
from secretaudit.suite.classifier import Classifier, last_linear, layer
from secretaudit.suite.fitting import Objective
from secretaudit.suite.labelled import PADDING, Task
from secretaudit.suite.noise.lass import Lass, scale_of, search

__all__ = ["TECHNIQUES", "Technique", "hidden_places", "regularized"]

#: Names, in the order of the paper's table.
TECHNIQUES = (
    "dropout",
    "input-dropout",
    "input-noise",
    "hidden-noise",
    "weight-decay",
    "adversarial",
)

_ACTIVATIONS = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.PReLU,
    nn.RReLU,
    nn.ELU,
    nn.CELU,
    nn.SELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Tanh,
    nn.Sigmoid,
    nn.Softplus,
    nn.Hardtanh,
    nn.Hardswish,
)


@dataclass(frozen=True, kw_only=True)
class Technique:
    """One way to regularize, with its strength.

    Attributes:
        name: One of ``TECHNIQUES``.
        value: Probability of dropping, standard deviation of noise, weight decay, or w; 0 is no regularizer.
        dropout: Of the hidden units, beside adversarial training.

    Raises:
        UsageError: An unknown name or a value out of its range.
    """

    name: str
    value: float
    dropout: float = 0.0

    def __post_init__(self) -> None:
        _checks.one_of("technique", self.name, TECHNIQUES)
        _checks.at_least(self.name, self.value, 0)
        _checks.at_least("dropout", self.dropout, 0)
        if self.name in ("dropout", "input-dropout"):
            _checks.at_least(f"1 - {self.name}", 1 - self.value, 1e-6)
        if self.name == "adversarial":
            _checks.at_least("1 - adversarial", 1 - self.value, 0)

    @property
    def weight_decay(self) -> float:
        """For the optimizer."""
        return self.value if self.name == "weight-decay" else 0.0


def hidden_places(model: nn.Module) -> tuple[list[str], bool]:
    """Layers that dropout and hidden noise act on, and whether on their input.

    Raises:
        ModelError: Neither an activation layer nor a linear one.
    """
    names = [
        name
        for name, part in model.named_modules()
        if isinstance(part, _ACTIVATIONS) or type(part).__module__ == "transformers.activations"
    ]
    return (names, False) if names else ([last_linear(model)], True)


@contextmanager
def regularized(
    model: Classifier, task: Task, technique: Technique, lass: Lass
) -> Iterator[Objective]:
    """The objective to train with; while the block runs the model's hidden layers are disturbed where the technique says so.

    Noise comes from torch's generator, which ``fit`` seeds.

    Args:
        model: What will be trained.
        task: Gives the units of noise and of the search.
        technique: What to do.
        lass: The search of adversarial training.
    """
    with ExitStack() as hooks:
        dropped = technique.value if technique.name == "dropout" else technique.dropout
        if dropped > 0:
            hooks.enter_context(_hooked(model, lambda x: F.dropout(x, dropped)))
        if technique.name == "hidden-noise" and technique.value > 0:
            deviation = technique.value
            hooks.enter_context(_hooked(model, lambda x: x + deviation * torch.randn_like(x)))
        yield _objective(model, task, technique, lass)


def _objective(model: Classifier, task: Task, technique: Technique, lass: Lass) -> Objective:
    """The loss of a batch in nats, (model, inputs, labels) → scalar."""
    unit = _deviation(task, model)
    box = scale_of(task, model)
    noise = torch.Generator()

    def loss(trained: Classifier, inputs: Tensor, labels: Tensor) -> Tensor:
        if technique.name == "input-dropout":
            return F.cross_entropy(_input_dropped(trained, inputs, technique.value), labels)
        points = trained.continuous(inputs)
        if technique.name == "input-noise":
            points = points + _shown(inputs, technique.value * unit * torch.randn_like(points))
        plain = F.cross_entropy(trained.from_continuous(points, inputs), labels)
        if technique.name != "adversarial" or technique.value == 0:
            return plain
        noise.manual_seed(int(torch.randint(2**62, ())))
        found = search(trained, inputs, lass, box, noise).points
        moved = points + (found - points).detach()  # embeddings are trained through their move
        other = F.cross_entropy(trained.from_continuous(moved, inputs), labels)
        return (1 - technique.value) * plain + technique.value * other

    return loss


def _input_dropped(model: Classifier, inputs: Tensor, share: float) -> Tensor:
    """Scores of inputs of which a share is left out."""
    if inputs.is_floating_point():
        return model.from_continuous(F.dropout(inputs, share), inputs)
    draws = torch.rand(inputs.shape).masked_fill(inputs == PADDING, -1.0)
    dropped = (draws < share) & (draws < draws.amax(1, keepdim=True))
    kept = inputs.masked_fill(dropped, PADDING)
    order = (
        (kept == PADDING).to(torch.int8).argsort(dim=1, stable=True)
    )  # padding stays on the right
    scores: Tensor = model(kept.gather(1, order))
    return scores


def _deviation(task: Task, model: Classifier) -> Tensor:
    """Standard deviation of the inputs: one number for images and clips, one per feature for tables, of the embeddings' coordinates for text."""
    return scale_of(task, model) if task.kind in ("text", "table") else task.train.inputs.std()


def _shown(inputs: Tensor, noise: Tensor) -> Tensor:
    """Noise that leaves padding alone."""
    if inputs.is_floating_point():
        return noise
    return noise * (inputs != PADDING).unsqueeze(-1)


@contextmanager
def _hooked(model: Classifier, disturb: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Disturb the hidden places while the model is in training mode."""

    def after(module: nn.Module, _given: tuple[object, ...], gave: object) -> Tensor | None:
        return disturb(_tensor(gave)) if module.training else None

    def before(module: nn.Module, given: tuple[object, ...]) -> tuple[object, ...] | None:
        return (disturb(_tensor(given[0])), *given[1:]) if module.training else None

    names, on_input = hidden_places(model)
    handles = [
        layer(model, name).register_forward_pre_hook(before)
        if on_input
        else layer(model, name).register_forward_hook(after)
        for name in names
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _tensor(value: object) -> Tensor:
    if not isinstance(value, Tensor):
        raise ModelError(
            f"A hidden layer gives {type(value).__name__}, not a tensor.",
            "Dropout and hidden noise act on tensors.",
            "Leave out the techniques dropout, hidden-noise and adversarial.",
        )
    return value
