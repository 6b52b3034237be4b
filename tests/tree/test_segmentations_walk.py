"""The walk over texts: every secret once, priced over all its segmentations, and bounds that never lie."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from secretaudit.canary.format import parse_format
from secretaudit.errors import CouldNotMeasure, ModelError
from secretaudit.tree import Budget
from secretaudit.tree import lattice_costs as lattice_costs_
from secretaudit.tree.lattice_costs import lattice_costs
from secretaudit.tree.segmentations import KINDS, SegmentationTree
from secretaudit.tree.text_slab import TextVisit
from secretaudit.tree.text_walk import NEGLIGIBLE, TextWalk
from tests.ambiguous import UTF8_PIECES, ambiguous_model, ambiguous_tree, listed
from tests.fakes import CharacterView, HistoryModel

TEMPLATES = (
    "x {regex:[123]{3}}y",
    "x {regex:[12]{1,4}}",
    "x {regex:(123|21|3|12)}yx",
    "{regex:[123]{2}}y",
)


def walked(
    tree: SegmentationTree, limit: float, budget: Budget | None = None
) -> tuple[list[TextVisit], int]:
    """All visits of a walk with this limit, and the histories read."""
    meter = (budget or Budget()).meter()
    walk = TextWalk(tree, tree.lattice, kind=tree.kind, reference=limit, meter=meter)
    return list(walk.visits()), meter.nodes


def by_secret(tree: SegmentationTree, visits: list[TextVisit]) -> dict[str, float]:
    """Cost of each secret that was met; none twice."""
    found: dict[str, float] = {}
    for visit in visits:
        for text, cost in zip(visit.text, visit.leaf_costs.tolist(), strict=True):
            secret = tree.secret_of(bytes(text.astype(np.uint8)))
            assert secret not in found
            found[secret] = cost
    return found


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15)
@given(
    seed=st.integers(0, 50),
    template=st.sampled_from(TEMPLATES),
    closing=st.integers(0, 2),
    sharpness=st.sampled_from((0.0, 1.0, 4.0)),
    batch=st.sampled_from((4, 20, 8192)),
)
def test_every_secret_is_met_once_at_its_cost(
    kind: str, seed: int, template: str, closing: int, sharpness: float, batch: int
) -> None:
    """Without a limit, in batches of one history up to thousands: what listing all segmentations says."""
    model = ambiguous_model(closing=closing, seed=seed, sharpness=sharpness)
    tree = ambiguous_tree(template, kind, model)
    tree.batch = batch
    truth = listed(tree.form, model)
    found = by_secret(tree, walked(tree, math.inf)[0])
    assert sorted(found) == sorted(truth.secrets)
    costs = [found[secret] for secret in truth.secrets]
    assert np.allclose(costs, truth.costs(kind), atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15)
@given(
    seed=st.integers(0, 50),
    template=st.sampled_from(TEMPLATES),
    closing=st.integers(0, 2),
    quantile=st.floats(0, 1),
)
def test_a_limited_walk_meets_what_is_cheap_and_counts_the_rest(
    kind: str, seed: int, template: str, closing: int, quantile: float
) -> None:
    """Secrets within the limit come out at their cost, and the others are counted, each once."""
    model = ambiguous_model(closing=closing, seed=seed)
    tree = ambiguous_tree(template, kind, model)
    truth = listed(tree.form, model)
    limit = float(np.quantile(truth.costs(kind), quantile)) + 1e-5
    visits, _ = walked(tree, limit)
    found = by_secret(tree, visits)
    expected = {
        s: c for s, c in zip(truth.secrets, truth.costs(kind).tolist(), strict=True) if c <= limit
    }
    assert sorted(found) == sorted(expected)
    assert all(abs(found[s] - c) <= math.log2(1 + NEGLIGIBLE) + 1e-9 for s, c in expected.items())
    assert len(found) + sum(v.dearer for v in visits) == tree.form.size


def test_a_limit_saves_reading() -> None:
    """The cheapest secret of 729 takes a part of what all take."""
    model = ambiguous_model(sharpness=3.0)
    truth = listed(parse_format("x {regex:[123]{6}}y"), model)
    for kind in KINDS:
        tree = ambiguous_tree("x {regex:[123]{6}}y", kind, model)
        everything = walked(tree, math.inf)[1]
        few = walked(tree, float(truth.costs(kind).min()) + 1e-5)[1]
        assert few < everything / 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_budget_that_ends_leaves_true_counts(kind: str) -> None:
    """What was met and what was counted as dearer is right at every budget, and together at most |R|."""
    tree = ambiguous_tree("x {regex:[123]{4}}y", kind)
    tree.batch = 8
    truth = listed(tree.form, tree.model)  # type: ignore[arg-type]
    limit = float(np.median(truth.costs(kind)))
    dearer = int((truth.costs(kind) > limit).sum())
    counted = []
    for nodes in range(1, 600, 40):
        visits, _ = walked(tree, limit, Budget(nodes=nodes))
        found = by_secret(tree, visits)
        counted.append(len(found) + sum(v.dearer for v in visits))
        assert sum(v.dearer for v in visits) <= dearer
        assert all(cost <= limit for cost in found.values())
    assert counted[0] < tree.form.size and counted == sorted(counted)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("closing", [0, 1])
def test_chosen_secrets_cost_what_listing_says(kind: str, template: str, closing: int) -> None:
    """Cost, best, canonical cost and number of segmentations of every second secret, one of them twice."""
    model = ambiguous_model(closing=closing, seed=3)
    tree = ambiguous_tree(template, kind, model)
    truth = listed(tree.form, model)
    chosen = [*range(0, tree.form.size, 2), 0]
    found = lattice_costs(tree, [truth.secrets[i] for i in chosen])
    assert np.allclose(found.costs, truth.costs(kind)[chosen], atol=1e-6, rtol=0)
    assert np.allclose(found.best, truth.best[chosen], atol=1e-6, rtol=0)
    assert np.allclose(found.canonical, truth.canonical[chosen], atol=1e-6, rtol=0)
    assert found.segmentations.tolist() == [len(truth.segmentations[i]) for i in chosen]


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), sharpness=st.sampled_from((0.0, 2.0, 6.0)))
def test_marginal_best_and_canonical_stand_in_order(seed: int, sharpness: float) -> None:
    """A sum is at least its largest term, and the largest term at least any; all marginals together are at most 1."""
    model = ambiguous_model(seed=seed, sharpness=sharpness)
    trees = {kind: ambiguous_tree("x {regex:[123]{3}}y", kind, model) for kind in KINDS}
    secrets = trees["best"].form.automaton.unrank_many(np.arange(27))
    best, marginal = (lattice_costs(trees[kind], secrets) for kind in KINDS)
    assert np.all(marginal.costs <= best.costs + 1e-6)
    assert np.all(best.costs <= best.canonical + 1e-6)
    assert sharpness == 0 or np.any(best.costs < best.canonical - 0.1)
    assert np.exp2(-marginal.costs).sum() <= 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_characters_of_several_bytes_are_priced_byte_by_byte(kind: str) -> None:
    """Tokens that end inside a character take part in the best and in the sum."""
    model = ambiguous_model(UTF8_PIECES, seed=1)
    tree = ambiguous_tree("p{regex:[é€ß]{2}}", kind, model)
    truth = listed(tree.form, model)
    found = lattice_costs(tree, truth.secrets)
    assert np.allclose(found.costs, truth.costs(kind), atol=1e-6, rtol=0)
    assert found.segmentations.tolist() == [len(paths) for paths in truth.segmentations]


def test_one_segmentation_costs_what_plain_scoring_says() -> None:
    """Characters: best, marginal and canonical are one number."""
    model = HistoryModel(CharacterView("pin 0123456789"))
    for kind in KINDS:
        tree = SegmentationTree(parse_format("pin {digits:2}"), model, kind=kind)
        found = lattice_costs(tree, ["12", "77"])
        assert np.allclose(found.costs, tree.score(["12", "77"]), atol=1e-6, rtol=0)
        assert found.segmentations.tolist() == [1, 1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("template", "closing"), [("x {regex:[123]{3}}y", 1), ("x {regex:[12]{1,4}}", 0)]
)
def test_proposals_are_distributions_over_secrets(kind: str, template: str, closing: int) -> None:
    """Over all secrets, the probabilities of being drawn add up to one at every temperature."""
    tree = ambiguous_tree(template, kind, ambiguous_model(closing=closing))
    secrets = tree.form.automaton.unrank_many(np.arange(tree.form.size))
    found = lattice_costs(tree, secrets, temperatures=(1.0, 2.0, 5.0))
    assert np.allclose(np.exp2(found.log2_q).sum(axis=0), 1.0, atol=1e-4)
    plain = lattice_costs(tree, secrets)
    assert np.allclose(found.costs, plain.costs, atol=1e-5, rtol=0)


def test_long_free_text_is_priced_without_reading_all_of_it() -> None:
    """A text behind the hole with thousands of segmentations, under a model that likes a few of them."""
    model = ambiguous_model(sharpness=6.0, seed=2)
    tree = ambiguous_tree("x {regex:[12]{2}}y 12312 12", "marginal", model)
    truth = listed(tree.form, model)
    meter = Budget().meter()
    found = lattice_costs(tree, truth.secrets, meter=meter)
    assert np.allclose(found.costs, truth.marginal, atol=1e-6, rtol=0)
    histories = len(
        {tuple(p[:n]) for ps in truth.segmentations for p in ps for n in range(len(p) + 1)}
    )
    assert meter.nodes < histories


def test_too_many_segmentations_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that does not care how a text is cut, and a small limit: refused with their number, not priced wrongly."""
    monkeypatch.setattr(lattice_costs_, "HISTORIES_PER_SECRET", 10)
    tree = ambiguous_tree("x {regex:[12]{2}}y 12312 12", "marginal", ambiguous_model(sharpness=0.0))
    with pytest.raises(CouldNotMeasure, match="too many segmentations") as refused:
        lattice_costs(tree, ["12"])
    assert "More than 10 histories" in refused.value.why


