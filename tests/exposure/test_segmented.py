"""Exposure over all segmentations: ranks count secrets, each once, and are those of listing everything."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secretaudit.canary.format import Format, parse_format
from secretaudit.errors import CouldNotMeasure, UsageError
from secretaudit.exposure import segmented as segmented_
from secretaudit.exposure.estimate import Estimate
from secretaudit.exposure.estimators import ESTIMATORS, Work
from secretaudit.exposure.segmented import METHODS, estimate_segmented
from secretaudit.progress import SilentProgress
from secretaudit.tree import Budget, Memory
from secretaudit.tree.segmentations import KINDS
from tests.ambiguous import PAIRS, Truth, ambiguous_model, listed
from tests.fakes import CharacterView, HistoryModel

TEMPLATES = ("x {regex:[123]{4}}y", "x {regex:[12]{1,5}}", "{regex:[123]{3}}y")


def asked(
    form: Format,
    model: HistoryModel,
    secrets: list[str],
    kind: str,
    method: str,
    budget: Budget | None = None,
    seed: int = 0,
) -> tuple[np.ndarray, list[Estimate], list[str]]:
    work = Work(
        meter=(budget or Budget()).meter(),
        rng=np.random.default_rng(seed),
        progress=SilentProgress(),
    )
    return estimate_segmented(
        form, model, secrets, segmentation=kind, method=method, memory=Memory(), work=work
    )


def of_ranks(truth: Truth, kind: str, ranks: list[int]) -> list[str]:
    """The secrets that stand at these places."""
    order = np.argsort(truth.costs(kind), kind="stable")
    return [truth.secrets[order[rank - 1]] for rank in ranks]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["enumeration", "exact", "auto"])
@settings(max_examples=8)
@given(
    seed=st.integers(0, 100),
    template=st.sampled_from(TEMPLATES),
    closing=st.integers(0, 1),
    sharpness=st.sampled_from((0.0, 1.0, 5.0)),
)
def test_exact_ranks_are_those_of_listing_everything(
    kind: str, method: str, seed: int, template: str, closing: int, sharpness: float
) -> None:
    """Costs to 10^−6 bits, ranks exactly, for canaries from the first place to the last."""
    model = ambiguous_model(closing=closing, seed=seed, sharpness=sharpness)
    form = parse_format(template)
    truth = listed(form, model)
    secrets = of_ranks(truth, kind, [1, 2, form.size // 2, form.size])
    costs, found, _ = asked(form, model, secrets, kind, method)
    own = [truth.costs(kind)[truth.secrets.index(s)] for s in secrets]
    assert np.allclose(costs, own, atol=1e-6, rtol=0)
    assert [e.rank for e in found] == truth.ranks(kind, secrets)
    assert [e.rank_for for e in found] == [
        1 + int((truth.costs(kind) < c - 1e-3).sum()) for c in own
    ]
    assert {e.status for e in found} == {"measured"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_canary_that_is_memorized_in_another_segmentation_ranks_first(kind: str) -> None:
    """Its canonical sequence is dear and one of the others is known by heart; 3^12 secrets, few histories read."""
    form = parse_format("x {regex:[123]{12}}y")
    model = ambiguous_model(PAIRS, sharpness=1.0)
    view = model.tokenizer
    secret = "123123321123"
    pieces = [b"x", b" ", *(bytes([b]) for b in secret.encode()), b"y"]
    tokens = [view.token_bytes.index(piece) for piece in pieces]
    assert tokens != view.encode([form.render(secret)])[0]
    model.memorize(model.framing.record(tokens), 12.0)
    costs, (found,), _ = asked(form, model, [secret], kind, "exact")
    assert costs[0] < 1.0
    assert (found.rank, found.ties, found.status) == (1, 0, "measured")
    assert found.nodes < 1_000


@pytest.mark.parametrize("kind", KINDS)
def test_a_bracket_holds_the_truth_at_every_budget(kind: str) -> None:
    """From one history up to enough: the rank lies in its bracket, or is exact."""
    form = parse_format("x {regex:[123]{3}}y")
    model = ambiguous_model(seed=4)
    truth = listed(form, model)
    secrets = truth.secrets[::4]
    ranks = np.array(truth.ranks(kind, secrets))
    known = []
    for nodes in [1, 10, 40, 80, 120, 200, 400, 1_000, 4_000]:
        _, found, _ = asked(form, model, secrets, kind, "exact", Budget(nodes=nodes))
        low, high = (
            np.array([getattr(e, end) for e in found]) for end in ("rank_low", "rank_high")
        )
        assert np.all((low >= 1) & (low <= ranks) & (ranks <= high) & (high <= form.size))
        exact = [(e.rank, r) for e, r in zip(found, ranks.tolist(), strict=True) if e.rank]
        assert all(rank == r for rank, r in exact)
        known.append(len(exact))
    assert known[0] == 0 and known[-1] == len(secrets)


@pytest.mark.parametrize("kind", KINDS)
def test_uniform_draws_price_each_secret_over_its_lattice(kind: str) -> None:
    """The interval of the sampled rank holds the rank by listing."""
    form = parse_format("x {regex:[123]{4}}y")
    model = ambiguous_model(seed=5)
    truth = listed(form, model)
    secrets = of_ranks(truth, kind, [10, 40, 75])
    _, found, _ = asked(form, model, secrets, kind, "sampling", Budget(nodes=1))
    assert found[0].draws == 4_000
    for one, rank in zip(found, truth.ranks(kind, secrets), strict=True):
        assert one.rank_low <= rank <= one.rank_high
        assert one.rank_high / one.rank_low < 2.5


def test_extrapolation_names_itself_and_its_draws() -> None:
    """The fitted tail over costs of another kind."""
    form = parse_format("x {regex:[123]{4}}y")
    _, (found,), _ = asked(
        form, ambiguous_model(), ["1231"], "best", "extrapolation", Budget(nodes=1)
    )
    assert (found.method, found.draws) == ("extrapolation", 4_000)


@pytest.mark.parametrize("kind", KINDS)
def test_auto_turns_to_draws_where_exact_is_not_affordable(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memorized canary is ranked exactly, the other gets an interval that holds its rank; order is kept."""
    monkeypatch.setattr(segmented_, "SMALL", 10)
    monkeypatch.setattr(segmented_, "EXACT_NODES", 100)
    form = parse_format("x {regex:[123]{5}}y")
    model = ambiguous_model(seed=6)
    model.memorize([0, *model.tokenizer.encode([form.render("12321")])[0], 0], 9.0)
    truth = listed(form, model)
    secrets = [*of_ranks(truth, kind, [150]), "12321"]
    _, found, _ = asked(form, model, secrets, kind, "auto")
    assert [e.method for e in found] == ["importance", "exact"]
    ranks = truth.ranks(kind, secrets)
    assert found[1].rank == ranks[1] == 1
    assert found[0].rank_low <= ranks[0] <= found[0].rank_high


