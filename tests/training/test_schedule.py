"""The learning rate of each step, against closed forms."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secretaudit.training.schedule import learning_rate

SCHEDULES = ("constant", "linear", "cosine")


def rates(schedule: str, *, warmup: int, total: int, base: float = 0.5) -> list[float]:
    return [
        learning_rate(step, base=base, schedule=schedule, warmup=warmup, total=total)
        for step in range(total)
    ]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_warm_up_rises_in_equal_parts_to_the_base_rate(schedule: str) -> None:
    """After w steps of k / (w + 1) the first full one has the base rate."""
    found = rates(schedule, warmup=4, total=10)
    assert found[:5] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


def test_constant_stays() -> None:
    """Whatever the number of steps."""
    assert rates("constant", warmup=0, total=7) == [0.5] * 7


def test_linear_falls_in_equal_parts_to_zero() -> None:
    """The rate of the step after the last would be 0."""
    assert rates("linear", warmup=0, total=5) == pytest.approx([0.5, 0.4, 0.3, 0.2, 0.1])
    after = learning_rate(5, base=0.5, schedule="linear", warmup=0, total=5)
    assert after == 0.0


def test_cosine_is_half_a_wave() -> None:
    """Full at the start, half in the middle, 0 after the last; cos 60° = 1/2 gives three quarters at a third."""
    found = rates("cosine", warmup=0, total=6)
    assert found == pytest.approx(
        [0.5, 0.25 * (1 + math.sqrt(0.75)), 0.375, 0.25, 0.125, 0.25 * (1 - math.sqrt(0.75))]
    )


@given(
    schedule=st.sampled_from(SCHEDULES),
    warmup=st.integers(0, 30),
    total=st.integers(1, 40),
)
def test_the_rate_rises_and_then_never_rises_again(schedule: str, warmup: int, total: int) -> None:
    """It stays above 0 and never exceeds the base rate, even when warm-up is longer than the training."""
    found = rates(schedule, warmup=warmup, total=total)
    assert all(0 < rate <= 0.5 for rate in found)
    rising, falling = found[: warmup + 1], found[warmup:]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)


def test_an_unknown_schedule_is_refused() -> None:
    """Settings refuse it first; this is for callers of the function."""
    with pytest.raises(ValueError, match="must be constant, linear or cosine"):
        learning_rate(1, base=1.0, schedule="step", warmup=0, total=3)
