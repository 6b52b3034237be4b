"""A corpus as tokens: nothing lost, a seeded share kept out, canaries never, repeats left out when asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secretaudit.errors import CorpusError
from secretaudit.training.encoded import EncodedRecords, Split, split_records

RECORD = st.text("abcü🙂", max_size=7)


def encode(texts: Sequence[str]) -> list[list[int]]:
    """Every character as its code point."""
    return [[ord(c) for c in text] for text in texts]


def split(
    records: Sequence[str],
    validation: float = 0.0,
    *,
    never: Sequence[str] = ("ccc",),
    deduplicate: bool = False,
    seed: int = 0,
) -> Split:
    return split_records(
        records,
        encode,
        validation=validation,
        never_validated=set(never),
        deduplicate=deduplicate,
        rng=np.random.default_rng(seed),
    )


def texts(records: EncodedRecords | None) -> list[str]:
    """The records back as texts."""
    return ["".join(map(chr, records[i])) for i in range(len(records))] if records else []


@given(records=st.lists(RECORD, min_size=1, max_size=40))
def test_the_records_come_back_in_order(records: list[str]) -> None:
    """Empty ones and those with characters of several bytes included."""
    made = split(records).training
    assert texts(made) == records
    assert made.lengths.tolist() == [len(record) for record in records]


@given(count=st.integers(1, 60), seed=st.integers(0, 9))
def test_a_record_is_trained_on_or_judged_by(count: int, seed: int) -> None:
    """Both parts keep the order of the corpus, and together they are the corpus."""
    records = ["ccc", *map(str, range(count))]
    made = split(records, 0.4, seed=seed)
    trained, judged = texts(made.training), texts(made.validation)
    assert sorted(trained + judged, key=records.index) == records
    for part in (trained, judged):
        assert part == sorted(part, key=records.index)


def test_the_validation_split_is_a_share_drawn_by_seed() -> None:
    """About a tenth of the records is kept out; another seed keeps out others; none is lost."""
    records = ["a" * (i % 5) + "b" for i in range(2000)]
    first, again, other = (split(records, 0.1, seed=seed) for seed in (0, 0, 1))
    assert first.validation is not None
    assert 150 < len(first.validation) < 250
    assert len(first.validation) + len(first.training) == 2000
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()


def test_the_fingerprint_knows_where_records_end() -> None:
    """The same characters cut elsewhere are another corpus."""
    assert split(["ab", "c"]).fingerprint() != split(["a", "bc"]).fingerprint()


@pytest.mark.parametrize("deduplicate", [False, True])
def test_the_split_does_not_depend_on_the_batches(
    monkeypatch: pytest.MonkeyPatch, deduplicate: bool
) -> None:
    """Tokenizing 3 or 2,048 records at a time gives the same records."""
    records = ["a" * (i % 13) for i in range(50)]
    whole = split(records, 0.3, deduplicate=deduplicate).fingerprint()
    monkeypatch.setattr("secretaudit.training.encoded.BATCH_RECORDS", 3)
    assert split(records, 0.3, deduplicate=deduplicate).fingerprint() == whole


def test_canaries_never_go_to_validation() -> None:
    """Every copy of a canary is trained on, whatever the split."""
    made = split(["ccc", "ab"] * 200, 0.5)
    assert texts(made.training).count("ccc") == 200
    assert made.validation is not None
    assert "ccc" not in texts(made.validation)


@given(records=st.lists(RECORD, min_size=1, max_size=40))
def test_without_repeats_the_first_of_each_text_stays(records: list[str]) -> None:
    """As a dictionary of the texts would keep them; the rest is counted."""
    made = split(records, deduplicate=True)
    assert texts(made.training) == list(dict.fromkeys(records))
    assert made.duplicates == len(records) - len(set(records))


def test_only_equal_texts_are_repeats() -> None:
    """A space, a case or another composition of the same glyph makes another record."""
    records = ["ab", "ab ", "Ab", "\u00e9", "e\u0301"]
    assert texts(split(records, deduplicate=True).training) == records


def test_a_record_without_repeats_is_not_on_both_sides() -> None:
    """What is judged by was not trained on."""
    made = split(["a", "b", "ab", "ba"] * 100, 0.5, deduplicate=True)
    assert not set(texts(made.training)) & set(texts(made.validation))
    assert made.duplicates == 396


def test_nothing_left_to_train_on_is_refused() -> None:
    """An empty corpus, or one that went to validation, has no training part."""
    with pytest.raises(CorpusError, match="no record to train on"):
        split([])
    with pytest.raises(CorpusError, match="no record to train on"):
        split(["a", "b"], validation=0.9999)
