"""The corpus as rows that stand for themselves: a record each, or whole records packed side by side.

    records   b r e c 1 e                 one record a row; what the unit of privacy needs, and what a translation is
    packed    b r e c 1 e b r e c 2 e     as many whole records, in the order of the corpus, as fit into a row

with b and e what stands before and after a text (``Framing``); where they are the same single token, one of them stands between two records.
Rows are padded on the right. Every token of a record and what closes it is predicted; what opens it never is. A record longer than a
row is cut to the row's length and counted, and a canary so cut is one that the model has not seen.

Which rows a step reads is a sampler's choice, a function of the step's number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from secretaudit.models.language_model import Framing
from secretaudit.models.recurrent.network import IGNORED
from secretaudit.training.batch import Batch
from secretaudit.training.encoded import EncodedRecords
from secretaudit.training.processes import Processes
from secretaudit.training.samplers import Sampler


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Rows of tokens, end to end.

    Attributes:
        tokens: int32, framed records, end to end.
        charged: bool, same shape: whether the token is predicted.
        begins: int64, shape (R,): where each row begins in ``tokens``.
        ends: int64, shape (R,): where it ends.
        first_records: int64, shape (R + 1,): row r holds the records first_records[r] … first_records[r + 1] − 1.
        cut: Records that were cut.
    """

    tokens: NDArray[np.int32]
    charged: NDArray[np.bool_]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]
    first_records: NDArray[np.int64]
    cut: int

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.begins)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Tokens that each row predicts, shape (R,)."""
        total = np.concatenate(([0], np.cumsum(self.charged)))
        counted: NDArray[np.int64] = total[self.ends] - total[self.begins + 1]
        return counted


def lay_out_rows(records: EncodedRecords, framing: Framing, length: int, *, packed: bool) -> Rows:
    """Frame the records and put them into rows.

    Args:
        records: The corpus.
        framing: What stands around each; ``before`` may not be empty (nothing would predict the first token).
        length: Tokens that a row reads at most.
        packed: Whether several records may share a row.
    """
    before, after = list(framing.before), list(framing.after)
    shared = len(before) == 1 and before == after and packed
    room = length + 1 - len(before)  # a row of n tokens reads the first n − 1
    lengths = np.minimum(records.lengths + len(after), room)
    cut = int((records.lengths + len(after) > room).sum())
    sizes = lengths + len(before)
    # a closing separator opens the next record too; a record that was cut has none
    steps = np.where(records.lengths + len(after) > room, sizes, lengths) if shared else sizes
    starts = np.concatenate(([0], np.cumsum(steps)[:-1]))
    total = int(starts[-1] + sizes[-1])
    tokens, charged = np.empty(total, np.int32), np.ones(total, np.bool_)
    for index, start in enumerate(starts.tolist()):
        framed = np.concatenate((before, records[index], after))[: sizes[index]]
        tokens[start : start + len(framed)] = framed
        if not (shared and index):
            charged[start : start + len(before)] = False
    first = _packed(steps, sizes, length + 1) if packed else np.arange(len(records) + 1)
    last = first[1:] - 1
    return Rows(
        tokens=tokens,
        charged=charged,
        begins=starts[first[:-1]],
        ends=starts[last] + sizes[last],
        first_records=first,
        cut=cut,
    )


def _packed(steps: NDArray[np.int64], sizes: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """First record of each row, and the number of records, filling one row after the other."""
    first, used = [0], 0
    for index, (step, size) in enumerate(zip(steps.tolist(), sizes.tolist(), strict=True)):
        if used and used + size > most:
            first.append(index)
            used = 0
        used += step
    return np.array([*first, len(steps)])


class RowBatches:
    """Rows that a sampler draws, as tensors on the device that trains; see ``Batches``.

    Args:
        rows: What to read.
        sampler: Which rows each step reads.
        device: Where the tensors go.
        processes: Each process reads its share of a step's rows.
        most_rows: Rows in memory at a time; ``None``: all.
    """

    def __init__(
        self,
        rows: Rows,
        sampler: Sampler,
        device: torch.device,
        *,
        processes: Processes | None = None,
        most_rows: int | None = None,
    ) -> None:
        self._rows = rows
        self._sampler = sampler
        self._device = device
        self._processes = processes or Processes()
        self._most_rows = most_rows
        self.steps_per_epoch = sampler.steps_per_epoch
        self.tokens_per_epoch = int(rows.predicted.sum())

    def __getitem__(self, step: int) -> list[Batch]:
        """The parts of a step."""
        drawn = self._sampler.draw(step)
        mine = np.array_split(drawn, self._processes.count)[self._processes.rank]
        most = self._most_rows or max(len(mine), 1)
        return [self._batch(mine[begin : begin + most]) for begin in range(0, len(mine), most)]

    def records(self, step: int) -> NDArray[np.int64]:
        """Records in the rows that the step reads, in all processes."""
        drawn, first = self._sampler.draw(step), self._rows.first_records
        pieces = [np.arange(first[row], first[row + 1]) for row in drawn.tolist()]
        return np.concatenate(pieces) if pieces else np.empty(0, np.int64)

    def _batch(self, drawn: NDArray[np.int64]) -> Batch:
        """Some rows, padded on the right."""
        rows = self._rows
        begins, ends = rows.begins[drawn], rows.ends[drawn]
        places = begins[:, None] + np.arange(int((ends - begins).max()))
        inside = places < ends[:, None]
        places = np.where(inside, places, ends[:, None] - 1)
        tokens = rows.tokens[places].astype(np.int64)
        charged = (inside & rows.charged[places])[:, 1:]
        targets = np.where(charged, tokens[:, 1:], IGNORED)
        return Batch(
            inputs={"input_ids": torch.from_numpy(tokens[:, :-1].copy()).to(self._device)},
            targets=torch.from_numpy(targets).to(self._device),
            tokens=int(charged.sum()),
        )
