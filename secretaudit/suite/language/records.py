"""What is read off single records of a language model: losses, hidden states, gradients.

A record is a line with what stands around it, x_0 … x_{T−1}, of which the first ``given`` are read and not counted (``record_rows``). With
logits z_t said after x_0 … x_{t−1},

    loss of a token    −log softmax(z_t)[x_t]     nats, for t = given … T − 1
    loss of a record   their mean; its gradient by the parameters is the record's gradient

Models are in evaluation mode: no dropout. *Hidden states* are what the output layer reads, the input of the last linear layer in the words of Cohen
et al. 2018, one for each counted token. How gradients by the parameters are had is in ``record_slopes``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from secretaudit.errors import ModelError
from secretaudit.suite.classifier import layer as layer_named
from secretaudit.suite.language.record_rows import (
    Records,
    chunks,
    logits_of,
    open_records,
    records_of,
)
from secretaudit.suite.language.record_slopes import gradients_of_rows

__all__ = [
    "HiddenStates",
    "Records",
    "TokenLosses",
    "hidden_states",
    "open_records",
    "record_gradients",
    "record_nats",
    "records_of",
]

#: Gradients held at a time by ``record_gradients``, about.
_GRADIENT_BYTES = 128 * 2**20


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenLosses:
    """What each token of some records costs.

    Attributes:
        nats: float64, shape (n, T − 1); 0 where nothing counts.
        counted: bool, shape (n, T − 1).
        correct: bool, shape (n, T − 1): the most likely token is the one that stands there; false where nothing counts.
    """

    nats: NDArray[np.float64]
    counted: NDArray[np.bool_]
    correct: NDArray[np.bool_]

    @property
    def totals(self) -> NDArray[np.float64]:
        """Nats of each record, shape (n,)."""
        total: NDArray[np.float64] = self.nats.sum(1)
        return total

    @property
    def means(self) -> NDArray[np.float64]:
        """Nats per counted token of each record, shape (n,)."""
        means: NDArray[np.float64] = self.totals / self.counted.sum(1)
        return means

    @property
    def accuracy(self) -> float:
        """Share of the counted tokens that are the most likely ones."""
        return float(self.correct.sum() / self.counted.sum())

    @property
    def nats_per_token(self) -> float:
        """Mean over all counted tokens."""
        return float(self.nats.sum() / self.counted.sum())


@dataclass(frozen=True, kw_only=True, eq=False)
class HiddenStates:
    """One state per counted token: what the model knows just before it.

    Attributes:
        states: float32, shape (N, d).
        next_tokens: int64, shape (N,): the token that then comes.
        record: int64, shape (N,): row of the record.
        place: int64, shape (N,): column of ``targets``.
        predicted: int64, shape (N,): the model's most likely token.
    """

    states: NDArray[np.float32]
    next_tokens: NDArray[np.int64]
    record: NDArray[np.int64]
    place: NDArray[np.int64]
    predicted: NDArray[np.int64]


def record_nats(records: Records) -> TokenLosses:
    """Losses of all tokens, float32 log-softmax.

    Raises:
        ModelError: A loss is not finite.
    """
    counted = records.counted
    nats = torch.zeros(counted.shape, dtype=torch.float64)
    correct = torch.zeros(counted.shape, dtype=torch.bool)
    with torch.no_grad():
        for rows, width in chunks(records):
            target = records.targets[rows, : width - 1]
            logits = logits_of(records, rows, width)
            log_p = torch.log_softmax(logits, -1).gather(2, target[..., None])[..., 0]
            nats[rows, : width - 1] = -log_p.double()
            correct[rows, : width - 1] = logits.argmax(-1) == target
    nats = torch.where(counted, nats, 0.0)
    if not bool(torch.isfinite(nats).all()):
        raise ModelError(
            "The model gives log-probabilities that are not finite.",
            "Its weights are too large or were damaged.",
            "Train it again with a smaller learning rate.",
        )
    return TokenLosses(
        nats=nats.numpy(), counted=counted.numpy(), correct=(correct & counted).numpy()
    )


def hidden_states(records: Records, layer: str | None = None) -> HiddenStates:
    """What the model knows before each counted token.

    Args:
        records: The records.
        layer: Name of a module whose output is taken; ``None`` takes the input of the output layer.

    Raises:
        UsageError: There is no layer of that name; the ones there are are listed.
        ModelError: The layer is not used once for each token, or the model has no output layer.
    """
    kept: list[Tensor] = []
    hook = _watch(records.module, layer, kept)
    states, predicted = [], []
    counted = records.counted
    try:
        with torch.no_grad():
            for rows, width in chunks(records):
                kept.clear()
                guess = logits_of(records, rows, width).argmax(-1)
                inside = counted[rows, : width - 1]
                states.append(_one_per_token(kept, guess, layer)[inside].float())
                predicted.append(guess[inside])
    finally:
        hook.remove()
    record, place = counted.nonzero(as_tuple=True)
    return HiddenStates(
        states=torch.cat(states).numpy(),
        next_tokens=records.targets[counted].numpy(),
        record=record.numpy(),
        place=place.numpy(),
        predicted=torch.cat(predicted).numpy(),
    )


def record_gradients(
    records: Records,
    reduce: Any = None,
    *,
    names: Sequence[str] | None = None,
    chunk: int | None = None,
) -> Tensor:
    """Gradient of each record's mean loss by the parameters, in evaluation mode.

    Args:
        records: The records.
        reduce: Applied to the gradients of some records, shape (c, P), before they are stacked, such as a random projection; saves memory.
        names: Parameters by name; ``None`` takes all that are trained, tied ones once.
        chunk: Records differentiated together; ``None`` takes as many as 128 MiB hold. Changes speed and memory only.

    Returns:
        Shape (n, P), P the number of parameters, in the order of ``named_parameters``; or what ``reduce`` makes of it.

    Raises:
        UsageError: There is no parameter of a name.
        ModelError: No parameter takes a gradient.
    """
    parts = []
    wanted = _parameters(records.module, names)
    size = sum(records.module.get_parameter(name).numel() for name in wanted)
    count = chunk or int(max(1, min(64, _GRADIENT_BYTES // (4 * size))))
    counted = records.counted
    for begin in range(0, len(records), count):
        rows = slice(begin, begin + count)
        width = int(records.lengths[rows].max())
        flat = gradients_of_rows(
            records.module, records.tokens[rows, :width], counted[rows, : width - 1], wanted
        )
        parts.append(flat if reduce is None else reduce(flat))
    return torch.cat(parts)


def _parameters(module: nn.Module, names: Sequence[str] | None) -> list[str]:
    """Names of the parameters to differentiate by, in the module's order."""
    known = [name for name, p in module.named_parameters() if p.requires_grad]
    for name in names or ():
        if name not in known:
            layer_named(module, name)  # lists what there is, if it is no layer either
    found = [
        name
        for name in known
        if names is None or any(name == n or name.startswith(f"{n}.") for n in names)
    ]
    if not found:
        raise ModelError(
            "The model has no parameters with gradients.",
            "Its layers are frozen.",
            "Give a model that can be trained.",
        )
    return found


