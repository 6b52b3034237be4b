"""Lanes: no record torn, no token dropped, padding known by length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secretaudit.errors import CorpusError
from secretaudit.training.stream import Lanes, Split, Windows, lane_cuts, split_records

SEPARATOR = 0
RECORD = st.text("abc", max_size=7)


def encode(texts: Sequence[str]) -> list[list[int]]:
    """Characters a, b, c as 1, 2, 3."""
    return [[ord(c) - 96 for c in text] for text in texts]


def split(records: list[str], lanes: int = 3, validation: float = 0.0, seed: int = 0) -> Split:
    return split_records(
        records,
        encode,
        SEPARATOR,
        lanes=lanes,
        validation=validation,
        never_validated={"ccc"},
        rng=np.random.default_rng(seed),
    )


def lane_records(lanes: Lanes) -> list[list[int]]:
    """The records in all lanes, in order; every lane must begin and end with a separator."""
    records = []
    for row, length in zip(lanes.tokens, lanes.lengths, strict=True):
        lane = row[:length].tolist()
        assert lane[0] == lane[-1] == SEPARATOR
        current: list[int] = []
        for token in lane[1:]:
            if token == SEPARATOR:
                records.append(current)
                current = []
            else:
                current.append(token)
    return records


@given(records=st.lists(RECORD, min_size=1, max_size=40), lanes=st.integers(1, 9))
def test_every_record_stands_whole_in_one_lane(records: list[str], lanes: int) -> None:
    """The records come back from the lanes, in order, each between two separators."""
    made = split(records, lanes).training
    assert lane_records(made) == encode(records)
    assert len(made.tokens) <= lanes
    assert int(made.lengths.max()) == made.tokens.shape[1]


@given(
    records=st.lists(RECORD, min_size=1, max_size=30),
    lanes=st.integers(1, 5),
    length=st.integers(1, 20),
)
def test_every_token_is_predicted_once(records: list[str], lanes: int, length: int) -> None:
    """Targets that are not ignored, lane by lane, are the stream without its first token."""
    made = split(records, lanes).training
    windows = Windows(made, length, torch.device("cpu"))
    stream = [token for ids in encode(records) for token in [*ids, SEPARATOR]]
    targets = torch.cat([windows[i][1] for i in range(windows.count)], dim=1)
    inputs = torch.cat([windows[i][0] for i in range(windows.count)], dim=1)
    predicted = [t for row in targets.tolist() for t in row if t != -100]
    assert predicted == stream
    counts = [int((windows[i][1] != -100).sum()) for i in range(windows.count)]
    assert counts == windows.predicted
    assert sum(counts) == made.predicted
    assert torch.equal(inputs[:, 1:], torch.from_numpy(made.tokens[:, 1:-1]).long())


@given(
    gaps=st.lists(st.integers(1, 30), min_size=1, max_size=25),
    count=st.integers(1, 8),
)
def test_cuts_are_the_boundaries_nearest_to_equal_parts(gaps: list[int], count: int) -> None:
    """A naive search over all boundaries finds the same distances."""
    boundaries = np.cumsum([0, *gaps])
    cuts = lane_cuts(boundaries, count)
    assert set(cuts) <= set(boundaries)
    assert (np.diff(cuts) > 0).all()
    for k in range(count + 1):
        wanted = boundaries[-1] * k / count
        assert np.abs(cuts - wanted).min() == pytest.approx(np.abs(boundaries - wanted).min())


def test_lanes_of_many_short_records_are_nearly_equal() -> None:
    """With 1,000 records in 10 lanes no lane is longer than another by more than two records."""
    rng = np.random.default_rng(1)
    records = ["a" * int(rng.integers(1, 8)) for _ in range(1000)]
    lengths = split(records, 10).training.lengths
    assert len(lengths) == 10
    assert int(lengths.max() - lengths.min()) <= 16


def test_the_validation_split_is_a_share_drawn_by_seed() -> None:
    """About a tenth of the records is kept out; another seed keeps out others; none is lost."""
    records = ["a" * (i % 5) + "b" for i in range(2000)]
    first, again, other = (split(records, 4, 0.1, seed) for seed in (0, 0, 1))
    assert first.validation is not None
    assert 150 < first.records[1] < 250
    assert sum(first.records) == 2000
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()


def test_the_split_does_not_depend_on_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokenizing 3 or 2,048 records at a time gives the same lanes."""
    records = ["a" * (i % 5) for i in range(50)]
    whole = split(records, 4, 0.3).fingerprint()
    monkeypatch.setattr("secretaudit.training.stream.BATCH_RECORDS", 3)
    assert split(records, 4, 0.3).fingerprint() == whole


def test_canaries_never_go_to_validation() -> None:
    """Every copy of a canary is trained on, whatever the split."""
    made = split(["ccc", "ab"] * 200, 4, 0.5)
    assert lane_records(made.training).count([3, 3, 3]) == 200
    assert made.validation is not None
    assert [3, 3, 3] not in lane_records(made.validation)


def test_nothing_left_to_train_on_is_refused() -> None:
    """An empty corpus, or one that went to validation, has no training part."""
    with pytest.raises(CorpusError, match="no record to train on"):
        split([])
    with pytest.raises(CorpusError, match="no record to train on"):
        split(["a", "b"], validation=0.9999)
