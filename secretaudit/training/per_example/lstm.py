"""One LSTM layer over all places of its records, with a backward pass written by hand.

    i, f, o = σ(W x + U h + b),   g = tanh(W x + U h + b),   c' = f ∘ c + i ∘ g,   h' = o ∘ tanh(c')

W x of all places is one product. The loop over places then works in place on the rows of that product, which hold, one after the other,
the sums and the gates i, f, g, o. Backwards, with e = ∂loss/∂c' (which collects what comes from later places),

    e += ∂loss/∂h' ∘ o ∘ (1 − tanh² c'),
    gates' gradients: e ∘ g ∘ i(1 − i),  e ∘ c ∘ f(1 − f),  e ∘ i ∘ (1 − g²),  ∂loss/∂h' ∘ tanh c' ∘ o(1 − o),
    ∂loss/∂h = gates' gradients · U,   ∂loss/∂c = e ∘ f,

and ∂loss/∂x of all places is again one product. The gates' gradients stay in the trace (Hochreiter and Schmidhuber 1997; Gers et al. 2000).
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


class LSTMLayer(torch.autograd.Function):
    """Inputs (T, B, D), state (B, H) and (B, H) → outputs (T, B, H) and last cell state (B, H)."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: torch.Tensor,
        start: tuple[torch.Tensor, torch.Tensor],
        w_input: torch.Tensor,
        w_hidden: torch.Tensor,
        b_input: torch.Tensor | None,
        b_hidden: torch.Tensor | None,
        call: Call,
        layer: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run over all places and keep the gates."""
        inputs = inputs.detach().contiguous()
        bias = None if b_input is None or b_hidden is None else b_input + b_hidden
        gates = project(inputs, w_input, bias)
        hidden, cells = (with_start(inputs, state) for state in start)
        squashed = torch.empty_like(hidden[1:])
        _forward_loop(gates, hidden, cells, squashed, w_hidden)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(inputs, gates, hidden, cells, squashed, w_input, w_hidden)
        ctx.call, ctx.layer, ctx.has_bias = call, layer, b_input is not None
        return hidden[1:], cells[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor | None) -> tuple[Any, ...]:
        """Gradient of the inputs; the trace is left in the call."""
        inputs, gates, hidden, cells, squashed, w_input, w_hidden = ctx.saved_tensors
        outer = torch.zeros_like(squashed) if grads[0] is None else grads[0]
        last = torch.zeros_like(cells[0]) if grads[1] is None else grads[1].clone()
        side = torch.empty_like(gates)
        _backward_loop(outer, last, gates, cells, squashed, w_hidden, side)
        trace = Trace(inputs=inputs, hidden=hidden[:-1], input_side=side, hidden_side=side)
        ctx.call.leave(ctx.layer, trace)
        to_inputs = side @ w_input if ctx.needs_input_grad[0] else None
        summed = summed_gradients(trace, ctx.has_bias) if ctx.call.summed else (None,) * 4
        return to_inputs, None, *summed, None, None


def _forward_loop(
    gates: torch.Tensor,
    hidden: torch.Tensor,
    cells: torch.Tensor,
    squashed: torch.Tensor,
    w_hidden: torch.Tensor,
) -> None:
    """Turn the sums in ``gates`` into gates and fill ``hidden``, ``cells`` and ``squashed`` = tanh(cells)."""
    units, recurrent = hidden.shape[-1], w_hidden.t()
    for t, row in enumerate(gates.unbind()):
        row.addmm_(hidden[t], recurrent)
        both = row[:, : 2 * units].sigmoid_()
        candidate = row[:, 2 * units : 3 * units].tanh_()
        out = row[:, 3 * units :].sigmoid_()
        cell = torch.mul(both[:, units:], cells[t], out=cells[t + 1])
        cell.addcmul_(both[:, :units], candidate)
        torch.mul(out, torch.tanh(cell, out=squashed[t]), out=hidden[t + 1])


def _backward_loop(
    outer: torch.Tensor,
    to_cell: torch.Tensor,
    gates: torch.Tensor,
    cells: torch.Tensor,
    squashed: torch.Tensor,
    w_hidden: torch.Tensor,
    side: torch.Tensor,
) -> None:
    """Fill ``side`` with the gradients at the sums of the gates, from the last place to the first.

    Args:
        outer: Gradient of the outputs, shape (T, B, H).
        to_cell: Gradient of the last cell state, shape (B, H); used up.
        gates: i, f, g, o, shape (T, B, 4H).
        cells: shape (T + 1, B, H).
        squashed: tanh of ``cells[1:]``.
        w_hidden: U, shape (4H, H).
        side: Filled, shape (T, B, 4H).
    """
    to_hidden, through = torch.empty_like(to_cell), torch.empty_like(to_cell)
    steps = len(gates)
    views = [tensor.unflatten(-1, (4, -1)).unbind(2) for tensor in (gates, side)]
    (i, f, g, o), (d_i, d_f, d_g, d_o) = ([view.unbind() for view in part] for part in views)
    both = [tensor[..., : 2 * to_cell.shape[-1]].unbind() for tensor in (gates, side)]
    for t in range(steps - 1, -1, -1):
        if t == steps - 1:
            to_hidden.copy_(outer[t])
        else:
            torch.addmm(outer[t], side[t + 1], w_hidden, out=to_hidden)
        tanh_cell = squashed[t]
        torch.mul(to_hidden, o[t], out=through)
        to_cell += _through_tanh(through, tanh_cell, grad_input=through)
        torch.mul(to_cell, g[t], out=d_i[t])
        torch.mul(to_cell, cells[t], out=d_f[t])
        _through_sigmoid(both[1][t], both[0][t], grad_input=both[1][t])
        torch.mul(to_cell, i[t], out=d_g[t])
        _through_tanh(d_g[t], g[t], grad_input=d_g[t])
        torch.mul(to_hidden, tanh_cell, out=d_o[t])
        _through_sigmoid(d_o[t], o[t], grad_input=d_o[t])
        to_cell *= f[t]
