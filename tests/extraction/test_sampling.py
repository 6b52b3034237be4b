"""Sampling: secrets come out as often as the decoding says, computed here from the model's own probabilities."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from secretaudit.canary.format import parse_format
from secretaudit.errors import UsageError
from secretaudit.extraction import sampling as sampling_
from secretaudit.extraction.found import Found
from secretaudit.extraction.sampling import Decoding, sampling
from secretaudit.progress import SilentProgress
from secretaudit.tree import Budget, SecretTree
from tests.fakes import CharacterView, HistoryModel
from tests.naive import all_secrets, question

#: A model under which every decoding below leaves some, and not all, of the probability inside the format.
SEED = 40
DECODINGS = [
    {},
    {"temperature": 0.5},
    {"temperature": 2.0},
    {"top_k": 2},
    {"top_k": 3, "temperature": 1.5},
    {"top_p": 0.6},
    {"top_p": 0.9, "temperature": 0.7},
    {"top_k": 3, "top_p": 0.7, "temperature": 1.3},
]


def small_tree(template: str = "x{regex:[01]{2}}", seed: int = SEED) -> SecretTree:
    """Four tokens (separator, x, 0, 1), so that many draws stay inside the format."""
    model = HistoryModel(CharacterView("x01"), seed=seed, sharpness=1.0)
    return SecretTree(parse_format(template), model)


def draw(tree: SecretTree, seed: int = 0, budget: Budget | None = None, **options: float) -> Found:
    return sampling(
        tree,
        top=100,
        decoding=Decoding(**options),  # type: ignore[arg-type]
        meter=(budget or Budget()).meter(),
        rng=np.random.default_rng(seed),
        progress=SilentProgress(),
    )


def decoded(
    p: list[float], temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> list[float]:
    """Temperature, then top-k, then the shortest head that holds top-p, one token at a time."""
    weight = {token: value ** (1 / temperature) for token, value in enumerate(p)}
    ranked = sorted(weight, key=lambda token: -weight[token])[: top_k or len(p)]
    total = sum(weight[token] for token in ranked)
    kept, mass = [], 0.0
    for token in ranked:
        kept.append(token)
        mass += weight[token] / total
        if top_p is not None and mass >= top_p:
            break
    total = sum(weight[token] for token in kept)
    return [weight[token] / total if token in kept else 0.0 for token in range(len(p))]


def exact_probability(tree: SecretTree, secret: str, **options: float) -> float:
    """Of drawing this secret, the rest of the text and the closing separator, after the text before the hole."""
    model: HistoryModel = tree.model  # type: ignore[assignment]
    tokens = [0, *model.tokenizer.encode([tree.form.render(secret)])[0], 0]  # type: ignore[attr-defined]
    probability, value = 1.0, 1
    for number, (before, token) in enumerate(itertools.pairwise(tokens)):
        value = (value * 31 + before + 7) % 1_000_003
        row = model.table[value % len(model.table)].double().exp().tolist()
        if number >= len(tree.form.prefix):
            probability *= decoded(row, **options)[token]  # type: ignore[arg-type]
    return probability


@pytest.mark.parametrize("options", DECODINGS, ids=str)
def test_secrets_come_out_with_their_exact_probability(options: dict[str, float]) -> None:
    """10,000 draws against the product of decoded probabilities (chi-square at 0.1 %); the rest left the format."""
    tree = small_tree()
    found = draw(tree, seed=3, **options)
    secrets = all_secrets(tree.form)
    expected = np.array([exact_probability(tree, s, **options) for s in secrets])
    times = {tree.secret(leaf.tokens): n for leaf, n in zip(found.leaves, found.times, strict=True)}
    assert {s for s, p in zip(secrets, expected, strict=True) if p == 0.0}.isdisjoint(times)
    counts = np.array([times.get(s, 0) for s in secrets])
    inside = expected.sum()
    observed = np.append(counts, found.draws - counts.sum())
    wanted = found.draws * np.append(expected, 1 - inside)
    seen = wanted > 1e-6
    assert found.draws == 10_000
    assert 0.001 < inside < 0.999
    chi_square = float(((observed - wanted)[seen] ** 2 / wanted[seen]).sum())
    assert chi_square < stats.chi2.ppf(0.999, int(seen.sum()) - 1)


def test_the_share_inside_the_format_is_reported() -> None:
    """Draws that left the format are told, not hidden: the note counts what stayed inside."""
    tree = small_tree()
    found = draw(tree)
    assert found.note.startswith(f"{sum(found.times):,} of 10,000 draws stayed inside the format")
    exact = sum(exact_probability(tree, s) for s in all_secrets(tree.form))
    error = math.sqrt(exact * (1 - exact) / 10_000)
    assert abs(sum(found.times) / 10_000 - exact) <= 4 * error


def test_what_all_secrets_begin_with_is_drawn_and_not_given_away() -> None:
    """Only the text before the hole is the prompt: a fixed first character of the secret lowers the share."""
    tree = small_tree("x{regex:1[01]}")
    found = draw(tree)
    exact = sum(exact_probability(tree, s) for s in all_secrets(tree.form))
    assert exact < 0.5
    error = math.sqrt(exact * (1 - exact) / 10_000)
    assert abs(sum(found.times) / 10_000 - exact) <= 4 * error


def test_a_secret_is_seen_in_n_draws_with_probability_1_minus_1_minus_p_to_the_n(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """150 runs of 20 draws each: the share of runs that brought it out, within 4 standard errors, for each secret."""
    monkeypatch.setattr(sampling_, "DRAWS", 20)
    monkeypatch.setattr(sampling_, "_PER_ROUND", 20)
    tree = small_tree()
    runs = []
    for seed in range(150):
        found = draw(tree, seed=seed)
        assert found.draws == 20
        runs.append({tree.secret(leaf.tokens) for leaf in found.leaves})
    for secret in all_secrets(tree.form):
        p = exact_probability(tree, secret)
        expected = -math.expm1(20 * math.log1p(-p))
        share = np.mean([secret in run for run in runs])
        assert abs(share - expected) <= 4 * math.sqrt(expected * (1 - expected) / 150)


def test_costs_are_the_models_own_whatever_the_decoding() -> None:
    """Temperature changes how often a secret comes out and not its log-perplexity."""
    tree = small_tree()
    model: HistoryModel = tree.model  # type: ignore[assignment]
    for leaf in draw(tree, temperature=3.0).leaves:
        assert leaf.cost == pytest.approx(model.cost([0, *leaf.tokens]), abs=1e-6)


def test_the_most_often_drawn_comes_first() -> None:
    """Order by times, then by cost."""
    found = draw(small_tree())
    assert found.times == sorted(found.times, reverse=True)
    assert len(found.times) == len(found.leaves) == 4


def test_a_memorized_secret_of_a_large_space_is_drawn_most() -> None:
    """Nearly every draw is the memorized one, and low temperature makes it more."""
    tree = question("x{digits:9}", (), {"281265017": 7.0}, seed=6).tree
    warm, cold = draw(tree), draw(tree, temperature=0.5)
    for found in (warm, cold):
        assert tree.secret(found.leaves[0].tokens) == "281265017"
    assert warm.times[0] < cold.times[0]


def test_a_budget_ends_the_drawing_after_a_round() -> None:
    """A thousand draws instead of ten thousand, marked as not complete."""
    found = draw(small_tree(), budget=Budget(nodes=10))
    assert (found.draws, found.complete) == (1_000, False)
    assert found.queries <= 10 + 1_000 * 4


def test_the_same_seed_draws_the_same_whatever_the_batch() -> None:
    """Batches change the speed only."""
    wide, narrow = small_tree(), small_tree()
    narrow.batch = 13
    assert draw(wide, seed=4) == draw(narrow, seed=4)
    assert draw(wide, seed=4) != draw(wide, seed=5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "Temperature must be a number above 0, got 0.0"),
        ({"temperature": -1.0}, "Temperature must be a number above 0"),
        ({"temperature": math.nan}, "Temperature must be a number above 0"),
        ({"temperature": math.inf}, "Temperature must be a number above 0"),
        ({"top_k": 0}, "Top-k must be at least 1, got 0"),
        ({"top_p": 0.0}, "Top-p must lie in"),
        ({"top_p": 1.5}, "Top-p must lie in"),
        ({"top_p": math.nan}, "Top-p must lie in"),
    ],
)
def test_decoding_options_without_meaning_are_refused(
    options: dict[str, float], message: str
) -> None:
    """Each says which option, and the way out shows a usable set."""
    with pytest.raises(UsageError, match="make no distribution") as refused:
        Decoding(**options)  # type: ignore[arg-type]
    assert message in refused.value.why
    assert "--temperature" in refused.value.way_out


@pytest.mark.parametrize("options", DECODINGS, ids=str)
def test_decoded_probabilities_are_a_distribution(options: dict[str, float]) -> None:
    """Equal to the derivation above for random rows, impossible tokens included."""
    rng = np.random.default_rng(7)
    p = rng.dirichlet(np.full(6, 0.5), size=50)
    p[:10, 2] = 0.0
    p /= p.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        found = Decoding(**options).probabilities(np.log(p))  # type: ignore[arg-type]
    assert np.allclose(found.sum(axis=1), 1.0)
    expected = [decoded(row.tolist(), **options) for row in p]  # type: ignore[arg-type]
    assert np.allclose(found, expected, atol=1e-12)


def test_greedy_is_top_1() -> None:
    """All of the probability on the likeliest token, however close the second is."""
    log_p = np.log(np.array([[0.2, 0.41, 0.39]]))
    assert Decoding(top_k=1).probabilities(log_p).tolist() == [[0.0, 1.0, 0.0]]
    assert Decoding(temperature=1e-3).probabilities(log_p)[0, 1] == pytest.approx(1.0)
