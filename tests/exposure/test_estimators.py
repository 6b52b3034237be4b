"""The estimators by name: what each promises, and how ``auto`` chooses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from secretaudit.errors import CouldNotMeasure, UsageError
from secretaudit.exposure import sampling as sampling_
from secretaudit.exposure.estimate import Estimate, Question
from secretaudit.exposure.estimators import ESTIMATORS, Work, estimator
from secretaudit.progress import SilentProgress
from secretaudit.tree import Budget
from tests.naive import TOLERANCE, all_costs, question


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four thousand uniform draws instead of twenty thousand: fits and refits are what takes long."""
    monkeypatch.setattr(sampling_, "DRAWS", 4_000)


NAMES = ("auto", "enumeration", "exact", "importance", "sampling", "extrapolation")


def estimates(
    name: str,
    asked: Question,
    *,
    seed: int = 0,
    budget: Budget | None = None,
    precision: float = 0.5,
) -> tuple[list[Estimate], int]:
    """What an estimator answers, and the nodes it took."""
    run, default = estimator(name)
    meter = (budget or default).meter()
    rng = np.random.default_rng(seed)
    work = Work(meter=meter, rng=rng, progress=SilentProgress(), precision=precision)
    return run(asked, work), meter.nodes


def large(memorized: dict[str, float] | None = None, extra: int = 3) -> Question:
    """Canaries of a space of 10^9: the memorized ones first, then others."""
    form = question("x{digits:9}").tree.form
    secrets = [*(memorized or {}), *form.sample(extra, np.random.default_rng(4))]
    return question("x{digits:9}", secrets, memorized, seed=6)


def test_the_names_are_those_of_the_documentation() -> None:
    """Six names, no more."""
    assert tuple(ESTIMATORS) == NAMES


@pytest.mark.parametrize(("wrong", "near"), [("importanse", "importance"), ("exakt", "exact")])
def test_an_unknown_name_suggests_the_nearest(wrong: str, near: str) -> None:
    """One line what, one line which."""
    with pytest.raises(UsageError, match="method must be one of") as refused:
        estimator(wrong)
    assert near in refused.value.way_out


@pytest.mark.parametrize("name", NAMES)
def test_every_estimator_answers_each_canary_within_its_interval(name: str) -> None:
    """One answer per canary; 1 ≤ low ≤ rank ≤ high ≤ |R|; the ceiling is log2 |R|; exposure follows from the rank."""
    form = question("x{digits:4}").tree.form
    secrets = form.sample(8, np.random.default_rng(0))
    asked = question("x{digits:4}", secrets, {secrets[2]: 6.0}, seed=1)
    found, _ = estimates(name, asked)
    assert len(found) == 8
    for one in found:
        record = one.to_dict()
        assert 1 <= one.rank_low <= one.rank_high <= 10_000
        assert record["max_exposure_bits"] == math.log2(10_000)
        assert record["exposure_low_bits"] <= record["exposure_high_bits"]
        if one.rank is not None:
            assert one.rank_low <= one.rank <= one.rank_high
            assert record["exposure_bits"] == pytest.approx(math.log2(10_000 / one.rank), abs=1e-9)
        if record["exposure_bits"] is not None:
            assert record["exposure_low_bits"] <= record["exposure_bits"]
            assert record["exposure_bits"] <= record["exposure_high_bits"]


def test_auto_enumerates_small_spaces() -> None:
    """10^4 secrets: counted, all of them."""
    asked = question("x{digits:4}", ["4711", "1234"], {"4711": 8.0}, seed=1)
    costs = all_costs(asked.tree)
    found, _ = estimates("auto", asked)
    assert {one.method for one in found} == {"enumeration"}
    assert [one.rank for one in found] == [int((costs <= c + TOLERANCE).sum()) for c in asked.costs]


def test_auto_does_not_enumerate_what_the_budget_cannot_pay() -> None:
    """A budget below the size of the space: no bracket of everything, but the rank of each canary all the same."""
    asked = question("x{digits:4}", ["4711", "1234"], {"4711": 8.0}, seed=1)
    costs = all_costs(asked.tree)
    found, nodes = estimates("auto", asked, budget=Budget(nodes=9_000))
    assert nodes < 11_000
    for own, one in zip(asked.costs, found, strict=True):
        assert one.method in ("exact", "importance") and one.status == "measured"
        assert one.rank_low <= (costs <= own + TOLERANCE).sum() <= one.rank_high


