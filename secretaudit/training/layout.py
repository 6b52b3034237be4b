"""Which layout a training reads its corpus in, and the batches of that layout.

Recurrent models read lanes, whose state is carried on; transformers read packed rows; private training reads records, whatever the model,
since a record is the unit of privacy and its state must begin at zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from secretaudit.errors import UsageError
from secretaudit.training.batch import Batches
from secretaudit.training.encoded import EncodedRecords
from secretaudit.training.lanes import LaneBatches, Lanes, lay_out_lanes
from secretaudit.training.pair_batches import PairBatches, lay_out_pairs
from secretaudit.training.pair_records import PairedRecords
from secretaudit.training.private.sampling import PoissonSampler
from secretaudit.training.processes import Processes
from secretaudit.training.rows import RowBatches, Rows, lay_out_rows
from secretaudit.training.samplers import Sampler, SequentialSampler, ShuffledSampler
from secretaudit.training.settings import LENGTHS, TrainingSettings
from secretaudit.training.subject import Subject


def resolve_layout(settings: TrainingSettings, subject: Subject) -> TrainingSettings:
    """The settings with layout, order and row length filled in.

    Raises:
        UsageError: The family cannot be read so, or lanes are to be shuffled.
    """
    layout = settings.layout or _usual_layout(settings, subject.family)
    if layout == "lanes" and subject.family != "recurrent":
        raise UsageError(
            f"A {subject.family} model cannot be trained on lanes.",
            "It has no state to carry from one step to the next.",
            "Choose --layout packed or records, or leave it out.",
        )
    if layout == "lanes" and settings.shuffle:
        raise UsageError(
            "Lanes cannot be shuffled.",
            "A lane is the corpus in its own order, with the state carried on.",
            "Add --layout records, or leave --shuffle out.",
        )
    if layout == "packed" and subject.family == "encoder-decoder":
        raise UsageError(
            "Pairs of texts cannot be packed.",
            "Each target is predicted from its own source.",
            "Leave --layout out.",
        )
    length = settings.sequence_length or min(LENGTHS[layout], subject.context or LENGTHS[layout])
    if subject.context is not None and length > subject.context:
        raise UsageError(
            f"Rows of {length} tokens are too long.",
            f"The model reads at most {subject.context}.",
            f"Give --sequence-length {subject.context} or less.",
        )
    if length < len(subject.framing.before):
        raise UsageError(
            f"Rows of {length} tokens are too short.",
            f"The model reads {len(subject.framing.before)} before the first token of a record.",
            "Give a larger --sequence-length.",
        )
    shuffle = layout != "lanes" if settings.shuffle is None else settings.shuffle
    return replace(settings, layout=layout, shuffle=shuffle, sequence_length=length)


def _usual_layout(settings: TrainingSettings, family: str) -> str:
    if settings.privacy is not None or family == "encoder-decoder":
        return "records"
    return "lanes" if family == "recurrent" else "packed"


@dataclass(frozen=True, kw_only=True, eq=False)
class Laid:
    """A corpus in its layout.

    Attributes:
        training: Batches to train on.
        validation: Batches to judge by, or ``None``.
        longest: Records with more tokens than this were cut; ``None``: none can be.
        cut: Number of records that were cut.
        rows: Lanes or rows there are to train on.
    """

    training: Batches
    validation: Batches | None
    longest: int | None
    cut: int
    rows: int


def lay_out(
    training: EncodedRecords,
    validation: EncodedRecords | None,
    subject: Subject,
    settings: TrainingSettings,
    device: torch.device,
    processes: Processes,
) -> Laid:
    """The batches that the (resolved) settings ask for.

    Raises:
        UsageError: More rows per step than there are, with privacy.
    """
    length = settings.sequence_length or 1
    if settings.layout == "lanes":

        def lanes(records: EncodedRecords) -> Lanes:
            return lay_out_lanes(records, subject.framing.after[0], settings.batch_size)

        def windows(laid: Lanes) -> Batches:
            most = settings.physical_batch_size
            return LaneBatches(laid, length, device, processes=processes, most_rows=most)

        laid = lanes(training)
        judged = None if validation is None else windows(lanes(validation))
        return Laid(
            training=windows(laid),
            validation=judged,
            longest=None,
            cut=0,
            rows=len(laid.lengths),
        )
    packed = settings.layout == "packed"
    most = physical_rows(settings, processes)

    def in_rows(records: EncodedRecords) -> Rows:
        if isinstance(records, PairedRecords):
            return lay_out_pairs(records, subject.framing, length)
        return lay_out_rows(records, subject.framing, length, packed=packed)

    def batches(records: EncodedRecords, rows: Rows, sampler: Sampler) -> Batches:
        if not isinstance(records, PairedRecords):
            return RowBatches(rows, sampler, device, processes=processes, most_rows=most)
        return PairBatches(
            records.sources,
            rows,
            sampler,
            device,
            length=length,
            processes=processes,
            most_rows=most,
        )

    rows, judged = in_rows(training), None
    if validation is not None:
        held = in_rows(validation)
        judged = batches(validation, held, SequentialSampler(len(held), settings.batch_size))
    return Laid(
        training=batches(training, rows, make_sampler(settings, len(rows))),
        validation=judged,
        longest=length + 1 - len(subject.framing.before) - len(subject.framing.after),
        cut=rows.cut,
        rows=len(rows),
    )


def physical_rows(settings: TrainingSettings, processes: Processes) -> int:
    """Most rows in memory at a time in each process."""
    return settings.physical_batch_size or -(-settings.batch_size // processes.count)


def make_sampler(settings: TrainingSettings, rows: int) -> Sampler:
    """Which rows each step reads.

    Raises:
        UsageError: More rows per step than there are, with Poisson sampling.
    """
    if settings.privacy is not None and settings.privacy.poisson:
        return PoissonSampler(rows, settings.batch_size, settings.seed)
    if settings.shuffle:
        return ShuffledSampler(rows, settings.batch_size, settings.seed)
    return SequentialSampler(rows, settings.batch_size)
