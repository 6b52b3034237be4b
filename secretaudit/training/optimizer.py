"""The optimizers, all of them torch's own."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from secretaudit.training.settings import TrainingSettings


def make_optimizer(
    settings: TrainingSettings, parameters: Iterable[nn.Parameter]
) -> torch.optim.Optimizer:
    """The optimizer that the settings name, over the parameters that are trained."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    rate, decay = settings.rate, settings.weight_decay
    match settings.optimizer:
        case "adam":
            return torch.optim.Adam(trained, lr=rate, weight_decay=decay, fused=True)
        case "adamw":
            return torch.optim.AdamW(trained, lr=rate, weight_decay=decay, fused=True)
        case "sgd":
            return torch.optim.SGD(
                trained, lr=rate, weight_decay=decay, momentum=settings.momentum, fused=True
            )
        case "rmsprop":
            return torch.optim.RMSprop(
                trained, lr=rate, weight_decay=decay, momentum=settings.momentum
            )
        case other:
            raise ValueError(f"optimizer must be adam, adamw, sgd or rmsprop, got {other!r}")
