"""What a corpus holds before anything is inserted, and after.

One pass over the records counts them and looks for needles. Before insertion it must find none of the canaries and
controls: a control that the model has seen is no control, and a canary that stands in the corpus already would be
counted once too little. After insertion it must find each canary exactly as often as asked, as a record of its own,
and no control: the check reads the finished output back from disk, through the same reader that training uses.
In parallel text both sides are searched before, and afterwards each canary must stand beside its own source.

A needle can also stand *inside* another text that was inserted on purpose ("pin 12" inside "pin 123"). Such
occurrences are computed beforehand and are no surprise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secretaudit.corpus.occurrences import Needles, Occurrences
from secretaudit.corpus.stream import Batch, Source
from secretaudit.errors import CorpusError
from secretaudit.progress import Progress

#: Called now and then with the number of records passed.
Passed = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Copies:
    """A text and the number of times it is to stand in a corpus as a record of its own (0: a control).

    ``source`` is what stands beside it in parallel text.
    """

    text: str
    insertions: int
    source: str | None = None

    def __post_init__(self) -> None:
        if not self.text or self.insertions < 0:
            raise ValueError(f"text must not be empty and insertions not negative, got {self}")


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Records of a corpus, how often each needle stands among their texts, and (parallel text) inside their sources."""

    records: int
    occurrences: Occurrences
    inside_sources: NDArray[np.int64]


def passing(progress: Progress, stage: str, total: int | None) -> Passed:
    """A listener that hands the number of records on to ``progress``."""

    def passed(records: int) -> None:
        progress.update(done=records, total=total, stage=stage)

    return passed


def survey(
    source: Source, needles: Needles, passed: Passed, look: Callable[[Batch], None] | None = None
) -> Survey:
    """Read a corpus once, counting records and needles.

    Args:
        source: The corpus.
        needles: What to count.
        passed: Told how far the reading is.
        look: Shown each batch too.

    Raises:
        CorpusError: The corpus is binary or malformed.
    """
    tally, beside = needles.tally(), needles.tally()
    records = 0
    for batch in source.batches():
        texts = [text for text in batch.texts if text is not None]
        tally.add(texts)
        beside.add(text for text in batch.sources or () if text is not None)
        if look is not None:
            look(batch)
        records += len(texts)
        passed(records)
    return Survey(
        records=records,
        occurrences=tally.occurrences(),
        inside_sources=beside.occurrences().inside,
    )


def verify(source: Source, copies: Sequence[Copies], records: int, passed: Passed) -> None:
    """Check that a finished corpus holds each text as often as it should, and so many records.

    Args:
        source: The finished corpus.
        copies: Every canary and control.
        records: Number of records that must be there.
        passed: Told how far the reading is.

    Raises:
        CorpusError: A count differs: the output must not be used.
    """
    needles = Needles([copy.text for copy in copies])
    beside = {copy.text: copy.source for copy in copies}
    torn: list[str] = []

    def look(batch: Batch) -> None:
        """Find canaries beside another source than their own."""
        for text, other in zip(batch.texts, batch.sources or (), strict=False):
            if text is not None and beside.get(text, other) != other:
                torn.append(text)

    found = survey(source, needles, passed, look)
    wanted = np.array([copy.insertions for copy in copies], dtype=np.int64)
    inside = _expected_inside(needles, wanted)
    wrong = (found.occurrences.whole != wanted) | (found.occurrences.inside != inside)
    if found.records != records or bool(wrong.any()) or torn:
        raise CorpusError(
            f"The output was checked and is wrong: {_difference(found, wanted, records, wrong, len(torn))}.",
            "Reading it back did not give what was written; the input may have changed meanwhile.",
            "Nothing was kept. Run it again while nothing else writes to the corpus.",
        )


def _expected_inside(needles: Needles, wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Occurrences of each needle inside the inserted texts, itself included."""
    inserted = [text for text, times in zip(needles.texts, wanted, strict=True) if times]
    inside = needles.count(inserted).inside
    if bool((inside == (wanted > 0)).all()):
        return wanted
    total = np.zeros_like(wanted)
    for text, times in zip(needles.texts, wanted.tolist(), strict=True):
        if times:
            total += times * needles.count([text]).inside
    return total


def _difference(
    found: Survey,
    wanted: NDArray[np.int64],
    records: int,
    wrong: NDArray[np.bool_],
    torn: int,
) -> str:
    if found.records != records:
        return f"it has {found.records} records instead of {records}"
    if not wrong.any():
        return f"{torn} canaries stand beside another source than their own"
    first = int(np.flatnonzero(wrong)[0])
    times = int(found.occurrences.whole[first])
    return (
        f"{int(wrong.sum())} canaries or controls occur too often or too rarely; number {first + 1} stands in "
        f"it {times} times instead of {int(wanted[first])}"
    )
