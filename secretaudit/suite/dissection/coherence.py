"""Coherence: do the parameter gradients of different examples pull in one direction?

g_i = ∂L_i/∂θ of n examples, u_i = g_i/‖g_i‖. The mean cosine over all pairs needs no n × n matrix:

    coherence = (‖Σ u_i‖² − n) / (n(n − 1))

near 1 where a step for one example serves all, near 0 where each needs its own, −1/(n − 1) at the least. A rule that is learned serves many examples; a
label that is memorized serves one. Of a single example,

    c_i = cos(g_i, Σ_{j≠i} g_j)

says whether the others pull its way: examples with a low c_i are those that the network has to memorize. The sum over the others is the sum over all
less g_i, so two passes over the gradients are enough and none is kept. Gradients of length 0 have no direction: such examples are left out and counted.

Gradient coherence is known from the literature on generalization (Chatterjee 2020; Fort et al. 2019, "stiffness"; both from memory); that it separates learning from
memorizing in the sense of Gu & Tresp (2019, abstract) is our proposal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from secretaudit.suite.classifier import Classifier
from secretaudit.suite.labelled import Labelled
from secretaudit.suite.per_example import parameter_gradients, parameters_of

__all__ = ["Coherence", "against", "coherence", "coherence_of_model", "low_ranks_auc"]

#: Numbers of one chunk of gradients.
_CHUNK_NUMBERS = 16_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Coherence:
    """How far gradients agree.

    Attributes:
        mean_cosine: Over all pairs of examples, in [−1/(n−1), 1]; ``None`` with fewer than two gradients that are not zero.
        of_examples: c_i, shape (n,); NaN where a gradient, or the sum of the others, is zero.
        zero: Examples whose gradient is zero.
        total: Σ g_i, shape (P,), float64: the direction that other examples are held against.
    """

    mean_cosine: float | None
    of_examples: NDArray[np.float64]
    zero: int
    total: Tensor


def coherence(chunks: Callable[[], Iterable[Tensor]]) -> Coherence:
    """Coherence of gradients that come in chunks.

    Args:
        chunks: Gives the gradients, shapes (c, P), in the same order each time it is called; it is called twice.
    """
    lengths, units, total = [], torch.zeros(()), torch.zeros(())
    for rows in chunks():
        length = rows.norm(dim=1)
        lengths.append(length.double())
        safe = torch.where(length > 0, length, torch.ones_like(length))
        units = units + (rows / safe.unsqueeze(1)).sum(0).double()
        total = total + rows.sum(0).double()
    along = torch.cat([(rows @ total.to(rows.dtype)).double() for rows in chunks()])
    norms = torch.cat(lengths)
    used = int((norms > 0).sum())
    others = (total @ total - 2 * along + norms**2).clamp(min=0.0).sqrt()
    scale = norms * others
    own = torch.where(scale > 0, (along - norms**2) / scale, torch.full_like(scale, torch.nan))
    pairs = used * (used - 1)
    return Coherence(
        mean_cosine=float((units @ units - used) / pairs) if pairs else None,
        of_examples=own.clamp(-1.0, 1.0).numpy(),
        zero=len(norms) - used,
        total=total,
    )


def against(total: Tensor, chunks: Iterable[Tensor]) -> NDArray[np.float64]:
    """cos(g_i, total) of examples that are not part of the total, shape (n,); NaN where one of the two is zero.

    Args:
        total: Sum of other examples' gradients, shape (P,).
        chunks: Gradients, shapes (c, P).
    """
    direction = total / total.norm() if float(total.norm()) > 0 else total
    found = []
    for rows in chunks:
        length = rows.norm(dim=1).double()
        along = (rows @ direction.to(rows.dtype)).double()
        known = (length > 0) & (float(total.norm()) > 0)
        found.append(torch.where(known, along / length, torch.full_like(length, torch.nan)))
    return torch.cat(found).numpy()


def coherence_of_model(model: Classifier, examples: Labelled) -> Coherence:
    """Coherence of a classifier's gradients of the loss on some examples, by all trained parameters.

    Raises:
        ModelError: No parameter takes a gradient.
    """
    count = sum(p.numel() for p in parameters_of(model).values())
    size = max(1, min(64, _CHUNK_NUMBERS // count))

    def chunks() -> Iterator[Tensor]:
        for inputs, labels in zip(
            examples.inputs.split(size), examples.labels.split(size), strict=True
        ):
            yield parameter_gradients(model, inputs, labels, chunk=size)

    return coherence(chunks)


def low_ranks_auc(odd: NDArray[np.float64], others: NDArray[np.float64]) -> float | None:
    """Chance that a random odd example is less coherent than a random other one, ties counted half; ``None`` where there is nothing to compare.

    0.5: coherence does not tell them apart; 1: every odd one lies below every other.

    >>> low_ranks_auc(np.array([0.0, 0.1]), np.array([0.2, 0.3]))
    1.0
    """
    a, b = odd[~np.isnan(odd)], others[~np.isnan(others)]
    if not len(a) or not len(b):
        return None
    ranks = stats.rankdata(np.concatenate([a, b]))
    above = float(ranks[: len(a)].sum()) - len(a) * (len(a) + 1) / 2
    return 1.0 - above / (len(a) * len(b))
