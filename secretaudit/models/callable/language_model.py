"""Any callable as a language model: tokens → log-probabilities of the next token.

The least that a model can offer is a function f of prefixes,

    f(tokens) = log p(· | tokens),      tokens int64 (B, T), result (B, V), natural logarithms,

and that is all ``CallableLanguageModel`` asks for. The prefixes of one call have one length, so f never sees padding. A state is the list
of tokens read, and every step computes its whole prefix again: right for any model, slow for recurrent ones, whose own state
``RecurrentCallableLanguageModel`` (its own file) carries along. Models that give all places at once, (B, T, V), as torch modules do, score a text in one pass.

What f returns is checked at every call: its shape, that it is a number, and that the probabilities add up to 1 within ``NORMALIZED_NATS``.
Logits, probabilities and logarithms of another base are told apart and refused by name, since ranks made from them would look right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from secretaudit.errors import ModelError
from secretaudit.models.callable.returned import LOG_PROBABILITIES, LOGITS, log_probabilities
from secretaudit.models.language_model import Framing, LanguageModel, State, TokenView
from secretaudit.models.stepping import SteppingModel

#: Rows given to the function at a time.
BATCH = 256
LAST, ALL = "last", "all"

#: tokens int64 (B, T) → (B, V) or (B, T, V)
NextToken = Callable[[torch.Tensor], Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class PrefixState:
    """The tokens that each row has read.

    Attributes:
        shared: int64 (P,): what all rows have read first, kept once.
        tokens: int64 (B, T): what each row has read since, zeros behind its end.
        length: int64 (B,): tokens of each row in ``tokens``.
    """

    shared: torch.Tensor
    tokens: torch.Tensor
    length: torch.Tensor

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.length)

    def select(self, rows: torch.Tensor) -> PrefixState:
        """The rows with these indices, copied."""
        return PrefixState(shared=self.shared, tokens=self.tokens[rows], length=self.length[rows])

    def append(self, other: State) -> PrefixState:
        """The rows of this state followed by those of another."""
        theirs = cast(PrefixState, other)
        width = max(self.tokens.shape[1], theirs.tokens.shape[1])
        return PrefixState(
            shared=self.shared,
            tokens=torch.cat([_widen(self.tokens, width), _widen(theirs.tokens, width)]),
            length=torch.cat([self.length, theirs.length]),
        )

    def read(self, rows: torch.Tensor, tokens: torch.Tensor) -> PrefixState:
        """New rows: chosen ones with one more token each."""
        length = self.length[rows]
        width = int(length.max()) + 1 if len(rows) else 0
        grown = _widen(self.tokens[rows], width)
        grown[torch.arange(len(rows)), length] = tokens
        return PrefixState(shared=self.shared, tokens=grown, length=length + 1)

    def by_length(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Rows of one length together: (indices (B',), all their tokens (B', T'))."""
        for length in self.length.unique().tolist():
            rows = torch.nonzero(self.length == length)[:, 0]
            own = self.tokens[rows, :length]
            yield rows, torch.cat([self.shared.expand(len(rows), -1), own], dim=1)


def _widen(tokens: torch.Tensor, width: int) -> torch.Tensor:
    """A copy of a table with exactly this many columns; what is cut off is behind every row's end."""
    wide = torch.zeros((len(tokens), width), dtype=torch.int64)
    kept = min(width, tokens.shape[1])
    wide[:, :kept] = tokens[:, :kept]
    return wide


