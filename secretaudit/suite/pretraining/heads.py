"""The head of a classifier: the linear layer that gives the class scores, found and replaced in any torch model.

The head is found by use, not by name: the model reads two examples, and of the linear layers whose output is as wide as the scores the one called last is the
head. What stands before it is the *body*. Layers of the body are counted from the end by their weight matrices (or kernels): the last j of them, with
everything that has parameters after them, are "the last j layers".
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from secretaudit.errors import ModelError, UsageError
from secretaudit.suite.classifier import Classifier, layer, logits

__all__ = ["body_layers", "copy_layers", "find_head", "last_layers", "replace_head"]


def find_head(model: Classifier, inputs: Tensor) -> str:
    """Name of the linear layer that gives the scores.

    Args:
        model: Any classifier.
        inputs: Shape (n, …); the first two are read.

    Raises:
        ModelError: The scores come from something else than a linear layer, or the layer's weights are used elsewhere as well.
    """
    called: list[tuple[str, int]] = []

    def note(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _given: object, gave: object) -> None:
            if isinstance(gave, Tensor):
                called.append((name, gave.shape[-1]))

        return hook

    linear = [(name, part) for name, part in model.named_modules() if isinstance(part, nn.Linear)]
    hooks = [part.register_forward_hook(note(name)) for name, part in linear]
    try:
        width = logits(model, inputs[:2]).shape[1]
    finally:
        for hook in hooks:
            hook.remove()
    fitting = [name for name, outputs in called if outputs == width]
    if not fitting:
        raise ModelError(
            "The model has no linear layer that gives its class scores.",
            f"There are {width} scores, and no linear layer that is used has as many outputs.",
            "Give a classifier whose last layer is torch.nn.Linear.",
        )
    _refuse_shared(model, fitting[-1])
    return fitting[-1]


def _refuse_shared(model: nn.Module, head: str) -> None:
    """A head whose weights are another layer's as well cannot be dropped."""
    weight = layer(model, head).weight
    owners = [name for name, p in model.named_parameters(remove_duplicate=False) if p is weight]
    if len(owners) > 1:
        raise ModelError(
            f"The head {head!r} shares its weights.",
            f"They are also used as {', '.join(name for name in owners if not name.startswith(head))}.",
            "Untie the weights before the pre-training.",
        )


def replace_head(model: nn.Module, head: str, outputs: int, seed: int) -> None:
    """Put a new linear layer with torch's usual random weights in the head's place.

    Args:
        model: Changed in place.
        head: Name of the layer.
        outputs: Class scores of the new head.
        seed: Of its weights.
    """
    old = layer(model, head)
    if not isinstance(old, nn.Linear):
        raise ModelError(
            f"The layer {head!r} is not linear.",
            f"It is a {type(old).__name__}.",
            "Name the linear layer that gives the class scores.",
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        new = nn.Linear(old.in_features, outputs, bias=old.bias is not None)
    model.set_submodule(head, new.to(old.weight.device, old.weight.dtype))


def body_layers(model: nn.Module, head: str) -> list[str]:
    """Modules that own parameters, without the head, in the order in which the model names them."""
    return [
        name
        for name, part in model.named_modules()
        if name != head and any(True for _ in part.parameters(recurse=False))
    ]


def last_layers(model: nn.Module, head: str, count: int) -> list[str]:
    """The last ``count`` layers with a weight matrix before the head, and what has parameters after them.

    Raises:
        UsageError: The body has not more layers than that; new weights for all of them would be a network from scratch.
    """
    names = body_layers(model, head)
    parts = dict(model.named_modules())
    weighty = [
        at
        for at, name in enumerate(names)
        if any(p.ndim > 1 for p in parts[name].parameters(recurse=False))
    ]
    if count >= len(weighty):
        raise UsageError(
            f"The last {count} layers before the head cannot be given new weights.",
            f"There are {len(weighty)}, and one at least must keep what was learned.",
            f"Give reinitialize numbers below {max(len(weighty), 1)}.",
        )
    return names[weighty[-count] :]


def copy_layers(source: nn.Module, target: nn.Module, names: list[str]) -> None:
    """Give layers of ``target`` the weights and statistics that those of the same names have in ``source``."""
    with torch.no_grad():
        for name in names:
            theirs, ours = layer(source, name), layer(target, name)
            for key, weights in theirs.named_parameters(recurse=False):
                getattr(ours, key).copy_(weights)
            for key, statistics in theirs.named_buffers(recurse=False):
                getattr(ours, key).copy_(statistics)