def test_two_ways_of_pricing_that_disagree_are_refused() -> None:
    """Plain scoring of the canonical sequence cannot be cheaper than all segmentations together."""
    tree = ambiguous_tree("x {regex:[123]{3}}y", "marginal")
    score = tree.model.score
    tree.model.score = lambda s, given=1: score(s, given) * 0.5  # type: ignore[method-assign]
    with pytest.raises(CouldNotMeasure, match="Two ways of pricing"):
        lattice_costs(tree, ["123", "111"])


def test_a_model_with_nan_is_refused() -> None:
    """One NaN stops the walk."""
    tree = ambiguous_tree("x {regex:[123]{3}}y", "best")
    tree.model.table[:] = torch.nan  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match="not finite"):
        walked(tree, math.inf)


def test_the_same_whatever_the_batch() -> None:
    """Batches change the number of passes and nothing else."""
    costs = []
    for batch in (4, 8192):
        tree = ambiguous_tree("x {regex:[123]{4}}y", "marginal")
        tree.batch = batch
        costs.append(lattice_costs(tree, ["1231", "3213", "1111"], temperatures=(1.0,)))
    assert np.allclose(costs[0].costs, costs[1].costs, atol=1e-9, rtol=0)
    assert np.allclose(costs[0].log2_q, costs[1].log2_q, atol=1e-6)
