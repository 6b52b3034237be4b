"""Servers that list the likeliest next tokens only: bounds that hold, and no number where none is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from secretaudit.canary.format import parse_format
from secretaudit.errors import CouldNotMeasure, ModelError
from secretaudit.exposure.audit import expose
from secretaudit.models.server.answers import WrongAnswer
from secretaudit.models.server.bounds import TopKServerModel
from secretaudit.models.server.language_model import ServedModel
from secretaudit.models.server.top_k import OTHERS, SHARING, bounded
from secretaudit.models.transformer.language_model import TransformerLanguageModel
from tests.naive import ledger_of
from tests.servers.conftest import Open, Serve

DIALECTS = ("top-k", "top-k-ids", "llama-server")


def top_k(model: ServedModel) -> TopKServerModel:
    assert isinstance(model, TopKServerModel)
    return model


@pytest.mark.parametrize("dialect", DIALECTS)
def test_true_costs_lie_between_the_two_readings(
    dialect: str, serve: Serve, connect: Open, local: TransformerLanguageModel
) -> None:
    """Optimistic costs are never too high and pessimistic ones never too low, for texts of all kinds."""
    low, high = top_k(connect(serve(dialect))).bounds
    texts = ["the code is 0412", "Lily said that", "the cat sat on the mat", "zzz 99 qq"]
    records = [low.framing.record(ids) for ids in low.tokenizer.encode(texts)]
    given = low.framing.given
    true = local.score(records, given)
    optimistic, pessimistic = low.score(records, given), high.score(records, given)
    assert (optimistic <= true + 1e-3).all()
    assert (pessimistic >= true - 1e-3).all()
    if dialect == "llama-server":  # it lists the whole of this vocabulary
        assert optimistic == pytest.approx(true, abs=1e-3)
        assert pessimistic == pytest.approx(true, abs=1e-3)
    else:
        assert (optimistic > 0).all()
        assert np.isinf(pessimistic).any()


def test_prices_are_read_both_ways(
    serve: Serve, connect: Open, local: TransformerLanguageModel
) -> None:
    """Listed tokens have one price; the others the largest possible one, and none."""
    low, high = top_k(connect(serve("top-k-ids"))).bounds
    row, token = torch.zeros(1, dtype=torch.int64), torch.tensor([60])
    truth = local.step(local.start(local.framing.before), row, token)[0][0]
    children = torch.arange(low.vocabulary_size)
    parent = torch.zeros_like(children)
    optimistic, _ = low.price(low.start(low.framing.before), row, token, parent, children)
    pessimistic, _ = high.price(high.start(high.framing.before), row, token, parent, children)
    listed = torch.isfinite(pessimistic)
    assert 0 < int(listed.sum()) <= 5
    assert optimistic[listed].tolist() == pytest.approx(truth[listed].tolist(), abs=1e-4)
    assert bool((optimistic >= truth - 1e-4).all())
    fifth, five = truth.topk(5).values[-1], truth.topk(5).values.exp().sum()
    plain = [i for i in range(len(truth)) if not listed[i] and is_plain(low, i)]
    largest = min(float(fifth), math.log(1 - float(five)))
    assert optimistic[plain].tolist() == pytest.approx([largest] * len(plain), abs=1e-3)


def is_plain(model: ServedModel, token: int) -> bool:
    """Whether a token is a whole character or more, so that its text tells it from all others."""
    spelled = model.tokenizer.token_bytes[token]
    return spelled is not None and spelled.isascii()


def test_the_model_itself_gives_no_number_that_it_does_not_know(
    serve: Serve, connect: Open, local: TransformerLanguageModel
) -> None:
    """A listed token has its price; one that is not listed is refused."""
    model = top_k(connect(serve("top-k-ids")))
    start, row = local.start(local.framing.before), torch.zeros(1, dtype=torch.int64)
    truth = local.step(start, row, torch.tensor([60]))[0][0]
    order = [i for i in truth.argsort(descending=True).tolist() if is_plain(model, i)]
    best, worst = order[0], order[-1]
    known = [*model.framing.before, 60, best]
    assert model.score([known], 2) == pytest.approx(local.score([known], 2), abs=1e-3)
    with pytest.raises(CouldNotMeasure, match="does not say how likely") as caught:
        model.score([[*model.framing.before, 60, worst]], 2)
    assert "bounds" in caught.value.way_out
    with pytest.raises(ModelError, match="does not list whole distributions"):
        model.step(model.start([60]), torch.zeros(1, dtype=torch.int64), torch.tensor([61]))


def test_both_readings_use_the_same_replies(serve: Serve, connect: Open) -> None:
    """What one reading has asked, the other does not ask again."""
    low, high = top_k(connect(serve("top-k"))).bounds
    records = [low.framing.record(ids) for ids in low.tokenizer.encode(["the code is 0412"])]
    low.score(records)
    before = low.server["prompts"]
    high.score(records)
    assert high.server["prompts"] == before


@pytest.mark.parametrize("dialect", ["top-k", "top-k-ids"])
def test_the_bracket_of_a_rank_holds_the_true_rank(
    dialect: str, serve: Serve, connect: Open, local: TransformerLanguageModel
) -> None:
    """Exposure through five listed tokens is a bracket around the exact one of the local model."""
    form = parse_format("the code is {digits:2}")
    ledger = ledger_of([form], [(form.name, secret, 1) for secret in ("04", "28", "99")])
    exact = expose(local, canaries=ledger, method="enumeration").found["canaries"]
    model = connect(serve(dialect))
    bracket = expose(model, canaries=ledger).found["canaries"]
    for true, found in zip(exact, bracket, strict=True):
        assert found["rank_low"] <= true["rank"] + 1e-9
        assert found["rank_high"] >= true["rank"] - 1e-9


def test_a_list_bounds_what_it_leaves_out() -> None:
    """The least likely listed token, or what the list leaves over, whichever is less."""
    many = bounded({1: math.log(0.5), 2: math.log(0.2)}, [])
    assert math.exp(many.following[OTHERS]) == pytest.approx(0.2)
    little = bounded({1: math.log(0.6), 2: math.log(0.39)}, [])
    assert math.exp(little.following[OTHERS]) == pytest.approx(0.01, abs=1e-5)


def test_a_listed_text_that_may_be_several_tokens_bounds_them_all() -> None:
    """It may be any of them or more than one, so any may have all that the known ones leave over."""
    told = bounded({2: math.log(0.2)}, [math.log(0.5)])
    assert set(told.following) == {2, OTHERS, SHARING}
    assert math.exp(told.following[OTHERS]) == pytest.approx(0.2)
    assert math.exp(told.following[SHARING]) == pytest.approx(0.8, abs=1e-5)


def test_lists_that_cannot_be_are_refused() -> None:
    """More than all probability, or nothing at all."""
    with pytest.raises(WrongAnswer, match="more than 1"):
        bounded({1: math.log(0.9), 2: math.log(0.2)}, [])
    with pytest.raises(WrongAnswer, match="lists no next tokens"):
        bounded({}, [])