def test_auto_is_exact_for_memorized_canaries_and_samples_the_rest() -> None:
    """In 10^9 secrets: rank 1 exactly, and narrow intervals around the others, in the order of the canaries."""
    found, nodes = estimates("auto", large({"281265017": 9.0}))
    assert [one.method for one in found] == ["exact", "importance", "importance", "importance"]
    assert (found[0].rank, found[0].rank_low, found[0].rank_high) == (1, 1, 1)
    for one in found[1:]:
        assert one.rank_high / one.rank <= 2**0.5 + 1e-9
    assert nodes < 2_000_000


def test_exact_and_importance_agree_where_both_can_answer() -> None:
    """Two ways, one rank: canaries of a few thousand nodes in 10^9 secrets."""
    asked = large({"281265017": 6.5, "112358132": 6.0, "161803398": 7.0}, extra=0)
    exact, _ = estimates("exact", asked)
    drawn, _ = estimates("importance", asked, precision=0.2)
    assert {one.status for one in exact} == {"measured"}
    for one, other in zip(exact, drawn, strict=True):
        assert other.rank_low * 0.9 <= one.rank <= other.rank_high * 1.1


@pytest.mark.parametrize("name", ["auto", "importance", "sampling", "extrapolation"])
def test_a_budget_is_kept_to_within_a_round(name: str) -> None:
    """No estimator takes more than the budget and one round of draws."""
    asked = large({"281265017": 9.0})
    limit = 80_000
    _, nodes = estimates(name, asked, budget=Budget(nodes=limit), precision=1e-6)
    # A round reads at most one node per draw and level: 6 × 1,024 or 4,000 draws, 10 levels after "x".
    assert nodes <= limit + 6 * 1024 * 10


@pytest.mark.parametrize("name", ["enumeration", "exact"])
def test_a_budget_is_kept_to_within_a_batch(name: str) -> None:
    """A walk reads at most one batch more."""
    asked = large()
    found, nodes = estimates(name, asked, budget=Budget(nodes=20_000))
    assert 20_000 <= nodes <= 20_000 + asked.tree.batch
    assert {one.status for one in found} == {"bounded"}


def test_extrapolation_is_inconclusive_where_the_fit_is_rejected() -> None:
    """Costs in three separate clusters are not skew-normal: the number stands, with a warning and no verdict."""
    asked = question("x{digits:1-3}", ["7", "281"], seed=1, sharpness=0.05)
    for one in estimates("extrapolation", asked)[0]:
        assert one.status == "inconclusive"
        assert "does not fit" in one.note
        assert one.rank is None and one.to_dict()["exposure_bits"] is not None


def test_extrapolation_reads_the_exposure_off_the_fitted_curve() -> None:
    """Near the middle of the costs, where any fair fit agrees with counting, it is within a quarter of a bit."""
    form = question("x{digits:9}").tree.form
    asked = question("x{digits:9}", form.sample(12, np.random.default_rng(3)), seed=6)
    costs = asked.tree.score(form.sample(4_000, np.random.default_rng(9)))
    share = np.array([(costs <= own).mean() for own in asked.costs])
    found = [one.to_dict()["exposure_bits"] for one in estimates("extrapolation", asked)[0]]
    near = share > 0.05
    assert near.sum() >= 6
    assert np.allclose(np.array(found)[near], -np.log2(share[near]), atol=0.25)
    assert stats.spearmanr(found, asked.costs).statistic == pytest.approx(-1.0)


def test_extrapolation_beyond_the_ceiling_says_so() -> None:
    """A curve knows no |R|: more than log2 |R| bits comes with a sentence."""
    asked = question("x{digits:3}", ["123"], {"123": 30.0}, seed=3)
    (found,) = estimates("extrapolation", asked)[0]
    record = found.to_dict()
    assert record["exposure_bits"] > record["max_exposure_bits"]
    assert "exceeds log2|R|" in found.note
    assert found.rank_low == 1.0


def test_extrapolation_of_costs_that_are_all_equal_is_refused() -> None:
    """A uniform model gives no curve to fit."""
    with pytest.raises(CouldNotMeasure) as refused:
        estimates("extrapolation", question("x{digits:9}", ["281265017"], sharpness=0.0))
    assert refused.value.exit_code == 3


@pytest.mark.parametrize("name", ["auto", "importance", "sampling", "extrapolation"])
def test_the_same_seed_gives_the_same_answer(name: str) -> None:
    """All randomness comes through the generator that is passed."""
    asked = large({"281265017": 9.0})
    first, second, third = (estimates(name, asked, seed=seed)[0] for seed in (1, 1, 2))
    assert first == second
    assert first != third
