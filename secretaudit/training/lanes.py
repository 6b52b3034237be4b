"""The corpus as lanes: for recurrent models, whose state is carried from one step to the next.

The stream is  separator, record, separator, record, …, separator.  It is cut into B lanes of nearly equal length, at the
separators nearest to the equal cuts, so that no record is torn and no token dropped: a lane ends with the separator at
which the next begins, and every token but the first is predicted exactly once per epoch. Lanes lie side by side as one
[B, T] array of int32, padded on the right; what is padding is known by the lanes' lengths, never by a token's id.

A training step reads one window of S columns and predicts the column after each:

    lane 1   . m y _ p i n . | h e l l o . …       inputs   columns t … t+S−1
    lane 2   . t h e _ c a t | . a n d …           targets  columns t+1 … t+S

The state at the end of a window is the state at the start of the next; at the start of an epoch it is zero (truncated
backpropagation through time). The order of the records is that of the corpus.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from secretaudit.models.recurrent.network import IGNORED
from secretaudit.training.batch import Batch
from secretaudit.training.encoded import EncodedRecords
from secretaudit.training.processes import Processes


@dataclass(frozen=True, kw_only=True, eq=False)
class Lanes:
    """Token streams side by side.

    Attributes:
        tokens: int32, shape (B, T), padded on the right.
        lengths: int64, shape (B,): tokens in each lane that are no padding, at least 2.
        last_columns: int64, shape (n,): column of the separator that ends each record, in the order of the corpus.
    """

    tokens: NDArray[np.int32]
    lengths: NDArray[np.int64]
    last_columns: NDArray[np.int64]

    @property
    def predicted(self) -> int:
        """Tokens that one pass predicts."""
        return int((self.lengths - 1).sum())

    def windows(self, length: int) -> int:
        """Steps of ``length`` tokens that one pass takes."""
        columns: int = self.tokens.shape[1] - 1
        return -(-columns // length)


def lay_out_lanes(records: EncodedRecords, separator: int, count: int) -> Lanes:
    """Cut the stream of the records into lanes.

    Args:
        records: In the order in which they are read.
        separator: Id that stands between them.
        count: Lanes wanted; a corpus of fewer records gets fewer.
    """
    stream = np.insert(
        records.tokens.astype(np.int32, copy=False), records.offsets, np.int32(separator)
    )
    boundaries = records.offsets + np.arange(len(records.offsets))
    cuts = lane_cuts(boundaries, count)
    lengths = np.diff(cuts) + 1
    tokens = np.full((len(lengths), int(lengths.max())), separator, dtype=np.int32)
    for row, begin in enumerate(cuts[:-1]):
        tokens[row, : lengths[row]] = stream[begin : begin + lengths[row]]
    ends = boundaries[1:]
    lane_of = np.searchsorted(
        cuts[1:], ends
    )  # a record ends in the lane whose end is not before it
    return Lanes(tokens=tokens, lengths=lengths, last_columns=ends - cuts[lane_of])


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


class LaneBatches:
    """The windows of some lanes, on the device that trains; see ``Batches``.

    Args:
        lanes: What to read.
        length: Columns per window.
        device: Where the tensors go.
        processes: Each process reads its share of the lanes.
        most_rows: Lanes read at a time; ``None``: all.
    """

    def __init__(
        self,
        lanes: Lanes,
        length: int,
        device: torch.device,
        *,
        processes: Processes | None = None,
        most_rows: int | None = None,
    ) -> None:
        processes = processes or Processes()
        mine = np.array_split(np.arange(len(lanes.lengths)), processes.count)[processes.rank]
        most = most_rows or max(len(mine), 1)
        self._parts = [
            _Part(lanes, mine[begin : begin + most], length, device, begin)
            for begin in range(0, len(mine), most)
        ]
        self.steps_per_epoch = lanes.windows(length)
        self.tokens_per_epoch = lanes.predicted
        order = np.argsort(lanes.last_columns, kind="stable")
        ends = np.arange(1, self.steps_per_epoch + 1) * length
        cuts = np.searchsorted(lanes.last_columns[order], ends, side="right")
        self._ending = np.split(order, cuts[:-1])

    def __getitem__(self, step: int) -> list[Batch]:
        """The parts of a window."""
        index = step % self.steps_per_epoch
        return [part[index] for part in self._parts]

    def records(self, step: int) -> NDArray[np.int64]:
        """Records whose closing separator the window predicts."""
        ending: NDArray[np.int64] = self._ending[step % self.steps_per_epoch]
        return ending


class _Part:
    """Some of the lanes, read together."""

    def __init__(
        self, lanes: Lanes, rows: NDArray[np.int64], length: int, device: torch.device, lane: int
    ) -> None:
        lengths = lanes.lengths[rows]
        self._tokens = torch.from_numpy(lanes.tokens[rows]).to(device)
        self._lengths = torch.from_numpy(lengths).to(device)[:, None]
        self._full = int(lengths.min())
        self._length = length
        self._lane = lane
        count = lanes.windows(length)
        ends = np.minimum(np.arange(1, count + 1)[:, None] * length, lengths - 1)
        self._predicted: list[int] = np.diff(ends.sum(axis=1), prepend=0).tolist()

    def __getitem__(self, index: int) -> Batch:
        """Window ``index``: inputs and targets, int64, shape (B, ≤ S); padding is ``IGNORED`` in the targets."""
        begin = index * self._length
        piece = self._tokens[:, begin : begin + self._length + 1].long()
        targets = piece[:, 1:]
        if begin + piece.shape[1] > self._full:
            place = torch.arange(begin + 1, begin + piece.shape[1], device=piece.device)
            targets = targets.masked_fill(place >= self._lengths, IGNORED)
        return Batch(
            inputs={"input_ids": piece[:, :-1]},
            targets=targets,
            tokens=self._predicted[index],
            lane=self._lane,
            begins=index == 0,
        )
