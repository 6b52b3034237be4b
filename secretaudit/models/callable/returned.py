"""What a user's function returned, made into log-probabilities or refused with the reason.

A distribution over V tokens, as natural logarithms l, has  Σ exp l = 1. Probabilities p have  Σ p = 1, p ≥ 0; logarithms to base b have
Σ b^l = 1; logits have neither. Each of the four is recognized, so that the refusal can name what came instead.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from secretaudit.errors import ModelError

LOG_PROBABILITIES, LOGITS = "log-probabilities", "logits"
#: Largest distance of log Σ p from 0 that rounding explains: float32 sums over 150,000 tokens stay below it.
NORMALIZED_NATS = 1e-3


def log_probabilities(returned: Any, shape: tuple[int, ...], gives: str) -> torch.Tensor:
    """Float32 log-probabilities on the CPU, of the expected shape.

    Args:
        returned: What the function gave: a torch tensor or a numpy array.
        shape: What it should be: (B, V) or (B, T, V).
        gives: "log-probabilities" or "logits".

    Raises:
        ModelError: No array, another shape, no real numbers, or no distribution.
    """
    values = torch.from_numpy(returned) if isinstance(returned, np.ndarray) else returned
    if not isinstance(values, torch.Tensor):
        raise _refused(
            f"The function returned {type(returned).__name__} and no array.",
            "It must return one tensor or numpy array with the distributions of the next token.",
            "Return the logits tensor itself, such as output.logits, or wrap the function.",
        )
    if tuple(values.shape) != shape:
        raise _refused(
            f"The function returned the shape {tuple(values.shape)} in place of {shape}.",
            _reading(shape, tuple(values.shape)),
            'Return one row of V numbers for each prefix, or say places="all" for one of each place.',
        )
    if not values.is_floating_point():
        raise _refused(
            f"The function returned {str(values.dtype).removeprefix('torch.')} values.",
            "Log-probabilities are real numbers.",
            "Return the distribution of the next token, not the token.",
        )
    values = values.detach().float().cpu()
    if gives == LOGITS:
        values = torch.log_softmax(values, dim=-1)
        _check_numbers(values)
        return values
    _check_numbers(values)
    worst = float(torch.logsumexp(values, dim=-1).abs().max()) if values.numel() else 0.0
    if worst > NORMALIZED_NATS:
        raise _not_normalized(values, worst)
    return values


def _check_numbers(values: torch.Tensor) -> None:
    """Refuse NaN and plus infinity; minus infinity is a probability of 0."""
    largest = float(values.max()) if values.numel() else 0.0  # NaN where there is any
    if math.isnan(largest) or largest == math.inf:
        raise _refused(
            "The function returned log-probabilities that are not finite.",
            "Its weights were damaged or its training diverged, so costs and ranks would mean nothing.",
            "Look for NaN in the weights, or use an earlier checkpoint.",
        )


def _not_normalized(values: torch.Tensor, worst: float) -> ModelError:
    """The refusal that names what was returned instead."""
    if bool((values >= 0).all()) and _is_one(values.sum(dim=-1)):
        what, out = "probabilities", "Return their natural logarithm."
    elif _is_one((values * math.log(2.0)).exp().sum(dim=-1)):
        what, out = "logarithms to base 2", "Multiply them by the natural logarithm of 2."
    elif _is_one((values * math.log(10.0)).exp().sum(dim=-1)):
        what, out = "logarithms to base 10", "Multiply them by the natural logarithm of 10."
    else:
        what = "numbers that are not normalized, such as logits"
        out = 'Say gives="logits" if that is what they are, or return log_softmax of them.'
    return _refused(
        f"The function returned {what} in place of natural log-probabilities.",
        f"The probabilities of what may follow a prefix add up to e^±{worst:.3g} and not to 1.",
        out,
    )


def _is_one(sums: torch.Tensor) -> bool:
    return bool(((sums - 1.0).abs() < NORMALIZED_NATS).all())


def _reading(wanted: tuple[int, ...], got: tuple[int, ...]) -> str:
    if len(got) == len(wanted) and got[-1] != wanted[-1]:
        return f"The tokenizer has {wanted[-1]} token ids and the model predicts {got[-1]}."
    if len(got) == 3 and len(wanted) == 2:
        return "It looks like the distributions after every token, and one after the last was expected."
    return (
        f"The last dimension is the vocabulary ({wanted[-1]}), the first the batch ({wanted[0]})."
    )


def _refused(what: str, why: str, way_out: str) -> ModelError:
    return ModelError(what, why, way_out)
