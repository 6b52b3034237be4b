"""Loss on records that are not trained on."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from secretaudit.models.recurrent.network import IGNORED, RecurrentForCausalLM
from secretaudit.training.stream import Windows


@torch.no_grad()
def bits_per_token(model: RecurrentForCausalLM, windows: Windows) -> float:
    """Mean cost of the tokens in the windows, read once with the state carried along; lower is better."""
    training = model.training
    model.eval()
    state = None
    nats = torch.zeros((), dtype=torch.float64, device=model.head.weight.device)
    for index in range(windows.count):
        inputs, targets = windows[index]
        output = model(inputs, past_key_values=state)
        state = output.past_key_values
        nats += functional.cross_entropy(
            output.logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )
    model.train(training)
    return float(nats) / (sum(windows.predicted) * math.log(2.0))
