"""Importance sampling: unbiased at every rank, with intervals that cover, at a price that |R| does not change."""

from __future__ import annotations

import math

import numpy as np
import pytest

from secretaudit.exposure import importance as importance_
from secretaudit.exposure.estimate import Estimate, Question
from secretaudit.exposure.importance import first_round, importance
from secretaudit.progress import SilentProgress
from secretaudit.tree import Budget, Memory, SecretTree
from tests.naive import TOLERANCE, question, with_secrets_of_ranks

MEMORIZED = {"4711": 9.0, "0815": 6.0, "2718": 4.0}


def estimated(
    asked: Question, seed: int = 0, precision: float = 0.5, budget: Budget | None = None
) -> list[Estimate]:
    meter = (budget or Budget()).meter()
    return importance(asked, meter, np.random.default_rng(seed), SilentProgress(), precision)


def half_widths(found: list[Estimate]) -> list[float]:
    """The longer arm of each interval in bits."""
    return [math.log2(max(e.rank_high / e.rank, e.rank / e.rank_low)) for e in found]


def test_ranks_are_unbiased_without_the_canaries_own_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """200 small samples: the mean is the rank by counting, within 3 standard errors, from rank 1 to |R|."""
    monkeypatch.setattr(importance_, "PER_ROUND", 40)
    base = question("x{digits:3}", (), {"471": 7.0, "081": 4.0}, seed=4)
    asked, truth = with_secrets_of_ranks(base, [1, 2, 3, 10, 40, 150, 850, 990, 1000])
    runs = []
    for seed in range(200):
        sample = first_round(asked, Budget().meter(), np.random.default_rng(seed))
        runs.append(sample.ranks(1000, TOLERANCE).rank)
    mean, error = np.mean(runs, axis=0), np.std(runs, axis=0) / math.sqrt(len(runs))
    assert np.all(np.abs(mean - truth) <= 3 * error + 1e-9)
    # The first canary is drawn all the time, the last never has anything above it: both are known without noise.
    assert error[0] == 0.0 and mean[0] == 1.0
    assert error[3] > 0.0


def test_intervals_cover_the_truth_from_the_first_rank_to_the_last() -> None:
    """95 % intervals, drawn until they are narrow, hold the counted rank in 90 to 99 % of 400 (canary, seed) pairs."""
    base = question("x{digits:4}", (), MEMORIZED, seed=6)
    ranks = [2, 3, 5, 8, 14, 25, 45, 90, 200, 500, 1200, 3000, 6000, 9000, 9800]
    asked, truth = with_secrets_of_ranks(base, ranks)
    covered = [
        [e.rank_low <= rank <= e.rank_high for e, rank in zip(found, truth, strict=True)]
        for found in (estimated(asked, seed) for seed in range(27))
    ]
    assert 0.90 <= np.mean(covered) <= 0.99
    assert np.mean(covered, axis=0).min() >= 0.80


def test_drawing_stops_when_every_interval_is_narrow() -> None:
    """Half-widths are within the precision asked for, and a finer one takes more draws."""
    base = question("x{digits:4}", (), MEMORIZED, seed=6)
    asked, _ = with_secrets_of_ranks(base, [1, 30, 500, 7000])
    coarse, fine = (estimated(asked, precision=p) for p in (0.5, 0.05))
    assert max(half_widths(coarse)) <= 0.5
    assert max(half_widths(fine)) <= 0.05
    assert coarse[0].draws < fine[0].draws
    assert {e.status for e in fine} == {"measured"}


def test_a_budget_ends_the_drawing() -> None:
    """The widest interval that the budget allows, and at most one round more than the budget."""
    base = question("x{digits:4}", (), MEMORIZED, seed=6)
    asked, truth = with_secrets_of_ranks(base, [30, 500])
    round_nodes = estimated(asked, precision=100.0)[0].nodes
    found = estimated(asked, precision=0.001, budget=Budget(nodes=3 * round_nodes))
    assert found[0].nodes <= 4 * round_nodes
    assert max(half_widths(found)) > 0.001
    for one, rank in zip(found, truth, strict=True):
        assert 1 <= one.rank_low <= one.rank <= one.rank_high <= 10_000
        assert one.rank / 2 < rank < one.rank * 2


def test_draws_do_not_grow_with_the_space() -> None:
    """From 10^4 to 10^9 secrets under the same family of models: the same order of draws."""
    draws = []
    for digits in (4, 9):
        form = question(f"x{{digits:{digits}}}").tree.form
        secrets = form.sample(6, np.random.default_rng(2))
        asked = question(f"x{{digits:{digits}}}", secrets, {secrets[0]: 9.0}, seed=6)
        found = estimated(asked)
        assert max(half_widths(found)) <= 0.5
        draws.append(found[0].draws)
    assert draws[1] <= 8 * draws[0]


def test_a_memorized_canary_of_a_large_space_gets_a_tight_interval() -> None:
    """Whoever leaves its path pays 11 bits at once, so it ranks first of 10^9: the interval says so within 0.1 bit."""
    asked = question("x{digits:9}", ["281265017"], {"281265017": 8.0}, sharpness=0.0)
    (found,) = estimated(asked)
    assert found.rank == 1.0
    assert found.rank_low == 1.0 and found.rank_high < 2**0.1
    assert found.to_dict()["exposure_bits"] == math.log2(10**9)


def test_under_a_uniform_model_everything_ties() -> None:
    """Ties against: rank |R|, exposure 0; in favour: rank 1."""
    (found,) = estimated(question("x{digits:9}", ["281265017"], sharpness=0.0))
    assert found.rank == pytest.approx(10**9, rel=1e-6)
    assert found.rank_for == pytest.approx(1.0, abs=1e-6)
    assert found.to_dict()["exposure_bits"] == pytest.approx(0.0, abs=1e-6)


def test_the_same_seed_gives_the_same_estimates_whatever_the_memory() -> None:
    """Batches change the speed and nothing else; another seed changes the draws."""
    secrets = ["4711", "1234", "9999"]
    asked = question("x{digits:4}", secrets, MEMORIZED, seed=6)
    small = SecretTree(asked.tree.form, asked.tree.model, memory=Memory(8_000_000))
    assert small.batch == asked.tree.batch == 2048
    small.batch = 37
    again = Question(space=small, secrets=secrets, costs=small.score(secrets))
    assert estimated(asked, seed=1) == estimated(again, seed=1)
    assert estimated(asked, seed=1) != estimated(asked, seed=2)


def test_each_canary_keeps_its_place() -> None:
    """The same draws price every order of canaries."""
    secrets = ["4711", "1234", "0815", "9999"]
    asked, back = (question("x{digits:4}", s, MEMORIZED, seed=6) for s in (secrets, secrets[::-1]))
    one, other = (estimated(q, seed=1) for q in (asked, back))
    assert np.allclose([e.rank for e in one], [e.rank for e in other[::-1]], rtol=1e-9)
    assert one[0].rank < one[1].rank
