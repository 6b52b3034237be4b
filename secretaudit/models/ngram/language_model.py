"""Interpolated modified Kneser–Ney: the n-gram model that stands beside the neural one.

Any likelihood model ranks a string that was inserted into its training text first; an n-gram model shows how much of an exposure that alone
explains. With a history h (the last n − 1 tokens), h' (h without its oldest token) and counts a_k of order k,

    p_k(w | h) = max(a_k(h w) − D_k(a_k(h w)), 0) / A_k(h) + γ_k(h) · p_{k−1}(w | h'),      p_0(w) = 1 / V,

    A_k(h) = Σ_w a_k(h w),     γ_k(h) = (D_k(1) N_1(h) + D_k(2) N_2(h) + D_k(3) N_{3+}(h)) / A_k(h),

and p_k(w | h) = p_{k−1}(w | h') where h was never seen. a_n is the number of times that h w occurs; below, a_k(g) is the number of distinct
tokens seen before g (Kneser and Ney 1995). N_i(h) is the number of w with a_k(h w) = i. The discounts of each order follow from n_i, the
number of k-grams counted i times (Chen and Goodman 1998):

    Y = n_1 / (n_1 + 2 n_2),   D(1) = 1 − 2 Y n_2 / n_1,   D(2) = 2 − 3 Y n_3 / n_2,   D(3+) = 3 − 4 Y n_4 / n_3,

or 1/2, 1 and 3/2 where a text is too small for that. Each record stands alone: n − 1 marks that are never predicted stand before it, and only
what the framing charges is predicted.

Histories are kept as a trie from the newest token to the oldest, each level a sorted array; looking up a batch is one binary search per level.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, cast, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from secretaudit.errors import UsageError
from secretaudit.models.language_model import Framing, State, TokenView
from secretaudit.models.ngram.counts import Floats, Integers, Level, Stream, count_levels
from secretaudit.models.stepping import SteppingModel

#: Order of the baseline, as usual for smoothed n-gram models.
ORDER = 5
#: Records encoded at a time.
_RECORDS_AT_A_TIME = 10_000
#: Predictions priced at a time by ``score``.
_EVENTS_AT_A_TIME = 1 << 18


@runtime_checkable
class CorpusEncoder(Protocol):
    """A tokenizer that reads training text more leniently than a canary: unknown words get the token for unknown words."""

    def encode_corpus(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RecentTokens:
    """The state: the last n − 1 tokens of each prefix, newest first, −1 before its beginning; int64 (B, n − 1)."""

    tokens: torch.Tensor

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.tokens)

    def select(self, rows: torch.Tensor) -> RecentTokens:
        """The rows with these indices, copied."""
        return RecentTokens(tokens=self.tokens[rows])

    def append(self, other: State) -> RecentTokens:
        """The rows of this state followed by those of another."""
        return RecentTokens(tokens=torch.cat([self.tokens, cast(RecentTokens, other).tokens]))


class NgramLanguageModel(SteppingModel):
    """A smoothed n-gram model; ``train_ngram`` makes it.

    Args:
        levels: Order 1 first.
        tokenizer: The view of the tokenizer whose ids were counted.
        framing: What stands around a record.
        vocabulary_size: V.
        name: What reports call the model.
    """

    def __init__(
        self,
        levels: Sequence[Level],
        tokenizer: TokenView,
        framing: Framing,
        vocabulary_size: int,
        name: str = "ngram",
    ) -> None:
        self.levels = tuple(levels)
        self.tokenizer = tokenizer
        self.framing = framing
        self.vocabulary_size = vocabulary_size
        self.name = name
        self.context = None

    @property
    def order(self) -> int:
        """n: each token is predicted from the n − 1 before it."""
        return len(self.levels)

    def row_bytes(self, tokens: int) -> int:  # noqa: ARG002 # however much was read
        """Bytes that one row of state occupies."""
        return 8 * (self.order - 1)

    def empty(self) -> RecentTokens:
        """One row: nothing has been read yet."""
        return RecentTokens(tokens=torch.full((1, self.order - 1), -1, dtype=torch.int64))

    def start(self, tokens: Sequence[int] = ()) -> RecentTokens:
        """One row: these tokens have been read."""
        marks = [-1] * (self.order - 1)
        recent = [*marks, *tokens][len(tokens) :]
        return RecentTokens(tokens=torch.tensor([recent[::-1]], dtype=torch.int64))

    def step(
        self, state: State, rows: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[torch.Tensor, RecentTokens]:
        """Read one more token after each chosen prefix; see ``LanguageModel.step``."""
        after = self._read(state, rows, tokens)
        p = np.full((len(rows), self.vocabulary_size), 1.0 / self.vocabulary_size)
        for level, history in zip(self.levels, self._histories(after.tokens.numpy()), strict=True):
            seen = np.flatnonzero(history >= 0)
            p[seen] *= level.backoff[history[seen], None]
            owner, entry = _entries(level.start, history[seen])
            token = level.key[entry] - history[seen][owner] * self.vocabulary_size
            p[seen[owner], token] += level.share[entry]
        return torch.from_numpy(np.log(p).astype(np.float32)), after

    def price(
        self,
        state: State,
        rows: torch.Tensor,
        tokens: torch.Tensor,
        parent: torch.Tensor,
        child: torch.Tensor,
    ) -> tuple[torch.Tensor, RecentTokens]:
        """Read one more token after each chosen prefix, and price chosen next tokens; see ``LanguageModel.price``."""
        after = self._read(state, rows, tokens)
        histories = [history[parent.numpy()] for history in self._histories(after.tokens.numpy())]
        log_p = np.log(self._probability(histories, child.numpy()))
        return torch.from_numpy(log_p.astype(np.float32)), after

    def score(self, sequences: Sequence[Sequence[int]], given: int = 1) -> NDArray[np.float64]:
        """Bits that each sequence costs, given its first ``given`` tokens: shape (N,), summed over the others.

        Raises:
            ModelError: A token that the model lacks.
        """
        bits = np.zeros(len(sequences), dtype=np.float64)
        stream = Stream.of(sequences, self.order, given, self.vocabulary_size)
        for begin in range(0, len(stream.event), _EVENTS_AT_A_TIME):
            place = stream.event[begin : begin + _EVENTS_AT_A_TIME]
            recent = stream.tokens[place[:, None] - np.arange(1, self.order)]
            p = self._probability(self._histories(recent), stream.tokens[place])
            np.subtract.at(bits, stream.owner[begin : begin + _EVENTS_AT_A_TIME], np.log2(p))
        return bits

    def _read(self, state: State, rows: torch.Tensor, tokens: torch.Tensor) -> RecentTokens:
        before = cast(RecentTokens, state).tokens[rows]
        return RecentTokens(tokens=torch.cat([tokens[:, None], before], dim=1)[:, : self.order - 1])

    def _histories(self, recent: Integers) -> list[Integers]:
        """Number of each row's history on each level, −1 where it was never seen; ``recent`` is (B, n − 1), newest first."""
        found = [np.zeros(len(recent), dtype=np.int64)]
        for column, level in zip(recent.T, self.levels[1:], strict=True):
            key = found[-1] * (self.vocabulary_size + 1) + column + 1
            found.append(np.where(found[-1] < 0, -1, _place(level.history, key)))
        return found

    def _probability(self, histories: Sequence[Integers], token: Integers) -> Floats:
        """p(token | history) of rows whose histories were looked up."""
        p = np.full(len(token), 1.0 / self.vocabulary_size)
        for level, history in zip(self.levels, histories, strict=True):
            seen = np.flatnonzero(history >= 0)
            entry = _place(level.key, history[seen] * self.vocabulary_size + token[seen])
            share = np.where(entry >= 0, level.share[entry], 0.0)
            p[seen] = share + level.backoff[history[seen]] * p[seen]
        return p


