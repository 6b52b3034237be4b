"""Lanes: no record torn, no token dropped, padding known by length."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secretaudit.models.recurrent.network import RecurrentConfig, RecurrentForCausalLM
from secretaudit.training.evaluation import bits_per_token
from secretaudit.training.lanes import LaneBatches, Lanes, lane_cuts, lay_out_lanes
from secretaudit.training.processes import Processes
from secretaudit.training.update import Forward

from .conftest import encoded

SEPARATOR = 0
CPU = torch.device("cpu")
RECORDS = st.lists(st.lists(st.integers(1, 3), max_size=7), min_size=1, max_size=40)


def laid(records: Sequence[Sequence[int]], count: int = 3) -> Lanes:
    return lay_out_lanes(encoded(records), SEPARATOR, count)


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


@given(records=RECORDS, count=st.integers(1, 9))
def test_every_record_stands_whole_in_one_lane(records: list[list[int]], count: int) -> None:
    """The records come back from the lanes, in order, each between two separators."""
    lanes = laid(records, count)
    assert lane_records(lanes) == records
    assert len(lanes.tokens) <= count
    assert int(lanes.lengths.max()) == lanes.tokens.shape[1]


@given(
    records=RECORDS,
    count=st.integers(1, 5),
    length=st.integers(1, 20),
    most=st.none() | st.integers(1, 4),
)
def test_every_token_is_predicted_once(
    records: list[list[int]], count: int, length: int, most: int | None
) -> None:
    """Targets that are not ignored, lane by lane, are the stream without its first token, in one part or several."""
    lanes = laid(records, count)
    batches = LaneBatches(lanes, length, CPU, most_rows=most)
    stream = [token for ids in records for token in [*ids, SEPARATOR]]
    steps = [batches[step] for step in range(batches.steps_per_epoch)]
    targets = torch.cat([torch.cat([part.targets for part in step]) for step in steps], dim=1)
    inputs = torch.cat(
        [torch.cat([part.inputs["input_ids"] for part in step]) for step in steps], dim=1
    )
    assert [t for row in targets.tolist() for t in row if t != -100] == stream
    assert torch.equal(inputs[:, 1:], torch.from_numpy(lanes.tokens[:, 1:-1]).long())
    for step in steps:
        for part in step:
            assert part.tokens == int((part.targets != -100).sum())
            assert len(part.targets) <= (most or len(lanes.lengths))
    assert batches.tokens_per_epoch == lanes.predicted == len(stream)


@given(records=RECORDS, count=st.integers(1, 5), length=st.integers(1, 20))
def test_a_record_is_read_when_its_end_is_predicted(
    records: list[list[int]], count: int, length: int
) -> None:
    """After some windows exactly those records were read whose separator was a target."""
    lanes = laid(records, count)
    batches = LaneBatches(lanes, length, CPU)
    expected = []  # the window of each record, by walking along the lanes
    for row, size in zip(lanes.tokens, lanes.lengths, strict=True):
        expected += [(c - 1) // length for c in range(1, size) if row[c] == SEPARATOR]
    found: dict[int, int] = {}
    for step in range(batches.steps_per_epoch):
        for index in batches.records(step).tolist():
            assert index not in found
            found[index] = step
    assert [found[index] for index in range(len(records))] == expected


@given(records=RECORDS, count=st.integers(1, 6), processes=st.integers(1, 4))
def test_processes_share_the_lanes(records: list[list[int]], count: int, processes: int) -> None:
    """Side by side, the windows of all processes are those of one; a process without lanes reads nothing."""
    lanes = laid(records, count)
    whole = LaneBatches(lanes, 4, CPU)
    shares = [
        LaneBatches(lanes, 4, CPU, processes=Processes(rank=rank, count=processes))
        for rank in range(processes)
    ]
    for step in range(whole.steps_per_epoch):
        parts = [part for share in shares for part in share[step]]
        assert torch.equal(torch.cat([p.targets for p in parts]), whole[step][0].targets)
        assert all(np.array_equal(s.records(step), whole.records(step)) for s in shares)
    assert {share.steps_per_epoch for share in shares} == {whole.steps_per_epoch}


def test_every_epoch_begins_with_a_state_of_zero() -> None:
    """The first window of an epoch begins, no other does, and each part has a lane of its own."""
    batches = LaneBatches(laid([[1, 2, 3]] * 9), 4, CPU, most_rows=2)
    steps = batches.steps_per_epoch
    assert steps > 2
    for step in range(2 * steps):
        assert [part.begins for part in batches[step]] == [step % steps == 0] * 2
        assert [part.lane for part in batches[step]] == [0, 2]


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
    lengths = laid([[1] * int(rng.integers(1, 8)) for _ in range(1000)], 10).lengths
    assert len(lengths) == 10
    assert int(lengths.max() - lengths.min()) <= 16


@pytest.mark.parametrize("most", [None, 2])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_loss_of_windows_is_the_loss_of_whole_lanes(cell: str, most: int | None) -> None:
    """Cut into windows with the state carried, the tokens cost what they cost read at once."""
    lanes = laid([[1, 2], [3], [1, 2, 3, 1], [2], [3, 1, 2]] * 4)
    model = RecurrentForCausalLM(RecurrentConfig(vocab_size=4, units=8, cell=cell)).eval()
    nats, count = 0.0, 0
    for row, length in zip(lanes.tokens, lanes.lengths, strict=True):
        lane = torch.tensor(row[:length].tolist())
        logs = model(lane[None, :-1]).logits[0].log_softmax(-1)
        nats -= sum(logs[i, token].item() for i, token in enumerate(lane[1:]))
        count += len(lane) - 1
    bits = bits_per_token(Forward(model), LaneBatches(lanes, 5, CPU, most_rows=most), Processes())
    assert bits == pytest.approx(nats / count / math.log(2.0), rel=1e-5)


def test_looking_at_the_loss_leaves_the_training_state_alone() -> None:
    """The states of the training lanes and the mode of the model are as they were."""
    model = RecurrentForCausalLM(RecurrentConfig(vocab_size=4, units=8)).train()
    batches = LaneBatches(laid([[1, 2], [3], [1, 2, 3, 1]] * 4), 3, CPU)
    forward = Forward(model)
    with torch.no_grad():
        forward(batches[0][0])
    before = forward.carried
    bits_per_token(forward, batches, Processes())
    assert all(torch.equal(a, b) for a, b in zip(before, forward.carried, strict=True))
    assert len(before) == 2
    assert model.training


def test_states_are_found_again_when_lanes_are_read_in_other_parts() -> None:
    """A resumed training may read fewer lanes at a time; each goes on from its own state."""
    model = RecurrentForCausalLM(RecurrentConfig(vocab_size=4, units=8)).eval()
    lanes = laid([[1, 2], [3], [1, 2, 3, 1]] * 8, 5)
    whole, parts = LaneBatches(lanes, 3, CPU), LaneBatches(lanes, 3, CPU, most_rows=2)
    before, after = Forward(model), Forward(model)
    with torch.no_grad():
        before(whole[0][0])
        after.carried = before.carried
        for step in (1, 2):
            expected = before(whole[step][0])
            found = torch.cat([after(part) for part in parts[step]])
            assert torch.allclose(found, expected, atol=1e-6)
