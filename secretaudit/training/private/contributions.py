"""What one record adds to the gradient of one parameter, without writing that gradient down.

In a backward pass of the summed losses of B records, each use of a parameter leaves behind, for each record b, one of

    outer   Σ_t l_bt r_btᵀ      a product's weight: gradients of the outputs by inputs (Goodfellow 2015)
    rows    Σ_t e(i_bt) v_btᵀ    an embedding: v_bt falls on row i_bt
    dense   d_b                  anything small enough to be written down: biases, scales of normalizations

A parameter that is used several times (tied weights) has several. Two things are needed of their sum over uses, G_b:

    ‖G_b‖²  to clip it          from Gram matrices, Σ_t Σ_s (l_t·l_s)(r_t·r_s), where that is cheaper than G_b itself (Li et al. 2022,
                                "ghost norm"); products of two different uses are added with weight 2
    Σ_b w_b G_b  once clipped   one product over all records and places (Bu, Wang, Zha, Karypis 2023, "book-keeping")

Shapes: left (B, T, m), right (B, T, n), indices (B, T), values (B, T, n), dense (B, …). All sums are float32 or wider.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch


@dataclass(frozen=True, kw_only=True, eq=False)
class Outer:
    """Σ_t left_t right_tᵀ, a matrix of shape (m, n) for each record."""

    left: torch.Tensor
    right: torch.Tensor

    @property
    def prefers_gram(self) -> bool:
        """Whether Gram matrices need fewer multiplications than the matrix itself."""
        places, m, n = self.left.shape[1], self.left.shape[2], self.right.shape[2]
        return places * (m + n) < m * n

    def per_record(self) -> torch.Tensor:
        """(B, m, n)."""
        return torch.bmm(self.left.transpose(1, 2), self.right)

    def weighted_sum(self, weights: torch.Tensor) -> torch.Tensor:
        """(m, n)."""
        narrow = self.left.shape[2] < self.right.shape[2]
        left = self.left * weights[:, None, None] if narrow else self.left
        right = self.right if narrow else self.right * weights[:, None, None]
        return left.flatten(0, 1).t() @ right.flatten(0, 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """values_t added to row indices_t, of ``count`` rows."""

    indices: torch.Tensor
    values: torch.Tensor
    count: int

    def per_record(self) -> torch.Tensor:
        """(B, count, n)."""
        records, _, width = self.values.shape
        full = self.values.new_zeros(records, self.count, width)
        return full.scatter_add_(1, self.indices[..., None].expand_as(self.values), self.values)

    def weighted_sum(self, weights: torch.Tensor) -> torch.Tensor:
        """(count, n)."""
        values = (self.values * weights[:, None, None]).flatten(0, 1)
        full = self.values.new_zeros(self.count, self.values.shape[2])
        return full.index_add_(0, self.indices.flatten(), values)


@dataclass(frozen=True, kw_only=True, eq=False)
class Dense:
    """Written down, shape (B, …)."""

    values: torch.Tensor

    def per_record(self) -> torch.Tensor:
        """(B, …)."""
        return self.values

    def weighted_sum(self, weights: torch.Tensor) -> torch.Tensor:
        """(…)."""
        summed: torch.Tensor = torch.tensordot(weights, self.values, dims=([0], [0]))
        return summed


Contribution = Outer | Rows | Dense


def joined(contributions: Sequence[Contribution]) -> list[Contribution]:
    """The same sum with at most one contribution of each kind: uses of one kind are uses at more places.

    Args:
        contributions: All uses of one parameter, at least one.
    """
    outer = [c for c in contributions if isinstance(c, Outer)]
    rows = [c for c in contributions if isinstance(c, Rows)]
    dense = [c for c in contributions if isinstance(c, Dense)]
    result: list[Contribution] = []
    if outer:
        left, right = _beside([c.left for c in outer]), _beside([c.right for c in outer])
        result.append(Outer(left=left, right=right))
    if rows:
        indices, values = _beside([c.indices for c in rows]), _beside([c.values for c in rows])
        result.append(Rows(indices=indices, values=values, count=rows[0].count))
    if dense:
        result.append(Dense(values=reduce(torch.add, [c.values for c in dense])))
    return result


def per_record(contributions: Sequence[Contribution]) -> torch.Tensor:
    """G_b written down, shape (B, …); as large as B times the parameter."""
    return reduce(torch.add, [c.per_record() for c in contributions])


def weighted_sum(contributions: Sequence[Contribution], weights: torch.Tensor) -> torch.Tensor:
    """Σ_b w_b G_b.

    Args:
        contributions: All uses of one parameter.
        weights: w, shape (B,).
    """
    return reduce(torch.add, [c.weighted_sum(weights) for c in contributions])


def squared_norms(contributions: Sequence[Contribution]) -> torch.Tensor:
    """‖G_b‖², shape (B,); exact, whatever the number of uses.

    Args:
        contributions: ``joined`` uses of one parameter.
    """
    match contributions:
        case [Outer() as outer] if outer.prefers_gram:
            return _gram(outer)
        case [Rows() as rows]:
            return _inner_of_rows(rows)
        case [Outer() as outer, Rows() as rows] if outer.prefers_gram:
            return _gram(outer) + 2 * _inner_of_both(outer, rows) + _inner_of_rows(rows)
        case _:
            return per_record(contributions).flatten(1).square().sum(1)


def _gram(outer: Outer) -> torch.Tensor:
    """Σ_t Σ_s (l_t·l_s)(r_t·r_s)."""
    left = torch.bmm(outer.left, outer.left.transpose(1, 2))
    right = torch.bmm(outer.right, outer.right.transpose(1, 2))
    # rounding can bring a sum that is next to nothing below zero
    return left.mul_(right).sum((1, 2)).clamp_(min=0)


def _inner_of_rows(rows: Rows) -> torch.Tensor:
    """Σ_t Σ_s [i_t = i_s] v_t·v_s."""
    same = rows.indices[:, :, None] == rows.indices[:, None, :]
    products = torch.bmm(rows.values, rows.values.transpose(1, 2))
    return products.mul_(same).sum((1, 2)).clamp_(min=0)


def _inner_of_both(outer: Outer, rows: Rows) -> torch.Tensor:
    """⟨Σ_t l_t r_tᵀ, Σ_s e(i_s) v_sᵀ⟩ = Σ_t Σ_s l_t[i_s] (r_t·v_s)."""
    shape = (-1, outer.left.shape[1], -1)
    at_rows = outer.left.gather(2, rows.indices[:, None, :].expand(shape))
    products = torch.bmm(outer.right, rows.values.transpose(1, 2))
    return products.mul_(at_rows).sum((1, 2))


def _beside(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Places of several uses after one another."""
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors), dim=1)