def train_ngram(
    records: Iterable[str],
    tokenizer: TokenView,
    framing: Framing,
    vocabulary_size: int,
    order: int = ORDER,
) -> NgramLanguageModel:
    """Count a corpus.

    Args:
        records: The texts, each a record of its own.
        tokenizer: Of the model that the n-gram model stands beside.
        framing: That of the same model: what is given, and what closes a record.
        vocabulary_size: Number of token ids.
        order: n, at least 1.

    Raises:
        UsageError: An order below 1, or no record with a token to predict.
        ModelError: The tokenizer cannot read the corpus.
    """
    if order < 1:
        raise UsageError(
            f"order must be at least 1, got {order}.",
            "An n-gram model predicts each token from the n − 1 before it.",
            f"Take {ORDER}, or another small positive number.",
        )
    streams = [
        Stream.of(part, order, framing.given, vocabulary_size)
        for part in _encoded(records, tokenizer, framing)
    ]
    if not any(len(stream.event) for stream in streams):
        raise UsageError(
            "There is nothing to count.",
            "No record of the corpus has a token that could be predicted.",
            "Give the corpus that the model was trained on.",
        )
    levels = count_levels(streams, order, vocabulary_size)
    return NgramLanguageModel(levels, tokenizer, framing, vocabulary_size, f"{order}-gram")


def _encoded(
    records: Iterable[str], tokenizer: TokenView, framing: Framing
) -> Iterator[list[list[int]]]:
    """Records as token ids, many at a time."""
    encode = tokenizer.encode_corpus if isinstance(tokenizer, CorpusEncoder) else tokenizer.encode
    rest = iter(records)
    while texts := list(islice(rest, _RECORDS_AT_A_TIME)):
        yield [framing.record(ids) for ids in encode(texts)]


def _place(ascending: Integers, keys: Integers) -> Integers:
    """Where each key stands in an ascending array, −1 where it does not."""
    place = np.minimum(np.searchsorted(ascending, keys), len(ascending) - 1)
    found: Integers = np.where(ascending[place] == keys, place, -1)
    return found


def _entries(start: Integers, chosen: Integers) -> tuple[Integers, Integers]:
    """All entries of chosen histories: (index into ``chosen``, index of the entry)."""
    length = start[chosen + 1] - start[chosen]
    owner = np.repeat(np.arange(len(chosen)), length)
    begin = np.repeat(start[chosen] - np.cumsum(length) + length, length)
    return owner, begin + np.arange(len(owner))
