"""Sampled ranks on the tree: uniform draws, an exact interval, and nothing claimed without a hit."""

from __future__ import annotations

import math

import numpy as np
import pytest

from secretaudit.exposure import sampling as sampling_
from secretaudit.exposure.estimate import Estimate, Question
from secretaudit.exposure.sampling import DRAWS, sampling, uniform_costs
from secretaudit.progress import SilentProgress
from secretaudit.tree import Budget
from tests.naive import TOLERANCE, all_costs, question, with_secrets_of_ranks


def sampled(asked: Question, seed: int = 0, budget: Budget | None = None) -> list[Estimate]:
    meter = (budget or Budget()).meter()
    return sampling(asked, meter, np.random.default_rng(seed), SilentProgress())


def test_without_a_hit_there_is_a_bound_and_no_value() -> None:
    """No draw of 20,000 is as likely as a memorized canary of 10^9: at least log2(N/3) bits, at 95 %."""
    asked = question("x{digits:9}", ["281265017"], {"281265017": 8.0})
    found = sampled(asked)[0]
    record = found.to_dict()
    assert (found.rank, record["exposure_bits"], found.status) == (None, None, "bounded")
    assert record["exposure_low_bits"] == pytest.approx(math.log2(DRAWS / 3), abs=0.01)
    assert record["exposure_high_bits"] == record["max_exposure_bits"] == math.log2(10**9)
    assert "None of 20,000 uniform draws" in found.note


def test_more_draws_raise_the_bound_and_never_make_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saturation: twice the draws, one more bit of "at least", and still no number."""
    asked = question("x{digits:9}", ["281265017"], {"281265017": 8.0})
    bounds = []
    for draws in (4_000, 8_000, 16_000):
        monkeypatch.setattr(sampling_, "DRAWS", draws)
        (found,) = sampled(asked)
        assert found.rank is None and found.draws == draws
        bounds.append(found.to_dict()["exposure_low_bits"])
    assert np.allclose(np.diff(bounds), 1.0, atol=0.01)


def test_intervals_cover_ranks_by_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    """At least 93 % of 300 (canary, seed) pairs from rank 200 to the last of 10^4; the point lies inside."""
    monkeypatch.setattr(sampling_, "DRAWS", 4_000)
    asked, truth = with_secrets_of_ranks(
        question("x{digits:4}", seed=6), [200, 900, 2500, 5000, 9000, 10_000]
    )
    covered = []
    for seed in range(50):
        for found, rank in zip(sampled(asked, seed), truth, strict=True):
            assert found.rank_low <= found.rank <= found.rank_high
            covered.append(found.rank_low <= rank <= found.rank_high)
    assert np.mean(covered) >= 0.93


def test_draws_are_uniform_over_secrets_and_not_over_tokens() -> None:
    """Ten of 1,110 secrets have one digit; a walk that chose tokens alike would end there once in eleven times."""
    asked = question("x{digits:1-3}", ["7"], sharpness=0.0)
    costs = uniform_costs(asked, Budget().meter(), np.random.default_rng(1), SilentProgress())
    share = float(np.mean(costs <= asked.costs[0] + TOLERANCE))
    p = 10 / 1110
    assert share == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / DRAWS))


def test_the_mean_cost_of_draws_is_that_of_the_space() -> None:
    """Within 4 standard errors of the mean over all 1,000 secrets."""
    asked = question("x{digits:3}", seed=9)
    costs = uniform_costs(asked, Budget().meter(), np.random.default_rng(1), SilentProgress())
    truth = all_costs(asked.tree)
    assert abs(costs.mean() - truth.mean()) <= 4 * truth.std() / math.sqrt(len(costs))


def test_a_budget_ends_the_drawing_after_a_round() -> None:
    """Fewer draws and a wider interval, and the result says how many there were."""
    asked = question("x{digits:9}", ["281265017", "000000000"], {"281265017": 8.0})
    found = sampled(asked, budget=Budget(nodes=10))[0]
    assert found.draws == 4_000
    assert found.to_dict()["exposure_low_bits"] == pytest.approx(math.log2(4_000 / 3), abs=0.01)


def test_results_keep_their_canaries() -> None:
    """The same draws, the canaries in another order: the same results in that order."""
    secrets = ["000", "123", "999", "555"]
    one, other = (sampled(question("x{digits:3}", s, seed=2)) for s in (secrets, secrets[::-1]))
    assert one == other[::-1]
