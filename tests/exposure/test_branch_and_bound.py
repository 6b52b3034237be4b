"""The exact method equals enumeration always, and a bracket of it never lies."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secretaudit.exposure.branch_and_bound import branch_and_bound, ranks_up_to
from secretaudit.exposure.enumeration import enumeration
from secretaudit.exposure.estimate import Estimate, Question
from secretaudit.progress import SilentProgress
from secretaudit.tree import Budget
from tests.naive import TOLERANCE, all_costs, all_secrets, question

TEMPLATES = ("x{digits:2}", "x{digits:3}", "pin {digits:1-2}.", "a{digits:1}-{digits:1}z")


def exact(asked: Question, budget: Budget | None = None) -> list[Estimate]:
    return branch_and_bound(asked, (budget or Budget()).meter(), SilentProgress())


def answers(found: list[Estimate]) -> list[tuple[object, ...]]:
    """What an estimate says of the rank, without how it was found."""
    return [(e.rank, e.rank_for, e.rank_middle, e.ties, e.rank_low, e.rank_high) for e in found]


@settings(max_examples=20)
@given(
    seed=st.integers(0, 200),
    template=st.sampled_from(TEMPLATES),
    sharpness=st.sampled_from((0.0, 0.5, 2.0, 8.0)),
    logit=st.sampled_from((None, 3.0, 10.0)),
    batch=st.sampled_from((3, 11, 2048)),
)
def test_it_equals_enumeration(
    seed: int, template: str, sharpness: float, logit: float | None, batch: int
) -> None:
    """Any model, format and batch, canaries memorized or not: the same ranks and ties."""
    form = question(template).tree.form
    secrets = form.sample(5, np.random.default_rng(seed))
    memorized = {} if logit is None else {secrets[1]: logit, secrets[3]: logit / 2}
    asked = question(template, secrets, memorized, seed=seed, sharpness=sharpness)
    truth = enumeration(asked, Budget().meter(), SilentProgress())
    asked.tree.batch = batch
    found = exact(asked)
    assert answers(found) == answers(truth)
    assert {e.method for e in found} == {"exact"}


def test_it_equals_counting() -> None:
    """Forty canaries of 1,000 secrets, against a plain count."""
    secrets = all_secrets(question("x{digits:3}").tree.form)[::25]
    asked = question("x{digits:3}", secrets, {"123": 9.0, "987": 5.0}, seed=5)
    costs = all_costs(asked.tree)
    truth = [int((costs <= own + TOLERANCE).sum()) for own in costs[::25]]
    assert [e.rank for e in exact(asked)] == truth


def test_a_memorized_canary_needs_few_nodes_in_a_large_space() -> None:
    """10^9 leaves; whoever leaves the memorized path pays 11 bits at once, so the rank is 1 and the walk is short."""
    asked = question("x{digits:9}", ["281265017"], {"281265017": 8.0}, sharpness=0.0)
    assert asked.costs[0] < 1.0
    (found,) = exact(asked)
    assert (found.rank, found.ties, found.status) == (1, 0, "measured")
    assert found.nodes <= 12
    assert found.to_dict()["exposure_bits"] == math.log2(10**9)


def test_several_memorized_canaries_rank_among_themselves() -> None:
    """Uniform but for three memorized secrets: their ranks are the order of their costs."""
    memorized = {"111111111": 8.0, "222222222": 7.0, "333333333": 6.0}
    asked = question("x{digits:9}", list(memorized), memorized, sharpness=0.0)
    assert asked.costs.max() < 6.0  # below the price of leaving a memorized path
    assert np.array_equal([e.rank for e in exact(asked)], 1 + np.argsort(np.argsort(asked.costs)))


def small_and_slow() -> tuple[Question, np.ndarray]:
    """Canaries of every rank in a space of 100, read two nodes at a time."""
    form = question("x{digits:2}y").tree.form
    secrets = all_secrets(form)
    asked = question("x{digits:2}y", secrets, {"42": 8.0}, seed=2)
    asked.tree.batch = 2
    costs = all_costs(asked.tree)
    return asked, np.array([(costs <= c + TOLERANCE).sum() for c in costs])


def test_a_bracket_holds_the_truth_at_every_budget() -> None:
    """From one node up to enough: for every secret as a canary the rank lies in its bracket, or is exact."""
    asked, truth = small_and_slow()
    whole = exact(asked)[0].nodes
    exact_at = []
    for nodes in [*range(1, 100), *range(100, 400, 9)]:
        found = exact(asked, Budget(nodes=nodes))
        low, high = (
            np.array([getattr(e, end) for e in found]) for end in ("rank_low", "rank_high")
        )
        assert np.all((low >= 1) & (low <= truth) & (truth <= high) & (high <= 100))
        for one, rank in zip(found, truth.tolist(), strict=True):
            if one.rank is None:
                assert one.status == "bounded" and one.to_dict()["exposure_bits"] is None
                assert "budget ran out" in one.note
            else:
                assert (one.rank, one.status) == (rank, "measured")
        exact_at.append(sum(e.rank is not None for e in found))
    assert whole > 100
    assert exact_at[0] == 0 < exact_at[-1] < 100


@pytest.mark.parametrize("nodes", [20, 100, 500, 1500])
def test_brackets_in_a_larger_space(nodes: int) -> None:
    """10^4 leaves and a budget for a part of them: canaries from the first rank to the last."""
    form = question("x{digits:4}").tree.form
    secrets = form.sample(20, np.random.default_rng(1))
    asked = question("x{digits:4}", secrets, {secrets[0]: 9.0}, seed=8)
    asked.tree.batch = 16
    costs = all_costs(asked.tree)
    for own, found in zip(asked.costs, exact(asked, Budget(nodes=nodes)), strict=True):
        assert found.rank_low <= (costs <= own + TOLERANCE).sum() <= found.rank_high
    assert exact(asked, Budget(nodes=nodes))[0].rank == 1


def test_a_dearer_canary_ranks_behind_what_was_counted_before_the_budget_ended() -> None:
    """What the finished walks proved stays proven: brackets begin behind the last exact rank."""
    asked, truth = small_and_slow()
    order = np.argsort(asked.costs)
    found = exact(asked, Budget(nodes=300))
    known = [i for i in order if found[i].rank is not None]
    unknown = [i for i in order if found[i].rank is None]
    assert known and unknown
    assert all(found[i].rank_low > truth[known[-1]] for i in unknown)


def test_a_cheap_canary_is_not_starved_by_a_dear_one() -> None:
    """Canaries are taken cheapest first, whatever their order in the ledger."""
    asked = question("x{digits:9}", ["000000000", "281265017"], {"281265017": 8.0})
    found = exact(asked, Budget(nodes=2_000))
    assert (found[0].status, found[1].status) == ("bounded", "measured")
    assert found[1].rank == 1


def test_one_walk_ranks_all_canaries_up_to_a_limit() -> None:
    """Those above the limit are not answered; those below are exact."""
    asked = question("x{digits:3}", ["123", "456", "789"], {"456": 9.0}, seed=1)
    truth = exact(asked)
    limit = float(np.sort(asked.costs)[1])
    found = ranks_up_to(asked, limit, Budget().meter())
    assert {i: e.rank for i, e in found.items()} == {
        i: truth[i].rank for i in range(3) if asked.costs[i] <= limit
    }
    assert ranks_up_to(asked, limit, Budget(nodes=1).meter()) == {}
