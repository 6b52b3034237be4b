"""Clipped per-record gradients by Opacus' own hooks.

    hooks   every per-record gradient is written down (``GradSampleModule``), then clipped: any layer that Opacus can handle, at B times
            the memory of the weights
    ghost   norms first, then a second backward pass of the weighted losses (``GradSampleModuleFastGradientClipping``; Li et al. 2022);
            tied weights are refused by Opacus

Opacus takes the first dimension of what a layer reads for the records, so position ids are given for every record: GPT-2's own would have a
first dimension of 1. It also gives the row of padding in an embedding a gradient, which torch does not; hooks take it away again where the
weight is not tied. (A record's norm is then at most too large, never too small.)
"""

from __future__ import annotations

import inspect
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from opacus.grad_sample import GradSampleModule, GradSampleModuleFastGradientClipping
from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPTensorFastGradientClipping
from torch import nn

from secretaudit.errors import UsageError
from secretaudit.training.batch import Batch
from secretaudit.training.private.mode import clipping_factors
from secretaudit.training.private.record_loss import record_losses
from secretaudit.training.private.uses import Uncovered
from secretaudit.training.update import Forward


class Hooks:
    """See ``Mode``.

    Args:
        forward: The model; hooks are put on it until ``close``.
        trained: Its trained parameters by name.
        smoothing: Label smoothing in [0, 1).

    Raises:
        Uncovered: Opacus has no way to handle a layer.
    """

    name = "hooks"

    def __init__(
        self, forward: Forward, trained: Mapping[str, nn.Parameter], smoothing: float = 0.0
    ) -> None:
        self._forward = forward
        self._trained: dict[str, Any] = dict(trained)  # Opacus hangs attributes on parameters
        self._smoothing = smoothing
        self._padding = _padding_rows(forward.model)
        try:
            self._hooks = GradSampleModule(forward.model, loss_reduction="sum")
        except NotImplementedError as error:
            raise Uncovered("", f"Opacus says: {error}") from error
        self._clipper = DPOptimizer(
            torch.optim.SGD(list(self._trained.values()), lr=0.0),
            noise_multiplier=0.0,
            max_grad_norm=1.0,
            expected_batch_size=None,
            loss_reduction="sum",
        )

    def clipped_sum(self, batch: Batch, clip: float) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Opacus' ``clip_and_accumulate`` on gradients written down; see ``Mode``."""
        nats = self._backward(batch)
        self._clipper.max_grad_norm = clip
        try:
            self._clipper.clip_and_accumulate()
            sums = [parameter.summed_grad for parameter in self._trained.values()]
        finally:
            self._clipper.zero_grad(set_to_none=True)
        return sums, nats

    def record_gradients(self, batch: Batch, clip: float) -> dict[str, torch.Tensor]:
        """Each record's clipped gradient, by parameter, shape (B, …)."""
        self._backward(batch)
        found = {name: p.grad_sample.detach() for name, p in self._trained.items()}
        self._clipper.zero_grad(set_to_none=True)
        norms = torch.stack([g.flatten(1).norm(dim=1) for g in found.values()]).norm(dim=0)
        factors = clipping_factors(norms, clip)
        return {
            name: gradient * factors.view(-1, *[1] * (gradient.dim() - 1))
            for name, gradient in found.items()
        }

    def close(self) -> None:
        """Take the hooks away."""
        self._hooks.cleanup()

    def _backward(self, batch: Batch) -> torch.Tensor:
        """Fill ``grad_sample`` of every parameter."""
        losses, nats = record_losses(
            self._forward, with_positions(batch, self._forward.model), self._smoothing
        )
        with _quiet():
            losses.sum().backward()
        for name, parameter in self._trained.items():
            found = parameter.grad_sample
            if found is None:
                parameter.grad_sample = parameter.new_zeros(len(batch.targets), *parameter.shape)
            elif not isinstance(found, torch.Tensor) or len(found) != len(batch.targets):
                self._clipper.zero_grad(set_to_none=True)
                raise Uncovered(name, "it is used where no dimension counts records")
        for weight, row in self._padding:
            weight.grad_sample[:, row] = 0.0
        return nats


class Ghost:
    """See ``Mode``.

    Args:
        forward: The model; hooks are put on it until ``close``.
        trained: Its trained parameters by name.
        smoothing: Label smoothing in [0, 1).

    Raises:
        UsageError: Weights are tied.
        Uncovered: Opacus has no way to handle a layer.
    """

    name = "ghost"

    def __init__(
        self, forward: Forward, trained: Mapping[str, nn.Parameter], smoothing: float = 0.0
    ) -> None:
        self._forward = forward
        self._trained = dict(trained)
        self._smoothing = smoothing
        _refuse_tied(forward.model)
        try:
            self._hooks = GradSampleModuleFastGradientClipping(
                forward.model, loss_reduction="sum", use_ghost_clipping=True
            )
        except NotImplementedError as error:
            raise Uncovered("", f"Opacus says: {error}") from error
        self._optimizer = DPOptimizerFastGradientClipping(
            torch.optim.SGD(list(self._trained.values()), lr=0.0),
            noise_multiplier=0.0,
            max_grad_norm=1.0,
            expected_batch_size=None,
            loss_reduction="sum",
        )

    def clipped_sum(self, batch: Batch, clip: float) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Two backward passes; see ``Mode``."""
        self._hooks.max_grad_norm = clip
        losses, nats = record_losses(
            self._forward, with_positions(batch, self._forward.model), self._smoothing
        )
        with _quiet():
            DPTensorFastGradientClipping(self._hooks, self._optimizer, losses, "sum").backward()
        sums = [torch.zeros_like(p) if p.grad is None else p.grad for p in self._trained.values()]
        self._optimizer.original_optimizer.zero_grad(set_to_none=True)
        return sums, nats

    def close(self) -> None:
        """Take the hooks away."""
        self._hooks.cleanup()


def with_positions(batch: Batch, model: Any) -> Batch:
    """The same batch with position ids 0, 1, … for every record, if the model takes any."""
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model
    if "position_ids" not in inspect.signature(bare.forward).parameters:
        return batch
    if "position_ids" in batch.inputs:
        return batch
    records, places = batch.inputs["input_ids"].shape
    ids = torch.arange(places, device=batch.targets.device).repeat(records, 1)
    return replace(batch, inputs={**batch.inputs, "position_ids": ids})


@contextmanager
def _quiet() -> Iterator[None]:
    """Token ids have no gradient, of which torch warns at every embedding with a hook."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Full backward hook is firing", UserWarning)
        yield


def _padding_rows(model: nn.Module) -> list[tuple[Any, int]]:
    """Trained embeddings that are used by one module only, with the row that stands for padding."""
    modules = [m for m in model.modules() if "weight" in m._parameters]
    users = Counter(id(module.weight) for module in modules)
    return [
        (module.weight, module.padding_idx)
        for module in modules
        if isinstance(module, nn.Embedding)
        and module.padding_idx is not None
        and module.weight.requires_grad
        and users[id(module.weight)] == 1
    ]


def _refuse_tied(model: nn.Module) -> None:
    """Opacus finds out in the middle of a step; the names are better known beforehand."""
    seen: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if parameter.requires_grad and id(parameter) in seen:
            raise UsageError(
                f"Ghost clipping cannot train {name}, which is tied to {seen[id(parameter)]}.",
                "Opacus' ghost norms hold for weights that are used once.",
                "Choose the gradient mode book-keeping, or auto.",
            )
        seen[id(parameter)] = name
