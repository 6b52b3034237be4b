"""What is looked at inside a classifier: its layers in the order they are used, and its embedding.

A *layer* here is a module without modules inside, used once per pass, that gives one row per example; one that gives what an earlier one gave already
(flattening, dropout out of training) is not listed twice. "input" is the example itself, where it is made of numbers. The *embedding* is the input of the
last linear layer (Cohen et al.), or the output of a layer that is named.

Features of a layer are flattened to a row per example. Two ways to make them fewer, both in the authors' code (read): *pooling* replaces each map of a
convolution by its mean over places; *PCA* projects on the leading principal components of the training examples (theirs: 64). A sequence of vectors
is replaced by its mean over tokens unless the settings say otherwise (ours: the third word of one text is not to be compared with the third of another).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from secretaudit.errors import CouldNotMeasure, ModelError
from secretaudit.suite.classifier import Classifier, last_linear, layer, logits
from secretaudit.suite.neighbours.threads import one_thread

__all__ = [
    "EMBEDDING",
    "INPUT",
    "Layer",
    "class_probabilities",
    "embedding_of",
    "features",
    "layers_of",
    "projected",
    "spread",
]

INPUT, EMBEDDING = "input", "embedding"
#: Most bytes of one layer's features.
MEMORY = 2 * 1024**3
_BATCH = 256
#: Examples that tell which layers there are.
_FEW = 8
#: Layers whose output of three dimensions is (n, channels, places), not (n, places, features).
_CHANNELS_FIRST = (
    nn.Conv1d,
    nn.BatchNorm1d,
    nn.MaxPool1d,
    nn.AvgPool1d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveAvgPool1d,
)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A place in a model.

    Attributes:
        name: As it is shown: the module's name, "input" or "embedding".
        module: Name of the module; "" for the input of the model.
        of: Whether the module's "output" is meant, or its "input".
        kind: The module's class, for the reader.
    """

    name: str
    module: str
    of: str = "output"
    kind: str = ""


def embedding_of(model: Classifier, name: str = "") -> Layer:
    """The input of the last linear layer, or the output of a named one.

    Raises:
        UsageError: There is no layer of that name.
        ModelError: None is named and there is no linear layer.
    """
    if name:
        return Layer(name=EMBEDDING, module=name, kind=type(layer(model, name)).__name__)
    last = last_linear(model)
    return Layer(name=EMBEDDING, module=last, of="input", kind=f"input of {last}")


def layers_of(
    model: Classifier, inputs: Tensor, names: Sequence[str] = (), embedding: str = ""
) -> list[Layer]:
    """The layers to look at, in the order they are used, with the embedding in its place.

    Args:
        model: The classifier.
        inputs: Examples, shape (n, …); the first few are passed through the model.
        names: Layers to look at, "input" among them; none named takes all.
        embedding: Name of the layer that is the embedding; "" is the usual one.

    Raises:
        UsageError: A layer that the model does not have.
    """
    few = inputs[:_FEW]
    last = embedding_of(model, embedding)
    if names:
        return [*(_named(model, name) for name in names), last]
    point = features(model, few, last)
    candidates = [] if not few.is_floating_point() else [Layer(name=INPUT, module="", kind=INPUT)]
    candidates += _leaves_in_order(model, few)
    kept: list[tuple[Layer, NDArray[np.float32]]] = []
    for one in candidates:
        value = features(model, few, one)
        if not any(np.array_equal(value, other) for _, other in kept):
            kept.append((one, value))
    placed = [last if np.array_equal(value, point) else one for one, value in kept]
    return placed if last in placed else [*placed, last]


def _named(model: Classifier, name: str) -> Layer:
    if name == INPUT:
        return Layer(name=INPUT, module="", kind=INPUT)
    return Layer(name=name, module=name, kind=type(layer(model, name)).__name__)


def spread(places: Sequence[Layer], most: int) -> list[Layer]:
    """At most about so many of the layers: at equal steps from the first to the last, and the embedding.

    >>> [one.name for one in spread([Layer(name=str(i), module="") for i in range(9)], 3)]
    ['0', '4', '8']
    """
    if len(places) <= most:
        return list(places)
    kept = set(np.linspace(0, len(places) - 1, most).round().astype(int).tolist())
    return [one for i, one in enumerate(places) if i in kept or one.name == EMBEDDING]


