"""Putting records into a corpus and taking them out again, one batch at a time.

A corpus of N records has the boundaries 0 … N: before record i, and N after the last unit. Each copy of each text
goes to a boundary drawn uniformly and independently of all others; copies that meet at one boundary stand in random
order. Only boundaries are used: a canary is never put inside a record, and no record is cut.

What is held in memory is one batch of units and one number for each copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from secretaudit.corpus.stream import Batch, Sink, Source
from secretaudit.corpus.survey import Copies, Passed
from secretaudit.errors import CorpusError


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where each copy goes, by rising boundary.

    Attributes:
        boundaries: int64, shape (number of copies,), 0 … N, sorted.
        texts: The text that goes to each.
        sources: Parallel text: the source of each; None otherwise.
    """

    boundaries: NDArray[np.int64]
    texts: Sequence[str]
    sources: Sequence[str | None]


def place(copies: Sequence[Copies], records: int, rng: np.random.Generator) -> Placement:
    """Draw a boundary for every copy, uniform on 0 … ``records``, independently.

    >>> placed = place([Copies(text="a", insertions=3)], 10, np.random.default_rng(0))
    >>> len(placed.texts), bool((np.diff(placed.boundaries) >= 0).all())
    (3, True)
    """
    each = [copy for copy in copies for _ in range(copy.insertions)]
    boundaries = rng.integers(0, records, size=len(each), endpoint=True)
    order = rng.permutation(len(each))
    order = order[np.argsort(boundaries[order], kind="stable")]
    return Placement(
        boundaries=boundaries[order],
        texts=[each[i].text for i in order],
        sources=[each[i].source for i in order],
    )


def insert_copies(source: Source, target: Path, placement: Placement, passed: Passed) -> int:
    """Write the corpus with the copies in their places.

    Args:
        source: The corpus, which is only read.
        target: File or directory to be created.
        placement: Where each copy goes.
        passed: Told the number of records copied.

    Returns:
        The number of records copied, without the inserted ones.

    Raises:
        CorpusError: A text cannot be a record of this kind of corpus.
    """
    for text in set(placement.texts):
        source.check_insertable(text)
    sink = source.open_sink(target)
    try:
        records, last = 0, 0
        for batch in source.batches():
            units = [i for i, text in enumerate(batch.texts) if text is not None]
            stop = int(np.searchsorted(placement.boundaries, records + len(units), side="left"))
            _write_with(sink, batch, units, records, _between(placement, last, stop))
            records, last = records + len(units), stop
            sink.end_batch()
            passed(records)
        for _, text, written_source in _between(placement, last, len(placement.texts)):
            sink.insert(text, written_source)
    finally:
        sink.close()
    return records


def _between(placement: Placement, start: int, stop: int) -> Iterator[tuple[int, str, str | None]]:
    return zip(
        placement.boundaries[start:stop].tolist(),
        placement.texts[start:stop],
        placement.sources[start:stop],
        strict=True,
    )


def _write_with(
    sink: Sink,
    batch: Batch,
    units: list[int],
    before: int,
    inserted: Iterator[tuple[int, str, str | None]],
) -> None:
    """Write one batch, each new record before the unit that its boundary names."""
    written = 0
    for boundary, text, source in inserted:
        unit = units[boundary - before]
        sink.write(batch, written, unit)
        sink.insert(text, source)
        written = unit
    sink.write(batch, written, len(batch.texts))


@dataclass(frozen=True, kw_only=True)
class Removal:
    """What was taken out and what was left.

    Attributes:
        records: Number of records left.
        removed: int64, how often each text was taken out, in the order of the copies.
    """

    records: int
    removed: NDArray[np.int64]


def remove_copies(
    source: Source, target: Path, copies: Sequence[Copies], passed: Passed
) -> Removal:
    """Write the corpus without the records that are one of the texts.

    Args:
        source: The canaried corpus, which is only read.
        target: File or directory to be created.
        copies: What was inserted, and how often.
        passed: Told the number of records read.

    Raises:
        CorpusError: A text was found more or less often than it was inserted.
    """
    index = {copy.text: i for i, copy in enumerate(copies)}
    removed = np.zeros(len(copies), dtype=np.int64)
    seen = 0
    sink = source.open_sink(target)
    try:
        for batch in source.batches():
            cuts = [i for i, text in enumerate(batch.texts) if text in index]
            for start, stop in pairwise([-1, *cuts, len(batch.texts)]):
                sink.write(batch, start + 1, stop)
            for unit in cuts:
                removed[index[str(batch.texts[unit])]] += 1
            if batch.unterminated and cuts and cuts[-1] == len(batch.texts) - 1:
                sink.remove_last_terminator()
            seen += sum(text is not None for text in batch.texts)
            sink.end_batch()
            passed(seen)
    finally:
        sink.close()
    _check_removed(copies, removed)
    return Removal(records=seen - int(removed.sum()), removed=removed)


def _check_removed(copies: Sequence[Copies], removed: NDArray[np.int64]) -> None:
    wanted = np.array([copy.insertions for copy in copies], dtype=np.int64)
    if bool((removed == wanted).all()):
        return
    wrong = int((removed != wanted).sum())
    raise CorpusError(
        f"{int(removed.sum())} canary records were found, but the ledger says {int(wanted.sum())}.",
        f"{wrong} canaries differ: the corpus was filtered, deduplicated or mixed after insertion, or the ledger "
        "is that of another corpus.",
        "Use the corpus and the ledger of one insertion; nothing was written.",
    )
