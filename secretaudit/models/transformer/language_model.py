"""The ``LanguageModel`` protocol over any causal transformer.

``score`` runs plain passes: texts padded on the right, no cache, logits only where a token is charged. ``step`` and ``price``
extend states, in the way that ``transformer.state_check`` found to give the same numbers: the tokens given to ``start`` are read once, and
each row then reads one token at a time.

With features h (d numbers) and the output layer W, the price of token c is  (W h)_c − log Σ_v exp (W h)_v. All V logits of a row are
needed for the sum, so rows are taken as many at a time as fit into the working memory, and the (B, V) table of a
whole call never exists in ``price``. Log-softmax is float32, whatever the number format of the weights; sums are float64, in bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedTokenizerFast

from secretaudit.errors import ModelError
from secretaudit.models.batch_size import BatchSize
from secretaudit.models.language_model import Framing, State, TokenView
from secretaudit.models.model_options import ModelOptions
from secretaudit.models.tokens.view import FastTokenizerView
from secretaudit.models.transformer.causal_network import (
    CausalNetwork,
    check_finite,
    check_length,
    check_tokens,
)
from secretaudit.models.transformer.framing import framing_of
from secretaudit.models.transformer.plain_scoring import plain_costs
from secretaudit.models.transformer.state_check import choose_reader
from secretaudit.models.transformer.state_readers import Group

#: Rows never exceeded in one pass.
MOST_ROWS = 4096


class TransformerLanguageModel:
    """A causal transformer whose next-token probabilities can be read.

    Args:
        module: A causal language model of transformers, on the device where it is to compute. Put into evaluation mode.
        tokenizer: Its fast tokenizer, or the view of one (then ``framing`` must be given).
        framing: What stands around each text; ``None`` takes it from the tokenizer and the options.
        options: ``bos``, ``close`` and ``chat`` are read.
        closes: Whether the model was trained with an end-of-text token after each text.
        name: What reports call the model.

    Attributes:
        state_way: In words, how states of prefixes are kept.
        dtype: Number format of the weights, such as "float32".

    Raises:
        ModelError: The model predicts no tokens, looks ahead, or gives numbers that are not finite; the tokenizer has more
            tokens than the model.
    """

    def __init__(
        self,
        module: nn.Module,
        tokenizer: PreTrainedTokenizerFast | TokenView,
        *,
        framing: Framing | None = None,
        options: ModelOptions | None = None,
        closes: bool = False,
        name: str = "transformer",
    ) -> None:
        self.name = name
        self.network = CausalNetwork(module)
        self.vocabulary_size = self.network.vocabulary_size
        self.context = self.network.context
        self.dtype = str(self.network.dtype).removeprefix("torch.")
        self.tokenizer: TokenView = (
            FastTokenizerView(tokenizer)
            if isinstance(tokenizer, PreTrainedTokenizerFast)
            else tokenizer
        )
        self.framing = framing or _framing(
            tokenizer, self.tokenizer, options or ModelOptions(), closes
        )
        _check_vocabulary(self.tokenizer, self.framing, self.vocabulary_size, name)
        self._reader = choose_reader(self.network)
        self.state_way = self._reader.way
        self._rows = BatchSize(MOST_ROWS)
        self._score_rows = BatchSize(MOST_ROWS)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.network.device

    def row_bytes(self, tokens: int) -> int:
        """Bytes that one row of state occupies once it has read this many tokens since ``start``."""
        return self._reader.row_bytes(tokens)

    def start(self, tokens: Sequence[int] = ()) -> State:
        """One row: these tokens have been read, and are kept once for all rows that grow from it.

        Raises:
            ModelError: More tokens than the model reads, or an id that it lacks.
        """
        check_tokens(torch.as_tensor(tokens), self.vocabulary_size, self.name)
        check_length(len(tokens), self.context, self.name)
        return self._reader.start(tokens)

    @torch.inference_mode()
    def step(
        self, state: State, rows: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[torch.Tensor, State]:
        """Read one more token after each chosen prefix; see ``LanguageModel.step``.

        Raises:
            ModelError: A log-probability is not finite, an id that the model lacks, or a text longer than its context.
            CouldNotMeasure: Not even one row fits into the memory.
        """
        result = torch.empty((len(rows), self.vocabulary_size), device=self.device)

        def use(places: torch.Tensor, features: torch.Tensor) -> None:
            log_p = torch.log_softmax(self.network.logits(features), dim=1)
            result[places.to(self.device)] = log_p

        after = self._read(state, rows, tokens, use)
        check_finite(result)
        return result, after

    @torch.inference_mode()
    def price(
        self,
        state: State,
        rows: torch.Tensor,
        tokens: torch.Tensor,
        parent: torch.Tensor,
        child: torch.Tensor,
    ) -> tuple[torch.Tensor, State]:
        """Read one more token after each chosen prefix, and price chosen next tokens; see ``LanguageModel.price``.

        Raises:
            ModelError: A log-probability is not finite, an id that the model lacks, or a text longer than its context.
            CouldNotMeasure: Not even one row fits into the memory.
        """
        result = torch.empty(len(parent))
        parent, child = parent.cpu(), child.cpu()
        first = torch.searchsorted(parent, torch.arange(len(rows) + 1))

        def use(places: torch.Tensor, features: torch.Tensor) -> None:
            row, edge = _edges(first, places)
            if len(edge):
                result[edge] = self._prices(features, row, child[edge])

        after = self._read(state, rows, tokens, use)
        check_finite(result)
        return result.to(self.device), after

    def _prices(
        self, features: torch.Tensor, row: torch.Tensor, child: torch.Tensor
    ) -> torch.Tensor:
        """Log-probabilities (E,) on the CPU of tokens after rows of features; rows that nobody asks about get no logits."""
        wanted, row = torch.unique_consecutive(row, return_inverse=True)
        logits = self.network.logits(features[wanted.to(self.device)])
        row, child = row.to(self.device), child.to(self.device)
        return (logits[row, child] - torch.logsumexp(logits, dim=1)[row]).cpu()

    def _read(
        self,
        state: State,
        rows: torch.Tensor,
        tokens: torch.Tensor,
        use: Callable[[torch.Tensor, torch.Tensor], None],
    ) -> State:
        """Read one token behind each row, as many rows at a time as fit; ``use`` gets their places and features."""
        rows, tokens = rows.cpu(), tokens.cpu()
        if not len(rows):
            return state.select(rows)
        check_tokens(tokens, self.vocabulary_size, self.name)
        done: list[tuple[torch.Tensor, State]] = []
        for group in self._reader.groups(state, rows):
            check_length(group.longest, self.context, self.name)

            def work(piece: slice, group: Group = group) -> tuple[torch.Tensor, State]:
                places = group.places[piece]
                features, after = self._reader.read(state, rows[places], tokens[places])
                use(places, features)
                return places, after

            done += self._rows.pieces(len(group.places), group.fits, work)
        order = torch.cat([places for places, _ in done])
        joined = self._reader.join([after for _, after in done])
        if bool((order == torch.arange(len(order))).all()):
            return joined
        return joined.select(torch.argsort(order))

    def score(self, sequences: Sequence[Sequence[int]], given: int = 1) -> NDArray[np.float64]:
        """Bits that each sequence costs, given its first ``given`` tokens: shape (N,), summed over the others.

        A sequence of no more tokens costs 0 bits.

        Raises:
            ModelError: A log-probability is not finite, an id that the model lacks, or a text longer than its context.
            CouldNotMeasure: Not even one text fits into the memory.
        """
        check_length(max(map(len, sequences), default=0), self.context, self.name)
        for sequence in sequences:
            check_tokens(torch.as_tensor(sequence), self.vocabulary_size, self.name)
        return plain_costs(self.network, sequences, given, self._score_rows)


def _edges(first: torch.Tensor, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(row, edge): the edges of these rows, edges of row i being ``first[i]`` to ``first[i + 1]``; rows count from 0 here."""
    count = first[places + 1] - first[places]
    row = torch.repeat_interleave(torch.arange(len(places)), count)
    before = torch.cumsum(count, 0) - count
    return row, torch.arange(len(row)) - before[row] + first[places][row]


def _check_vocabulary(view: TokenView, framing: Framing, vocabulary_size: int, name: str) -> None:
    """Refuse a tokenizer of another model.

    A model may have more outputs than its tokenizer has tokens, and a tokenizer more special tokens, which no text is encoded as.
    """
    spelled = (
        i for i in range(len(view.token_bytes), 0, -1) if view.token_bytes[i - 1] is not None
    )
    count = max(next(spelled, 0), *(1 + token for token in (*framing.before, *framing.after, -1)))
    if count > vocabulary_size:
        raise ModelError(
            f"The tokenizer does not fit the model {name!r}.",
            f"It has {count} tokens and the model predicts {vocabulary_size}.",
            "Use the tokenizer that the model was trained with.",
        )


def _framing(
    tokenizer: PreTrainedTokenizerFast | TokenView,
    view: TokenView,
    options: ModelOptions,
    closes: bool,
) -> Framing:
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ValueError("framing must be given with a view of a tokenizer")
    return framing_of(tokenizer, view, options, closes=closes)
