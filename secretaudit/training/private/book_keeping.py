"""Book-keeping: clipped per-record gradients in a single backward pass.

    1   forward, watching every use of every trained parameter (``uses``); recurrent layers record on their own (``per_example``)
    2   one backward pass of the summed record losses, which computes gradients of activations only
    3   ‖g_b‖² of each record, from what the uses left (``contributions``)
    4   Σ_b c_b g_b, one product for each parameter, in place of the products that an ordinary backward pass would have made

so that the cost over an ordinary step is that of the norms alone (Bu, Wang, Zha, Karypis 2023). Tied weights are exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from secretaudit.training.batch import Batch
from secretaudit.training.per_example import recurrent_rules
from secretaudit.training.per_example.layers import PerExampleRecurrence
from secretaudit.training.private import contributions as contributed
from secretaudit.training.private.contributions import Contribution
from secretaudit.training.private.mode import clipping_factors
from secretaudit.training.private.record_loss import record_losses
from secretaudit.training.private.rules import RULES
from secretaudit.training.private.uses import Uncovered, Uses
from secretaudit.training.update import Forward


class BookKeeping:
    """See ``Mode``; raises ``Uncovered`` when a use of a parameter is not known.

    Args:
        forward: The model.
        trained: Its trained parameters by name.
        smoothing: Label smoothing in [0, 1).
    """

    name = "book-keeping"

    def __init__(
        self, forward: Forward, trained: Mapping[str, nn.Parameter], smoothing: float = 0.0
    ) -> None:
        self._forward = forward
        self._trained = dict(trained)
        self._smoothing = smoothing
        self._recurrent = list(_recorded_layers(forward.model))
        inside = {id(p) for layer in self._recurrent for p in layer.parameters()}
        self._watched = {p: name for name, p in trained.items() if id(p) not in inside}

    def clipped_sum(self, batch: Batch, clip: float) -> tuple[list[torch.Tensor], torch.Tensor]:
        """One forward and one backward pass; see ``Mode``."""
        with self._kept(batch) as (kept, nats):
            squares = [contributed.squared_norms(uses) for uses in kept.values() if uses]
            squares += [recurrent_rules.squared_norms(layer) for layer in self._recurrent]
            norms = _sum_of(squares, len(batch.targets), batch.targets.device).sqrt().float()
            sums = self._weighted_sums(kept, clipping_factors(norms, clip))
        return sums, nats

    def close(self) -> None:
        """Nothing was changed."""

    def record_gradients(self, batch: Batch, clip: float) -> dict[str, torch.Tensor]:
        """Each record's clipped gradient written down, by parameter, shape (B, …): large, and for looking at only."""
        eye = torch.eye(len(batch.targets), device=batch.targets.device)
        with self._kept(batch) as (kept, _):
            squares = [contributed.squared_norms(uses) for uses in kept.values() if uses]
            squares += [recurrent_rules.squared_norms(layer) for layer in self._recurrent]
            norms = _sum_of(squares, len(eye), eye.device).sqrt().float()
            rows = [
                self._weighted_sums(kept, row)
                for row in eye * clipping_factors(norms, clip)[:, None]
            ]
        return {name: torch.stack(found) for name, *found in zip(self._trained, *rows, strict=True)}

    @contextmanager
    def _kept(
        self, batch: Batch
    ) -> Iterator[tuple[dict[nn.Parameter, list[Contribution]], torch.Tensor]]:
        """The joined contributions of a batch, and its nats; freed at the end."""
        uses = Uses(self._watched, len(batch.targets), RULES)
        try:
            with self._recording():
                with uses:
                    losses, nats = record_losses(self._forward, batch, self._smoothing)
                if losses.requires_grad:
                    losses.sum().backward()
            self._refuse_unseen()
            yield (
                {p: contributed.joined(list(found)) for p, found in uses.contributions.items()},
                nats,
            )
        finally:
            for layer in self._recurrent:
                recurrent_rules.forget(layer)

    def _weighted_sums(
        self, kept: Mapping[nn.Parameter, Sequence[Contribution]], weights: torch.Tensor
    ) -> list[torch.Tensor]:
        """Σ_b w_b g_b by parameter; 0 for one that was not used."""
        found = {
            id(parameter): contributed.weighted_sum(uses, weights).view_as(parameter)
            for parameter, uses in kept.items()
            if uses
        }
        for layer in self._recurrent:
            for name, gradient in recurrent_rules.weighted_sum(layer, weights).items():
                found[id(layer.get_parameter(name))] = gradient
        return [
            found[id(p)].to(p.dtype) if id(p) in found else torch.zeros_like(p)
            for p in self._trained.values()
        ]

    @contextmanager
    def _recording(self) -> Iterator[None]:
        """Recurrent layers leave traces in place of ordinary gradients."""
        for layer in self._recurrent:
            layer.recording = True
        try:
            yield
        finally:
            for layer in self._recurrent:
                layer.recording = False

    def _refuse_unseen(self) -> None:
        """A gradient that torch computed by itself belongs to a use that was not seen."""
        for name, parameter in self._trained.items():
            if parameter.grad is not None:
                parameter.grad = None
                raise Uncovered(name, "it is used in a way that torch does not show")


def _recorded_layers(model: nn.Module) -> Iterator[recurrent_rules.Recurrence]:
    """The recurrent layers that record and have something to train."""
    for module in model.modules():
        if isinstance(module, PerExampleRecurrence) and any(
            parameter.requires_grad for parameter in module.parameters()
        ):
            yield module  # type: ignore[misc]  # the shared class has exactly these two kinds


def _sum_of(squares: Sequence[torch.Tensor], records: int, device: torch.device) -> torch.Tensor:
    """Squared norms over all parameters, shape (B,), float64."""
    total = torch.zeros(records, dtype=torch.float64, device=device)
    for square in squares:
        total += square
    return total
