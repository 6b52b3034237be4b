"""One step of differentially private training (DP-SGD, Abadi et al. 2016; with other optimizers DP-RMSProp and DP-Adam).

With the records B_s that step s drew, g_b the gradient of record b's own loss (``record_loss``), C the clipping norm, σ the noise multiplier
and b̄ the *expected* batch size,

    gradient = ( Σ_{b ∈ B_s} g_b · min(1, C / ‖g_b‖)  +  N(0, σ² C² I) ) / b̄

is handed to the optimizer. A step that drew no record is made of noise alone, and counts.

How the clipped sum is had is a matter of speed (``choosing``). Its noise, its scale and its account are Opacus': ``add_noise``, ``scale_grad``
and the accountant's hook of ``DPOptimizerFastGradientClipping``, which takes sums that are clipped already. A step may be read in parts and by
several processes: the clipped sums are added first, and then every process draws the *same* noise, from a generator of its own that has the
same state everywhere, so that noise enters once.

The noise follows from the seed of the training, as everything does. Whoever knows the seed can take it away: ε holds against those who do not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from opacus.accountants import create_accountant
from opacus.optimizers import DPOptimizerFastGradientClipping
from torch import nn

from secretaudit.errors import ModelError, UsageError
from secretaudit.training.batch import Batch
from secretaudit.training.private.accounting import (
    delta_warning,
    noise_for,
    read_history,
    spent,
    write_history,
)
from secretaudit.training.private.choosing import choose_mode
from secretaudit.training.private.mode import Mode
from secretaudit.training.private.recurrent import record_recurrent_layers
from secretaudit.training.processes import Processes
from secretaudit.training.settings import PrivacySettings, TrainingSettings
from secretaudit.training.update import Forward

#: Sets the noise apart from other numbers that are drawn with the same seed.
_STREAM = 0x401535


class PrivateUpdate:
    """An update that is differentially private in the records; see ``Update``.

    Args:
        forward: The model; its recurrent layers are exchanged for twins that hold the same parameters.
        make_optimizer: Makes the optimizer that takes the noisy gradient.
        settings: With ``privacy``.
        processes: The group of processes that train together.
        sample_rate: q, with which each record enters a step.
        expected_batch_size: b̄ = q n, over all processes.
        steps: Of the whole training, for which ε is to last.
        delta: δ.

    Attributes:
        optimizer: What ``make_optimizer`` made.
        noise_multiplier: σ.
        trained: Parameters that are trained, by name.

    Raises:
        UsageError: Settings that private training cannot follow, or an ε that no noise reaches.
        ModelError: Nothing is trained. A layer that no way covers is found out in the first step.
    """

    def __init__(
        self,
        forward: Forward,
        make_optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer],
        *,
        settings: TrainingSettings,
        processes: Processes,
        sample_rate: float,
        expected_batch_size: float,
        steps: int,
        delta: float,
    ) -> None:
        self._privacy = _privacy_of(settings)
        record_recurrent_layers(forward.model)
        self.trained = {n: p for n, p in forward.model.named_parameters() if p.requires_grad}
        self._parameters = list(self.trained.values())
        if not self._parameters:
            raise ModelError(
                "The model has nothing to train.",
                "All of its parameters are frozen.",
                "Leave some of them unfrozen, or add adapters.",
            )
        self._forward = forward
        self._smoothing = settings.label_smoothing
        self._processes = processes
        self._sample_rate = sample_rate
        self._delta = delta
        self._delta_warning = delta_warning(delta, round(expected_batch_size / sample_rate))
        self.noise_multiplier = _noise(self._privacy, delta, sample_rate, steps)
        self.optimizer = make_optimizer(self._parameters)
        _refuse_other_tensors(self.optimizer, self._parameters)
        self._generator = _generator(settings.seed, self._parameters[0].device)
        self._accountant = create_accountant(self._privacy.accountant)
        self._noisy = DPOptimizerFastGradientClipping(
            self.optimizer,
            noise_multiplier=self.noise_multiplier,
            max_grad_norm=self._privacy.max_grad_norm,
            expected_batch_size=expected_batch_size,
            generator=self._generator,
        )
        self._noisy.attach_step_hook(self._accountant.get_optimizer_hook_fn(sample_rate))
        self._mode: Mode | None = None
        self._gradients: str | None = None
        self._why = "No record was read yet."
        self._has_moved = False

    def step(self, batches: Sequence[Batch]) -> torch.Tensor:
        """One step; see ``Update``.

        Raises:
            ModelError: A layer that no way covers, or weights that do not move.
        """
        self._noisy.zero_grad(set_to_none=True)
        nats = torch.zeros((), dtype=torch.float64, device=self._parameters[0].device)
        sums: list[torch.Tensor] = []
        for batch in batches:
            found, read = self.mode_for(batch).clipped_sum(batch, self._privacy.max_grad_norm)
            nats += read
            sums = found if not sums else [s.add_(f) for s, f in zip(sums, found, strict=True)]
        for index, parameter in enumerate(self._parameters):
            parameter.grad = sums[index] if sums else torch.zeros_like(parameter)
        self._processes.add_gradients(self._parameters)
        before = None if self._has_moved else _digest(self._parameters)
        self._noisy.step()
        if before is not None:
            self._check_moved(before)
        return nats

    def mode_for(self, batch: Batch) -> Mode:
        """The way of having clipped gradients; chosen and checked with the first batch."""
        if self._mode is None:
            self._mode, self._why = choose_mode(
                self._forward, self.trained, self._privacy.gradients, batch, self._smoothing
            )
            self._gradients = self._mode.name
        return self._mode

    def state(self) -> dict[str, torch.Tensor]:
        """The state of the noise's generator, and the accountant's history and how gradients were had, as text in bytes."""
        return {
            "noise": self._generator.get_state().clone(),
            "history": _as_bytes(write_history(self._accountant.history)),
            "gradients": _as_bytes(json.dumps([self._gradients, self._why])),
        }

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on with the same noise and the same account."""
        self._generator.set_state(state["noise"].cpu().to(torch.uint8))
        self._accountant.history = read_history(_as_text(state["history"]))
        self._gradients, self._why = json.loads(_as_text(state["gradients"]))

    def found(self) -> dict[str, Any]:
        """Privacy spent by the steps so far, and how, as plain JSON.

        ``epsilon`` is ``None`` where no ε holds, and ``remark`` says why; an ε by another accountant than the one asked for has a remark too,
        and so has a δ that is too large to mean anything.
        """
        settings, history = self._privacy, self._accountant.history
        epsilon, accountant, remark = None, settings.accountant, ""
        if settings.poisson:
            result = spent(history, self._delta, settings.accountant)
            epsilon, accountant, remark = result.epsilon, result.accountant, result.why
        else:
            remark = "No ε is stated: the accountant's holds for Poisson sampling, which is off."
        if self._delta_warning is not None:
            remark = f"{remark} {self._delta_warning}".strip()
        return {
            "epsilon": epsilon,
            "delta": self._delta,
            "noise_multiplier": self.noise_multiplier,
            "sample_rate": self._sample_rate,
            "steps": sum(steps for _, _, steps in history),
            "accountant": accountant,
            "max_grad_norm": settings.max_grad_norm,
            "gradients": self._gradients,
            "gradients_why": self._why,
            "unit": "record",
            "poisson": settings.poisson,
            "remark": remark,
        }

    def _check_moved(self, before: list[float]) -> None:
        """Refuse to go on when a step with a gradient and a learning rate changed nothing."""
        pushed = any(group["lr"] > 0 for group in self.optimizer.param_groups) and any(
            p.grad is not None and bool(p.grad.any()) for p in self._parameters
        )
        if not pushed:
            return
        self._has_moved = True
        if _digest(self._parameters) == before:
            raise ModelError(
                "The weights did not change in the first private step.",
                "The learning rate is so small that no weight changes in its precision, or the optimizer trains other tensors.",
                "Raise the learning rate; a model must be on its device before private training begins.",
            )


