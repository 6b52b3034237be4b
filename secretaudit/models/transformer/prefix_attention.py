"""Attention of many rows to one common prefix, without copying the prefix.

One new token per row attends to the keys K of the P prefix tokens, the same for all rows, and to the row's own keys. Softmax runs over
both, and each part is a matrix product:

    scores of the prefix   Q Kᵀ    one product of all rows, (B × d) · (d × P) for each head
    own scores             q_b kᵀ  one small product per row

so the prefix is read once per layer and not once per row. The function takes the place of a model's own attention through the
registry of transformers; a model that does not look there is not changed by it, gives other numbers when tried, and is
read in another way (``transformer.state_check``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from transformers.modeling_utils import AttentionInterface

NAME = "secretaudit_prefix"
#: Where the keys and values of the prefix travel: an attribute of the rows' own.
ATTRIBUTE = "secretaudit_prefix"
#: What some models add to their scores, and this function does not.
_NOT_KNOWN = ("s_aux", "sinks", "position_bias", "cache", "head_mask")


def attend(
    module: nn.Module,  # noqa: ARG001 # the signature of the registry
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of one new token per row.

    Args:
        module: The layer.
        query: (B, heads, 1, d).
        key: The rows' own keys (B, key heads, L, d), with the prefix's (1, key heads, P, d) as an attribute.
        value: The same of the values.
        attention_mask: bool or added, (B, 1, 1, P + L); ``None`` when all is seen.
        scaling: Of the scores.
        softcap: c when scores s become c · tanh(s / c).
        others: Refused when they would change the scores.

    Raises:
        NotImplementedError: The model wants more of its attention, or keys have lost their prefix on the way.
    """
    before, values_before = getattr(key, ATTRIBUTE, None), getattr(value, ATTRIBUTE, None)
    wanted = [name for name in _NOT_KNOWN if others.get(name) is not None]
    if wanted or before is None or values_before is None or query.shape[2] != 1:
        raise NotImplementedError("this attention has no common prefix")
    rows, heads, _, size = query.shape
    groups, length = key.shape[1], before.shape[2]
    q = query.reshape(rows, groups, heads // groups, size)
    scores = torch.cat([_all_rows(q, before[0].transpose(1, 2)), q @ key.transpose(2, 3)], dim=-1)
    scores = scores * (size**-0.5 if scaling is None else scaling)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if attention_mask is not None:
        mask = attention_mask[..., : scores.shape[-1]]
        if mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        else:
            scores = scores + mask
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    seen = _all_rows(weights[..., :length], values_before[0]) + weights[..., length:] @ value
    return seen.reshape(rows, 1, heads, -1), None


def _all_rows(rows: torch.Tensor, common: torch.Tensor) -> torch.Tensor:
    """Rows (B, G, g, n) times a matrix per group (G, n, m), as one product per group."""
    count, groups, size, _ = rows.shape
    product = rows.transpose(0, 1).reshape(groups, count * size, -1) @ common
    return product.view(groups, count, size, -1).transpose(0, 1)


@contextmanager
def common_prefix(configurations: list[Any]) -> Iterator[None]:
    """Let a model attend in this way inside the block."""
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    own = [configuration._attn_implementation for configuration in configurations]
    try:
        for configuration in configurations:
            configuration._attn_implementation = NAME
        yield
    finally:
        for configuration, name in zip(configurations, own, strict=True):
            configuration._attn_implementation = name
