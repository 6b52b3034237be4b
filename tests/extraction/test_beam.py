"""Beam search: cheap, without guarantee, and exact when nothing falls out of the beam."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secretaudit.extraction.beam import beam
from secretaudit.extraction.found import Found
from secretaudit.progress import SilentProgress
from secretaudit.tree import Budget, SecretTree
from tests.naive import all_costs, all_secrets, question


def search(tree: SecretTree, top: int, width: int, budget: Budget | None = None) -> Found:
    meter = (budget or Budget()).meter()
    return beam(tree, top=top, width=width, meter=meter, progress=SilentProgress())


def secrets_of(tree: SecretTree, found: Found) -> list[str]:
    return [tree.secret(leaf.tokens) for leaf in found.leaves]


def test_a_memorized_secret_is_found() -> None:
    """One of 10^9, with ten prefixes a level, and nothing is called proven."""
    tree = question("x{digits:9}", (), {"281265017": 9.0}, seed=6).tree
    found = search(tree, 3, 10)
    assert secrets_of(tree, found)[0] == "281265017"
    assert found.queries <= 10 * 11
    assert (found.proven, found.bound_bits, found.complete) == (0, None, True)


@settings(max_examples=12)
@given(
    seed=st.integers(0, 100),
    template=st.sampled_from(("x{digits:2}", "pin {digits:1-2}.", "a{digits:1}b{digits:1}")),
    batch=st.sampled_from((3, 2048)),
)
def test_a_beam_as_wide_as_the_space_is_a_sorted_enumeration(
    seed: int, template: str, batch: int
) -> None:
    """Nothing falls out: the cheapest secrets in order, those of different lengths among each other."""
    tree = question(template, seed=seed).tree
    tree.batch = batch
    found = search(tree, 20, 1000)
    costs = all_costs(tree)
    assert np.allclose([leaf.cost for leaf in found.leaves], np.sort(costs)[:20], atol=1e-6)
    place = {secret: i for i, secret in enumerate(all_secrets(tree.form))}
    itself = [costs[place[s]] for s in secrets_of(tree, found)]
    assert np.allclose(itself, np.sort(costs)[:20], atol=1e-6)


@pytest.mark.parametrize("width", [1, 3, 30])
def test_costs_are_those_of_the_secrets_whatever_the_width(width: int) -> None:
    """What a narrow beam brings out may not be the best, but its cost is its own."""
    tree = question("x{digits:3}", seed=9).tree
    found = search(tree, 10, width)
    place = {secret: i for i, secret in enumerate(all_secrets(tree.form))}
    costs = all_costs(tree)
    for secret, leaf in zip(secrets_of(tree, found), found.leaves, strict=True):
        assert leaf.cost == pytest.approx(costs[place[secret]], abs=1e-6)
    assert [leaf.cost for leaf in found.leaves] == sorted(leaf.cost for leaf in found.leaves)


def test_a_budget_that_ends_is_said() -> None:
    """No secret was finished: an empty result with the reason."""
    found = search(question("x{digits:9}").tree, 3, 10, Budget(nodes=30))
    assert found.leaves == [] and not found.complete
    assert "budget ran out" in found.note
