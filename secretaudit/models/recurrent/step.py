"""One token through all layers, for many prefixes that share parents.

A tree walk asks for the children of a node: the same parent state, read with different tokens. Of the two matrix
products of a recurrent layer, the hidden side U h + b depends on the parent alone and is computed once per parent; the
input side W x of layer 1 depends on the token alone and is a row of a table computed once per model. What remains per
child is W x of the layers above the first and the elementwise part.

Gates of an LSTM are laid out (i, f, o, g) with the rows of g doubled, since tanh(a) = 2 σ(2 a) − 1: one pass of σ serves
all four gates, and σ is several times cheaper than tanh on a CPU. Gates of a GRU keep torch's order (r, z, n).
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import nn
from torch.nn import functional

#: A table of input projections larger than this is not made; the product is computed when asked.
TABLE_LIMIT_BYTES = 256 * 2**20


class Cell(Protocol):
    """The elementwise part of a layer, and how its weights are laid out."""

    #: Tensors per layer that make up the state: 2 (h, c) or 1 (h).
    state_tensors: int

    def arrange(self, weight: torch.Tensor) -> torch.Tensor:
        """Weights or biases of a layer, torch's gate order, in the order used here."""

    def biases(
        self, input_side: torch.Tensor, hidden_side: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor]:
        """The bias added on the input side (or none) and on the hidden side, arranged."""

    def update(
        self,
        inputs: torch.Tensor,
        hidden: torch.Tensor,
        before: tuple[torch.Tensor, ...],
        after: tuple[torch.Tensor, ...],
    ) -> None:
        """Write the new state into ``after``; ``inputs`` and ``hidden`` may be overwritten."""


class LSTMCell:
    """Long short-term memory."""

    state_tensors = 2

    def arrange(self, weight: torch.Tensor) -> torch.Tensor:
        """(i, f, g, o) → (i, f, o, 2 g)."""
        i, f, g, o = weight.chunk(4)
        return torch.cat((i, f, o, 2.0 * g))

    def biases(
        self, input_side: torch.Tensor, hidden_side: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor]:
        """Both biases are only ever added, so the hidden side, computed less often, takes them."""
        return None, self.arrange(input_side + hidden_side)

    def update(
        self,
        inputs: torch.Tensor,
        hidden: torch.Tensor,
        before: tuple[torch.Tensor, ...],
        after: tuple[torch.Tensor, ...],
    ) -> None:
        """The new state: c' = f c + i (2 s − 1); h' = o (2 σ(2 c') − 1), with s = σ(2 g)."""
        i, f, o, s = hidden.add_(inputs).sigmoid_().chunk(4, dim=1)
        h, c = after
        torch.mul(f, before[1], out=c)
        c.addcmul_(i, s, value=2.0).sub_(i)
        torch.mul(c, 2.0, out=h).sigmoid_().mul_(2.0).sub_(1.0).mul_(o)


class GRUCell:
    """Gated recurrent unit; the reset gate acts on U h + b of the candidate, as in torch."""

    state_tensors = 1

    def arrange(self, weight: torch.Tensor) -> torch.Tensor:
        """(r, z, n) stays."""
        return weight

    def biases(
        self, input_side: torch.Tensor, hidden_side: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor]:
        """The candidate's hidden bias stands under the reset gate, so the sides stay apart."""
        return input_side, hidden_side

    def update(
        self,
        inputs: torch.Tensor,
        hidden: torch.Tensor,
        before: tuple[torch.Tensor, ...],
        after: tuple[torch.Tensor, ...],
    ) -> None:
        """The new state: h' = n + z (h − n)."""
        units = inputs.shape[1] // 3
        r, z = inputs[:, : 2 * units].add_(hidden[:, : 2 * units]).sigmoid_().chunk(2, dim=1)
        n = inputs[:, 2 * units :].addcmul_(r, hidden[:, 2 * units :]).tanh_()
        (h,) = after
        torch.sub(before[0], n, out=h).mul_(z).add_(n)


class RecurrentStep:
    """The weights of a recurrent stack, laid out for one-token steps.

    Args:
        embedding: Shape (V, E).
        rnn: The layers.
    """

    def __init__(self, embedding: torch.Tensor, rnn: nn.LSTM | nn.GRU) -> None:
        self.cell: Cell = LSTMCell() if isinstance(rnn, nn.LSTM) else GRUCell()
        self.input_weight: list[torch.Tensor] = []
        self.input_bias: list[torch.Tensor | None] = []
        self.hidden_weight: list[torch.Tensor] = []
        self.hidden_bias: list[torch.Tensor] = []
        for layer in range(rnn.num_layers):
            self._add_layer(*(getattr(rnn, f"{name}_l{layer}").detach() for name in _PARAMETERS))
        self.embedding = embedding
        rows, gates = embedding.shape[0], self.hidden_bias[0].shape[0]
        fits = rows * gates * embedding.element_size() <= TABLE_LIMIT_BYTES
        self.table = self._first_layer(embedding) if fits else None

    def _add_layer(
        self, w_ih: torch.Tensor, w_hh: torch.Tensor, b_ih: torch.Tensor, b_hh: torch.Tensor
    ) -> None:
        """Lay out the weights of one more layer."""
        input_bias, hidden_bias = self.cell.biases(b_ih, b_hh)
        self.input_weight.append(self.cell.arrange(w_ih).t().contiguous())
        self.input_bias.append(input_bias)
        self.hidden_weight.append(self.cell.arrange(w_hh).t().contiguous())
        self.hidden_bias.append(hidden_bias)

    def _first_layer(self, embedded: torch.Tensor) -> torch.Tensor:
        """Input side of layer 1 for embedded tokens, shape (B, E) → (B, gates)."""
        return _affine(embedded, self.input_weight[0], self.input_bias[0])

    def __call__(
        self,
        before: tuple[torch.Tensor, ...],
        rows: torch.Tensor,
        tokens: torch.Tensor,
        after: tuple[torch.Tensor, ...],
    ) -> torch.Tensor:
        """Read ``tokens[j]`` after row ``rows[j]`` of ``before`` and write the state into ``after``.

        Args:
            before: State tensors of shape (layers, rows of the parents, units).
            rows: int64, shape (B,); equal neighbours are computed once.
            tokens: int64, shape (B,).
            after: State tensors of shape (layers, B, units), overwritten.

        Returns:
            The output of the last layer, shape (B, units): a view of ``after``.
        """
        parents, inverse = torch.unique_consecutive(rows, return_inverse=True)
        shared = len(parents) < len(rows)
        inputs = self._embedded(tokens)
        for layer, weight in enumerate(self.hidden_weight):
            if layer > 0:
                above = after[0][layer - 1]
                inputs = _affine(above, self.input_weight[layer], self.input_bias[layer])
            old = before[0][layer].index_select(0, parents)
            hidden = torch.addmm(self.hidden_bias[layer], old, weight)
            state = (old, *(tensor[layer].index_select(0, parents) for tensor in before[1:]))
            if shared:
                hidden = hidden.index_select(0, inverse)
                state = tuple(tensor.index_select(0, inverse) for tensor in state)
            self.cell.update(inputs, hidden, state, tuple(tensor[layer] for tensor in after))
        return after[0][-1]

    def _embedded(self, tokens: torch.Tensor) -> torch.Tensor:
        """Input side of layer 1 for token ids, a fresh tensor."""
        if self.table is not None:
            return self.table.index_select(0, tokens)
        return self._first_layer(functional.embedding(tokens, self.embedding))


_PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def _affine(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """X W (+ b)."""
    return x @ weight if bias is None else torch.addmm(bias, x, weight)
