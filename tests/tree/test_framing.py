"""What stands around a text: read and not charged before it, charged after it, or nothing at all."""

from __future__ import annotations

import math

import numpy as np
import pytest

from secretaudit.canary.format import parse_format
from secretaudit.errors import ModelError
from secretaudit.exposure.enumeration import enumeration
from secretaudit.exposure.estimate import Question
from secretaudit.exposure.importance import TEMPERATURES
from secretaudit.extraction.shortest_path import shortest_path
from secretaudit.models.language_model import Framing
from secretaudit.progress import SilentProgress
from secretaudit.tree import Budget, SecretTree
from secretaudit.tree.draws import draw_leaves, path_costs
from tests.fakes import CharacterView, HistoryModel
from tests.naive import ALPHABET, all_secrets

FRAMINGS = [
    Framing(before=(0,), after=(0,)),
    Framing(before=(0,)),
    Framing(before=(3, 1, 4), after=(1, 5)),
    Framing(before=(), after=(0,)),
    Framing(before=()),
]
#: "7" is a secret and the beginning of another.
TEMPLATES = ["pin {digits:1-2}", "pin {digits:2}.", "x{regex:[ab]{1,3}}"]


def framed(framing: Framing, **options: float) -> HistoryModel:
    model = HistoryModel(CharacterView(ALPHABET), **options)  # type: ignore[arg-type]
    model.framing = framing
    return model


def naive_costs(tree: SecretTree) -> np.ndarray:
    """Token by token over the whole record, less the tokens that are given."""
    framing, model = tree.model.framing, tree.model
    costs = []
    for secret in all_secrets(tree.form):
        ids = model.tokenizer.encode([tree.form.render(secret)])[0]
        record = [*framing.before, *ids, *framing.after]
        costs.append(model.cost(record, max(1, len(framing.before))))  # type: ignore[attr-defined]
    return np.array(costs)


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("framing", FRAMINGS)
def test_leaves_cost_what_the_record_costs(framing: Framing, template: str) -> None:
    """Whatever stands around a text, every leaf is there once, at the price of plain scoring."""
    tree = SecretTree(parse_format(template), framed(framing))
    truth = naive_costs(tree)
    secrets = all_secrets(tree.form)
    assert tree.automaton.size == tree.form.size == len(truth)
    assert np.allclose(tree.score(secrets), truth, atol=1e-6)
    assert np.allclose(path_costs(tree, secrets, Budget().meter()), truth, atol=1e-4)


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("framing", FRAMINGS)
def test_ranks_and_searches_agree_with_the_list(framing: Framing, template: str) -> None:
    """A secret that is the beginning of another is counted and found like any other."""
    tree = SecretTree(parse_format(template), framed(framing, seed=5))
    truth = naive_costs(tree)
    secrets = all_secrets(tree.form)
    question = Question(space=tree, secrets=secrets, costs=tree.score(secrets))
    ranks = [e.rank for e in enumeration(question, Budget().meter(), SilentProgress())]
    assert ranks == [int((truth <= cost + 1e-3).sum()) for cost in truth]
    found = shortest_path(tree, top=5, meter=Budget().meter(), progress=SilentProgress())
    order = np.argsort(truth, kind="stable")[:5]
    assert [tree.secret(leaf.tokens) for leaf in found.leaves] == [secrets[i] for i in order]


@pytest.mark.parametrize("framing", FRAMINGS)
def test_draws_reach_every_leaf_with_the_probability_they_say(framing: Framing) -> None:
    """Σ over leaves of q(leaf) is 1: weighting draws by 1/q and averaging gives |R|."""
    tree = SecretTree(parse_format("pin {digits:1-2}"), framed(framing, seed=2))
    draws = draw_leaves(
        tree,
        tree.root(),
        TEMPERATURES,
        3_000,
        np.random.default_rng(0),
        Budget().meter(),
    )
    estimate = float(np.exp2(-draws.log2_q).mean())
    assert abs(estimate / tree.form.size - 1) < 0.05


def test_the_first_token_is_given_when_nothing_stands_before_it() -> None:
    """Under a uniform model a text of n tokens costs n − 1 of them."""
    form = parse_format("pin {digits:2}")
    model = framed(Framing(before=()), sharpness=0.0)
    expected = (len("pin 00") - 1) * math.log2(model.vocabulary_size)
    assert np.allclose(SecretTree(form, model).score(["07", "99"]), expected)


def test_a_text_that_begins_with_the_secret_needs_a_token_before_it() -> None:
    """There is no probability for the first token of a text when nothing was read."""
    with pytest.raises(ModelError, match=r"first token of .* cannot be priced"):
        SecretTree(parse_format("{digits:3}"), framed(Framing(before=())))


def test_records_longer_than_the_context_are_refused() -> None:
    """The whole record counts: what stands before, the text, what closes it."""
    model = framed(Framing(before=(0, 0), after=(0,)))
    model.context = 2 + len("pin 00") + 1
    SecretTree(parse_format("pin {digits:2}"), model)
    with pytest.raises(ModelError, match="reads 9 tokens at most"):
        SecretTree(parse_format("pin {digits:3}"), model)