def features(
    model: Classifier, inputs: Tensor, where: Layer, *, pool: str = "none", memory: int = MEMORY
) -> NDArray[np.float32]:
    """What goes through a place, a row per example, in evaluation mode.

    Args:
        model: The classifier.
        inputs: Shape (n, …).
        where: The place.
        pool: What is replaced by its mean over places: "sequences", "all" or "none".
        memory: Most bytes of the result.

    Returns:
        Shape (n, features).

    Raises:
        CouldNotMeasure: The result would take more memory than that.
        ModelError: The layer is not used once per example.
    """
    found: list[NDArray[np.float32]] = []
    for some in inputs.split(_BATCH):
        flat = _pooled(_through(model, some, where), where, model, pool).flatten(1)
        if not found and flat.shape[1] * len(inputs) * 4 > memory:
            raise CouldNotMeasure(
                f"The layer {where.name} has {flat.shape[1]} features, for {len(inputs)} examples too many to keep.",
                f"They would take {flat.shape[1] * len(inputs) * 4 / 1024**3:.1f} GiB.",
                "Use pooling (--pool all), or fewer training examples.",
            )
        found.append(flat.float().numpy())
    return np.concatenate(found)


def projected(
    points: NDArray[np.float32], others: NDArray[np.float32], components: int | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Both sets on the leading principal components of the first.

    Args:
        points: Shape (n, d).
        others: Shape (m, d).
        components: At most so many; ``None`` leaves the points as they are.
    """
    if components is None or min(points.shape) <= components:
        return points, others
    from sklearn.decomposition import PCA  # heavy: only when asked for

    with one_thread():
        fitted = PCA(components, random_state=0).fit(points)
        first, second = fitted.transform(points), fitted.transform(others)
    return np.asarray(first, np.float32), np.asarray(second, np.float32)


def _through(model: Classifier, inputs: Tensor, where: Layer) -> Tensor:
    """What goes through a place for one batch, shape (n, …)."""
    if not where.module:
        return inputs
    kept: list[Tensor] = []

    def keep(_module: nn.Module, given: tuple[object, ...], gave: object) -> None:
        value = _first(given if where.of == "input" else gave)
        if isinstance(value, Tensor):
            kept.append(value.detach())

    hook = layer(model, where.module).register_forward_hook(keep)
    try:
        logits(model, inputs)
    finally:
        hook.remove()
    if len(kept) != 1 or len(kept[0]) != len(inputs) or kept[0].ndim < 2:
        raise ModelError(
            f"The layer {where.module!r} does not give one row per example.",
            f"For {len(inputs)} examples it gives {[tuple(part.shape) for part in kept] or 'nothing'}.",
            "Choose another layer.",
        )
    return kept[0]


def _first(value: object) -> object:
    return value[0] if isinstance(value, tuple) and value else value


def _pooled(value: Tensor, where: Layer, model: Classifier, pool: str) -> Tensor:
    """Means over places, where there are places and they are to be pooled."""
    if value.ndim > 3 and pool == "all":
        return value.flatten(2).mean(2)
    if value.ndim == 3 and pool != "none":
        maps = bool(where.module) and isinstance(layer(model, where.module), _CHANNELS_FIRST)
        return value.mean(2 if maps else 1)
    return value


def _leaves_in_order(model: Classifier, few: Tensor) -> list[Layer]:
    """Modules without modules inside that are used once and give one row per example, in the order they are used."""
    seen: list[tuple[str, bool]] = []
    with _watching(model, few, seen):
        logits(model, few)
    names = [name for name, _ in seen]
    return [
        Layer(name=name, module=name, kind=type(layer(model, name)).__name__)
        for name, usable in seen
        if usable and names.count(name) == 1
    ]


@contextmanager
def _watching(model: Classifier, few: Tensor, seen: list[tuple[str, bool]]) -> Iterator[None]:
    """Notes the leaves as they are used."""

    def note(name: str, gave: object) -> None:
        value = _first(gave)
        rows = isinstance(value, Tensor) and value.ndim >= 2 and len(value) == len(few)
        seen.append((name, rows and isinstance(value, Tensor) and value.is_floating_point()))

    hooks = [
        part.register_forward_hook(lambda _m, _i, gave, name=name: note(name, gave))
        for name, part in model.named_modules()
        if name and next(part.children(), None) is None
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def class_probabilities(model: Classifier, inputs: Tensor) -> NDArray[np.float64]:
    """Softmax of the scores, shape (n, K), in double precision.

    Raises:
        CouldNotMeasure: A score is NaN.
    """
    scores = logits(model, inputs).double()
    if bool(torch.isnan(scores).any()):
        raise CouldNotMeasure(
            "The model gives scores that are NaN.",
            "Its weights are, or an input overflows.",
            "Check the model.",
        )
    found: NDArray[np.float64] = torch.softmax(scores, 1).numpy()
    return found
