"""Sensitivity of a loss to each example, through the training (Arpit et al., section 3.2; the unrolling after Maclaurin et al. 2015).

A network is trained by plain gradient descent on the examples x_1 … x_n,

    θ_s = θ_{s−1} − η ∇_θ ℓ_s(θ_{s−1}, x),    s = 1 … t,

ℓ_s the mean cross-entropy (nats) of the examples of update s, and L_t is the mean cross-entropy of all n at θ_t. An example acts on L_t twice: it is
in L_t, and it was in the updates that led to θ_t. The paper's sensitivity is the total derivative

    dL_t/dx = ∂L_t/∂x − η Σ_s ∂/∂x ⟨λ_s, ∇_θ ℓ_s(θ_{s−1}, x)⟩,
    λ_t = ∂L_t/∂θ_t,    λ_{s−1} = λ_s − η ∇²_θ ℓ_s(θ_{s−1}) λ_s,

and g_x^t the L1 norm of its row for x. The recursion is reverse-mode differentiation written out: exact, and without the graph of the whole training in
memory. Weights are kept at every √T-th update and computed again between them. *Truncated to k updates* it stops after k terms of the sum; the record
says so.

x is moved by a shift of its points (``Classifier.continuous``): pixels and features themselves, embeddings of text, which go on being trained. Evaluation mode,
so that dropout is off and a batch normalization keeps its statistics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from secretaudit.suite.classifier import Classifier
from secretaudit.suite.labelled import Labelled
from secretaudit.suite.per_example import parameters_of

__all__ = ["Trajectory", "sensitivities", "train_unrolled"]

#: Numbers that the derivatives carried back together may hold, of one layer's size each.
_TOGETHER = 40_000_000


class _Shifted(nn.Module):
    """Scores of points that are shifted."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor, shift: Tensor) -> Tensor:
        """Shape (n, K)."""
        return self.model.from_continuous(self.model.continuous(inputs) + shift, inputs)


@dataclass(frozen=True, kw_only=True, eq=False)
class Trajectory:
    """A training by gradient descent that can be gone through again.

    Attributes:
        model: What was trained; its own weights are as they were at the start.
        examples: Trained on.
        names: Of the trained parameters.
        batches: Rows of each update, T of them.
        learning_rate: η.
        marks: θ_s at s = 0, ``stride``, 2 ``stride``, …, each a tuple in the order of ``names``.
        stride: Updates between them.
    """

    model: Classifier
    examples: Labelled
    names: tuple[str, ...]
    batches: Sequence[Tensor]
    learning_rate: float
    marks: Sequence[tuple[Tensor, ...]]
    stride: int
    _between: dict[int, list[tuple[Tensor, ...]]] = field(default_factory=dict)

    @property
    def updates(self) -> int:
        """T."""
        return len(self.batches)

    @property
    def finite(self) -> bool:
        """Whether the last weights are numbers."""
        return all(bool(torch.isfinite(w).all()) for w in self.weights(self.updates))

    def weights(self, update: int) -> tuple[Tensor, ...]:
        """θ_s after s updates; those between two marks are computed when first asked for, and kept until others are."""
        mark, further = divmod(update, self.stride)
        if further == 0:
            return self.marks[mark]
        if mark not in self._between:
            self._between.clear()
            last = min(self.stride, self.updates - mark * self.stride + 1)
            rows = [self.marks[mark]]
            for step in range(1, last):
                rows.append(self.updated(rows[-1], self.batches[mark * self.stride + step - 1]))
            self._between[mark] = rows
        return self._between[mark][further]

    def updated(self, weights: tuple[Tensor, ...], rows: Tensor) -> tuple[Tensor, ...]:
        """One step of gradient descent."""
        now = tuple(w.detach().requires_grad_(True) for w in weights)
        with torch.enable_grad():
            slopes = torch.autograd.grad(
                self.losses(now, rows, self.shift(rows).detach()).mean(),
                now,
                allow_unused=True,
                materialize_grads=True,
            )
        return tuple(
            w - self.learning_rate * slope for w, slope in zip(weights, slopes, strict=True)
        )

    def losses(self, weights: tuple[Tensor, ...], rows: Tensor | slice, shift: Tensor) -> Tensor:
        """Cross-entropy of some examples whose points are shifted, shape (rows,)."""
        named = {f"model.{n}": w for n, w in zip(self.names, weights, strict=True)}
        inputs, labels = self.examples.inputs[rows], self.examples.labels[rows]
        scores = functional_call(_Shifted(self.model), named, (inputs, shift))
        return F.cross_entropy(scores, labels, reduction="none")

    def accuracy(self, update: int) -> float:
        """Share of the examples that are right after an update."""
        named = dict(zip(self.names, self.weights(update), strict=True))
        with torch.no_grad():
            scores = functional_call(self.model, named, (self.examples.inputs,))
        return float((scores.argmax(1) == self.examples.labels).double().mean())

    def shift(self, rows: Tensor | slice = slice(None)) -> Tensor:
        """A shift by nothing, of the shape of the points, that gradients are taken by."""
        with torch.no_grad():
            points = self.model.continuous(self.examples.inputs[rows])
        return torch.zeros_like(points).requires_grad_(True)


