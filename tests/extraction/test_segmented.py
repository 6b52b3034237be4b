"""Extraction over all segmentations: every secret once, in the order of its cost, proven."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secretaudit.canary.format import parse_format
from secretaudit.errors import UsageError
from secretaudit.extraction.found import Found
from secretaudit.extraction.segmented import segmented_shortest_path, segmented_tree
from secretaudit.progress import SilentProgress
from secretaudit.tree import Budget, Memory
from secretaudit.tree.segmentations import KINDS, SegmentationTree
from secretaudit.tree.segmented_best_first import BestStrings
from tests.ambiguous import PAIRS, ambiguous_model, ambiguous_tree, cost, listed

TEMPLATES = ("x {regex:[123]{4}}y", "x {regex:[12]{1,5}}", "{regex:[123]{3}}y")


def search(tree: SegmentationTree, top: int, budget: Budget | None = None) -> Found:
    meter = (budget or Budget()).meter()
    return segmented_shortest_path(tree, top=top, meter=meter, progress=SilentProgress())


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20)
@given(
    seed=st.integers(0, 200),
    template=st.sampled_from(TEMPLATES),
    closing=st.integers(0, 1),
    top=st.integers(1, 100),
    sharpness=st.sampled_from((0.0, 2.0, 8.0)),
)
def test_the_first_k_are_those_of_listing_everything(
    kind: str, seed: int, template: str, closing: int, top: int, sharpness: float
) -> None:
    """Any model and format: the k cheapest secrets in order, none twice, all of them proven."""
    model = ambiguous_model(closing=closing, seed=seed, sharpness=sharpness)
    tree = ambiguous_tree(template, kind, model)
    truth = listed(tree.form, model)
    found = search(tree, top)
    wanted = min(top, tree.form.size)
    costs = np.sort(truth.costs(kind))[:wanted]
    secrets = [tree.secret(leaf.tokens) for leaf in found.leaves]
    assert len(set(secrets)) == len(secrets) == wanted
    assert np.allclose([leaf.cost for leaf in found.leaves], costs, atol=1e-6, rtol=0)
    own = [truth.costs(kind)[truth.secrets.index(s)] for s in secrets]
    assert np.allclose(own, costs, atol=1e-6, rtol=0)
    assert (found.proven, found.complete, found.note) == (wanted, True, "")


def test_a_leaf_carries_the_segmentation_that_it_was_found_by() -> None:
    """Best: the cheapest one; marginal: the tokenizer's own."""
    model = ambiguous_model(seed=9)
    for kind in KINDS:
        tree = ambiguous_tree("x {regex:[123]{3}}y", kind, model)
        for leaf in search(tree, 10).leaves:
            tokens = leaf.tokens[: -len(model.framing.after)]
            if kind == "best":
                assert cost(model, tokens) == pytest.approx(leaf.cost, abs=1e-6)
            else:
                assert (
                    tokens
                    == model.tokenizer.encode([tree.form.render(tree.secret(leaf.tokens))])[0]
                )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("nodes", [1, 5, 20, 60, 200, 100_000])
def test_a_budget_that_ends_says_what_is_proven(kind: str, nodes: int) -> None:
    """Proven ones are the true first ones, unproven ones are secrets at their true cost or dearer, and the note counts them."""
    model = ambiguous_model(seed=3)
    tree = ambiguous_tree("x {regex:[123]{5}}y", kind, model)
    tree.batch = 4
    truth = listed(tree.form, model)
    costs = np.sort(truth.costs(kind))
    found = search(tree, 8, Budget(nodes=nodes))
    given_out = [leaf.cost for leaf in found.leaves]
    assert np.allclose(given_out[: found.proven], costs[: found.proven], atol=1e-6, rtol=0)
    assert found.bound_bits <= costs[min(found.proven, len(costs) - 1)] + 1e-6
    for leaf in found.leaves:
        own = truth.costs(kind)[truth.secrets.index(tree.secret(leaf.tokens))]
        assert leaf.cost >= own - 1e-6
    if found.complete:
        assert (found.proven, found.note) == (8, "")
    else:
        assert f"{found.proven} of 8 secrets are proven" in found.note
    assert found.complete == (nodes == 100_000)


def test_the_limit_counts_secrets_and_not_segmentations() -> None:
    """A secret whose many segmentations are all cheap does not hide the second secret."""
    model = ambiguous_model(sharpness=0.0)
    tree = ambiguous_tree("x {regex:(1232|1111)}y", "best", model)
    walk = BestStrings(tree, Budget().meter(), wanted=2, batch=1)
    assert sorted(tree.secret(leaf.tokens) for leaf in walk.leaves()) == ["1111", "1232"]


def test_a_batch_changes_the_passes_and_not_the_answer() -> None:
    """One node at a time or hundreds."""
    found = []
    for batch in (1, 7, 512):
        tree = ambiguous_tree("x {regex:[123]{4}}y", "best")
        leaves = list(BestStrings(tree, Budget().meter(), wanted=12, batch=batch).leaves())
        found.append([leaf.cost for leaf in leaves])
    assert np.allclose(found[0], found[1]) and np.allclose(found[0], found[2])


def test_a_secret_memorized_in_another_segmentation_is_found_among_many() -> None:
    """3^14 secrets; the canonical sequence of the memorized one is nothing special."""
    form = parse_format("x {regex:[123]{14}}y")
    model = ambiguous_model(PAIRS, sharpness=1.0)
    secret = "12312332112313"
    pieces = [b"x", b" ", *(bytes([b]) for b in secret.encode()), b"y"]
    tokens = [model.tokenizer.token_bytes.index(piece) for piece in pieces]
    model.memorize(model.framing.record(tokens), 12.0)
    for kind in KINDS:
        tree = segmented_tree(form, model, segmentation=kind, memory=Memory())
        found = search(tree, 1)
        assert tree.secret(found.leaves[0].tokens) == secret
        assert found.proven == 1 and found.queries < 20_000
        assert found.leaves[0].cost < 1.0 < tree.score([secret])[0]


def test_a_segmentation_that_is_not_known_is_refused() -> None:
    """Canonical has a search of its own."""
    with pytest.raises(UsageError, match="segmentation must be one of best, marginal"):
        segmented_tree(
            parse_format("x {regex:[12]{2}}y"),
            ambiguous_model(),
            segmentation="canonical",
            memory=Memory(),
        )


def test_nothing_dearer_than_the_bound_is_missing() -> None:
    """Marginal: at most as many secrets are within the last cost as were asked for, ties aside."""
    model = ambiguous_model(seed=12)
    tree = ambiguous_tree("x {regex:[123]{4}}y", "marginal", model)
    truth = listed(tree.form, model)
    found = search(tree, 20)
    assert int((truth.marginal <= found.bound_bits + 1e-6).sum()) == 20
    assert math.isfinite(found.bound_bits)
