"""A model that lists only its likeliest tokens is answered with a bracket that holds the true rank."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from secretaudit.canary.format import parse_format
from secretaudit.exposure.two_readings import two_readings
from secretaudit.progress import SilentProgress
from secretaudit.tree import Budget, SecretTree
from tests.fakes import CharacterView, HistoryModel
from tests.naive import ALPHABET, all_costs, all_secrets

FORM = parse_format("pin {digits:3}")


class Listed(HistoryModel):
    """One reading of a model of which only the k likeliest next tokens are known."""

    def __init__(self, listed: int, optimistic: bool, **options: float) -> None:
        super().__init__(CharacterView(ALPHABET), **options)  # type: ignore[arg-type]
        top = self.table.topk(listed, dim=1)
        left = (1 - top.values.exp().sum(dim=1)).clamp(min=1e-12)
        most = torch.minimum(top.values[:, -1], left.log()) if optimistic else None
        table = torch.full_like(self.table, -torch.inf)
        if most is not None:
            table = most[:, None].expand_as(self.table).clone()
        self.table = table.scatter(1, top.indices, top.values)
        self.rules_out = not optimistic


def bracketed(listed: int, secrets: list[str], budget: Budget | None = None, **options: float):  # type: ignore[no-untyped-def]
    low, high = (
        SecretTree(FORM, Listed(listed, o, **options), charge_shared=False) for o in (True, False)
    )
    return two_readings(low, high, secrets, (budget or Budget()).meter(), SilentProgress())[1]


def true_ranks(**options: float) -> np.ndarray:
    tree = SecretTree(FORM, HistoryModel(CharacterView(ALPHABET), **options))  # type: ignore[arg-type]
    costs = all_costs(tree)
    return np.array([(costs <= cost + 1e-3).sum() for cost in costs])


@pytest.mark.parametrize("listed", [2, 5, 12, 30])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_bracket_holds_the_true_rank(listed: int, seed: int) -> None:
    """However few tokens are listed, the truth is inside; the unsafe end is the lower rank."""
    secrets = all_secrets(FORM)[::7]
    truth = true_ranks(seed=seed)[::7]
    for estimate, rank in zip(bracketed(listed, secrets, seed=seed), truth, strict=True):
        assert estimate.rank_low <= rank <= estimate.rank_high


def test_more_tokens_listed_means_a_tighter_bracket() -> None:
    """With the whole vocabulary listed the bracket is the rank."""
    secrets = all_secrets(FORM)[::50]
    widths = [
        [e.rank_high - e.rank_low for e in bracketed(listed, secrets, sharpness=3.0)]
        for listed in (3, 10, 39)
    ]
    assert np.all(np.mean(widths, axis=1)[:-1] >= np.mean(widths, axis=1)[1:])
    exact = bracketed(len(ALPHABET) + 1, secrets, sharpness=3.0)
    assert [e.rank for e in exact] == true_ranks(sharpness=3.0)[::50].tolist()
    assert {e.status for e in exact} == {"measured"}


def test_a_canary_with_an_unlisted_token_is_only_bounded_from_above() -> None:
    """Its cost may be anything from the bound on: the rank may be as bad as |R|, and the note says so."""
    estimates = bracketed(2, all_secrets(FORM)[::100])
    unlisted = [e for e in estimates if e.rank_high == FORM.size]
    assert unlisted
    assert all(e.status == "bounded" and e.rank is None for e in unlisted)
    assert any("does not list a token" in e.note for e in unlisted)


def test_a_budget_that_ends_leaves_a_wider_bracket() -> None:
    """What was not visited counts against neither end."""
    secrets = all_secrets(FORM)[::100]
    truth = true_ranks(seed=4)[::100]
    short = bracketed(8, secrets, Budget(nodes=60), seed=4)
    for estimate, rank in zip(short, truth, strict=True):
        assert estimate.rank_low <= rank <= estimate.rank_high
