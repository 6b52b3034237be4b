"""Any callable with a state of its own: (state, token) → (log-probabilities of the next token, new state).

Recurrent models need not read a prefix again to read one more token. What they remember is a few tensors with one row per prefix,
such as an LSTM's h and c; gathering rows of them is all that a tree asks for. The function is

    f((s_1, …, s_k), tokens) = (log p(· | all that was read), (s_1', …, s_k'))

with s_i of shape (B, …), tokens int64 (B,), and a result of shape (B, V) in natural logarithms or logits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from secretaudit.errors import ModelError
from secretaudit.models.callable.language_model import (
    BATCH,
    bits_of,
    check_choice,
    check_tokens,
    tables,
)
from secretaudit.models.callable.returned import LOG_PROBABILITIES, LOGITS, log_probabilities
from secretaudit.models.language_model import Framing, State, TokenView
from secretaudit.models.stepping import SteppingModel

#: (state tensors (B, …), tokens (B,)) → ((B, V), state tensors (B, …))
ReadToken = Callable[[tuple[torch.Tensor, ...], torch.Tensor], tuple[Any, tuple[torch.Tensor, ...]]]


@dataclass(frozen=True, kw_only=True, eq=False)
class TensorState:
    """What a recurrent function remembers: tensors whose first dimension is the prefix."""

    tensors: tuple[torch.Tensor, ...]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.tensors[0])

    def select(self, rows: torch.Tensor) -> TensorState:
        """The rows with these indices, copied."""
        return TensorState(tensors=tuple(tensor[rows] for tensor in self.tensors))

    def append(self, other: State) -> TensorState:
        """The rows of this state followed by those of another."""
        pairs = zip(self.tensors, cast(TensorState, other).tensors, strict=True)
        return TensorState(tensors=tuple(torch.cat(pair) for pair in pairs))


class RecurrentCallableLanguageModel(SteppingModel):
    """A function that carries its state along, as a ``LanguageModel``.

    Args:
        function: Reads one token after each of B prefixes; see above. It must leave the tensors that it is given as they are.
        initial: The state before anything is read: tensors with one row, each of shape (1, …).
        tokenizer: The view of its tokenizer.
        framing: What stands around a text; by default nothing, and the first token of a text is given.
        gives: "log-probabilities" (natural) or "logits".
        batch: Rows given to the function at a time.
        name: What reports call the model.

    Raises:
        ModelError: ``initial`` has no tensor or not one row, or, later, the function returns something else than was said.
    """

    def __init__(
        self,
        function: ReadToken,
        initial: Sequence[torch.Tensor],
        tokenizer: TokenView,
        *,
        framing: Framing | None = None,
        gives: str = LOG_PROBABILITIES,
        batch: int = BATCH,
        name: str = "callable",
    ) -> None:
        check_choice("gives", gives, (LOG_PROBABILITIES, LOGITS))
        if not initial or any(tensor.ndim < 1 or len(tensor) != 1 for tensor in initial):
            raise ModelError(
                "The initial state must be tensors of one row each.",
                f"Their shapes are {[tuple(tensor.shape) for tensor in initial]}.",
                "Give each the shape (1, …): the first dimension counts prefixes.",
            )
        self.name = name
        self.tokenizer = tokenizer
        self.framing = framing or Framing(before=())
        self.vocabulary_size = len(tokenizer.token_bytes)
        self.context = None
        self._function, self._gives, self._batch = function, gives, batch
        self._initial = TensorState(tensors=tuple(initial))

    def row_bytes(self, tokens: int) -> int:  # noqa: ARG002 # the state does not grow
        """Bytes that one row of state occupies, however much it has read."""
        return sum(tensor.element_size() * tensor.numel() for tensor in self._initial.tensors)

    def empty(self) -> TensorState:
        """One row: nothing has been read yet."""
        return self._initial

    def step(
        self, state: State, rows: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[torch.Tensor, TensorState]:
        """Read one more token after each chosen prefix; see ``LanguageModel.step``.

        Raises:
            ModelError: What the function returns is no distribution, or its state has lost its rows.
        """
        before = cast(TensorState, state)
        log_p = torch.empty((len(rows), self.vocabulary_size))
        states: list[tuple[torch.Tensor, ...]] = []
        for part in torch.arange(len(rows)).split(self._batch):
            held = before.select(rows[part])
            with torch.inference_mode():
                returned, after = self._function(held.tensors, tokens[part])
            shape = (len(part), self.vocabulary_size)
            log_p[part] = log_probabilities(returned, shape, self._gives)
            self._check_state(after, len(part))
            states.append(tuple(after))
        joined = tuple(torch.cat(column) for column in zip(*states, strict=True))
        return log_p, TensorState(tensors=joined)

    def score(self, sequences: Sequence[Sequence[int]], given: int = 1) -> NDArray[np.float64]:
        """Bits that each sequence costs, given its first ``given`` tokens: shape (N,), summed over the others.

        Raises:
            ModelError: A token that the model lacks, or what the function returns is no distribution.
        """
        bits = np.zeros(len(sequences), dtype=np.float64)
        for chosen, table in tables(sequences, self._batch):
            check_tokens(self, table)
            bits[chosen] = self._score_table(table, given)
        return bits

    def _score_table(self, table: torch.Tensor, given: int) -> NDArray[np.float64]:
        """Bits of sequences of one length, (B, T)."""
        rows = torch.arange(len(table))
        state: TensorState = self._initial.select(torch.zeros_like(rows))
        nats = torch.zeros(len(table), dtype=torch.float64)
        for place in range(1, table.shape[1]):
            log_p, state = self.step(state, rows, table[:, place - 1])
            if place >= given:
                nats += log_p[rows, table[:, place]].double()
        return bits_of(nats)

    def _check_state(self, after: Sequence[torch.Tensor], rows: int) -> None:
        wanted = [(rows, *tensor.shape[1:]) for tensor in self._initial.tensors]
        if [tuple(tensor.shape) for tensor in after] != wanted:
            raise ModelError(
                "The function returned a state of another shape.",
                f"It must be {wanted}, as the initial state says, got {[tuple(t.shape) for t in after]}.",
                "Return the new state tensors in the order of the initial ones, one row per prefix.",
            )
