"""What each known function leaves of its gradient for the parameters that it was given; see ``uses``.

A product leaves gradients of outputs by inputs, a table the gradients of what was read from it, a scale or a shift the gradient itself.
Vectors that meet the last dimension may be added or multiplied anywhere, which covers the normalizations of most models: those whose scale is
1 + weight too, since a vector to which a number was added has the same gradient.

Relative position biases (T5) are tables that are read once for all records, permuted, and given a first dimension of 1. There every record is
given a copy of its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch.nn import functional

from secretaudit.training.private.contributions import Contribution, Dense, Outer, Rows
from secretaudit.training.private.uses import Make, Rule, Table, Uses, wide

#: Names of tables that are read once for all records: their first dimension never counts records, even when its size says so.
SHARED = "relative_attention_bias.weight"


def _linear(uses: Uses, inputs: Any, weight: Any, bias: Any = None) -> Any:
    """Inputs (…, n) by a weight (m, n)."""
    output = functional.linear(inputs, uses.held(weight), uses.held(bias))
    right = uses.places(inputs, weight)
    makers: list[tuple[Any, Make]] = [
        (weight, lambda g: Outer(left=uses.places(g, weight), right=right)),
        (bias, lambda g: Dense(values=uses.places(g, bias).sum(1))),
    ]
    return uses.watch(output, makers)


def _addmm(uses: Uses, bias: Any, inputs: Any, weight: Any, **scales: Any) -> Any:
    """Inputs (…, m) by a weight (m, n): ``Conv1D`` of transformers."""
    if scales:
        return NotImplemented
    output = torch.addmm(uses.held(bias), uses.held(inputs), uses.held(weight))
    left = uses.places(inputs, weight)
    makers: list[tuple[Any, Make]] = [
        (weight, lambda g: Outer(left=left, right=uses.places(g, weight))),
        (bias, lambda g: Dense(values=uses.places(g, bias).sum(1))),
    ]
    return uses.watch(output, makers)


def _embedding(
    uses: Uses,
    indices: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,  # noqa: ARG001  # torch's signature
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """Rows of a weight; the row of padding gets no gradient."""
    if max_norm is not None or scale_grad_by_freq or sparse:
        return NotImplemented
    if uses.name(weight).endswith(SHARED):
        table = Table(parameter=weight, indices=indices, order=tuple(range(indices.dim() + 1)))
        return uses.share(table, functional.embedding(indices, weight.detach()))
    if indices.dim() == 1 or indices.shape[0] == 1:  # position ids that all records share
        indices = indices.reshape(1, *indices.shape[indices.dim() > 1 :])
        indices = indices.expand(uses.records, *indices.shape[1:])
    if indices.shape[0] != uses.records:
        raise uses.without_records(weight)
    output = functional.embedding(indices, uses.held(weight))
    flat = indices.flatten(1)

    def rows(gradient: torch.Tensor) -> Contribution:
        values = uses.places(gradient, weight)
        if padding_idx is not None:
            values = values * (flat != padding_idx)[..., None]
        return Rows(indices=flat, values=values, count=len(weight))

    return uses.watch(output, [(weight, rows)])


def _layer_norm(
    uses: Uses, inputs: Any, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """(x − mean) / deviation · weight + bias over the last dimension."""
    if len(shape) != 1:
        return NotImplemented
    output = functional.layer_norm(inputs, shape, uses.held(weight), uses.held(bias), eps)
    read = inputs.detach()

    def scale(gradient: torch.Tensor) -> Contribution:
        return _scale(uses, gradient, functional.layer_norm(read, shape, None, None, eps), weight)

    makers = [(weight, scale), (bias, lambda g: Dense(values=uses.places(g, bias).sum(1)))]
    return uses.watch(output, makers)


def _rms_norm(
    uses: Uses, inputs: Any, shape: Any, weight: Any = None, eps: float | None = None
) -> Any:
    """x / √mean x² · weight over the last dimension."""
    if len(shape) != 1:
        return NotImplemented
    output = functional.rms_norm(inputs, shape, uses.held(weight), eps)
    read = inputs.detach()

    def scale(gradient: torch.Tensor) -> Contribution:
        return _scale(uses, gradient, functional.rms_norm(read, shape, None, eps), weight)

    return uses.watch(output, [(weight, scale)])


def _scale(uses: Uses, gradient: torch.Tensor, read: torch.Tensor, weight: Any) -> Contribution:
    return Dense(values=(uses.places(gradient, weight) * uses.places(read, weight)).sum(1))


def _conv1d(
    uses: Uses,
    inputs: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Inputs (B, C, L) by a weight (m, C, k): a product with the k · C values under each place."""
    if groups != 1 or isinstance(padding, str) or inputs.dim() != 3:
        return NotImplemented
    output = functional.conv1d(
        inputs, uses.held(weight), uses.held(bias), stride, padding, dilation
    )
    one = [value if isinstance(value, int) else value[0] for value in (stride, padding, dilation)]
    stepping, around, apart = one
    read = inputs.detach()

    def product(gradient: torch.Tensor) -> Contribution:
        under = functional.unfold(
            wide(read[:, :, None]),
            (1, weight.shape[2]),
            dilation=(1, apart),
            padding=(0, around),
            stride=(1, stepping),
        )
        return Outer(left=uses.places(gradient.mT, weight), right=under.mT)

    makers: list[tuple[Any, Make]] = [
        (weight, product),
        (bias, lambda g: Dense(values=uses.places(g.mT, bias).sum(1))),
    ]
    return uses.watch(output, makers)


