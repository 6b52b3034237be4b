"""The corpus as lanes of tokens.

The stream is  separator, record, separator, record, …, separator.  It is cut into B lanes of nearly equal length, at the
separators nearest to the equal cuts, so that no record is torn and no token dropped: a lane ends with the separator at
which the next begins, and every token but the first is predicted exactly once per epoch. Lanes lie side by side as one
[B, T] array of int32, padded on the right; what is padding is known by the lanes' lengths, never by a token's id.

A training step reads one window of S columns and predicts the column after each:

    lane 1   . m y _ p i n . | h e l l o . …       inputs   columns t … t+S−1
    lane 2   . t h e _ c a t | . a n d …           targets  columns t+1 … t+S
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from secretaudit.errors import CorpusError
from secretaudit.models.recurrent.network import IGNORED

#: Records tokenized at a time.
BATCH_RECORDS = 2048


@dataclass(frozen=True, kw_only=True, eq=False)
class Lanes:
    """Token streams side by side.

    Attributes:
        tokens: int32, shape (B, T), padded on the right.
        lengths: int64, shape (B,): tokens in each lane that are no padding, at least 2.
    """

    tokens: NDArray[np.int32]
    lengths: NDArray[np.int64]

    @property
    def predicted(self) -> int:
        """Tokens that one pass predicts."""
        return int((self.lengths - 1).sum())

    def windows(self, length: int) -> int:
        """Steps of ``length`` tokens that one pass takes."""
        columns: int = self.tokens.shape[1] - 1
        return -(-columns // length)


class Windows:
    """The windows of some lanes, on the device that trains.

    Args:
        lanes: What to read.
        length: Columns per window.
        device: Where the tensors go.
    """

    def __init__(self, lanes: Lanes, length: int, device: torch.device) -> None:
        self._tokens = torch.from_numpy(lanes.tokens).to(device)
        self._lengths = torch.from_numpy(lanes.lengths).to(device)[:, None]
        self._full = int(lanes.lengths.min())
        self._length = length
        self.count = lanes.windows(length)
        ends = np.minimum(np.arange(1, self.count + 1)[:, None] * length, lanes.lengths - 1)
        #: Tokens that each window predicts.
        self.predicted: list[int] = np.diff(ends.sum(axis=1), prepend=0).tolist()

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and targets of window ``index``, int64, shape (B, ≤ S); padding is ``IGNORED`` in the targets."""
        begin = index * self._length
        piece = self._tokens[:, begin : begin + self._length + 1].long()
        targets = piece[:, 1:]
        if begin + piece.shape[1] > self._full:
            place = torch.arange(begin + 1, begin + piece.shape[1], device=piece.device)
            targets = targets.masked_fill(place >= self._lengths, IGNORED)
        return piece[:, :-1], targets


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """The tokens of a corpus, in two parts.

    Attributes:
        training: Lanes to train on.
        validation: Lanes to judge by, or ``None``.
        records: Number of records in (training, validation).
    """

    training: Lanes
    validation: Lanes | None
    records: tuple[int, int]

    def fingerprint(self) -> str:
        """SHA-256 over everything that is trained on."""
        digest = hashlib.sha256()
        for lanes in (self.training, self.validation):
            if lanes is not None:
                digest.update(repr(lanes.tokens.shape).encode())
                digest.update(lanes.tokens.tobytes())
                digest.update(lanes.lengths.tobytes())
        return digest.hexdigest()


def split_records(
    records: Iterable[str],
    encode: Callable[[Sequence[str]], list[list[int]]],
    separator: int,
    *,
    lanes: int,
    validation: float,
    never_validated: Collection[str],
    rng: np.random.Generator,
) -> Split:
    """Tokenize a corpus and lay it out.

    Args:
        records: Read once, a batch at a time.
        encode: Token ids of a batch of records, without separators.
        separator: Id that stands between records.
        lanes: Lanes wanted; a corpus of fewer records gets fewer.
        validation: Share of the records for validation, in [0, 1).
        never_validated: Texts that always go to training: the canaries.
        rng: Decides which records are kept for validation.

    Raises:
        CorpusError: No record is left to train on.
    """
    parts = (_Stream(separator), _Stream(separator))
    for batch in _batched(records, BATCH_RECORDS):
        kept_out = rng.random(len(batch)) < validation
        for text, ids, out in zip(batch, encode(batch), kept_out, strict=True):
            parts[bool(out) and text not in never_validated].add(ids)
    training, judged = parts
    if training.records == 0:
        raise CorpusError(
            "There is no record to train on.",
            "The corpus is empty, or all of it was kept for validation.",
            "Use a larger corpus or a smaller validation share.",
        )
    return Split(
        training=training.lanes(lanes),
        validation=judged.lanes(lanes) if judged.records else None,
        records=(training.records, judged.records),
    )


class _Stream:
    """A growing token stream that remembers where its separators stand."""

    def __init__(self, separator: int) -> None:
        self._separator = separator
        self._tokens = array("i", [separator])
        self._boundaries = array("q", [0])

    @property
    def records(self) -> int:
        return len(self._boundaries) - 1

    def add(self, ids: list[int]) -> None:
        """One more record and the separator after it."""
        self._tokens.extend(ids)
        self._boundaries.append(len(self._tokens))
        self._tokens.append(self._separator)

    def lanes(self, count: int) -> Lanes:
        """Cut the stream; its memory is given up."""
        stream = np.frombuffer(self._tokens, dtype=np.int32)
        cuts = lane_cuts(np.frombuffer(self._boundaries, dtype=np.int64), count)
        lengths = np.diff(cuts) + 1
        tokens = np.full((len(lengths), int(lengths.max())), self._separator, dtype=np.int32)
        for row, begin in enumerate(cuts[:-1]):
            tokens[row, : lengths[row]] = stream[begin : begin + lengths[row]]
        return Lanes(tokens=tokens, lengths=lengths)


def lane_cuts(boundaries: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Where to cut: the boundaries nearest to ``count`` equal parts, without repeats.

    Args:
        boundaries: Places of the separators, rising, the first and last being the stream's ends.
        count: Parts wanted.

    Returns:
        Rising cuts from the first to the last boundary; at most ``count`` + 1 of them.

    >>> lane_cuts(np.array([0, 4, 9, 20]), 2).tolist()
    [0, 9, 20]
    """
    wanted = np.linspace(boundaries[0], boundaries[-1], count + 1)
    right = np.searchsorted(boundaries, wanted).clip(1, len(boundaries) - 1)
    nearer_left = wanted - boundaries[right - 1] <= boundaries[right] - wanted
    return np.unique(boundaries[right - nearer_left])


def _batched(records: Iterable[str], size: int) -> Iterator[list[str]]:
    """Consecutive batches."""
    iterator = iter(records)
    while batch := list(islice(iterator, size)):
        yield batch
