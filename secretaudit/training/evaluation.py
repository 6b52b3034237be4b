"""Loss on records that are not trained on."""

from __future__ import annotations

import math

import torch

from secretaudit.training.batch import Batches
from secretaudit.training.processes import Processes
from secretaudit.training.update import Forward, token_nats


@torch.no_grad()
def bits_per_token(forward: Forward, batches: Batches, processes: Processes) -> float:
    """Mean cost of the predicted tokens, read once in order; lower is better.

    Args:
        forward: The model; a lane's state is carried along, apart from that of the training.
        batches: Of the validation records.
        processes: Each reads its share.
    """
    model = forward.model
    training = model.training
    model.eval()
    reading = Forward(model, forward.precision)
    nats, tokens = 0.0, 0
    for step in range(batches.steps_per_epoch):
        for batch in batches[step]:
            nats += float(token_nats(reading(batch), batch.targets).double().sum())
            tokens += batch.tokens
    model.train(training)
    return processes.sum(nats) / max(processes.sum(tokens), 1) / math.log(2.0)
