"""Losses and gradients of single examples, many at a time.

L_i is the cross-entropy (nats) of example i. Evaluation mode throughout, so that examples do not meet in a batch statistic and dropout is off.

By its input: examples are independent, so the gradient of Σ_i L_i by the stacked points holds ∂L_i/∂x_i in row i; one backward pass.

By the parameters: the gradient of the sum would add the rows up. ``torch.func`` differentiates a function of one example and maps it over the
batch (``vmap(grad(…))``), which runs the same kernels batched; what is given to ``reduce`` is written to one and the same memory for every chunk, since
fresh memory costs more than the derivatives. Models with an operation that cannot be mapped are differentiated one example at a
time: the same numbers, slower.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, grad, vmap

from secretaudit.errors import ModelError
from secretaudit.suite.classifier import Classifier

__all__ = [
    "example_losses",
    "input_gradients",
    "parameter_gradients",
    "parameter_gradients_one_by_one",
    "parameters_of",
]

#: Examples that are differentiated together.
_CHUNK = 64


def example_losses(model: Classifier, inputs: Tensor, labels: Tensor) -> Tensor:
    """L_i in nats, shape (n,), in evaluation mode and without gradients."""
    model.eval()
    with torch.no_grad():
        return F.cross_entropy(model(inputs), labels, reduction="none")


def input_gradients(model: Classifier, inputs: Tensor, labels: Tensor) -> Tensor:
    """∂L_i/∂x_i, of the shape of ``model.continuous(inputs)``: the inputs', or the embeddings'.

    Raises:
        ModelError: The scores do not depend on the points.
    """
    model.eval()
    with torch.enable_grad():
        points = model.continuous(inputs).detach().requires_grad_(True)
        loss = F.cross_entropy(model.from_continuous(points, inputs), labels, reduction="sum")
        if not loss.requires_grad:
            raise _no_gradients()
        (slope,) = torch.autograd.grad(loss, points, allow_unused=True)
    if slope is None:
        raise _no_gradients()
    return slope.detach()


def parameters_of(model: Classifier, names: Sequence[str] | None = None) -> dict[str, Tensor]:
    """Parameters by name, detached: those that are trained, or the ones named.

    Raises:
        ModelError: There is none that takes a gradient.
    """
    found = {
        name: p.detach()
        for name, p in model.named_parameters()
        if p.requires_grad and (names is None or name in names)
    }
    if not found:
        raise ModelError(
            "The model has no parameters with gradients.",
            "Its layers are frozen, or it was not made of torch layers.",
            "Give a model that can be trained; a callable can be used only where no gradients are needed.",
        )
    return found


def parameter_gradients(
    model: Classifier,
    inputs: Tensor,
    labels: Tensor,
    *,
    names: Sequence[str] | None = None,
    reduce: Callable[[Tensor], Tensor] | None = None,
    chunk: int = _CHUNK,
) -> Tensor:
    """∂L_i/∂θ for each example, in evaluation mode.

    Args:
        model: The classifier.
        inputs: Shape (n, …).
        labels: Shape (n,).
        names: Parameters by name; ``None`` takes all that are trained.
        reduce: Applied to each chunk's gradients of shape (c, P) before they are stacked, such as a random projection; saves memory.
        chunk: Examples differentiated together; changes speed and memory only.

    Returns:
        Shape (n, P), P the number of parameters, in the order of ``named_parameters``; or what ``reduce`` makes of it.
    """
    model.eval()
    weights = parameters_of(model, names)
    rest = {name: p.detach() for name, p in model.named_parameters() if name not in weights} | dict(
        model.named_buffers()
    )

    def loss(chosen: dict[str, Tensor], one: Tensor, label: Tensor) -> Tensor:
        scores = functional_call(model, {**chosen, **rest}, (one.unsqueeze(0),))
        return F.cross_entropy(scores, label.unsqueeze(0))

    mapped = vmap(grad(loss), in_dims=(None, 0, 0))
    width = sum(w.numel() for w in weights.values())
    room = inputs.new_empty(
        (len(inputs) if reduce is None else min(chunk, len(inputs)), width),
        dtype=next(iter(weights.values())).dtype,
    )
    parts: list[Tensor] = []
    for start in range(0, len(inputs), chunk):
        some, theirs = inputs[start : start + chunk], labels[start : start + chunk]
        first = start if reduce is None else 0
        rows = room[first : first + len(some)]
        try:
            slopes = mapped(weights, some, theirs)
            torch.cat([slopes[name].flatten(1) for name in weights], 1, out=rows)
        except (RuntimeError, NotImplementedError):
            rows.copy_(parameter_gradients_one_by_one(model, some, theirs, names=names))
        if reduce is not None:
            parts.append(_apart(reduce(rows), room))
    return room if reduce is None else torch.cat(parts)


def _apart(reduced: Tensor, room: Tensor) -> Tensor:
    """A copy where it is a part of the memory that the next chunk is written to."""
    shared = reduced.untyped_storage().data_ptr() == room.untyped_storage().data_ptr()
    return reduced.clone() if shared else reduced


def parameter_gradients_one_by_one(
    model: Classifier, inputs: Tensor, labels: Tensor, *, names: Sequence[str] | None = None
) -> Tensor:
    """The same by a loop with a backward pass each: for models that cannot be mapped."""
    model.eval()
    chosen = [p for name, p in model.named_parameters() if name in parameters_of(model, names)]
    rows = []
    with torch.enable_grad():
        for one, label in zip(inputs.split(1), labels.split(1), strict=True):
            loss = F.cross_entropy(model(one), label)
            slopes = torch.autograd.grad(loss, chosen, allow_unused=True, materialize_grads=True)
            rows.append(torch.cat([slope.flatten() for slope in slopes]))
    return torch.stack(rows)


def _no_gradients() -> ModelError:
    return ModelError(
        "The scores have no gradient by the input.",
        "Something between the input and the scores is not differentiable, or does not use the input.",
        "Give a torch model that passes gradients through; measures without gradients can still be taken.",
    )
