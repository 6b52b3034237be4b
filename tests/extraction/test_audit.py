"""``extract``: a search of a model, held against the ledger, as a record."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from secretaudit.canary.format import parse_format
from secretaudit.canary.ledger import Ledger
from secretaudit.errors import FormatError, ModelError, UsageError
from secretaudit.extraction import sampling as sampling_
from secretaudit.extraction.audit import METHODS, extract
from secretaudit.records import Record, mask
from tests.fakes import CharacterView, HistoryModel
from tests.naive import ALPHABET, ledger_of, record_tokens


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two thousand draws show as much as ten thousand."""
    monkeypatch.setattr(sampling_, "DRAWS", 2_000)


LARGE = parse_format("the number is {digits:9}")
SMALL = parse_format("pin {digits:2}")
FIRST, SECOND, UNSEEN = "281265017", "314159265", "000111222"


def ledger() -> Ledger:
    return ledger_of(
        [LARGE, SMALL],
        [
            (LARGE.name, SECOND, 4),
            (SMALL.name, "42", 4),
            (LARGE.name, FIRST, 16),
            (LARGE.name, UNSEEN, 1),
            (LARGE.name, "999888777", 0),
        ],
    )


def memorizing_model() -> HistoryModel:
    """Uniform but for two memorized numbers: FIRST more than SECOND."""
    model = HistoryModel(CharacterView(ALPHABET), sharpness=0.0)
    for secret, logit in ((SECOND, 8.0), (FIRST, 9.0)):
        model.memorize(record_tokens(model, LARGE, secret), logit)
    return model


def search(**options: object) -> Record:
    return extract(
        memorizing_model(), **{"format": LARGE.name, "canaries": ledger(), "top": 2, **options}
    )


@pytest.mark.parametrize("method", METHODS)
def test_canaries_come_out_with_their_places(method: str) -> None:
    """Both memorized ones, the cheaper first; the one that was not memorized has no place."""
    found = search(method=method, reveal=True).found
    assert [row["secret"] for row in found["secrets"]] == [FIRST, SECOND]
    by_secret = {c.secret: c.id for c in ledger().canaries}
    assert [row["canary"] for row in found["secrets"]] == [by_secret[FIRST], by_secret[SECOND]]
    assert [row["insertions"] for row in found["secrets"]] == [16, 4]
    places = {entry["id"]: entry["place"] for entry in found["canaries"]}
    assert places == {by_secret[SECOND]: 2, by_secret[FIRST]: 1, by_secret[UNSEEN]: None}


def test_queries_are_held_against_the_space() -> None:
    """Far below |R|: a few hundred for 10^9, and the difference in bits stands beside it."""
    found = search().found
    assert found["size"] == str(10**9)
    assert found["queries"] < 5_000
    expected = math.log2(10**9) - math.log2(found["queries"])
    assert found["queries_saved_bits"] == pytest.approx(expected)
    assert (found["proven"], found["complete"], found["note"]) == (2, True, "")
    assert [row["proven"] for row in found["secrets"]] == [True, True]


def test_costs_are_those_of_plain_scoring() -> None:
    """The whole record, separators included."""
    model = memorizing_model()
    for row, secret in zip(search(reveal=True).found["secrets"], (FIRST, SECOND), strict=True):
        expected = model.cost(record_tokens(model, LARGE, secret))
        assert row["log_perplexity_bits"] == pytest.approx(expected, abs=1e-6)


def test_a_control_that_comes_out_is_shown() -> None:
    """A secret that nobody inserted and that the model gives away is named as the control it is."""
    model = memorizing_model()
    model.memorize(record_tokens(model, LARGE, "999888777"), 12.0)
    found = extract(model, format=LARGE.name, canaries=ledger(), top=1).found
    (row,) = found["secrets"]
    assert row["insertions"] == 0
    assert {"id": row["canary"], "insertions": 0, "place": 1} in found["canaries"]


