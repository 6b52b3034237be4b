"""Clipped per-record gradients are checked against gradients computed one record at a time.

Everything that ε promises stands on two things: that a record's gradient depends on no other record, and that its norm is known. Both hold
for the models that were tried, and either can fail silently for one that was not: a layer that normalizes over the batch, a table that is
read once for all records, a parameter used out of sight. So before the first step, two records are read together by the way that was
chosen, and each alone by torch's own backward pass; the clipped sums must agree. The clipping norm is half the smaller of the two norms, so
that a wrong norm shows. Dropout is off for this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn

from secretaudit.models.recurrent.network import IGNORED
from secretaudit.training.batch import Batch
from secretaudit.training.private.mode import Mode, clipping_factors
from secretaudit.training.private.record_loss import record_losses
from secretaudit.training.private.uses import Uncovered
from secretaudit.training.update import Forward

#: Largest difference, relative to the norm of the whole, by precision of the products.
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.1}


def two_records(batch: Batch) -> Batch:
    """The first two records of a batch; of one alone, also the same record turned by one place."""
    tensors = {**batch.inputs, "": batch.targets}
    if len(batch.targets) == 1:
        tensors = {name: torch.cat([t, t.roll(1, -1)]) for name, t in tensors.items()}
    targets = tensors.pop("")[:2]
    tokens = int((targets != IGNORED).sum())
    return replace(
        batch, inputs={n: t[:2] for n, t in tensors.items()}, targets=targets, tokens=tokens
    )


def alone(
    forward: Forward, trained: Mapping[str, nn.Parameter], batch: Batch, smoothing: float = 0.0
) -> list[list[torch.Tensor]]:
    """Each record's gradient by a forward and a backward pass of its own, by parameter.

    Call it on a model without hooks.
    """
    parameters = list(trained.values())
    found = []
    with still(forward.model):
        for row in range(len(batch.targets)):
            one = replace(
                batch,
                inputs={name: t[row : row + 1] for name, t in batch.inputs.items()},
                targets=batch.targets[row : row + 1],
            )
            losses, _ = record_losses(forward, one, smoothing)
            gradients = torch.autograd.grad(losses.sum(), parameters, materialize_grads=True)
            found.append([gradient.detach() for gradient in gradients])
    return found


def check(
    mode: Mode,
    forward: Forward,
    trained: Mapping[str, nn.Parameter],
    batch: Batch,
    separate: list[list[torch.Tensor]],
) -> None:
    """Compare.

    Args:
        mode: The way that was chosen.
        forward: The model.
        trained: Its trained parameters by name.
        batch: Two records.
        separate: What ``alone`` found for them.

    Raises:
        Uncovered: The clipped sums differ; the parameter is the one that differs most.
    """
    norms = torch.stack([torch.stack([g.norm() for g in one]).norm() for one in separate])
    clip = float(norms.min()) / 2 or 1.0
    factors = clipping_factors(norms, clip)
    with still(forward.model):
        sums, _ = mode.clipped_sum(batch, clip)
    expected = [sum_of(gradients, factors) for gradients in zip(*separate, strict=True)]
    scale = max(float(torch.stack([e.norm() for e in expected]).norm()), clip)
    differences = [float((s - e).norm()) / scale for s, e in zip(sums, expected, strict=True)]
    worst = max(range(len(differences)), key=differences.__getitem__)
    if not differences[worst] <= TOLERANCE[forward.precision]:
        raise Uncovered(
            list(trained)[worst],
            "two records read together do not have the gradients that they have alone",
        )


def sum_of(gradients: tuple[torch.Tensor, ...], factors: torch.Tensor) -> torch.Tensor:
    """Σ_b c_b g_b."""
    summed: torch.Tensor = torch.tensordot(factors, torch.stack(gradients), dims=([0], [0]))
    return summed


@contextmanager
def still(model: nn.Module) -> Iterator[None]:
    """No dropout, while the modules that hold weights stay in training mode, without which hooks keep nothing."""
    before = {module: module.training for module in model.modules()}
    recurrent = {m: m.dropout for m in before if isinstance(m, nn.RNNBase)}
    for module in before:
        module.training = any(True for _ in module.parameters(recurse=False))
    for layer in recurrent:
        layer.dropout = 0.0
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training
        for layer, dropout in recurrent.items():
            layer.dropout = dropout