def _watch(module: Any, layer: str | None, kept: list[Tensor]) -> Any:
    """A hook that keeps what goes into the output layer, or comes out of another."""

    def keep(_module: nn.Module, given: tuple[Any, ...], gave: Any) -> None:
        value = given[0] if layer is None else gave
        value = value[0] if isinstance(value, tuple) else value
        kept.append(value if isinstance(value, Tensor) else value[0])

    if layer is not None:
        return layer_named(module, layer).register_forward_hook(keep)
    head = module.get_output_embeddings()
    if head is None:
        raise ModelError(
            f"{type(module).__name__} has no output layer.",
            "Hidden states are what that layer reads.",
            "Name the layer whose output is to be used instead.",
        )
    return head.register_forward_hook(keep)


def _one_per_token(kept: list[Tensor], guess: Tensor, layer: str | None) -> Tensor:
    """What was kept, shape (b, T, d)."""
    shape = tuple(kept[0].shape) if kept else ()
    if len(kept) != 1 or len(shape) < 3 or shape[:2] != tuple(guess.shape):
        raise ModelError(
            f"The layer {layer or 'of the output'!r} gives no state for each token.",
            f"It was used {len(kept)} times"
            + (f" and gave the shape {shape} for {tuple(guess.shape)} tokens." if kept else "."),
            "Choose another layer.",
        )
    return kept[0].flatten(2)
