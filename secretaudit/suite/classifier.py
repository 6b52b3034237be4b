"""What every classifier of the suite can do: from inputs to class scores, by way of a point that has gradients.

A classifier gives each example K scores (logits); the class of the largest is its *prediction*. Measures that move an input or differentiate
by it need real numbers, and token ids are none. So the way is split in two:

    points = continuous(inputs)              the inputs themselves, or the embeddings of token ids: (n, …) or (n, T, d)
    scores = from_continuous(points, inputs) (n, K)

``inputs`` comes along in the second half because the padding is read from it. ``Plain`` makes a classifier of any module that maps number
inputs to scores.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from secretaudit._checks import suggestion
from secretaudit.errors import ModelError, SecretauditError, UsageError

__all__ = [
    "Classifier",
    "Plain",
    "activations",
    "last_linear",
    "layer",
    "logits",
    "predictions",
    "said",
]

#: Examples per forward pass without gradients.
_BATCH = 512


class Classifier(nn.Module):
    """Base of the classifiers; ``forward`` is both halves in a row."""

    def continuous(self, inputs: Tensor) -> Tensor:
        """The points that the scores are differentiated by; the inputs themselves unless a subclass embeds them."""
        return inputs

    def from_continuous(self, points: Tensor, inputs: Tensor) -> Tensor:
        """Scores of shape (n, K) of points that stand for ``inputs``."""
        raise NotImplementedError

    def forward(self, inputs: Tensor) -> Tensor:
        """Scores of shape (n, K)."""
        return self.from_continuous(self.continuous(inputs), inputs)


class Plain(Classifier):
    """Any module from number inputs to scores.

    Args:
        module: Maps (n, …) to (n, K).
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def from_continuous(self, points: Tensor, inputs: Tensor) -> Tensor:  # noqa: ARG002  (points are all that counts)
        """Scores of the points."""
        scores: Tensor = self.module(points)
        return scores


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients while the block runs."""
    was = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was)


def logits(model: Classifier, inputs: Tensor, batch: int = _BATCH) -> Tensor:
    """Scores of many inputs in evaluation mode, shape (n, K), without gradients.

    Raises:
        ModelError: The model cannot read such inputs, or what it gives has another shape.
    """
    with _evaluating(model):
        parts = []
        for some in inputs.split(batch):
            try:
                scores = model(some)
            except (SecretauditError, MemoryError):
                raise
            except Exception as error:  # whatever a user's model raises
                raise ModelError(
                    f"The model cannot read inputs of shape {tuple(some.shape[1:])}.",
                    f"It says: {said(error)}.",
                    "Name a model that was made for such data.",
                ) from error
            if not isinstance(scores, Tensor):
                raise ModelError(
                    f"The model gives {type(scores).__name__}, not a tensor of class scores.",
                    "A classifier gives one row of class scores per input.",
                    "Wrap your model so that it returns the logits.",
                )
            parts.append(scores)
    scores = torch.cat([part if part.ndim else part[None] for part in parts])
    if scores.ndim != 2 or len(scores) != len(inputs):
        raise ModelError(
            f"The model gives scores of shape {tuple(scores.shape)} for {len(inputs)} inputs.",
            "A classifier gives one row of class scores per input.",
            "Name a classifier, or wrap yours so that it returns the logits.",
        )
    return scores


def said(error: BaseException) -> str:
    r"""The kind of an error and the first line of its text.

    >>> said(ValueError("too long\nby far"))
    'ValueError: too long'
    """
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0].rstrip('.')}"


def predictions(model: Classifier, inputs: Tensor, batch: int = _BATCH) -> Tensor:
    """The class of the largest score, shape (n,)."""
    return logits(model, inputs, batch).argmax(1)


def last_linear(model: nn.Module) -> str:
    """Name of the last linear layer; its input is the paper's embedding.

    Raises:
        ModelError: There is none.
    """
    names = [name for name, part in model.named_modules() if isinstance(part, nn.Linear)]
    if not names:
        raise ModelError(
            "The model has no linear layer.",
            "The embedding is the input of the last one.",
            "Name the layer whose output is to be used instead.",
        )
    last: str = names[-1]
    return last


def layer(model: nn.Module, name: str) -> nn.Module:
    """A layer by its name, as ``named_modules`` gives it.

    Raises:
        UsageError: There is no layer of that name; the ones there are are listed.
    """
    known: dict[str, nn.Module] = {key: part for key, part in model.named_modules() if key}
    if name not in known:
        raise UsageError(
            f"The model has no layer {name!r}.",
            f"Its layers are: {', '.join(known)}.",
            suggestion(name, known) or "Choose one of these names.",
        )
    found: nn.Module = known[name]
    return found


def activations(
    model: Classifier, inputs: Tensor, name: str, *, of: str = "output", batch: int = _BATCH
) -> Tensor:
    """What goes into or comes out of a layer, in evaluation mode, flattened to shape (n, features).

    Args:
        model: The classifier.
        inputs: Shape (n, …).
        name: The layer.
        of: "input" or "output".
        batch: Examples per pass.

    Raises:
        UsageError: No such layer.
        ModelError: The layer is not used, or gives no tensor with one row per example.
    """
    kept: list[Tensor] = []

    def keep(_module: nn.Module, given: tuple[object, ...], gave: object) -> None:
        value = given[0] if of == "input" else gave
        value = value[0] if isinstance(value, tuple) else value
        if isinstance(value, Tensor):
            kept.append(value.detach().flatten(1))

    hook = layer(model, name).register_forward_hook(keep)
    try:
        logits(model, inputs, batch)
    finally:
        hook.remove()
    if sum(len(part) for part in kept) != len(inputs):
        raise ModelError(
            f"The layer {name!r} gives {sum(len(p) for p in kept)} rows for {len(inputs)} examples.",
            "It is not used once per example.",
            "Choose another layer.",
        )
    return torch.cat(kept)


def copied(model: Classifier) -> Classifier:
    """An independent copy with the same weights."""
    return copy.deepcopy(model)
