"""Rows: every token of a record predicted once, whole records side by side, what was cut counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secretaudit.models.language_model import Framing
from secretaudit.training.processes import Processes
from secretaudit.training.rows import RowBatches, Rows, lay_out_rows
from secretaudit.training.samplers import SequentialSampler, ShuffledSampler

from .conftest import encoded

CPU = torch.device("cpu")
FRAMINGS = {
    "shared": Framing(before=(0,), after=(0,)),
    "different": Framing(before=(8,), after=(9,)),
    "long": Framing(before=(7, 8), after=(9, 7)),
    "open": Framing(before=(8,), after=()),
}
RECORDS = st.lists(st.lists(st.integers(1, 5), max_size=9), min_size=1, max_size=25)


def rows_of(rows: Rows) -> list[list[int]]:
    """The tokens of each row."""
    return [rows.tokens[b:e].tolist() for b, e in zip(rows.begins, rows.ends, strict=True)]


def predicted(rows: Rows) -> list[list[int]]:
    """What each row predicts, as batches hand it out."""
    batches = RowBatches(rows, SequentialSampler(len(rows), 3), CPU)
    parts = [part for step in range(batches.steps_per_epoch) for part in batches[step]]
    return [[t for t in row if t != -100] for part in parts for row in part.targets.tolist()]


def naive_rows(
    records: Sequence[Sequence[int]], framing: Framing, length: int
) -> list[list[list[int]]]:
    """The records of each packed row, filled one after the other; a shared separator counts once."""
    shared = framing.before == framing.after and len(framing.before) == 1
    packed: list[list[list[int]]] = []
    size = 0
    for record in records:
        framed = [*framing.before, *record, *framing.after][: length + 1]
        more = len(framed) - (1 if shared else 0)
        if packed and size + more <= length + 1:
            packed[-1].append(framed)
            size += more
        else:
            packed.append([framed])
            size = len(framed)
    return packed


@pytest.mark.parametrize("name", FRAMINGS)
@given(records=RECORDS, length=st.integers(2, 30))
def test_packed_rows_hold_whole_records(name: str, records: list[list[int]], length: int) -> None:
    """Rows, and which records stand in them, are those that a naive packing finds; none is too long."""
    framing = FRAMINGS[name]
    rows = lay_out_rows(encoded(records), framing, length, packed=True)
    expected = naive_rows(records, framing, length)
    assert np.diff(rows.first_records).tolist() == [len(row) for row in expected]
    joint = 1 if name == "shared" else 0
    for found, parts in zip(rows_of(rows), expected, strict=True):
        assert len(found) <= length + 1
        assert found == parts[0] + [t for part in parts[1:] for t in part[joint:]]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", FRAMINGS)
@given(records=RECORDS, length=st.integers(2, 30))
def test_every_token_is_predicted_once(
    name: str, packed: bool, records: list[list[int]], length: int
) -> None:
    """All tokens of all records and what closes them, in order; what opens a record never is."""
    framing = FRAMINGS[name]
    rows = lay_out_rows(encoded(records), framing, length, packed=packed)
    room = length + 1 - len(framing.before)
    framed = [[*record, *framing.after] for record in records]
    expected = [token for record in framed for token in record[:room]]
    assert [token for row in predicted(rows) for token in row] == expected
    assert rows.predicted.tolist() == [len(row) for row in predicted(rows)]
    assert rows.cut == sum(len(record) > room for record in framed)


@pytest.mark.parametrize("name", FRAMINGS)
def test_each_record_has_a_row_of_its_own(name: str) -> None:
    """Unpacked, a row is what stands before, the record, and what stands after, whatever its neighbours."""
    framing = FRAMINGS[name]
    records = [[1, 2, 3], [], [4]]
    rows = lay_out_rows(encoded(records), framing, 10, packed=False)
    assert rows_of(rows) == [[*framing.before, *r, *framing.after] for r in records]
    assert rows.first_records.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", FRAMINGS)
def test_what_is_cut_overwrites_nothing(name: str, packed: bool) -> None:
    """A record that is too long loses its end; the next one is whole, with what opens it."""
    framing = FRAMINGS[name]
    rows = lay_out_rows(encoded([[1, 2], [3] * 20, [4, 5]]), framing, 8, packed=packed)
    assert rows.cut == 1
    assert rows_of(rows) == [
        [*framing.before, 1, 2, *framing.after],
        [*framing.before, *[3] * (9 - len(framing.before))],
        [*framing.before, 4, 5, *framing.after],
    ]


@given(
    records=RECORDS,
    size=st.integers(1, 7),
    most=st.none() | st.integers(1, 3),
    count=st.integers(1, 4),
    packed=st.booleans(),
)
def test_parts_and_processes_share_the_rows_of_a_step(
    records: list[list[int]], size: int, most: int | None, count: int, packed: bool
) -> None:
    """Together they hold the rows of one big batch, in order, and each part's padding is never a target."""
    rows = lay_out_rows(encoded(records), FRAMINGS["different"], 12, packed=packed)
    sampler = ShuffledSampler(len(rows), size, seed=3)
    shares = [
        RowBatches(rows, sampler, CPU, processes=Processes(rank=rank, count=count), most_rows=most)
        for rank in range(count)
    ]
    for step in range(2 * sampler.steps_per_epoch):
        parts = [part for share in shares for part in share[step]]
        drawn = sampler.draw(step)
        found = []
        for part in parts:
            assert 1 <= len(part.targets) <= (most or len(drawn))
            assert part.tokens == int((part.targets != -100).sum())
            assert part.lane is None
            found += [
                [int(ids[0]), *ids[1:].tolist()][: int((targets != -100).nonzero().max()) + 1]
                for ids, targets in zip(part.inputs["input_ids"], part.targets, strict=True)
            ]
        assert found == [rows_of(rows)[row][:-1] for row in drawn.tolist()]
        held = [r for row in drawn for r in range(*rows.first_records[row : row + 2])]
        assert all(share.records(step).tolist() == held for share in shares)


def test_the_tokens_of_an_epoch_are_those_predicted() -> None:
    """Over one pass, parts of all steps together."""
    rows = lay_out_rows(encoded([[1] * n for n in range(12)]), FRAMINGS["shared"], 9, packed=True)
    batches = RowBatches(rows, ShuffledSampler(len(rows), 2, 0), CPU, most_rows=1)
    steps = range(batches.steps_per_epoch)
    assert sum(part.tokens for step in steps for part in batches[step]) == batches.tokens_per_epoch
