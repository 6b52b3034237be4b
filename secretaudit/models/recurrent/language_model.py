"""The ``LanguageModel`` protocol over our recurrent models.

``score`` runs the model the plain way, one zero state per sequence and one pass over each, through torch's own layers.
``step`` is the hot path of every tree walk and computes the same cells by the shorter way of ``recurrent_step``; a test
holds the two together. Both take log-softmax in float32; sums are float64, in bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from secretaudit.errors import ModelError
from secretaudit.models.language_model import Framing, State, TokenView
from secretaudit.models.recurrent.network import RecurrentForCausalLM
from secretaudit.models.recurrent.step import RecurrentStep

#: Rows computed at a time on a CPU: the gates of a 2×200 model stay in the second-level cache.
CHUNK_ROWS = 1024
#: Logits, gates and features held at a time by ``score``, about.
SCORE_LIMIT_BYTES = 64 * 2**20
#: Floats per token and unit that torch's layers hold: four gates, and inputs and outputs of layers.
_WIDTHS_PER_PLACE = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class RecurrentState:
    """States of a batch of prefixes.

    Attributes:
        tensors: (h, c) or (h,), each of shape (layers, B, units).
    """

    tensors: tuple[torch.Tensor, ...]

    def __len__(self) -> int:
        """Number of rows."""
        return self.tensors[0].shape[1]

    def select(self, rows: torch.Tensor) -> RecurrentState:
        """The rows with these indices (int64, shape (B,)), copied."""
        return RecurrentState(tensors=tuple(t.index_select(1, rows) for t in self.tensors))

    def append(self, other: State) -> RecurrentState:
        """The rows of this state followed by those of another."""
        pairs = zip(self.tensors, cast(RecurrentState, other).tensors, strict=True)
        return RecurrentState(tensors=tuple(torch.cat(pair, dim=1) for pair in pairs))


class RecurrentLanguageModel:
    """A recurrent model whose next-token probabilities can be read.

    The weights are taken as they are now: a model that trains on is not followed.

    Args:
        model: Put into evaluation mode; computed in float32.
        tokenizer: The view of its tokenizer, with as many ids as the model.
        separator: Token id that stands before and after every record.
        name: What reports call the model.

    Raises:
        ModelError: The separator is no token of the model.
    """

    def __init__(
        self,
        model: RecurrentForCausalLM,
        tokenizer: TokenView,
        *,
        separator: int,
        name: str = "recurrent",
    ) -> None:
        config = model.config
        if not 0 <= separator < config.vocab_size:
            raise ModelError(
                f"The separator {separator} is no token of the model.",
                f"The model has the tokens 0 to {config.vocab_size - 1}.",
                "Use the tokenizer that the model was trained with.",
            )
        self.name = name
        self.dtype = "float32"
        self.tokenizer = tokenizer
        self.framing = Framing(before=(separator,), after=(separator,))
        self.vocabulary_size: int = config.vocab_size
        self._model = model.float().eval()
        with torch.inference_mode():
            self._step = RecurrentStep(model.embed.weight.detach(), model.rnn)
        count = self._step.cell.state_tensors
        self._shape = (count, config.layers, config.units)
        self.context: int | None = None

    @property
    def module(self) -> RecurrentForCausalLM:
        """The model itself, whose weights go on changing while it trains."""
        model: RecurrentForCausalLM = self._model
        return model

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self._model.head.weight.device
        return device

    def row_bytes(self, tokens: int) -> int:  # noqa: ARG002 # a recurrent state does not grow
        """Bytes that one row of state occupies, however much it has read."""
        return math.prod(self._shape) * 4

    @torch.inference_mode()
    def start(self, tokens: Sequence[int] = ()) -> RecurrentState:
        """One row: these tokens have been read."""
        state, row = self._empty(1, zero=True), torch.zeros(1, dtype=torch.int64)
        for token in tokens:
            before, state = state.tensors, self._empty(1)
            self._step(before, row, torch.tensor([token], device=self.device), state.tensors)
        return state

    @torch.inference_mode()
    def step(
        self, state: State, rows: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[torch.Tensor, RecurrentState]:
        """Read one more token after each chosen prefix; see ``LanguageModel.step``.

        Raises:
            ModelError: A log-probability is not finite.
        """
        result = torch.empty((len(rows), self.vocabulary_size), device=self.device)
        after = self._empty(len(rows))
        for part, logits in self._read(state, rows, tokens, after):
            torch.log_softmax(logits, dim=1, out=result[part])
        _check_finite(result)
        return result, after

    @torch.inference_mode()
    def price(
        self,
        state: State,
        rows: torch.Tensor,
        tokens: torch.Tensor,
        parent: torch.Tensor,
        child: torch.Tensor,
    ) -> tuple[torch.Tensor, RecurrentState]:
        """Read one more token after each chosen prefix, and price chosen next tokens; see ``LanguageModel.price``.

        Raises:
            ModelError: A log-probability is not finite.
        """
        parent, child = parent.to(self.device), child.to(self.device)
        result = torch.empty(len(parent), device=self.device)
        after = self._empty(len(rows))
        for part, logits in self._read(state, rows, tokens, after):
            asked = slice(
                *torch.searchsorted(parent, torch.tensor([part.start, part.stop])).tolist()
            )
            row = parent[asked] - part.start
            total = torch.logsumexp(logits, dim=1)
            result[asked] = logits[row, child[asked]] - total[row]
        _check_finite(result)
        return result, after

    def _read(
        self, state: State, rows: torch.Tensor, tokens: torch.Tensor, after: RecurrentState
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        """Write the new states, and yield the logits of the rows that fit into the processor's cache."""
        before = cast(RecurrentState, state).tensors
        rows, tokens = rows.to(self.device), tokens.to(self.device)
        head = self._model.head
        chunk = CHUNK_ROWS if self.device.type == "cpu" else max(1, len(rows))
        for begin in range(0, len(rows), chunk):
            part = slice(begin, min(begin + chunk, len(rows)))
            out = tuple(tensor[:, part] for tensor in after.tensors)
            features = self._step(before, rows[part], tokens[part], out)
            yield part, functional.linear(features, head.weight, head.bias)

    def score(self, sequences: Sequence[Sequence[int]], given: int = 1) -> NDArray[np.float64]:
        """Bits that each sequence costs, given its first ``given`` tokens: shape (N,), summed over the others.

        A sequence of no more tokens costs 0 bits. Each starts from a zero state.

        Raises:
            ModelError: A token id that the model lacks, or a log-probability that is not finite.
        """
        bits = np.zeros(len(sequences), dtype=np.float64)
        order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
        for batch in self._batches(order, sequences):
            bits[batch] = self._score_batch([sequences[i] for i in batch], given)
        return bits

    def _batches(self, order: list[int], sequences: Sequence[Sequence[int]]) -> list[list[int]]:
        """Indices, shortest sequences first, cut so that a batch stays within the limit."""
        width = self.vocabulary_size + _WIDTHS_PER_PLACE * self._shape[2]
        places = max(1, SCORE_LIMIT_BYTES // (4 * width))
        batches: list[list[int]] = []
        for i in order:
            length = len(sequences[i])
            if length < 2:
                continue
            if not batches or (len(batches[-1]) + 1) * length > places:
                batches.append([])
            batches[-1].append(i)
        return batches

    @torch.inference_mode()
    def _score_batch(self, sequences: list[Sequence[int]], given: int) -> NDArray[np.float64]:
        """Bits of sequences of at least two tokens, padded on the right; what is padding is known by length."""
        lengths = torch.tensor([len(s) for s in sequences], device=self.device)
        tokens = torch.zeros((len(sequences), int(lengths.max())), dtype=torch.int64)
        for row, sequence in enumerate(sequences):
            tokens[row, : len(sequence)] = torch.as_tensor(sequence, dtype=torch.int64)
        self._check_tokens(tokens)
        tokens = tokens.to(self.device)
        logits = self._model(tokens[:, :-1]).logits
        chosen = functional.log_softmax(logits, dim=-1).gather(2, tokens[:, 1:, None])[..., 0]
        place = torch.arange(1, tokens.shape[1], device=self.device)
        inside = (place >= given) & (place < lengths[:, None])
        nats = torch.where(inside, chosen, 0.0).sum(dim=1, dtype=torch.float64)
        _check_finite(nats)
        bits: NDArray[np.float64] = nats.cpu().numpy() / -math.log(2.0)
        return bits

    def _check_tokens(self, tokens: torch.Tensor) -> None:
        """Refuse ids outside the vocabulary."""
        low, high = int(tokens.min()), int(tokens.max())
        if low < 0 or high >= self.vocabulary_size:
            raise ModelError(
                f"Token id {low if low < 0 else high} cannot be scored.",
                f"The model {self.name} has the tokens 0 to {self.vocabulary_size - 1}.",
                "Encode the text with the tokenizer that the model was trained with.",
            )

    def _empty(self, rows: int, *, zero: bool = False) -> RecurrentState:
        """A state of ``rows`` rows, zero or not yet written."""
        count, layers, units = self._shape
        make = torch.zeros if zero else torch.empty
        return RecurrentState(
            tensors=tuple(make((layers, rows, units), device=self.device) for _ in range(count))
        )


def _check_finite(values: torch.Tensor) -> None:
    """Refuse NaN and infinite log-probabilities: a rank made from them would mean nothing."""
    if not math.isfinite(float(values.sum(dtype=torch.float64))):
        raise ModelError(
            "The model gives log-probabilities that are not finite.",
            "Its weights are too large or were damaged, so costs and ranks would mean nothing.",
            "Train the model again with a smaller learning rate, or use an earlier checkpoint.",
        )
