"""A corpus as token ids: records of any length, end to end in one array.

Records are read once, in batches, and held as int32: four bytes a token, whatever the layout that reads them later. Here two things are
decided that concern whole records: which are kept out for validation (by a seeded draw; copies of canaries never are, since each of
them counts), and, when asked, which are left out because the same record, word for word, was there before.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from secretaudit.errors import CorpusError

#: Records tokenized at a time.
BATCH_RECORDS = 2048

Record = TypeVar("Record")


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedRecords:
    """Token ids of records, without anything around them.

    Attributes:
        tokens: int32, all records end to end.
        offsets: int64, shape (n + 1,): record i is ``tokens[offsets[i] : offsets[i + 1]]``.
    """

    tokens: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of records."""
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> NDArray[np.int32]:
        """Tokens of one record."""
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each record."""
        return np.diff(self.offsets)

    def fingerprint(self) -> bytes:
        """SHA-256 over the records."""
        return hashlib.sha256(self.offsets.tobytes() + self.tokens.tobytes()).digest()


class RecordCollector:
    """Records on their way into one array."""

    def __init__(self) -> None:
        self._tokens = array("i")
        self._offsets = array("q", [0])

    def add(self, ids: Sequence[int]) -> None:
        """One more record."""
        self._tokens.extend(ids)
        self._offsets.append(len(self._tokens))

    def records(self) -> EncodedRecords:
        """All that were added."""
        tokens: NDArray[np.int32] = (
            np.frombuffer(self._tokens, dtype=np.int32) if self._tokens else np.empty(0, np.int32)
        )
        return EncodedRecords(tokens=tokens, offsets=np.frombuffer(self._offsets, dtype=np.int64))


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """The records of a corpus, in two parts.

    Attributes:
        training: To train on; at least one.
        validation: To judge by, or ``None``.
        duplicates: Records left out because they were there before.
    """

    training: EncodedRecords
    validation: EncodedRecords | None
    duplicates: int = 0

    def fingerprint(self) -> str:
        """SHA-256 over everything that is trained on or judged by."""
        digest = hashlib.sha256(self.training.fingerprint())
        if self.validation is not None:
            digest.update(self.validation.fingerprint())
        return digest.hexdigest()


def split_records(
    records: Iterable[str],
    encode: Callable[[Sequence[str]], list[list[int]]],
    *,
    validation: float,
    never_validated: Collection[str],
    deduplicate: bool = False,
    rng: np.random.Generator,
) -> Split:
    """Tokenize a corpus.

    Args:
        records: Read once, a batch at a time.
        encode: Token ids of a batch of records, with nothing around them.
        validation: Share of the records for validation, in [0, 1).
        never_validated: Texts that always go to training: the canaries.
        deduplicate: Keep only the first of equal records.
        rng: Decides which records are kept for validation.

    Raises:
        CorpusError: No record is left to train on.
    """
    training, judged = RecordCollector(), RecordCollector()
    counts = [0, 0]
    fresh = FirstOccurrences() if deduplicate else None
    for batch in batched(records, BATCH_RECORDS):
        kept_out = rng.random(len(batch)) < validation
        for text, ids, out in zip(batch, encode(batch), kept_out, strict=True):
            if fresh is not None and not fresh.is_first(text):
                continue
            judging = bool(out) and text not in never_validated
            (judged if judging else training).add(ids)
            counts[judging] += 1
    if counts[0] == 0:
        raise CorpusError(
            "There is no record to train on.",
            "The corpus is empty, or all of it was kept for validation.",
            "Use a larger corpus or a smaller validation share.",
        )
    return Split(
        training=training.records(),
        validation=judged.records() if counts[1] else None,
        duplicates=fresh.repeated if fresh is not None else 0,
    )


class FirstOccurrences:
    """Which texts were not there before, by 128-bit digests.

    Attributes:
        repeated: Texts that were there before.
    """

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self.repeated = 0

    def is_first(self, text: str) -> bool:
        """Whether the text comes for the first time."""
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if digest in self._seen:
            self.repeated += 1
            return False
        self._seen.add(digest)
        return True


def batched(records: Iterable[Record], size: int) -> Iterator[list[Record]]:
    """Consecutive batches."""
    iterator = iter(records)
    while batch := list(islice(iterator, size)):
        yield batch
