"""Layers, batches and one-by-one gradients that the tests of this folder share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

KINDS: dict[str, type[nn.LSTM] | type[nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A layer and a batch for it; the numbers are the same in both precisions."""

    cell: str = "lstm"
    layers: int = 2
    inputs: int = 3
    units: int = 4
    bias: bool = True
    batch_first: bool = True
    lengths: tuple[int, ...] = (5, 3, 1)
    double: bool = True
    seed: int = 0

    @property
    def dtype(self) -> torch.dtype:
        return torch.float64 if self.double else torch.float32

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    def layer(self, dropout: float = 0.0) -> nn.LSTM | nn.GRU:
        """A layer of torch's own with weights drawn from the seed."""
        layer = KINDS[self.cell](
            self.inputs,
            self.units,
            self.layers,
            bias=self.bias,
            batch_first=self.batch_first,
            dropout=dropout,
            dtype=self.dtype,
        )
        generator = self.generator()
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.copy_(torch.rand(parameter.shape, generator=generator) * 2 - 1)
        return layer

    def rows(self) -> torch.Tensor:
        """Right-padded inputs, (B, T, D); the padding is junk as large as the rest."""
        shape = (len(self.lengths), max(self.lengths), self.inputs)
        return torch.randn(shape, generator=self.generator()).to(self.dtype)

    def pull(self) -> torch.Tensor:
        """Gradient of the loss at the outputs, (B, T, H): zero on the padding."""
        shape = (len(self.lengths), max(self.lengths), self.units)
        pull = torch.randn(shape, generator=self.generator()).to(self.dtype)
        for row, length in zip(pull, self.lengths, strict=True):
            row[length:] = 0.0
        return pull


def as_input(shape: Shape, rows: torch.Tensor) -> torch.Tensor:
    """Rows (B, …) in the order that the layer reads."""
    return rows if shape.batch_first else rows.transpose(0, 1)


def record_losses(
    layer: nn.Module, shape: Shape, rows: torch.Tensor, pull: torch.Tensor
) -> torch.Tensor:
    """A loss per record, (B,), not linear in the outputs."""
    outputs, _ = layer(as_input(shape, rows))
    return (as_input(shape, outputs).sin() * pull).sum((1, 2))


def one_by_one(layer: nn.LSTM | nn.GRU, shape: Shape) -> dict[str, torch.Tensor]:
    """Gradient of each record by torch's own layer and autograd: one record at a time, cut to its length."""
    rows, pull = shape.rows(), shape.pull()
    found: dict[str, list[torch.Tensor]] = {name: [] for name, _ in layer.named_parameters()}
    for record, length in enumerate(shape.lengths):
        alone = slice(record, record + 1)
        loss = record_losses(layer, shape, rows[alone, :length], pull[alone, :length])
        gradients = torch.autograd.grad(loss.sum(), list(layer.parameters()))
        for values, gradient in zip(found.values(), gradients, strict=True):
            values.append(gradient)
    return {name: torch.stack(values) for name, values in found.items()}


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference as a share of the largest expected value."""
    found, expected = found.detach(), expected.detach()
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30))
