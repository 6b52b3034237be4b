"""Pairs as rows: a source for the encoder and, beside it, the target that the decoder is to write.

    encoder reads    s₁ … s_m </s>                  padded on the right and masked
    decoder reads    b y₁ … y_n                     (b: the token that its training begins with)
    is to predict      y₁ … y_n </s>

The decoder's side is a row like any other (``rows``), one record a row. Each side is cut to the row's length, and a pair of which either side was cut
is counted. A source that stands beside canaries is never cut: a canary would then have been seen beside something else, so that is refused.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from secretaudit.errors import UsageError
from secretaudit.models.language_model import Framing
from secretaudit.training.batch import Batch
from secretaudit.training.encoded import EncodedRecords
from secretaudit.training.pair_records import PairedRecords
from secretaudit.training.processes import Processes
from secretaudit.training.rows import RowBatches, Rows, lay_out_rows
from secretaudit.training.samplers import Sampler


def lay_out_pairs(pairs: PairedRecords, framing: Framing, length: int) -> Rows:
    """The targets of pairs as rows.

    Args:
        pairs: The corpus.
        framing: What stands around each target.
        length: Tokens that each side has at most.

    Returns:
        Rows whose ``cut`` counts the pairs of which either side is cut.

    Raises:
        UsageError: A source that stands beside canaries would be cut.
    """
    if pairs.canary_source > length:
        raise UsageError(
            f"The source of the canaries has {pairs.canary_source} tokens, and rows have {length}.",
            "It would be cut, and the model would not see the canaries beside the source that the ledger names.",
            f"Give --sequence-length {pairs.canary_source} or more.",
        )
    rows = lay_out_rows(pairs, framing, length, packed=False)
    framed = pairs.lengths + len(framing.before) + len(framing.after)
    cut = (framed > length + 1) | (pairs.sources.lengths > length)
    return replace(rows, cut=int(cut.sum()))


class PairBatches(RowBatches):
    """Pairs that a sampler draws, as tensors on the device that trains; see ``Batches``.

    The inputs of a batch are ``input_ids`` and ``attention_mask`` (B, S), and ``decoder_input_ids`` (B, T).

    Args:
        sources: Of all pairs.
        rows: Their targets, by ``lay_out_pairs``.
        sampler: Which pairs each step reads.
        device: Where the tensors go.
        length: Tokens of a source that are read at most.
        processes: Each process reads its share of a step's pairs.
        most_rows: Pairs in memory at a time; ``None``: all.
    """

    def __init__(
        self,
        sources: EncodedRecords,
        rows: Rows,
        sampler: Sampler,
        device: torch.device,
        *,
        length: int,
        processes: Processes | None = None,
        most_rows: int | None = None,
    ) -> None:
        super().__init__(rows, sampler, device, processes=processes, most_rows=most_rows)
        self._sources = sources
        self._length = length

    def _batch(self, drawn: NDArray[np.int64]) -> Batch:
        """Some pairs, padded on the right; padding is known by the mask, never by its token."""
        batch = super()._batch(drawn)
        begins = self._sources.offsets[drawn]
        lengths = np.minimum(self._sources.offsets[drawn + 1] - begins, self._length)
        places = np.arange(int(lengths.max()))
        inside = places < lengths[:, None]
        last = np.maximum(lengths - 1, 0)[:, None]
        tokens = self._sources.tokens[begins[:, None] + np.minimum(places, last)].astype(np.int64)
        return replace(
            batch,
            inputs={
                "input_ids": torch.from_numpy(tokens).to(self._device),
                "attention_mask": torch.from_numpy(inside.astype(np.int64)).to(self._device),
                "decoder_input_ids": batch.inputs["input_ids"],
            },
        )
