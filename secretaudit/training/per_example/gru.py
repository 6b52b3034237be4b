"""One GRU layer over all places of its records, with a backward pass written by hand.

    r, z = σ(W x + b + U h + b_h),   n = tanh(W x + b + r ∘ (U h + b_h)),   h' = (1 − z) ∘ n + z ∘ h

The reset gate r scales what the state says of the candidate n after the product (Cho et al. 2014, in the form that ``torch.nn.GRU`` has), so
the products W x and U h get different gradients there. With e = ∂loss/∂h' and q = U h + b_h,

    candidate: e ∘ (1 − z)(1 − n²) at W x, and ∘ r at U h;   reset: ∂loss/∂candidate ∘ q_n ∘ r(1 − r);   update: e ∘ (h − n) ∘ z(1 − z),
    ∂loss/∂h = e ∘ z + gradients at U h · U.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from secretaudit.training.per_example.trace import (
    Call,
    Trace,
    project,
    summed_gradients,
    with_start,
)

_through_sigmoid = torch.ops.aten.sigmoid_backward.grad_input
_through_tanh = torch.ops.aten.tanh_backward.grad_input


class GRULayer(torch.autograd.Function):
    """Inputs (T, B, D), state (B, H) → outputs (T, B, H)."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: torch.Tensor,
        start: tuple[torch.Tensor],
        w_input: torch.Tensor,
        w_hidden: torch.Tensor,
        b_input: torch.Tensor | None,
        b_hidden: torch.Tensor | None,
        call: Call,
        layer: int,
    ) -> torch.Tensor:
        """Run over all places and keep the gates."""
        inputs = inputs.detach().contiguous()
        gates = project(inputs, w_input, b_input)
        said = torch.zeros_like(gates) if b_hidden is None else b_hidden.expand_as(gates).clone()
        hidden = with_start(inputs, start[0])
        _forward_loop(gates, said, hidden, w_hidden)
        ctx.save_for_backward(inputs, gates, said, hidden, w_input, w_hidden)
        ctx.call, ctx.layer, ctx.has_bias = call, layer, b_input is not None
        return hidden[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: torch.Tensor) -> tuple[Any, ...]:
        """Gradient of the inputs; the trace is left in the call."""
        inputs, gates, said, hidden, w_input, w_hidden = ctx.saved_tensors
        input_side, hidden_side = torch.empty_like(gates), torch.empty_like(gates)
        _backward_loop(outer, gates, said, hidden, w_hidden, input_side, hidden_side)
        trace = Trace(
            inputs=inputs, hidden=hidden[:-1], input_side=input_side, hidden_side=hidden_side
        )
        ctx.call.leave(ctx.layer, trace)
        to_inputs = input_side @ w_input if ctx.needs_input_grad[0] else None
        summed = summed_gradients(trace, ctx.has_bias) if ctx.call.summed else (None,) * 4
        return to_inputs, None, *summed, None, None


def _forward_loop(
    gates: torch.Tensor, said: torch.Tensor, hidden: torch.Tensor, w_hidden: torch.Tensor
) -> None:
    """Turn W x + b in ``gates`` into r, z, n, fill ``said`` (which holds b_h) with U h + b_h, and ``hidden``."""
    units, recurrent = hidden.shape[-1], w_hidden.t()
    for t, (row, heard) in enumerate(zip(gates.unbind(), said.unbind(), strict=True)):
        heard.addmm_(hidden[t], recurrent)
        both = row[:, : 2 * units].add_(heard[:, : 2 * units]).sigmoid_()
        candidate = row[:, 2 * units :]
        candidate.addcmul_(both[:, :units], heard[:, 2 * units :]).tanh_()
        torch.lerp(candidate, hidden[t], both[:, units:], out=hidden[t + 1])


def _backward_loop(
    outer: torch.Tensor,
    gates: torch.Tensor,
    said: torch.Tensor,
    hidden: torch.Tensor,
    w_hidden: torch.Tensor,
    input_side: torch.Tensor,
    hidden_side: torch.Tensor,
) -> None:
    """Fill both sides with the gradients at the products, from the last place to the first.

    Args:
        outer: Gradient of the outputs, shape (T, B, H).
        gates: r, z, n, shape (T, B, 3H).
        said: U h + b_h, shape (T, B, 3H).
        hidden: States, shape (T + 1, B, H).
        w_hidden: U, shape (3H, H).
        input_side: Filled, shape (T, B, 3H).
        hidden_side: Filled, shape (T, B, 3H).
    """
    units = hidden.shape[-1]
    to_hidden = torch.zeros_like(hidden[0])
    parts = (tensor.unflatten(-1, (3, units)).unbind(2) for tensor in (gates, input_side))
    (r, z, n), (d_r, d_z, d_n) = ([view.unbind() for view in part] for part in parts)
    both = [t[..., : 2 * units].unbind() for t in (gates, input_side, hidden_side)]
    heard, scaled = said[..., 2 * units :].unbind(), hidden_side[..., 2 * units :].unbind()
    for t in range(len(gates) - 1, -1, -1):
        to_hidden += outer[t]
        torch.sub(hidden[t], n[t], out=d_z[t]).mul_(to_hidden)
        kept = torch.mul(to_hidden, z[t])
        torch.sub(to_hidden, kept, out=d_n[t])
        _through_tanh(d_n[t], n[t], grad_input=d_n[t])
        torch.mul(d_n[t], heard[t], out=d_r[t])
        _through_sigmoid(both[1][t], both[0][t], grad_input=both[1][t])
        both[2][t].copy_(both[1][t])
        torch.mul(d_n[t], r[t], out=scaled[t])
        torch.addmm(kept, hidden_side[t], w_hidden, out=to_hidden)
