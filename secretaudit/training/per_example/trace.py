"""What one layer's backward pass leaves behind, from which every per-example gradient follows.

A recurrent layer multiplies its inputs x_t by W and its previous state h_{t-1} by U. With p_t and q_t the gradients of the loss at these
two products (for an LSTM they are the same; for a GRU they differ in the candidate gate, whose hidden side is scaled by the reset gate),

    gradient of record b:   W: Σ_t p_bt x_btᵀ     U: Σ_t q_bt h_b(t-1)ᵀ     input bias: Σ_t p_bt     hidden bias: Σ_t q_bt.

Everything is time-major: (T, B, width).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """Gradients at the products of one layer, and what was multiplied.

    Attributes:
        inputs: x, shape (T, B, D).
        hidden: State before each place, shape (T, B, H).
        input_side: p, shape (T, B, gates · H).
        hidden_side: q, shape (T, B, gates · H); the same tensor as ``input_side`` where both are equal (LSTM).
    """

    inputs: torch.Tensor
    hidden: torch.Tensor
    input_side: torch.Tensor
    hidden_side: torch.Tensor


@dataclass(kw_only=True, eq=False)
class Call:
    """One forward pass of a module of several layers, filled in by its backward pass.

    Attributes:
        finished: Where the call puts itself once its first layer, the last in the backward pass, is done.
        summed: Whether the backward pass also gives the ordinary gradients, summed over the records.
        traces: By layer.
    """

    finished: list[Call]
    summed: bool
    traces: dict[int, Trace] = field(default_factory=dict)

    def leave(self, layer: int, trace: Trace) -> None:
        """Keep what a layer's backward pass found."""
        self.traces[layer] = trace
        if layer == 0:
            self.finished.append(self)


def summed_gradients(trace: Trace, bias: bool) -> tuple[torch.Tensor | None, ...]:
    """Ordinary gradients of the two weights and the two biases, summed over records and places."""
    pairs = ((trace.input_side, trace.inputs), (trace.hidden_side, trace.hidden))
    weights = [side.flatten(0, 1).t() @ factor.flatten(0, 1) for side, factor in pairs]
    sums = [side.sum((0, 1)) if bias else None for side, _ in pairs]
    return (*weights, *sums)


def project(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Inputs (T, B, D) by a weight (K, D), plus a bias (K,): one product for all places, shape (T, B, K)."""
    flat = inputs.flatten(0, 1)
    product = flat @ weight.t() if bias is None else torch.addmm(bias, flat, weight.t())
    return product.view(*inputs.shape[:2], len(weight))


def with_start(inputs: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    """Room for T + 1 states of which only the first is set; shape (T + 1, B, H)."""
    states = inputs.new_empty(len(inputs) + 1, *state.shape)
    states[0] = state
    return states