def test_ranks_do_not_ask_how_a_secret_is_cut() -> None:
    """Exposure counts strings: under a uniform model with one segmentation each, rank |R| with all ties against."""
    model = HistoryModel(CharacterView("x 0123456789"), sharpness=0.0)
    form = parse_format("x {digits:2}")
    for kind in KINDS:
        costs, (found,), notes = asked(form, model, ["42"], kind, "exact")
        assert costs[0] == pytest.approx(5 * math.log2(13), abs=1e-5)
        assert (found.rank, found.rank_for, found.ties) == (100, 1, 99)
        assert any("one segmentation" in note for note in notes)


def test_notes_say_in_how_many_ways_a_text_can_be_cut() -> None:
    """And what the other kind of cost makes of it, on average."""
    form = parse_format("x {regex:[123]{4}}y")
    model = ambiguous_model()
    truth = listed(form, model)
    secrets = truth.secrets[:10]
    _, _, notes = asked(form, model, secrets, "marginal", "exact")
    most = max(len(paths) for paths in truth.segmentations[:10])
    gain = float(np.mean(truth.canonical[:10] - truth.marginal[:10]))
    assert any(f"up to {most} ways" in note and f"{gain:.2f} bits" in note for note in notes)


def test_all_methods_are_there_and_an_unknown_one_is_refused() -> None:
    """The same names as for canonical segmentations."""
    assert set(METHODS) == set(ESTIMATORS)
    with pytest.raises(UsageError, match="method must be one of"):
        asked(parse_format("x {regex:[12]{2}}y"), ambiguous_model(), ["12"], "best", "guessing")


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_a_model_that_says_something_else_of_whole_texts_is_refused(factor: float) -> None:
    """Plain scoring and the tree must agree on the canonical sequence, whichever is dearer."""
    model = ambiguous_model()
    score = model.score
    model.score = lambda s, given=1: score(s, given) * factor  # type: ignore[method-assign]
    with pytest.raises(CouldNotMeasure, match="Two ways of pricing"):
        asked(parse_format("x {regex:[123]{3}}y"), model, ["123", "333"], "marginal", "exact")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["auto", "importance"])
def test_a_budget_in_seconds_ends_the_pricing_of_canaries(kind: str, method: str) -> None:
    """Long texts have many segmentations: when the time is over before they are read, nothing is called measured."""
    form = parse_format("x {regex:[123]{7}}y")
    model = ambiguous_model()
    with pytest.raises(CouldNotMeasure, match="budget ran out before the canaries"):
        asked(form, model, ["1231231"], kind, method, Budget(seconds=1e-9))
