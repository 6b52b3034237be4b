"""Recurrent layers of a model are exchanged for their twins with per-example gradients."""

from __future__ import annotations

from torch import nn

from secretaudit.training.per_example.layers import per_example


def record_recurrent_layers(model: nn.Module) -> None:
    """Put a twin with the same parameters in the place of every ``nn.LSTM`` and ``nn.GRU`` that is trained.

    Outside private steps the twins use torch's fused kernels, so a model may keep them. A layer that has no twin stays.
    """
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.LSTM | nn.GRU) and _is_plain(child) and _is_trained(child):
                setattr(parent, name, per_example(child))


def _is_plain(layer: nn.LSTM | nn.GRU) -> bool:
    """Whether it is torch's own and has a twin."""
    return type(layer) in (nn.LSTM, nn.GRU) and not layer.bidirectional and not layer.proj_size


def _is_trained(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())