def train_unrolled(
    model: Classifier,
    examples: Labelled,
    *,
    updates: int,
    learning_rate: float,
    batch_size: int | None,
    rng: torch.Generator,
) -> Trajectory:
    """Train by plain gradient descent in such a way that it can be differentiated.

    Args:
        model: At the weights to start from; left as it is, in evaluation mode.
        examples: n examples.
        updates: T.
        learning_rate: η.
        batch_size: Examples per update, in an order drawn anew for each pass; what is left over of a pass is left out. ``None`` takes all n.
        rng: Of the order.

    Raises:
        ModelError: The model has no parameters with gradients.
    """
    model.eval()
    start = parameters_of(model)
    found = Trajectory(
        model=model,
        examples=examples,
        names=tuple(start),
        batches=_batches(len(examples), updates, batch_size, rng),
        learning_rate=learning_rate,
        marks=[tuple(w.clone() for w in start.values())],
        stride=max(1, math.isqrt(updates)),
    )
    weights = found.marks[0]
    marks = [weights]
    for update, rows in enumerate(found.batches, start=1):
        weights = found.updated(weights, rows)
        if update % found.stride == 0:
            marks.append(weights)
    return replace(found, marks=marks, _between={})


def _batches(count: int, updates: int, size: int | None, rng: torch.Generator) -> list[Tensor]:
    """Rows of each update."""
    if size is None or size >= count:
        return [torch.arange(count)] * updates
    found: list[Tensor] = []
    while len(found) < updates:
        order = torch.randperm(count, generator=rng)
        found += [rows for rows in order.split(size) if len(rows) == size]
    return found[:updates]


def sensitivities(
    trajectory: Trajectory, looks: Sequence[int], terms: Tensor, unroll: int | None = None
) -> Tensor:
    """dL_t/dx for every example, for several t and several losses at once.

    Args:
        trajectory: The training.
        looks: Values of t, from 1 to T.
        terms: Losses as weights of the examples' cross-entropies, shape (c, n): L = Σ_i terms_i ℓ_i. The mean is 1/n everywhere; rows of classes take the
            examples of one class each.
        unroll: Go back through so many last updates; ``None`` goes to the first, which is exact.

    Returns:
        Shape (looks, c, n, …), the last ones the shape of a point.
    """
    found = torch.zeros(len(looks), len(terms), *trajectory.shift().shape)
    found = found.to(trajectory.marks[0][0].dtype)
    carried: dict[int, list[Tensor]] = {}
    reach = trajectory.updates if unroll is None else unroll
    with torch.enable_grad():
        for update in range(max(looks), 0, -1):
            for at in (i for i, t in enumerate(looks) if t == update):
                carried[at], found[at] = _direct(trajectory, update, terms)
            active = [at for at in carried if looks[at] - update < reach]
            if active:
                _carry_back(trajectory, update, active, carried, found)
    return found


def _direct(trajectory: Trajectory, update: int, terms: Tensor) -> tuple[list[Tensor], Tensor]:
    """λ_t of each loss, (c, …) per parameter, and ∂L_t/∂x, (c, n, …)."""
    weights = tuple(w.detach().requires_grad_(True) for w in trajectory.weights(update))
    shift = trajectory.shift()
    losses = trajectory.losses(weights, slice(None), shift)
    *by_weights, by_points = _pulled_back([losses], (*weights, shift), [terms])
    return by_weights, by_points


def _carry_back(
    trajectory: Trajectory,
    update: int,
    active: Sequence[int],
    carried: dict[int, list[Tensor]],
    found: Tensor,
) -> None:
    """One step of the recursion, for all looks that reach it: λ_s becomes λ_{s−1}, and its term is added to dL_t/dx."""
    rows = trajectory.batches[update - 1]
    weights = tuple(w.detach().requires_grad_(True) for w in trajectory.weights(update - 1))
    shift = trajectory.shift(rows)
    loss = trajectory.losses(weights, rows, shift).mean()
    slopes = torch.autograd.grad(
        loss, weights, create_graph=True, allow_unused=True, materialize_grads=True
    )
    stacked = [torch.cat([carried[at][i] for at in active]) for i in range(len(weights))]
    *by_weights, by_points = _pulled_back(slopes, (*weights, shift), stacked)
    terms = found.shape[1]
    eta = trajectory.learning_rate
    for place, at in enumerate(active):
        some = slice(place * terms, (place + 1) * terms)
        carried[at] = [
            old - eta * new[some] for old, new in zip(carried[at], by_weights, strict=True)
        ]
        found[at][:, rows] -= eta * by_points[some]


def _pulled_back(
    outputs: Sequence[Tensor], inputs: tuple[Tensor, ...], vectors: Sequence[Tensor]
) -> list[Tensor]:
    """Vector–Jacobian products of many vectors, stacked: mapped together where the operations can be, in portions that fit the memory."""
    count = len(vectors[0])
    portion = max(1, _TOGETHER // max(1, sum(i.numel() for i in inputs)))
    try:
        parts = [
            _together(outputs, inputs, [v[i : i + portion] for v in vectors])
            for i in range(0, count, portion)
        ]
    except (RuntimeError, NotImplementedError):
        ones = [_one(outputs, inputs, [v[i] for v in vectors]) for i in range(count)]
        parts = [[slope.unsqueeze(0) for slope in one] for one in ones]
    return [torch.cat([part[i] for part in parts]) for i in range(len(inputs))]


def _together(
    outputs: Sequence[Tensor], inputs: tuple[Tensor, ...], vectors: Sequence[Tensor]
) -> list[Tensor]:
    return list(
        torch.autograd.grad(
            outputs,
            inputs,
            grad_outputs=vectors,
            retain_graph=True,
            is_grads_batched=True,
            allow_unused=True,
            materialize_grads=True,
        )
    )


def _one(
    outputs: Sequence[Tensor], inputs: tuple[Tensor, ...], vectors: Sequence[Tensor]
) -> list[Tensor]:
    return list(
        torch.autograd.grad(
            outputs,
            inputs,
            grad_outputs=vectors,
            retain_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
    )
