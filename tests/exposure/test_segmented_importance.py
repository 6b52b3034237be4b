"""Importance sampling over segmentations: a string is weighed by all ways to draw it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from secretaudit.canary.format import parse_format
from secretaudit.exposure import segmented_importance as segmented_importance_
from secretaudit.exposure.estimate import Estimate, Question
from secretaudit.exposure.segmented_importance import segmented_importance
from secretaudit.progress import SilentProgress
from secretaudit.tree import Budget
from secretaudit.tree.lattice_costs import lattice_costs
from secretaudit.tree.segmentations import KINDS, SegmentationTree
from tests.ambiguous import ambiguous_model, listed

RANKS = [1, 2, 5, 20, 100, 200, 242]


def asked(kind: str) -> tuple[SegmentationTree, Question, list[int]]:
    """Canaries from the first to nearly the last of 243 secrets, one of them memorized, and their ranks."""
    form = parse_format("x {regex:[123]{5}}y")
    model = ambiguous_model(seed=6)
    model.memorize([0, *model.tokenizer.encode([form.render("12321")])[0], 0], 7.0)
    truth = listed(form, model)
    order = np.argsort(truth.costs(kind), kind="stable")
    secrets = [truth.secrets[order[rank - 1]] for rank in RANKS]
    tree = SegmentationTree(form, model, kind=kind)
    question = Question(space=tree, secrets=secrets, costs=lattice_costs(tree, secrets).costs)
    return tree, question, truth.ranks(kind, secrets)


def estimated(
    tree: SegmentationTree, question: Question, seed: int, precision: float
) -> list[Estimate]:
    meter, rng = Budget().meter(), np.random.default_rng(seed)
    return segmented_importance(tree, question, meter, rng, SilentProgress(), precision)


@pytest.mark.parametrize("kind", KINDS)
def test_ranks_are_unbiased(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """100 small samples: the mean is the rank by listing, within 3 standard errors, from rank 1 to the last but one."""
    monkeypatch.setattr(segmented_importance_, "PER_ROUND", 12)
    tree, question, truth = asked(kind)
    runs = [[e.rank for e in estimated(tree, question, seed, 100.0)] for seed in range(100)]
    mean, error = np.mean(runs, axis=0), np.std(runs, axis=0) / math.sqrt(len(runs))
    assert np.all(np.abs(mean - truth) <= 3 * error + 1e-4 * np.array(truth))
    assert error[3] > 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_cover_the_truth(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """95 % intervals hold the listed rank in at least 90 % of (canary, seed) pairs, and at every rank in at least 80 %."""
    monkeypatch.setattr(segmented_importance_, "PER_ROUND", 40)
    tree, question, truth = asked(kind)
    covered = [
        [e.rank_low <= rank <= e.rank_high for e, rank in zip(found, truth, strict=True)]
        for found in (estimated(tree, question, seed, 0.5) for seed in range(30))
    ]
    assert np.mean(covered) >= 0.90
    assert np.mean(covered, axis=0).min() >= 0.80


def test_drawing_goes_on_until_the_interval_is_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A finer precision takes more draws and is reached."""
    monkeypatch.setattr(segmented_importance_, "PER_ROUND", 40)
    tree, question, _ = asked("marginal")
    coarse, fine = (estimated(tree, question, 1, p) for p in (1.0, 0.15))
    assert coarse[0].draws < fine[0].draws
    for one in fine:
        assert math.log2(max(one.rank_high / one.rank, one.rank / one.rank_low)) <= 0.15
    assert {e.method for e in fine} == {"importance"}


def test_rounds_are_small_where_a_secret_is_dear_to_price() -> None:
    """A budget for a few hundred histories is not overrun by the first round."""
    tree, question, truth = asked("marginal")
    meter = Budget(nodes=3_000).meter()
    rng = np.random.default_rng(0)
    found = segmented_importance(tree, question, meter, rng, SilentProgress(), 0.001)
    assert meter.nodes < 6_000
    assert found[0].draws < 6 * segmented_importance_.PER_ROUND
    assert all(e.rank_low <= rank <= e.rank_high for e, rank in zip(found, truth, strict=True))
    assert "The budget ended" in found[3].note
