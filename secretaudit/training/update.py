"""One optimizer step.

With the parts b_1 … b_k of a step, N predicted tokens in all of them and in all processes, and cross-entropies ℓ in nats,

    gradient = ∇ (1/N) Σ_b Σ_tokens ℓ,

so that neither the number of parts nor the number of processes changes the result, up to float noise. The gradient is clipped to a norm,
when asked, and handed to the optimizer. What is reported is Σ ℓ without label smoothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional

from secretaudit.models.recurrent.network import IGNORED
from secretaudit.training.batch import Batch
from secretaudit.training.processes import Processes


class Update(Protocol):
    """How a step changes the weights.

    Attributes:
        optimizer: Whose learning rate the schedule sets (``param_groups``) and whose state a checkpoint holds.
    """

    optimizer: torch.optim.Optimizer

    def step(self, batches: Sequence[Batch]) -> torch.Tensor:
        """Change the weights once.

        Args:
            batches: This process' parts of the step; none is possible.

        Returns:
            float64, shape (): nats of this process' predicted tokens, on the model's device.
        """

    def state(self) -> dict[str, torch.Tensor]:
        """What a checkpoint must hold of this process, beside weights, optimizer and torch's generator."""

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from ``state``."""

    def found(self) -> dict[str, Any]:
        """What the record says of the update, as plain JSON: privacy spent, for example."""


def token_nats(logits: torch.Tensor, targets: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    """Cross-entropy in float32.

    Args:
        logits: (B, T, V).
        targets: (B, T).
        smoothing: Share of the target's probability that is spread over all tokens (Szegedy et al. 2016).

    Returns:
        Nats, shape (B, T); 0 where the target is ``IGNORED``.
    """
    flat = functional.cross_entropy(
        logits.float().flatten(0, 1),
        targets.flatten(),
        ignore_index=IGNORED,
        reduction="none",
        label_smoothing=smoothing,
    )
    return flat.view_as(targets)


class Forward:
    """A model read batch by batch, with the states that lanes end with.

    Args:
        model: The model.
        precision: "float32", or "bfloat16" for products in bfloat16 (weights stay float32).
    """

    def __init__(self, model: nn.Module, precision: str = "float32") -> None:
        self.model = model
        self.precision = precision
        self._carried: dict[int, tuple[torch.Tensor, ...]] = {}
        self._restored: tuple[torch.Tensor, ...] = ()

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Logits of shape (B, T, V)."""
        inputs: dict[str, Any] = {**batch.inputs, "use_cache": batch.lane is not None}
        if batch.lane is not None and not batch.begins:
            inputs["past_key_values"] = self._state(batch.lane, len(batch.targets))
        device = batch.targets.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            output = self.model(**inputs)
        if batch.lane is not None:
            self._carried[batch.lane] = tuple(t.detach() for t in output.past_key_values)
        logits: torch.Tensor = output.logits
        return logits

    @property
    def carried(self) -> tuple[torch.Tensor, ...]:
        """The states that all lanes ended with, side by side, of shape (layers, lanes, units); none at the start."""
        if not self._carried:
            return self._restored
        parts = (self._carried[lane] for lane in sorted(self._carried))
        return tuple(torch.cat(tensors, dim=1) for tensors in zip(*parts, strict=True))

    @carried.setter
    def carried(self, states: tuple[torch.Tensor, ...]) -> None:
        self._carried, self._restored = {}, states

    def _state(self, lane: int, rows: int) -> tuple[torch.Tensor, ...]:
        """The states that some lanes ended with; after a resumption, cut out of those of all."""
        if lane in self._carried:
            return self._carried[lane]
        return tuple(t[:, lane : lane + rows].contiguous() for t in self._restored)


class PlainUpdate:
    """An update without privacy.

    Args:
        forward: The model.
        optimizer: Of its parameters.
        processes: The group of processes that train together.
        clip: Largest norm of the gradient; 0 does not clip.
        smoothing: Label smoothing in [0, 1).
    """

    def __init__(
        self,
        forward: Forward,
        optimizer: torch.optim.Optimizer,
        *,
        processes: Processes,
        clip: float,
        smoothing: float = 0.0,
    ) -> None:
        self.optimizer = optimizer
        self._forward = forward
        self._parameters = [p for p in forward.model.parameters() if p.requires_grad]
        self._processes = processes
        self._clip = clip
        self._smoothing = smoothing

    def step(self, batches: Sequence[Batch]) -> torch.Tensor:
        """One step; see ``Update``."""
        total = max(self._processes.sum(sum(batch.tokens for batch in batches)), 1)
        nats = torch.zeros((), dtype=torch.float64, device=self._parameters[0].device)
        self.optimizer.zero_grad()
        for batch in batches:
            logits = self._forward(batch)
            loss = token_nats(logits, batch.targets, self._smoothing).sum()
            (loss / total).backward()
            with torch.no_grad():
                plain = token_nats(logits, batch.targets).sum() if self._smoothing else loss
                nats += plain.detach().double()
        self._processes.add_gradients(self._parameters)
        if self._clip:
            nn.utils.clip_grad_norm_(self._parameters, self._clip)
        self.optimizer.step()
        return nats

    def state(self) -> dict[str, torch.Tensor]:
        """The recurrent states that the lanes ended with."""
        return {str(index): tensor for index, tensor in enumerate(self._forward.carried)}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take the lanes' states up again."""
        device = self._parameters[0].device
        self._forward.carried = tuple(tensor.to(device) for _, tensor in sorted(state.items()))

    def found(self) -> dict[str, Any]:
        """Nothing to say."""
        return {}
