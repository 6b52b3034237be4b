"""Per-example gradients of a recurrent layer, from what its backward pass left: norms, weighted sums, and the gradients themselves.

Use, with a loss that is the sum of the records' losses (``layer`` a ``PerExampleLSTM`` or ``PerExampleGRU`` in training mode):

    layer.recording = True            # from now on backward passes leave traces instead of .grad
    loss_of_each_record.sum().backward()
    norms = squared_norms(layer) …    # of all layers of the model together, then the clipping factors
    gradients = weighted_sum(layer, factors)
    forget(layer)                     # frees the trace; the next recorded pass does so too

A weight's gradient for record b is G = Σ_t p_t x_tᵀ, with p the gradient at the product and x what was multiplied (``trace``). Hence

    ‖G‖² = Σ_{t,u} (p_t · p_u)(x_t · x_u)        Σ_b c_b G_b = Σ_{b,t} p_bt (c_b x_bt)ᵀ,

the first from two Gram matrices of T × T for each record, the second as one product over all records and places, so that no record's
gradient is ever written out (book-keeping: Bu, Wang, Zha and Karypis 2022; ghost norms: Goodfellow 2015, Li et al. 2021). For long records
the Gram matrices cost more than the gradients, which are then made one record at a time; the cheaper way is taken, weight by weight.

All sums over places are taken in float64. With float32 products the norm is right to some 1e-6 as long as the places of a record do not
cancel each other nearly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from secretaudit.errors import UsageError
from secretaudit.training.per_example.layers import PerExampleGRU, PerExampleLSTM
from secretaudit.training.per_example.trace import Call

Recurrence = PerExampleLSTM | PerExampleGRU


@dataclass(frozen=True, kw_only=True, eq=False)
class _Product:
    """One parameter and how its gradient arises.

    Attributes:
        name: Of the parameter in its layer.
        side: Gradient at the product, shape (T, B, K).
        factor: What was multiplied, shape (T, B, D); ``None`` for a bias, whose factor is 1.
    """

    name: str
    side: torch.Tensor
    factor: torch.Tensor | None


def squared_norms(layer: Recurrence) -> torch.Tensor:
    """Squared norm of each record's gradient, over all trained parameters of the layer.

    Args:
        layer: After one recorded forward pass and its backward pass.

    Returns:
        Shape (B,), float32 (float64 if the weights are).

    Raises:
        UsageError: There was no such pass, or more than one.
    """
    call = _only_call(layer)
    by_parameter = parameter_squared_norms(layer, call)
    return torch.stack(list(by_parameter.values())).sum(0).to(layer.dtype)


def weighted_sum(layer: Recurrence, weights: torch.Tensor) -> dict[str, torch.Tensor]:
    """Sum of the records' gradients, each times its weight.

    Args:
        layer: After one recorded forward pass and its backward pass.
        weights: Shape (B,).

    Returns:
        Name of each trained parameter → tensor of its shape. Weights of 1 give the ordinary gradient.

    Raises:
        UsageError: There was no such pass, or more than one.
    """
    weights = weights.detach().to(layer.dtype)
    return {
        product.name: _weighted(product, weights) for product in _products(layer, _only_call(layer))
    }


def forget(layer: Recurrence) -> None:
    """Free what backward passes left."""
    layer.finished.clear()


def parameter_squared_norms(layer: Recurrence, call: Call) -> dict[str, torch.Tensor]:
    """Name of each trained parameter → squared norm of its gradient for each record, float64, shape (B,)."""
    grams: dict[int, torch.Tensor] = {}
    found = {}
    for product in _products(layer, call):
        if product.factor is None or not gram_is_cheaper(product.side, product.factor):
            found[product.name] = _norms_of_gradients(product)
            continue
        key = id(product.side)
        gram = grams[key] = grams[key] if key in grams else _gram(product.side)
        found[product.name] = (gram * _gram(product.factor)).sum((1, 2), dtype=torch.float64)
    return {name: norms.clamp(min=0.0) for name, norms in found.items()}


def per_example_gradients(
    layer: Recurrence, call: Call, scale: float = 1.0
) -> dict[str, torch.Tensor]:
    """Name of each trained parameter → its gradient for each record times ``scale``, shape (B, *parameter)."""
    return {
        product.name: _records(product.side).sum(1) * scale
        if product.factor is None
        else _records(product.side).transpose(1, 2) @ (_records(product.factor) * scale)
        for product in _products(layer, call)
    }


def gram_is_cheaper(side: torch.Tensor, factor: torch.Tensor) -> bool:
    """Whether two Gram matrices take fewer multiplications than the gradient: T (K + D) against K D."""
    places, _, rows = side.shape
    return places * (rows + factor.shape[-1]) <= rows * factor.shape[-1]


def _only_call(layer: Recurrence) -> Call:
    """The pass that is to be read."""
    match layer.finished:
        case [call]:
            return call
        case []:
            raise UsageError(
                "No backward pass left per-example gradients in this recurrent layer.",
                "They are left by passes in training mode while recording is on.",
                "Set recording to True, then run forward and backward once.",
            )
    raise UsageError(
        f"{len(layer.finished)} passes left per-example gradients in this recurrent layer.",
        "Each row of a single pass stands for one record.",
        "Call the layer once per step and read what it left before the next.",
    )


def _products(layer: Recurrence, call: Call) -> Iterator[_Product]:
    """All trained parameters, in the order of the layer's own."""
    for depth, trace in sorted(call.traces.items()):
        pairs = [
            _Product(name=f"weight_ih_l{depth}", side=trace.input_side, factor=trace.inputs),
            _Product(name=f"weight_hh_l{depth}", side=trace.hidden_side, factor=trace.hidden),
        ]
        if layer.bias:
            pairs += [
                _Product(name=f"bias_ih_l{depth}", side=trace.input_side, factor=None),
                _Product(name=f"bias_hh_l{depth}", side=trace.hidden_side, factor=None),
            ]
        yield from (p for p in pairs if layer.get_parameter(p.name).requires_grad)


def _records(tensor: torch.Tensor) -> torch.Tensor:
    """(T, B, N) → (B, T, N)."""
    return tensor.transpose(0, 1)


def _gram(tensor: torch.Tensor) -> torch.Tensor:
    """Inner products between the places of each record, (T, B, N) → (B, T, T)."""
    return _records(tensor) @ _records(tensor).transpose(1, 2)


def _norms_of_gradients(product: _Product) -> torch.Tensor:
    """Squared norms by making the gradient itself, one record at a time for a weight."""
    side, factor = product.side, product.factor
    if factor is None:
        return side.sum(0).double().square().sum(1)
    gradient = side.new_empty(side.shape[-1], factor.shape[-1])
    norms = side.new_empty(side.shape[1], dtype=torch.float64)
    for record in range(side.shape[1]):
        torch.mm(side[:, record].t(), factor[:, record], out=gradient)
        norms[record] = torch.linalg.vector_norm(gradient, dtype=torch.float64).square()
    return norms


def _weighted(product: _Product, weights: torch.Tensor) -> torch.Tensor:
    """Weighted sum of one parameter's gradients."""
    sides = product.side.flatten(0, 1).t()
    if product.factor is None:
        return sides @ weights.repeat(len(product.side))
    return sides @ (product.factor * weights[:, None]).flatten(0, 1)
