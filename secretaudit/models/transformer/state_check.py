"""Does this model read tokens one at a time as it reads whole texts?

Two things are tried once, on a few token ids, before a model is measured.

*Causality.* What follows a token must not change what the model says before it, nor may other texts in the batch. A model that
looks ahead (BERT) has no next-token probabilities, and is refused.

*States.* Rows of different lengths are grown from a common prefix, joined and read, and the log-probabilities are compared
with those of plain passes over the same tokens, also beyond the window of models that do not look further back. The fastest way
whose numbers agree is taken.
"""

from __future__ import annotations

import numpy as np
import torch

from secretaudit.errors import ModelError
from secretaudit.models.transformer.causal_network import CausalNetwork, check_finite
from secretaudit.models.transformer.state_readers import KeyValueReader, ReadAgain, StateReader

#: Nats by which log-probabilities of the same text may differ: what is wrong (a mask, a position) differs far more.
TOLERANCE_NATS = {
    torch.float64: 1e-4,
    torch.float32: 1e-4,
    torch.float16: 3e-2,
    torch.bfloat16: 2e-1,
}
_PREFIX, _LONGEST = 3, 7
#: Widest window that is filled for the trial; wider ones would make it slow.
_WIDEST_WINDOW = 1024
#: What a model that does not know our cache may raise.
_NO_SUCH_CACHE = (
    AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError,
)  # fmt: skip


def choose_reader(network: CausalNetwork) -> StateReader:
    """The fastest way of reading that gives the numbers of plain passes.

    Raises:
        ModelError: The model looks ahead.
    """
    room = _LONGEST if network.context is None else min(_LONGEST, network.context)
    tokens = np.random.default_rng(0).integers(0, network.vocabulary_size, (4, _LONGEST)).tolist()
    _check_causal(network, [row[:room] for row in tokens])
    if room < _LONGEST:
        return ReadAgain(network, f"it reads {network.context} tokens at most")
    prefixes = _prefixes(network, tokens[0])
    reason = "it keeps no keys and values"
    for mixed, shared in ((True, True), (True, False), (False, False)):
        reader = KeyValueReader(network, mixed=mixed, shared=shared)
        try:
            if all(_agrees(network, reader, first, tokens) for first in prefixes):
                return reader
            reason = "its keys and values did not give the numbers of plain passes"
        except _NO_SUCH_CACHE as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
    return ReadAgain(network, reason)


def _prefixes(network: CausalNetwork, tokens: list[int]) -> list[list[int]]:
    """A short prefix, and one that fills the window of a model that does not look further back."""
    short, window = tokens[:_PREFIX], network.window
    if window is None or window > _WIDEST_WINDOW:
        return [short]
    if network.context is not None and window + _LONGEST - _PREFIX > network.context:
        return [short]
    return [short, (tokens * (window // len(tokens) + 1))[:window]]


@torch.inference_mode()
def _check_causal(network: CausalNetwork, tokens: list[list[int]]) -> None:
    """Refuse a model whose numbers depend on later tokens or on the rest of the batch."""
    if len(tokens[0]) < 2:
        return
    alone = _log_p(network, network.plain([tokens[0][:-1]])[0])
    check_finite(alone)
    other = [*tokens[0][:-1], (tokens[0][-1] + 1) % network.vocabulary_size]
    batch = network.plain([other, *tokens])
    for row in (0, 1):
        if not _same(_log_p(network, batch[row, :-1]), alone, network.dtype):
            raise ModelError(
                f"{type(network.module).__name__} reads ahead.",
                "What it says after a token changes with the tokens that follow, so it has no next-token probabilities.",
                "Give a causal language model (decoder).",
            )


@torch.inference_mode()
def _agrees(
    network: CausalNetwork, reader: KeyValueReader, first: list[int], tokens: list[list[int]]
) -> bool:
    """Whether rows of one, two and three tokens after a prefix, read together, cost what plain passes say."""
    paths = [tokens[1][:2], tokens[2][:3], tokens[3][:4]]
    start = reader.start(first)
    states = []
    for path in paths:
        state = start
        for token in path[:-1]:
            _, state = reader.read(state, torch.zeros(1, dtype=torch.int64), torch.tensor([token]))
        states.append(state)
    joined, last = reader.join(states), torch.tensor([path[-1] for path in paths])
    for group in reader.groups(joined, torch.arange(len(paths))):
        features, _ = reader.read(joined, group.places, last[group.places])
        ours = _log_p(network, features)
        for row, place in zip(ours, group.places.tolist(), strict=True):
            plain = network.plain([[*first, *paths[place]]])[0, -1:]
            if not _same(row, _log_p(network, plain)[0], network.dtype):
                return False
    return True


def _log_p(network: CausalNetwork, features: torch.Tensor) -> torch.Tensor:
    return torch.log_softmax(network.logits(features), dim=-1)


def _same(one: torch.Tensor, other: torch.Tensor, dtype: torch.dtype) -> bool:
    """Whether two sets of log-probabilities agree; rounding grows with their size."""
    allowed = TOLERANCE_NATS.get(dtype, 1e-4) * (1.0 + 0.1 * other.abs())
    return bool(((one - other).abs() <= allowed).all())
