"""Secrets that are priced one by one are ranked like those of a tree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

import secretaudit
from secretaudit.canary.format import Format, parse_format
from secretaudit.errors import ModelError, UsageError
from tests.fakes import CharacterView, HistoryModel
from tests.naive import ALPHABET, ledger_of, record_tokens

FORM = parse_format("pin {digits:3}")
BIG = parse_format("number {digits:6}")


class WholeTexts:
    """A model that tells the cost of whole texts only, such as a translation model with the secret in its source."""

    name = "whole texts"

    def __init__(self, **options: float) -> None:
        self.inner = HistoryModel(CharacterView(ALPHABET), **options)  # type: ignore[arg-type]
        self.asked = 0

    def score_secrets(self, form: Format, secrets: Sequence[str]) -> np.ndarray:
        self.asked += len(secrets)
        return np.array([self.inner.cost(record_tokens(self.inner, form, s)) for s in secrets])


def exposures(model: object, form: Format, secrets: Sequence[str], **options: object) -> list[dict]:
    ledger = ledger_of([form], [(form.name, secret, 1) for secret in secrets])
    return secretaudit.expose(model, canaries=ledger, **options).found["canaries"]  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["auto", "enumeration"])
def test_small_spaces_are_listed(method: str) -> None:
    """The same ranks as in the tree of the same model."""
    secrets = ["007", "123", "999"]
    model = WholeTexts(seed=1)
    rows = exposures(model, FORM, secrets, method=method)
    in_tree = exposures(model.inner, FORM, secrets, method="enumeration")
    assert [r["rank"] for r in rows] == [r["rank"] for r in in_tree]
    assert model.asked == FORM.size + len(secrets)


def test_large_spaces_are_sampled_and_the_interval_holds_the_truth() -> None:
    """``auto`` draws uniformly: nothing can be shared, so nothing better is known."""
    secrets = ["000123", "555555", "918273"]
    model = WholeTexts(seed=1)
    rows = exposures(model, BIG, secrets)
    truth = exposures(model.inner, BIG, secrets, method="importance", precision=0.2)
    for row, true in zip(rows, truth, strict=True):
        assert row["method"] == "sampling"
        assert (
            row["exposure_low_bits"] - 0.5
            <= true["exposure_bits"]
            <= row["exposure_high_bits"] + 0.5
        )


@pytest.mark.parametrize("method", ["exact", "importance"])
def test_walks_are_refused(method: str) -> None:
    """A tree needs prefixes that secrets share."""
    with pytest.raises(UsageError, match="prices whole texts only") as refused:
        exposures(WholeTexts(), FORM, ["007"], method=method)
    assert "enumeration, sampling" in refused.value.way_out


def test_searches_are_refused() -> None:
    """There is no next token to ask for."""
    with pytest.raises(UsageError, match="prices whole texts only"):
        secretaudit.extract(WholeTexts(), format="pin {digits:3}")  # type: ignore[arg-type]


def test_a_cost_that_is_not_finite_is_refused() -> None:
    """No rank among numbers that are none."""
    model = WholeTexts()
    model.inner.table[:] = float("nan")
    with pytest.raises(ModelError, match="not finite"):
        exposures(model, FORM, ["007"])
