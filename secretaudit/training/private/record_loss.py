"""The loss of a record: the mean of its own tokens' cross-entropies, in nats.

The usual loss of a batch divides by the number of tokens in the *whole batch*. A record's share of that gradient depends on how long its
neighbours are, so clipping it bounds nothing that belongs to the record, and the ε computed from it is wrong. Here each record is divided by
its own number of tokens, and the records' gradients are clipped one by one.
"""

from __future__ import annotations

import torch

from secretaudit.models.recurrent.network import IGNORED
from secretaudit.training.batch import Batch
from secretaudit.training.update import Forward, token_nats


def record_losses(
    forward: Forward, batch: Batch, smoothing: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses of the records of a batch.

    Args:
        forward: The model.
        batch: Rows that are one record each.
        smoothing: Label smoothing in [0, 1).

    Returns:
        Mean nats of each record's predicted tokens, shape (B,), 0 for a record without any; and the sum of all their tokens' nats
        without smoothing, float64, shape (), detached.
    """
    logits = forward(batch)
    nats = token_nats(logits, batch.targets, smoothing)
    predicted = (batch.targets != IGNORED).sum(1).clamp(min=1)
    with torch.no_grad():
        plain = token_nats(logits, batch.targets) if smoothing else nats
        total = plain.detach().double().sum()
    return nats.sum(1) / predicted, total
