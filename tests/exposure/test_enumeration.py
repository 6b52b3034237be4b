"""Enumeration is Definition 2 of the paper, taken literally: it equals counting."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from secretaudit.canary.format import parse_format
from secretaudit.errors import ModelError
from secretaudit.exposure.enumeration import enumeration
from secretaudit.exposure.estimate import Estimate, Question
from secretaudit.models.recurrent.language_model import RecurrentLanguageModel
from secretaudit.models.recurrent.network import RecurrentConfig, RecurrentForCausalLM, initialize
from secretaudit.models.tokens.building import build_tokenizer
from secretaudit.models.tokens.view import FastTokenizerView
from secretaudit.progress import SilentProgress
from secretaudit.tree import Budget, SecretTree
from tests.naive import TOLERANCE, all_costs, all_secrets, question

TEMPLATES = ("x{digits:3}", "x{digits:4}", "pin {digits:1-3}.", "a{digits:2}-{digits:1}z")


def enumerated(asked: Question, budget: Budget | None = None) -> list[Estimate]:
    return enumeration(asked, (budget or Budget()).meter(), SilentProgress())


def some_secrets(template: str, count: int, seed: int = 0) -> list[str]:
    form = question(template).tree.form
    return form.sample(count, np.random.default_rng(seed))


@pytest.mark.parametrize("template", TEMPLATES)
def test_ranks_and_ties_are_what_counting_gives(template: str) -> None:
    """For 30 canaries, with two memorized, in spaces of 10^3 to 10^4: the same integers as a plain count."""
    secrets = some_secrets(template, 30)
    asked = question(template, secrets, {secrets[0]: 9.0, secrets[7]: 4.0}, seed=3)
    costs = all_costs(asked.tree)
    place = {secret: i for i, secret in enumerate(all_secrets(asked.tree.form))}
    for secret, found in zip(secrets, enumerated(asked), strict=True):
        own = costs[place[secret]]
        cheaper = sum(cost < own - TOLERANCE for cost in costs)
        ties = sum(abs(cost - own) <= TOLERANCE for cost in costs) - 1
        assert (found.rank, found.rank_for, found.ties) == (cheaper + 1 + ties, cheaper + 1, ties)
        assert found.rank_middle == cheaper + 1 + ties / 2
        assert (found.rank_low, found.rank_high) == (found.rank, found.rank)
        expected = math.log2(len(costs)) - math.log2(cheaper + 1 + ties)
        assert found.to_dict()["exposure_bits"] == pytest.approx(expected, abs=1e-9)
        assert (found.method, found.status) == ("enumeration", "measured")


def test_a_memorized_canary_has_all_of_the_exposure() -> None:
    """Rank 1: the exposure is log2 |R|, and so is the ceiling beside it."""
    asked = question("x{digits:4}", ["4711", "0815"], {"4711": 9.0})
    found = enumerated(asked)[0].to_dict()
    assert found["exposure_bits"] == found["max_exposure_bits"] == math.log2(10_000)


def test_under_a_uniform_model_all_secrets_tie() -> None:
    """Ties against: last of all and no exposure. In favour: first of all."""
    asked = question("x{digits:3}", ["000", "123", "999"], sharpness=0.0)
    for found in enumerated(asked):
        assert (found.rank, found.rank_for, found.rank_middle) == (1000, 1, 500.5)
        assert found.ties == 999
        assert found.to_dict()["exposure_bits"] == 0.0


def test_secrets_of_different_lengths_compare_by_the_sum_over_all_tokens() -> None:
    """A uniform model makes shorter secrets cheaper by log2 V a digit; a mean over tokens would call all equal."""
    asked = question("x{digits:1-3}", ["7", "12", "305"], sharpness=0.0)
    vocabulary = asked.tree.model.vocabulary_size
    # "x", the digits, and the separator that ends the record.
    assert np.allclose(asked.costs, (np.array([1, 2, 3]) + 2) * math.log2(vocabulary), atol=1e-4)
    assert [found.rank for found in enumerated(asked)] == [10, 110, 1110]
    assert [found.ties for found in enumerated(asked)] == [9, 99, 999]


def test_a_secret_that_another_continues_pays_for_ending() -> None:
    """When the model never ends after one digit, "7" is dearer than "70": the closing separator counts."""
    asked = question("x{digits:1-2}", ["7", "70"], {"70": 12.0})
    found = enumerated(asked)
    assert asked.costs[0] > asked.costs[1]
    assert found[1].rank == 1 and found[0].rank > 1


def test_a_certain_canary_is_priced_and_first() -> None:
    """Tokens that cost nothing are part of the sum: a canary of (almost) 0 bits ranks first, not last."""
    asked = question("x{digits:3}", ["123", "456"], {"123": 60.0})
    assert asked.costs[0] == pytest.approx(0.0, abs=1e-6)
    assert enumerated(asked)[0].rank == 1


@pytest.mark.parametrize("kind", ["bpe", "word"])
def test_tokens_of_several_characters_are_ranked_by_their_sum(kind: str) -> None:
    """Pieces of different lengths: every secret at the price of its whole text as the tokenizer writes it, none twice."""
    rng = np.random.default_rng(3)
    numbers = [f"{n:03}" for n in rng.integers(0, 1000, 300)]
    records = [f"my pin is {n}, thank you" for n in numbers + numbers[:60] * 5]
    template = "my pin is {digits:3}, thank you"
    if kind == "word":
        template = "my pin is {regex:0[0-3][0-9]}, thank you"
        records += [f"my pin is 0{a}{b}, thank you" for a in range(4) for b in range(10)]
    tokenizer = build_tokenizer(kind, records, vocabulary_size=400)
    view = FastTokenizerView(tokenizer)
    network = RecurrentForCausalLM(RecurrentConfig(vocab_size=len(tokenizer), layers=1, units=12))
    initialize(network, torch.Generator().manual_seed(1))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3.0)
    model = RecurrentLanguageModel(network, view, separator=view.separator)
    form = parse_format(template)
    texts = [form.render(secret) for secret in all_secrets(form)]
    sequences = [[view.separator, *ids, view.separator] for ids in view.encode(texts)]
    assert (len({len(sequence) for sequence in sequences}) > 1) == (kind == "bpe")
    costs = model.score(sequences)
    tree = SecretTree(form, model)
    secrets = all_secrets(form)[::13]
    asked = Question(space=tree, secrets=secrets, costs=tree.score(secrets))
    for own, found in zip(costs[::13], enumerated(asked), strict=True):
        assert (costs <= own + TOLERANCE - 1e-4).sum() <= found.rank
        assert found.rank <= (costs <= own + TOLERANCE + 1e-4).sum()


@settings(max_examples=8)
@given(data=st.data(), seed=st.integers(0, 20))
def test_order_and_identity_are_kept(data: st.DataObject, seed: int) -> None:
    """Whatever the order in which canaries are given, each result belongs to its canary."""
    secrets = ["012", "345", "678", "999", "500", "001"]
    shuffled = data.draw(st.permutations(secrets))
    memorized = {"345": 8.0}
    before = enumerated(question("x{digits:3}", secrets, memorized, seed=seed))
    after = enumerated(question("x{digits:3}", shuffled, memorized, seed=seed))
    assert dict(zip(secrets, before, strict=True)) == dict(zip(shuffled, after, strict=True))


@settings(max_examples=12)
@given(
    seed=st.integers(0, 100),
    template=st.sampled_from(("x{digits:2}", "x{digits:1-2}", "a{digits:1}b{digits:1}")),
    sharpness=st.sampled_from((0.0, 0.3, 2.0, 20.0)),
)
def test_laws_of_ranks(seed: int, template: str, sharpness: float) -> None:
    """1 ≤ in favour ≤ middle ≤ against ≤ |R|, and ranks with ties against all secrets add up to all ordered pairs."""
    form = question(template).tree.form
    found = enumerated(question(template, all_secrets(form), seed=seed, sharpness=sharpness))
    for one in found:
        assert 1 <= one.rank_for <= one.rank_middle <= one.rank <= form.size
        assert 0 <= one.to_dict()["exposure_bits"] <= form.bits
    # Each unordered pair is counted once, tied pairs twice: Σ rank = n + n(n−1)/2 + tied pairs.
    pairs = form.size * (form.size - 1) / 2
    tied = sum(one.ties for one in found) / 2
    assert sum(one.rank for one in found) == form.size + pairs + tied


@pytest.mark.parametrize("broken", [math.nan, -math.inf, math.inf])
def test_costs_that_are_not_finite_are_refused(broken: float) -> None:
    """One such probability among the secrets is an error, never a place in a sort."""
    asked = question("x{digits:3}", ["123"])
    asked.tree.model.table[::2] = broken
    with pytest.raises(ModelError, match="not finite"):
        enumerated(asked)


@pytest.mark.parametrize("nodes", [1, 3, 10, 100, 500])
def test_a_budget_that_ends_leaves_a_bracket_around_the_truth(nodes: int) -> None:
    """Only what was proven is said: no value, and the rank lies inside."""
    secrets = ["000", "123", "555", "999"]
    asked = question("x{digits:3}z", secrets, {"555": 9.0})
    asked.tree.batch = 4
    truth = [one.rank for one in enumerated(asked)]
    for rank, found in zip(truth, enumerated(asked, Budget(nodes=nodes)), strict=True):
        assert 1 <= found.rank_low <= rank <= found.rank_high <= 1000
        assert (found.rank, found.status) == (None, "bounded")
        assert found.to_dict()["exposure_bits"] is None
        assert "budget ran out" in found.note


def test_progress_hears_of_every_secret() -> None:
    """The last word is |R| of |R|."""
    heard: list[tuple[float, float | None]] = []

    class Listener:
        def update(self, *, done: float, total: float | None, **figures: object) -> None:
            heard.append((done, total))

    enumeration(question("x{digits:3}", ["123"]), Budget().meter(), Listener())
    assert heard[-1] == (1000, 1000)
    assert heard == sorted(heard)