class CallableLanguageModel(SteppingModel):
    """A function from prefixes to next-token distributions, as a ``LanguageModel``.

    ``CallableLanguageModel(function, VocabularyView(alphabet))`` is enough for a function that returns natural log-probabilities.

    Args:
        function: Given int64 token ids of shape (B, T), all rows of one length T ≥ 1, returns for each row the distribution of the
            token that follows: shape (B, V), torch or numpy. It must not depend on the other rows.
        tokenizer: The view of its tokenizer; ``VocabularyView`` makes one from a list of characters or words.
        framing: What stands around a text; by default nothing, and the first token of a text is given.
        gives: "log-probabilities" (natural) or "logits", of which log-softmax is taken in float32.
        places: "last": shape (B, V). "all": shape (B, T, V), the distribution after each token, as causal torch modules return.
        context: Most tokens of a record; longer ones are refused.
        window: The function sees only the last ``window`` tokens, as the model was trained to.
        batch: Rows given to the function at a time.
        name: What reports call the model.

    Raises:
        ModelError: The arguments contradict each other, or, later, the function returns something else than was said.
    """

    def __init__(
        self,
        function: NextToken,
        tokenizer: TokenView,
        *,
        framing: Framing | None = None,
        gives: str = LOG_PROBABILITIES,
        places: str = LAST,
        context: int | None = None,
        window: int | None = None,
        batch: int = BATCH,
        name: str = "callable",
    ) -> None:
        check_choice("gives", gives, (LOG_PROBABILITIES, LOGITS))
        check_choice("places", places, (LAST, ALL))
        for what, value in (("context", context), ("window", window), ("batch", batch)):
            if value is not None and value < 1:
                raise _wrong_argument(what, value, "a positive number")
        self.name = name
        self.tokenizer = tokenizer
        self.framing = framing or Framing(before=())
        self.vocabulary_size = len(tokenizer.token_bytes)
        self.context = context
        self._function, self._gives, self._places = function, gives, places
        self._window, self._batch = window, batch

    @classmethod
    def from_module(
        cls, module: nn.Module, tokenizer: TokenView, *, places: str = ALL, **options: Any
    ) -> CallableLanguageModel:
        """A torch module that maps ids (B, T) to logits, by default of all places: (B, T, V).

        The module is put into evaluation mode, is given its tokens on the device of its parameters, and runs without gradients.
        """
        module.eval()
        parameter = next(module.parameters(), None)
        device = torch.device("cpu") if parameter is None else parameter.device

        def function(tokens: torch.Tensor) -> torch.Tensor:
            with torch.inference_mode():
                return cast(torch.Tensor, module(tokens.to(device)))

        options = {"gives": LOGITS, "name": type(module).__name__, **options}
        return cls(function, tokenizer, places=places, **options)

    def row_bytes(self, tokens: int) -> int:
        """Bytes of one row of state: its tokens and their number."""
        return 8 * tokens + 8

    def empty(self) -> PrefixState:
        """One row: nothing has been read yet."""
        nothing = torch.zeros(0, dtype=torch.int64)
        return PrefixState(
            shared=nothing,
            tokens=torch.zeros((1, 0), dtype=torch.int64),
            length=torch.zeros(1, dtype=torch.int64),
        )

    def start(self, tokens: Sequence[int] = ()) -> PrefixState:
        """One row: these tokens have been read; they are kept once for all rows that grow from it."""
        check_tokens(self, torch.tensor(list(tokens), dtype=torch.int64))
        self._check_length(len(tokens))
        empty = self.empty()
        return PrefixState(
            shared=torch.tensor(list(tokens), dtype=torch.int64),
            tokens=empty.tokens,
            length=empty.length,
        )

    def step(
        self, state: State, rows: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[torch.Tensor, PrefixState]:
        """Read one more token after each chosen prefix; see ``LanguageModel.step``.

        Raises:
            ModelError: A prefix longer than the context, or what the function returns is no distribution.
        """
        after = cast(PrefixState, state).read(rows.cpu(), tokens.cpu())
        result = torch.empty((len(rows), self.vocabulary_size))
        for chosen, prefixes in after.by_length():
            result[chosen] = self._next(prefixes)
        return result, after

    def score(self, sequences: Sequence[Sequence[int]], given: int = 1) -> NDArray[np.float64]:
        """Bits that each sequence costs, given its first ``given`` tokens: shape (N,), summed over the others.

        Raises:
            ModelError: A token that the model lacks, a sequence longer than the context, or what the function returns is no distribution.
        """
        bits = np.zeros(len(sequences), dtype=np.float64)
        for chosen, table in tables(sequences, self._batch):
            check_tokens(self, table)
            self._check_length(table.shape[1])
            if table.shape[1] > given:
                bits[chosen] = self._score_table(table, given)
        return bits

    def _score_table(self, table: torch.Tensor, given: int) -> NDArray[np.float64]:
        """Bits of sequences of one length, (B, T)."""
        if self._places == ALL and (self._window is None or table.shape[1] - 1 <= self._window):
            after = self._call(table[:, :-1])[:, given - 1 :]
            return bits_of(after.gather(2, table[:, given:, None])[..., 0].double().sum(dim=1))
        nats = torch.zeros(len(table), dtype=torch.float64)
        for place in range(given, table.shape[1]):
            prefixes, owner = table[:, :place].unique(dim=0, return_inverse=True)
            nats += self._next(prefixes)[owner, table[:, place]].double()
        return bits_of(nats)

    def _next(self, prefixes: torch.Tensor) -> torch.Tensor:
        """Log-probabilities of what follows prefixes of one length, (B, V)."""
        self._check_length(prefixes.shape[1])
        seen = prefixes if self._window is None else prefixes[:, -self._window :]
        parts = [self._call(part) for part in seen.split(self._batch)]
        return torch.cat([part if self._places == LAST else part[:, -1] for part in parts])

    def _call(self, tokens: torch.Tensor) -> torch.Tensor:
        """What the function says of these tokens, checked, as float32 log-probabilities."""
        rows, length = tokens.shape
        shape: tuple[int, ...] = (rows, self.vocabulary_size)
        if self._places == ALL:
            shape = (rows, length, self.vocabulary_size)
        with torch.inference_mode():
            return log_probabilities(self._function(tokens.clone()), shape, self._gives)

    def _check_length(self, length: int) -> None:
        if self.context is not None and length > self.context:
            raise ModelError(
                f"A record of {length} tokens is too long for the model {self.name!r}.",
                f"It reads {self.context} at most.",
                "Shorten the text, or give a larger context if the model has one.",
            )


def tables(
    sequences: Sequence[Sequence[int]], batch: int
) -> Iterator[tuple[NDArray[np.int64], torch.Tensor]]:
    """Sequences of one length together, at most ``batch``: (their indices, int64 table (B, T))."""
    lengths = np.array([len(sequence) for sequence in sequences])
    for length in np.unique(lengths).tolist():
        chosen = np.flatnonzero(lengths == length)
        for begin in range(0, len(chosen), batch):
            part = chosen[begin : begin + batch]
            yield part, torch.tensor([list(sequences[i]) for i in part.tolist()]).long()


def bits_of(nats: torch.Tensor) -> NDArray[np.float64]:
    """Costs in bits of sums of log-probabilities in nats."""
    bits: NDArray[np.float64] = nats.numpy() / -math.log(2.0)
    return bits


def check_tokens(model: LanguageModel, tokens: torch.Tensor) -> None:
    """Refuse ids outside the vocabulary."""
    outside = tokens[(tokens < 0) | (tokens >= model.vocabulary_size)]
    if len(outside):
        raise ModelError(
            f"Token id {int(outside[0])} cannot be scored.",
            f"The model {model.name!r} has the tokens 0 to {model.vocabulary_size - 1}.",
            "Encode the text with the tokenizer that the model was trained with.",
        )


def check_choice(what: str, value: str, known: Sequence[str]) -> None:
    """Refuse a word that is not among the known ones."""
    if value not in known:
        raise _wrong_argument(what, value, " or ".join(repr(word) for word in known))


def _wrong_argument(what: str, value: object, wanted: str) -> ModelError:
    return ModelError(
        f"{what} must be {wanted}, got {value!r}.",
        "It says how the callable is to be called, or what it returns.",
        "Correct the argument.",
    )