def test_beam_and_sampling_prove_nothing() -> None:
    """No bound, no proof, and the draws are told."""
    results = {method: search(method=method).found for method in ("beam", "sampling")}
    for found in results.values():
        assert (found["proven"], found["bound_bits"]) == (0, None)
        assert not any(row["proven"] for row in found["secrets"])
    assert results["sampling"]["draws"] == 2_000
    assert "draws stayed inside the format" in results["sampling"]["note"]


def test_a_budget_that_ends_is_a_result_with_a_bound() -> None:
    """No exception: what is missing costs at least so much, in a sentence and in a number."""
    found = search(budget=30).found
    assert not found["complete"]
    assert "ran out" in found["note"]
    assert found["bound_bits"] > 0
    assert {entry["place"] for entry in found["canaries"]} == {None}


def test_secrets_are_masked_unless_asked_for() -> None:
    """Neither canaries nor other secrets that the model gives away stand in the record."""
    record = search()
    assert FIRST not in record.to_json() and SECOND not in record.to_json()
    assert [row["secret"] for row in record.found["secrets"]] == [mask(FIRST), mask(SECOND)]


def test_a_record_comes_back_from_its_file(tmp_path: Path) -> None:
    """Equal after the round trip."""
    record = search(method="beam", width=7)
    record.write(tmp_path / "extraction.json")
    assert Record.read(tmp_path / "extraction.json", "extraction") == record
    assert json.loads((tmp_path / "extraction.json").read_text())["asked"]["width"] == 7


def test_without_a_ledger_the_search_goes_on() -> None:
    """An attack needs no ledger: the same secrets, and no canary is named."""
    found = extract(memorizing_model(), format=LARGE.template, top=2, reveal=True).found
    assert [row["secret"] for row in found["secrets"]] == [FIRST, SECOND]
    assert found["canaries"] == []
    assert {row["canary"] for row in found["secrets"]} == {None}


def test_a_format_is_named_given_inline_or_as_an_object() -> None:
    """Three ways to say the same; canaries are found by the space, not by the name."""
    results = [search(format=form).found for form in (LARGE.name, LARGE.template, LARGE)]
    for found in results:
        assert [entry["place"] for entry in found["canaries"]] == [2, 1, None]


def test_canaries_of_another_format_are_not_looked_for() -> None:
    """The pin of the ledger has no place among nine digits, nor nine digits among pins."""
    found = search(format=SMALL.name, top=100, reveal=True).found
    assert [(entry["id"], entry["insertions"]) for entry in found["canaries"]] == [
        (ledger().canaries[1].id, 4)
    ]
    assert found["canaries"][0]["place"] is not None


def test_the_same_seed_draws_the_same() -> None:
    """Draws come from the seed alone."""
    one, same, other = (
        search(method="sampling", seed=s, temperature=2.0).found["secrets"] for s in (1, 1, 2)
    )
    assert one == same
    assert one != other


def test_a_small_memory_changes_nothing_that_is_found() -> None:
    """The same secrets with their costs."""
    large, small = (search(memory=memory).found["secrets"] for memory in ("2GiB", "400KB"))
    assert large == small


def test_nan_weights_are_refused() -> None:
    """A search among costs that are not numbers is no search."""
    for method in METHODS:
        model = memorizing_model()
        model.table[:] = math.nan
        with pytest.raises(ModelError, match="not finite"):
            extract(model, format=LARGE.name, canaries=ledger(), method=method)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "shortest_path"}, "method must be one of"),
        ({"top": 0}, "top must be at least 1"),
        ({"width": 0}, "width must be at least 1"),
        ({"budget": "0"}, "no budget"),
        ({"temperature": 0.0}, "make no distribution"),
        ({"top_p": 2.0}, "make no distribution"),
        ({"top_k": 0}, "make no distribution"),
    ],
)
def test_settings_that_mean_nothing_are_refused(options: dict[str, object], message: str) -> None:
    """Each with its own message, before the model is read."""
    with pytest.raises(UsageError, match=message):
        search(**options)


def test_an_unknown_format_suggests_the_nearest() -> None:
    """The library is offered."""
    with pytest.raises(FormatError) as refused:
        search(format="random-numbr")
    assert "random-number" in str(refused.value)
