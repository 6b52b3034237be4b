"""Gradients of single records by the parameters of a language model, many records at a time.

L_i is the mean loss of the counted tokens of record i (nats); what is wanted is ∂L_i/∂θ for each i, and the gradient of the sum would add the
records up. Three ways give the same numbers:

- *Our recurrent models.* torch's fused layers keep nothing from which a record could be told. With layers that do (``training.per_example``) one
  backward pass leaves, at every product, the gradient p_t there and what was multiplied, x_t; record i has Σ_t p_it x_itᵀ. The embedding's rows
  gather the gradients of their tokens; the output layer has Σ_t δ_it h_itᵀ with δ the gradient of the logits. A tied matrix has both.
- *Other models.* ``torch.func`` differentiates the loss of one record and maps it over the rows (``vmap(grad(…))``).
- *One at a time*, for models that cannot be mapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from secretaudit.models.recurrent.network import RecurrentForCausalLM
from secretaudit.training.per_example import per_example
from secretaudit.training.per_example.recurrent_rules import per_example_gradients

__all__ = ["gradients_of_rows", "gradients_one_by_one"]


def gradients_of_rows(module: Any, tokens: Tensor, counted: Tensor, names: Sequence[str]) -> Tensor:
    """∂L_i/∂θ of some records by the fastest way that the model allows.

    Args:
        module: A causal language model in evaluation mode.
        tokens: int64, shape (c, T), padded on the right.
        counted: bool, shape (c, T − 1): targets that count.
        names: Parameters to differentiate by.

    Returns:
        Shape (c, P), the parameters flattened one after another.
    """
    if isinstance(module, RecurrentForCausalLM):
        return _of_recurrent(module, tokens, counted, names)
    try:
        return _mapped(module, tokens, counted, names)
    except (RuntimeError, NotImplementedError, ValueError, TypeError):
        return gradients_one_by_one(module, tokens, counted, names)


def gradients_one_by_one(
    module: Any, tokens: Tensor, counted: Tensor, names: Sequence[str]
) -> Tensor:
    """The same by a backward pass for each record."""
    chosen = [module.get_parameter(name) for name in names]
    rows = []
    with torch.enable_grad():
        for ids, inside in zip(tokens.split(1), counted.split(1), strict=True):
            width = int(inside[0].nonzero().max()) + 2
            logits = module(input_ids=ids[:, : width - 1], use_cache=False).logits
            loss = _losses(logits, ids[:, :width], inside[:, : width - 1])
            slopes = torch.autograd.grad(
                loss.sum(), chosen, allow_unused=True, materialize_grads=True
            )
            rows.append(torch.cat([slope.flatten() for slope in slopes]))
    return torch.stack(rows).float()


def _losses(logits: Tensor, tokens: Tensor, counted: Tensor) -> Tensor:
    """L_i, shape (c,)."""
    nats = F.cross_entropy(logits.float().transpose(1, 2), tokens[:, 1:], reduction="none")
    return (nats * counted).sum(1) / counted.sum(1)


def _mapped(module: Any, tokens: Tensor, counted: Tensor, names: Sequence[str]) -> Tensor:
    """By ``torch.func``."""
    weights = {name: module.get_parameter(name).detach() for name in names}
    rest = {n: p.detach() for n, p in module.named_parameters() if n not in weights}
    rest |= dict(module.named_buffers())

    def loss(chosen: dict[str, Tensor], ids: Tensor, inside: Tensor) -> Tensor:
        asked = {"input_ids": ids[None, :-1], "use_cache": False}
        logits = functional_call(module, {**rest, **chosen}, (), asked, tie_weights=True).logits
        return _losses(logits, ids[None], inside[None])[0]

    with sdpa_kernel(SDPBackend.MATH):  # the fused kernels cannot be mapped
        slopes = vmap(grad(loss), in_dims=(None, 0, 0))(weights, tokens, counted)
    return torch.cat([slopes[name].flatten(1) for name in names], 1).float()


def _of_recurrent(
    model: RecurrentForCausalLM, tokens: Tensor, counted: Tensor, names: Sequence[str]
) -> Tensor:
    """By what one backward pass leaves at the products; see the module's text."""
    twin = per_example(model.rnn)  # holds the very parameters of the model's layer
    twin.train().dropout = 0.0
    twin.recording = True
    read = tokens[:, :-1]
    with torch.enable_grad():
        embedded = model.embed(read).detach().requires_grad_()
        features, _ = twin(embedded)
        logits = model.head(features)
        loss = _losses(logits, tokens, counted).sum()
        at_logits, at_embedded = torch.autograd.grad(loss, (logits, embedded))
    traces = per_example_gradients(twin, twin.finished[-1])
    found = {f"rnn.{name}": slope for name, slope in traces.items()}
    gathered = torch.zeros(len(read), *model.embed.weight.shape)
    gathered.view(-1, gathered.shape[-1]).index_add_(
        0,
        (read + len(model.embed.weight) * torch.arange(len(read))[:, None]).flatten(),
        at_embedded.flatten(0, 1),
    )
    at_head = at_logits.transpose(1, 2) @ features.detach()
    tied = model.head.weight is model.embed.weight
    found["embed.weight"] = gathered + at_head if tied else gathered
    found["head.weight"], found["head.bias"] = at_head, at_logits.sum(1)
    return torch.cat([found[name].flatten(1) for name in names], 1)
