"""Which rows a step reads, as a function of its number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secretaudit.training.samplers import Sampler, SequentialSampler, ShuffledSampler


def make(kind: str, count: int, batch_size: int, seed: int = 0) -> Sampler:
    if kind == "sequential":
        return SequentialSampler(count, batch_size)
    return ShuffledSampler(count, batch_size, seed)


@pytest.mark.parametrize("kind", ["sequential", "shuffled"])
@given(count=st.integers(1, 50), batch_size=st.integers(1, 60), epoch=st.integers(0, 5))
def test_every_row_is_read_once_an_epoch(
    kind: str, count: int, batch_size: int, epoch: int
) -> None:
    """In full batches, but for the last of the epoch."""
    sampler = make(kind, count, batch_size)
    steps = range(epoch * sampler.steps_per_epoch, (epoch + 1) * sampler.steps_per_epoch)
    drawn = [sampler.draw(step).tolist() for step in steps]
    assert sorted(row for rows in drawn for row in rows) == list(range(count))
    assert all(len(rows) == batch_size for rows in drawn[:-1])
    assert 1 <= len(drawn[-1]) <= batch_size


@pytest.mark.parametrize("kind", ["sequential", "shuffled"])
def test_a_step_does_not_depend_on_the_steps_before(kind: str) -> None:
    """Drawn in any order, by another sampler, a step has the same rows."""
    one, other = make(kind, 17, 3), make(kind, 17, 3)
    in_order = [one.draw(step).tolist() for step in range(20)]
    assert [other.draw(step).tolist() for step in reversed(range(20))] == in_order[::-1]


def test_without_shuffling_rows_keep_the_order_of_the_corpus() -> None:
    """Epoch after epoch."""
    drawn = [SequentialSampler(5, 2).draw(step).tolist() for step in range(6)]
    assert drawn == [[0, 1], [2, 3], [4]] * 2


def test_each_epoch_and_each_seed_has_an_order_of_its_own() -> None:
    """Among 50! orders two are never the same."""
    orders = {
        tuple(ShuffledSampler(50, 50, seed).draw(epoch).tolist())
        for seed in range(3)
        for epoch in range(4)
    }
    assert len(orders) == 12


def test_every_order_is_equally_likely() -> None:
    """Over many epochs each row comes first about equally often (six standard deviations)."""
    sampler = ShuffledSampler(4, 1, 5)
    first = np.bincount([int(sampler.draw(4 * epoch)[0]) for epoch in range(4000)], minlength=4)
    assert np.abs(first - 1000).max() < 6 * np.sqrt(4000 * 0.25 * 0.75)
