"""The recurrent layers as Opacus sees them: how to get per-example gradients, and their norms alone, after a backward pass.

Opacus calls a rule with what went into the layer and with the gradient of what came out, times the number of records if the loss was their
mean. A recurrent layer needs neither: its own backward pass left everything in a trace, at the scale of the loss. So the rule reads the
trace, and asks the hook that called it whether the loss was a mean. Importing this module registers the rules, hence ``PrivacyEngine`` takes
models with these layers as they are; sampling, clipping, noise and accounting stay Opacus'.
"""

from __future__ import annotations

import functools

import torch
from opacus.grad_sample import register_grad_sampler, register_norm_sampler
from torch import nn

from secretaudit.errors import UsageError
from secretaudit.training.per_example.layers import PerExampleGRU, PerExampleLSTM
from secretaudit.training.per_example.recurrent_rules import (
    Recurrence,
    parameter_squared_norms,
    per_example_gradients,
)
from secretaudit.training.per_example.trace import Call


def gradients(
    layer: Recurrence, _activations: list[torch.Tensor], _backprops: torch.Tensor
) -> dict[nn.Parameter, torch.Tensor]:
    """Gradient of each record, for Opacus' hooks.

    Args:
        layer: Whose backward pass has just ended.
        _activations: Not needed.
        _backprops: Not needed.

    Returns:
        Trained parameter → shape (B, *parameter).
    """
    found = per_example_gradients(layer, _last_call(layer), _scale(layer))
    return {layer.get_parameter(name): gradient for name, gradient in found.items()}


def norms(
    layer: Recurrence, _activations: list[torch.Tensor], _backprops: torch.Tensor
) -> dict[nn.Parameter, torch.Tensor]:
    """Norm of each record's gradient, for Opacus' ghost clipping.

    Args:
        layer: Whose backward pass has just ended.
        _activations: Not needed.
        _backprops: Not needed.

    Returns:
        Trained parameter → norms, shape (B,).
    """
    scale, dtype = _scale(layer), layer.dtype
    found = parameter_squared_norms(layer, _last_call(layer))
    return {
        layer.get_parameter(name): (squares.sqrt() * scale).to(dtype)
        for name, squares in found.items()
    }


def _last_call(layer: Recurrence) -> Call:
    """The pass whose backward pass has just ended; it is taken off the list."""
    if not layer.finished:
        raise UsageError(
            "Opacus asked a recurrent layer for per-example gradients that are not there.",
            "Its backward pass has not run, or hooks were placed between forward and backward.",
            "Wrap the model first, then run forward and backward.",
        )
    return layer.finished.pop()


def _scale(layer: Recurrence) -> float:
    """Records in the pass if Opacus was told that the loss is their mean, 1 if it is their sum."""
    for hook in layer._backward_hooks.values():
        if isinstance(hook, functools.partial):
            match hook.keywords.get("loss_reduction"):
                case "mean":
                    return float(layer.max_batch_len)
                case "sum":
                    return 1.0
    raise UsageError(
        "Opacus did not say whether the loss is a mean or a sum over the records.",
        "The recurrent layers find it on the hook that Opacus places, and there was none.",
        "Use a version of Opacus that is tested (constraints.txt).",
    )


for _register, _rule in ((register_grad_sampler, gradients), (register_norm_sampler, norms)):
    _register([PerExampleLSTM, PerExampleGRU])(_rule)