def _add(uses: Uses, one: Any, other: Any, **scales: Any) -> Any:
    """A vector added to the last dimension, or a number added to a vector."""
    if scales:
        return NotImplemented
    vector, values = (one, other) if uses.parameter(one) is not None else (other, one)
    parameter = uses.parameter(vector)
    if isinstance(values, (int, float)) and parameter is not None:
        return uses.derive(parameter, vector.detach() + values)
    if not _is_vector_on(vector, values, uses):
        return NotImplemented
    output = torch.add(values, uses.held(vector))
    return uses.watch(output, [(vector, lambda g: Dense(values=uses.places(g, vector).sum(1)))])


def _multiply(uses: Uses, one: Any, other: Any) -> Any:
    """A vector multiplied with the last dimension."""
    vector, values = (one, other) if uses.parameter(one) is not None else (other, one)
    if not _is_vector_on(vector, values, uses):
        return NotImplemented
    output = torch.mul(values, uses.held(vector))
    read = values.detach()
    return uses.watch(output, [(vector, lambda g: _scale(uses, g, read, vector))])


def _is_vector_on(vector: Any, values: Any, uses: Uses) -> bool:
    """Whether the vector, and it alone, is watched, and meets the last dimension of values."""
    return (
        isinstance(values, torch.Tensor)
        and uses.parameter(values) is None
        and vector.dim() == 1
        and values.dim() >= 2
        and values.shape[-1] == vector.shape[0]
    )


def _permute(uses: Uses, values: Any, *order: Any) -> Any:
    """The dimensions of a table in another order."""
    table = uses.tables.get(id(values))
    if table is None:
        return NotImplemented
    chosen = order[0] if len(order) == 1 else order
    moved = replace(table, order=tuple(table.order[dimension] for dimension in chosen))
    return uses.share(moved, values.detach().permute(*chosen))


def _unsqueeze(uses: Uses, values: Any, dim: int) -> Any:
    """A table gets a first dimension: from here on, each record has one of its own."""
    table = uses.tables.get(id(values))
    if table is None or dim != 0:
        return NotImplemented
    output = values.detach().expand(uses.records, *values.shape).clone()
    back = [0] + [1 + table.order.index(dimension) for dimension in range(len(table.order))]
    indices = table.indices.reshape(1, -1).expand(uses.records, -1)

    def rows(gradient: torch.Tensor) -> Contribution:
        read = gradient.permute(back).flatten(1, -2)
        return Rows(indices=indices, values=wide(read), count=len(table.parameter))

    return uses.watch(output, [(table.parameter, rows)])


#: The functions that are known.
RULES: dict[Any, Rule] = {
    functional.linear: _linear,
    torch.addmm: _addmm,
    functional.embedding: _embedding,
    functional.layer_norm: _layer_norm,
    functional.rms_norm: _rms_norm,
    functional.conv1d: _conv1d,
    torch.add: _add,
    torch.Tensor.add: _add,
    torch.Tensor.__add__: _add,
    torch.Tensor.__radd__: _add,
    torch.mul: _multiply,
    torch.Tensor.mul: _multiply,
    torch.Tensor.__mul__: _multiply,
    torch.Tensor.__rmul__: _multiply,
    torch.Tensor.permute: _permute,
    torch.Tensor.unsqueeze: _unsqueeze,
}