def _as_bytes(text: str) -> torch.Tensor:
    """Text in the form in which a checkpoint holds it: uint8, UTF-8."""
    return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)


def _as_text(tensor: torch.Tensor) -> str:
    return bytes(tensor.cpu().numpy().tobytes()).decode()


def _privacy_of(settings: TrainingSettings) -> PrivacySettings:
    """The privacy settings, if the others can be followed with them."""
    privacy = settings.privacy
    if privacy is None:
        raise UsageError(
            "Private training needs privacy settings.",
            "They are None.",
            "Give TrainingSettings a privacy=PrivacySettings(...).",
        )
    if settings.gradient_checkpointing:
        raise UsageError(
            "Private training cannot checkpoint gradients.",
            "The gradient of each record is made of activations, which checkpointing throws away.",
            "Leave --gradient-checkpointing out; --physical-batch-size saves memory too.",
        )
    if settings.precision != "float32" and privacy.gradients in ("hooks", "ghost"):
        raise UsageError(
            f"Private training with {privacy.gradients} cannot use {settings.precision}.",
            "Opacus multiplies activations and gradients, which have different precisions then.",
            "Choose the gradient mode book-keeping, or --precision float32.",
        )
    return privacy


def _noise(privacy: PrivacySettings, delta: float, sample_rate: float, steps: int) -> float:
    """σ: as given, or the least that keeps within ε."""
    if privacy.noise_multiplier is not None:
        return float(privacy.noise_multiplier)
    return noise_for(
        privacy.epsilon or 0.0,
        delta,
        sample_rate=sample_rate,
        steps=steps,
        accountant=privacy.accountant,
    )


def _generator(seed: int, device: torch.device) -> torch.Generator:
    """The source of the noise."""
    (drawn,) = np.random.SeedSequence([_STREAM, seed]).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(drawn) >> 1)


def _refuse_other_tensors(
    optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter]
) -> None:
    """Every weight that the optimizer changes must have noise, and every weight with noise must change."""
    held = [p for group in optimizer.param_groups for p in group["params"]]
    if sorted(map(id, held)) != sorted(map(id, parameters)):
        raise ModelError(
            "The optimizer does not train the weights that were given to it.",
            f"It holds {len(held)} tensors, and the model trains {len(parameters)}.",
            "Make it of exactly those parameters, on the device on which the model is trained.",
        )


def _digest(parameters: Sequence[nn.Parameter]) -> list[float]:
    """Numbers that change when the parameters do."""
    return [float(parameter.detach().double().sum()) for parameter in parameters]
