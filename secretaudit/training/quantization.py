"""Weights of 8 bits after training: a defence that the paper measures and finds wanting.

Each row w of a weight matrix is rounded to whole multiples of one scale,

    s = max |w| / 127,   w ← s · round(w / s),

as symmetric 8-bit quantization per output channel does (Krishnamoorthi 2018, section 2). Only weights are rounded; products stay in float32, so that any
backend computes with exactly the values that an 8-bit file would hold. Biases and the scales of normalizations, which such files keep in full, stay.
"""

from __future__ import annotations

import torch
from torch import nn

#: Largest magnitude of a symmetric 8-bit integer.
LARGEST = 127.0


@torch.no_grad()
def quantize_weights(model: nn.Module) -> int:
    """Round all weight matrices in place.

    Args:
        model: Its parameters with two dimensions or more are rounded; tied ones once.

    Returns:
        Number of weights that were rounded.
    """
    rounded = 0
    for parameter in model.parameters():
        if parameter.ndim >= 2:
            rows = parameter.flatten(1)
            scale = rows.abs().amax(dim=1, keepdim=True) / LARGEST
            scale[scale == 0] = 1.0
            parameter.copy_((torch.round(rows / scale) * scale).view_as(parameter))
            rounded += parameter.numel()
    return rounded
