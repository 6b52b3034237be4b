"""Shortest path: what comes out is proven to be the cheapest, or it says how far the proof went."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secretaudit.canary.format import parse_format
from secretaudit.extraction.beam import beam
from secretaudit.extraction.found import Found
from secretaudit.extraction.shortest_path import shortest_path
from secretaudit.progress import SilentProgress
from secretaudit.tree import Budget, SecretTree
from tests.fakes import CharacterView
from tests.naive import all_costs, all_secrets, question

from .worked_example import PRODUCTS, WorkedExample

TEMPLATES = ("x{digits:2}", "x{digits:3}", "pin {digits:1-2}.", "a{digits:1}-{digits:1}z")


def search(tree: SecretTree, top: int, budget: Budget | None = None) -> Found:
    meter = (budget or Budget()).meter()
    return shortest_path(tree, top=top, meter=meter, progress=SilentProgress())


def secrets_of(tree: SecretTree, found: Found) -> list[str]:
    return [tree.secret(leaf.tokens) for leaf in found.leaves]


def test_the_papers_example_where_the_greedy_choice_loses() -> None:
    """Alphabet {a, b}: greedy begins with b (0.6) and ends at 0.30; the shortest path is ab with 0.36."""
    tree = SecretTree(parse_format("{regex:[ab]{2}}"), WorkedExample(CharacterView("ab")))
    greedy = beam(tree, top=1, width=1, meter=Budget().meter(), progress=SilentProgress())
    assert secrets_of(tree, greedy)[0][0] == "b"
    assert greedy.leaves[0].cost == pytest.approx(-math.log2(0.30))
    found = search(tree, 4)
    assert secrets_of(tree, found)[0] == "ab"
    assert sorted(secrets_of(tree, found)[1:3]) == ["ba", "bb"]
    for secret, leaf in zip(secrets_of(tree, found), found.leaves, strict=True):
        assert leaf.cost == pytest.approx(-math.log2(PRODUCTS[secret]))
    assert (found.proven, found.complete) == (4, True)


@settings(max_examples=20)
@given(
    seed=st.integers(0, 200),
    template=st.sampled_from(TEMPLATES),
    top=st.integers(1, 60),
    memorized=st.booleans(),
    sharpness=st.sampled_from((0.3, 2.0, 8.0)),
)
def test_the_first_k_are_those_of_a_sorted_enumeration(
    seed: int, template: str, top: int, memorized: bool, sharpness: float
) -> None:
    """Any model and format: secrets and costs in order, all of them proven."""
    form = question(template).tree.form
    known = {form.automaton.unrank(form.size // 3): 8.0} if memorized else {}
    tree = question(template, (), known, seed=seed, sharpness=sharpness).tree
    found = search(tree, top)
    costs = all_costs(tree)
    order = np.argsort(costs, kind="stable")[:top]
    assert np.allclose([leaf.cost for leaf in found.leaves], costs[order], atol=1e-6)
    place = {secret: i for i, secret in enumerate(all_secrets(form))}
    itself = [costs[place[s]] for s in secrets_of(tree, found)]
    assert np.allclose(itself, costs[order], atol=1e-6)
    assert len(set(secrets_of(tree, found))) == min(top, form.size)
    assert (found.proven, found.complete, found.note) == (len(found.leaves), True, "")


def test_more_than_the_space_holds_gives_the_whole_space() -> None:
    """Asking for 500 of 100 secrets ends, complete, with 100."""
    tree = question("x{digits:2}", seed=1).tree
    found = search(tree, 500)
    assert sorted(secrets_of(tree, found)) == all_secrets(tree.form)
    assert (found.proven, found.complete) == (100, True)


def test_secrets_that_tie_all_come_out() -> None:
    """Under a uniform model any ten are the cheapest ten, and no secret comes out twice."""
    tree = question("x{digits:2}", sharpness=0.0).tree
    assert len(set(secrets_of(tree, search(tree, 100)))) == 100


def test_a_shorter_secret_is_not_preferred_for_being_found_first() -> None:
    """A leaf is accepted only when nothing cheaper can follow: "70", memorized, beats "7" and every other."""
    tree = question("x{digits:1-2}", (), {"70": 9.0}, seed=5).tree
    assert secrets_of(tree, search(tree, 1)) == ["70"]


@pytest.mark.parametrize("nodes", [1, 2, 5, 20, 60, 200, 600])
def test_a_budget_that_ends_says_what_is_proven(nodes: int) -> None:
    """Proven ones are the true first ones; everything missing costs at least the bound; the note says both."""
    tree = question("x{digits:4}", seed=3).tree
    tree.batch = 4
    costs = np.sort(all_costs(tree))
    found = search(tree, 10, Budget(nodes=nodes))
    given_out = [leaf.cost for leaf in found.leaves]
    assert np.allclose(given_out[: found.proven], costs[: found.proven], atol=1e-6)
    assert found.bound_bits <= costs[found.proven] + 1e-6
    assert len(found.leaves) <= 10
    if not found.complete:
        assert all(cost >= found.bound_bits - 1e-9 for cost in given_out[found.proven :])
        assert f"{found.proven} of 10 secrets are proven" in found.note
        assert f"{found.bound_bits:.2f} bits" in found.note
    assert found.queries <= nodes + 2 * 4 * tree.automaton.depth


def test_more_budget_proves_no_less() -> None:
    """From nothing to everything as the budget grows."""
    proven = []
    for nodes in (1, 50, 200, 800, 4_000):
        tree = question("x{digits:4}", seed=3).tree
        tree.batch = 4
        proven.append(search(tree, 10, Budget(nodes=nodes)).proven)
    assert proven == sorted(proven) and proven[0] == 0 and proven[-1] == 10


def test_a_memorized_secret_comes_out_after_few_queries() -> None:
    """One of 10^9 for some thousand prefixes read, proven."""
    tree = question("x{digits:9}", (), {"281265017": 9.0}, seed=6).tree
    found = search(tree, 1)
    assert secrets_of(tree, found) == ["281265017"]
    assert (found.proven, found.complete) == (1, True)
    assert found.queries < 10_000


def test_a_memorized_card_number_comes_out_of_a_format_with_check_digits() -> None:
    """About 10^15 leaves, 16 digits with Luhn's check: at most 10^5 queries, proven."""
    card = parse_format("credit-card")
    number = card.automaton.unrank(card.size // 7)
    tree = question(card.template.lower(), (), {number: 8.0}, seed=6).tree
    found = search(tree, 1, Budget(nodes=100_000))
    assert tree.form.size > 10**14
    assert secrets_of(tree, found) == [number]
    assert found.proven == 1 and found.queries <= 100_000
