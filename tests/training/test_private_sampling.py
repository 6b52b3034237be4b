"""Poisson sampling."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from secretaudit.errors import UsageError
from secretaudit.training.private.sampling import PoissonSampler

RECORDS, BATCH, STEPS = 60, 12, 4000
#: A true sampler fails a test of this file less often than once in a million runs; the draws are fixed, so it is once or never.
ERROR = 1e-6


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    """Steps × records: whether the step read the record."""
    sampler = PoissonSampler(RECORDS, BATCH, seed=3)
    found = np.zeros((STEPS, RECORDS))
    for step in range(STEPS):
        found[step, sampler.draw(step)] = 1
    return found


def test_a_draw_is_a_function_of_seed_and_step() -> None:
    """Asked in any order, by any process, a step reads the same records; other steps and seeds read others."""
    one, same = PoissonSampler(200, 20, seed=5), PoissonSampler(200, 20, seed=5)
    later = one.draw(9)
    np.testing.assert_array_equal([*one.draw(0)], [*same.draw(0)])
    np.testing.assert_array_equal(later, same.draw(9))
    assert not np.array_equal(later, one.draw(10))
    assert not np.array_equal(later, PoissonSampler(200, 20, seed=6).draw(9))


def test_every_record_is_read_at_the_rate(drawn: np.ndarray) -> None:
    """Counts over steps are binomial: their squared deviations sum to a chi-square."""
    rate = BATCH / RECORDS
    deviations = (drawn.sum(0) - STEPS * rate) / np.sqrt(STEPS * rate * (1 - rate))
    low, high = stats.chi2.ppf([ERROR, 1 - ERROR], RECORDS)
    assert low < (deviations**2).sum() < high


def test_steps_vary_in_size_as_independent_draws_do(drawn: np.ndarray) -> None:
    """The size of a step is binomial with variance n q (1 − q); a fixed size, or whole blocks of records, would show."""
    rate = BATCH / RECORDS
    sizes = drawn.sum(1)
    variance = RECORDS * rate * (1 - rate)
    low, high = stats.chi2.ppf([ERROR, 1 - ERROR], STEPS - 1) / (STEPS - 1)
    assert low < sizes.var(ddof=1) / variance < high
    assert abs(sizes.mean() - BATCH) < stats.norm.isf(ERROR) * np.sqrt(variance / STEPS)


def test_records_are_independent_of_one_another_and_over_time(drawn: np.ndarray) -> None:
    """No pair of records, and no record from one step to the next, is correlated more than chance allows."""
    centred = (drawn - drawn.mean(0)) / drawn.std(0)
    pairs = np.triu_indices(RECORDS, 1)
    limit = stats.norm.isf(ERROR / len(pairs[0])) / np.sqrt(STEPS)
    assert np.abs((centred.T @ centred / STEPS)[pairs]).max() < limit
    assert np.abs((centred[1:] * centred[:-1]).mean(0)).max() < limit


def test_a_step_may_read_nothing() -> None:
    """With one record expected out of many, a third of the steps are empty."""
    sampler = PoissonSampler(1000, 1, seed=0)
    empty = sum(len(sampler.draw(step)) == 0 for step in range(400))
    assert stats.binom.ppf(ERROR, 400, 0.999**1000) <= empty
    assert empty <= stats.binom.ppf(1 - ERROR, 400, 0.999**1000)


def test_all_records_are_read_when_all_are_expected() -> None:
    """q = 1."""
    sampler = PoissonSampler(7, 7, seed=0)
    assert sampler.draw(3).tolist() == list(range(7))
    assert sampler.steps_per_epoch == 1


def test_a_batch_larger_than_the_data_is_refused() -> None:
    """A probability cannot be above 1."""
    with pytest.raises(UsageError, match="A batch of 11 records cannot be drawn from 10"):
        PoissonSampler(10, 11, seed=0)
