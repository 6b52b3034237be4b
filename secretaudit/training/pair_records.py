"""Parallel text as token ids: targets like any records, and beside each its source.

A pair is one record: it is kept out for validation, left out as a duplicate, drawn and clipped as a whole. A copy of a canary is told by its
target, whose secret no other has. Sources are held as the encoder reads them, with what the tokenizer puts around them; targets are held bare,
and framed where they are laid out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from secretaudit.errors import CorpusError
from secretaudit.training.encoded import (
    BATCH_RECORDS,
    EncodedRecords,
    FirstOccurrences,
    RecordCollector,
    Split,
    batched,
)

#: Token ids of texts.
Encode = Callable[[Sequence[str]], list[list[int]]]
#: Stands between source and target where a pair is compared as one text; no text of a corpus holds it.
_BETWEEN = "\0"


@dataclass(frozen=True, kw_only=True, eq=False)
class PairedRecords(EncodedRecords):
    """Targets, end to end, and their sources.

    Attributes:
        sources: The source of each target, as the encoder reads it.
        canary_source: Tokens of the longest source that stands beside a canary or control; it must not be cut.
    """

    sources: EncodedRecords
    canary_source: int = 0

    def fingerprint(self) -> bytes:
        """SHA-256 over targets and sources."""
        return hashlib.sha256(super().fingerprint() + self.sources.fingerprint()).digest()


def split_pairs(
    pairs: Iterable[tuple[str, str]],
    encode_source: Encode,
    encode_target: Encode,
    *,
    validation: float,
    never_validated: Collection[str],
    deduplicate: bool = False,
    canary_sources: Sequence[str] = (),
    rng: np.random.Generator,
) -> Split:
    """Tokenize a corpus of pairs; see ``split_records``, which does the same for texts.

    Args:
        pairs: (source, target), read once, a batch at a time.
        encode_source: Token ids of sources, with all that the encoder is to read.
        encode_target: Token ids of targets, with nothing around them.
        validation: Share of the pairs for validation, in [0, 1).
        never_validated: Targets whose pairs always go to training: the canaries.
        deduplicate: Keep only the first of equal pairs.
        canary_sources: The sources that stand beside canaries and controls.
        rng: Decides which pairs are kept for validation.

    Returns:
        A split whose records are ``PairedRecords``.

    Raises:
        CorpusError: No pair is left to train on.
    """
    training, judged = _Collector(), _Collector()
    fresh = FirstOccurrences() if deduplicate else None
    longest = (
        max((len(ids) for ids in encode_source(canary_sources)), default=0) if canary_sources else 0
    )
    for batch in batched(pairs, BATCH_RECORDS):
        kept_out = rng.random(len(batch)) < validation
        encoded = zip(
            encode_source([source for source, _ in batch]),
            encode_target([target for _, target in batch]),
            strict=True,
        )
        for (source, target), ids, out in zip(batch, encoded, kept_out, strict=True):
            if fresh is not None and not fresh.is_first(source + _BETWEEN + target):
                continue
            (judged if out and target not in never_validated else training).add(*ids)
    if not len(training):
        raise CorpusError(
            "There is no pair to train on.",
            "The corpus is empty, or all of it was kept for validation.",
            "Use a larger corpus or a smaller validation share.",
        )
    return Split(
        training=training.records(longest),
        validation=judged.records(longest) if len(judged) else None,
        duplicates=fresh.repeated if fresh is not None else 0,
    )


class _Collector:
    """Pairs on their way into two arrays."""

    def __init__(self) -> None:
        self._sources, self._targets = RecordCollector(), RecordCollector()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, source: Sequence[int], target: Sequence[int]) -> None:
        """One more pair."""
        self._sources.add(source)
        self._targets.add(target)
        self._count += 1

    def records(self, canary_source: int) -> PairedRecords:
        """All that were added."""
        targets = self._targets.records()
        return PairedRecords(
            tokens=targets.tokens,
            offsets=targets.offsets,
            sources=self._sources.records(),
            canary_source=canary_source,
        )
