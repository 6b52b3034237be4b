"""Lines as a language model reads them: padded rows of token ids, beside the module.

A record is a line with what stands around it (``framing``): x_0 … x_{T−1}, of which the first ``given`` are read and not counted. Records are rows
of one array, padded on the right with token 0; every model here reads from left to right, so padding changes nothing that stands before it, and
``counted`` leaves it out of everything. What is read off the rows is in ``records``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secretaudit.errors import CorpusError, ModelError
from secretaudit.models.language_model import Framing
from secretaudit.models.loading import load_model
from secretaudit.models.recurrent.language_model import RecurrentLanguageModel
from secretaudit.models.tokens.view import FastTokenizerView
from secretaudit.models.transformer.language_model import TransformerLanguageModel

__all__ = ["Records", "chunks", "logits_of", "open_records", "records_of"]

#: Logits held at a time, about.
_LOGITS_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True, eq=False)
class Records:
    """Lines as a model reads them.

    Attributes:
        module: The model, a module of transformers or ours, in evaluation mode.
        tokens: int64, shape (n, T), padded on the right with 0.
        lengths: int64, shape (n,): tokens that are no padding.
        framing: What stands around each line.
        cut: Lines that were longer than the model can read, and were cut.
        vocabulary_size: Width of the logits.
        encoder: Encodes texts.
        context: Most tokens that the model reads; ``None``: any number.
    """

    module: Any
    tokens: Tensor
    lengths: Tensor
    framing: Framing
    cut: int
    vocabulary_size: int
    encoder: FastTokenizerView
    context: int | None

    def __len__(self) -> int:
        """Number of records."""
        return len(self.tokens)

    @property
    def targets(self) -> Tensor:
        """The token to predict at each place, int64, shape (n, T − 1)."""
        return self.tokens[:, 1:]

    @property
    def counted(self) -> Tensor:
        """Which of the targets count: neither padding nor what stands before the line; bool, shape (n, T − 1)."""
        place = torch.arange(1, self.tokens.shape[1])
        return (place >= self.framing.given) & (place < self.lengths[:, None])

    def rows(self, chosen: Sequence[int] | NDArray[np.int64]) -> Records:
        """Some of the records, in this order."""
        index = torch.as_tensor(np.asarray(chosen, dtype=np.int64))
        return self._with(self.tokens[index], self.lengths[index], self.cut)

    def of(self, lines: Sequence[str]) -> Records:
        """Other lines for the same model.

        Raises:
            CorpusError: There are none, or one has no token to predict.
            ModelError: The tokenizer lacks a character.
        """
        return self._with(*_encoded(lines, self.encoder, self.framing, self.context))

    def _with(self, tokens: Tensor, lengths: Tensor, cut: int) -> Records:
        return replace(self, tokens=tokens, lengths=lengths, cut=cut)


def open_records(directory: str | Path, lines: Sequence[str]) -> Records:
    """A model directory and lines, encoded as the model reads records.

    Args:
        directory: Of a causal language model: ours (recurrent, convolutional), one of transformers, or an adapter on one.
        lines: The text; a line longer than the model's context is cut, and counted in ``cut``.

    Raises:
        ModelError: The model cannot be opened, is no causal language model, or its tokenizer lacks a character.
        CorpusError: There are no lines, or one has no token to predict.
    """
    return records_of(load_model(directory), lines)


def records_of(model: object, lines: Sequence[str]) -> Records:
    """The same for a model that is open; one that trains is followed: its weights are read whenever the records are.

    Args:
        model: A ``LanguageModel`` of this package around a module.
        lines: The text.

    Raises:
        ModelError: It is no causal language model around a module, or its tokenizer lacks a character.
        CorpusError: There are no lines, or one has no token to predict.
    """
    known = RecurrentLanguageModel | TransformerLanguageModel
    view = getattr(model, "tokenizer", None)
    if not isinstance(model, known) or not isinstance(view, FastTokenizerView):
        raise ModelError(
            "The model does not read plain text from left to right.",
            f"It is a {type(model).__name__}, which gives no logits token by token.",
            "Give a directory with a causal language model and its tokenizer.",
        )
    module: Any = (
        model.module if isinstance(model, RecurrentLanguageModel) else model.network.module
    )
    tokens, lengths, cut = _encoded(lines, view, model.framing, model.context)
    return Records(
        module=module,
        tokens=tokens,
        lengths=lengths,
        framing=model.framing,
        cut=cut,
        vocabulary_size=model.vocabulary_size,
        encoder=view,
        context=model.context,
    )


def chunks(records: Records) -> Iterator[tuple[slice, int]]:
    """Rows that are read together, and how many columns they need."""
    widest = records.tokens.shape[1]
    count = max(1, _LOGITS_BYTES // (4 * records.vocabulary_size * widest))
    for begin in range(0, len(records), count):
        rows = slice(begin, begin + count)
        yield rows, int(records.lengths[rows].max())


def logits_of(records: Records, rows: slice, width: int) -> Tensor:
    """Logits of the targets of some rows, float32, shape (b, width − 1, V)."""
    read = records.tokens[rows, : width - 1]
    logits: Tensor = records.module(input_ids=read, use_cache=False).logits
    return logits.float()


def _encoded(
    lines: Sequence[str], view: FastTokenizerView, framing: Framing, context: int | None
) -> tuple[Tensor, Tensor, int]:
    """Padded rows, their lengths, and how many were cut."""
    records = [framing.record(ids) for ids in view.encode_corpus(lines)]
    if not records or min(map(len, records)) <= framing.given:
        raise CorpusError(
            "There is a line without a token to predict." if records else "There are no lines.",
            "A record needs at least one token behind what the model is given.",
            "Leave empty lines out.",
        )
    cut = 0 if context is None else sum(len(ids) > context for ids in records)
    lengths = torch.tensor(
        [len(ids) if context is None else min(len(ids), context) for ids in records]
    )
    tokens = torch.zeros((len(records), int(lengths.max())), dtype=torch.int64)
    for row, (ids, length) in enumerate(zip(records, lengths.tolist(), strict=True)):
        tokens[row, :length] = torch.tensor(ids[:length])
    return tokens, lengths, cut
