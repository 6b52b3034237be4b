"""``expose``: the whole way from a model and a ledger to a record."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from secretaudit.canary.format import Format, parse_format
from secretaudit.canary.ledger import Ledger
from secretaudit.errors import CouldNotMeasure, LedgerError, ModelError, UsageError
from secretaudit.exposure.audit import expose
from secretaudit.records import Record, mask
from tests.fakes import CharacterView, HistoryModel
from tests.naive import (
    ALPHABET,
    TOLERANCE,
    all_costs,
    all_secrets,
    ledger_of,
    question,
    record_tokens,
)

#: What the issue promises of each entry of ``found.canaries``.
FIELDS = {
    "id",
    "format",
    "insertions",
    "log_perplexity_bits",
    "exposure_bits",
    "exposure_low_bits",
    "exposure_high_bits",
    "max_exposure_bits",
    "rank",
    "rank_low",
    "rank_high",
    "rank_for",
    "rank_middle",
    "ties",
    "method",
    "nodes",
    "draws",
    "status",
    "note",
}
DIGITS = parse_format("code {digits:3}")
VARIED = parse_format("pin {digits:1-2}.")
LARGE = parse_format("the number is {digits:9}")
#: Canaries of three formats, interleaved.
SECRETS = [
    (DIGITS.name, "123", 4),
    (VARIED.name, "7", 1),
    (LARGE.name, "281265017", 4),
    (DIGITS.name, "456", 0),
    (VARIED.name, "42", 0),
    (LARGE.name, "000111222", 0),
    (DIGITS.name, "789", 1),
]


def ledger() -> Ledger:
    return ledger_of([DIGITS, VARIED, LARGE], SECRETS)


def memorizing_model(**options: float) -> HistoryModel:
    """A model that has memorized every canary with 4 insertions."""
    model = HistoryModel(CharacterView(ALPHABET), seed=3, **options)  # type: ignore[arg-type]
    for canary in ledger().canaries:
        if canary.insertions == 4:
            form = ledger().formats[canary.format]
            model.memorize(record_tokens(model, form, canary.secret), 9.0)
    return model


def rows(record: Record) -> dict[str, dict[str, object]]:
    return {row["id"]: row for row in record.found["canaries"]}


def controls_of(form: Format, count: int, seed: int = 0) -> Ledger:
    secrets = form.sample(count, np.random.default_rng(seed))
    return ledger_of([form], [(form.name, secret, 0) for secret in secrets])


def test_entries_have_the_promised_fields_in_the_order_of_the_ledger() -> None:
    """Formats are interleaved in the ledger; results are not sorted by anything."""
    record = expose(memorizing_model(), canaries=ledger())
    found = record.found["canaries"]
    assert record.kind == "exposure"
    assert [row["id"] for row in found] == [canary.id for canary in ledger().canaries]
    assert [row["insertions"] for row in found] == [n for _, _, n in SECRETS]
    assert all(row.keys() >= FIELDS for row in found)
    assert {row["method"] for row in found} <= {"enumeration", "exact", "importance"}


def test_each_entry_is_the_canary_by_counting() -> None:
    """Costs, ranks and ceilings of the two small formats, from a plain count of all their secrets."""
    model = memorizing_model()
    found = rows(expose(model, canaries=ledger()))
    for canary in ledger().canaries:
        form = ledger().formats[canary.format]
        row = found[canary.id]
        own = model.cost(record_tokens(model, form, canary.secret))
        assert row["log_perplexity_bits"] == pytest.approx(own, abs=1e-6)
        assert row["max_exposure_bits"] == pytest.approx(math.log2(form.size))
        if form.size > 1000:
            continue
        costs = np.array([model.cost(record_tokens(model, form, s)) for s in all_secrets(form)])
        rank = int((costs <= own + TOLERANCE).sum())
        assert row["rank"] == rank
        assert row["exposure_bits"] == pytest.approx(math.log2(form.size / rank))


def test_a_memorized_canary_of_a_large_format_has_rank_one() -> None:
    """All 29.9 bits, found without looking at 10^9 secrets."""
    row = rows(expose(memorizing_model(), canaries=ledger()))[ledger().canaries[2].id]
    assert (row["rank"], row["method"], row["status"]) == (1, "exact", "measured")
    assert row["exposure_bits"] == pytest.approx(math.log2(10**9))
    assert row["nodes"] < 100_000


def test_the_order_of_the_ledger_does_not_change_a_canary() -> None:
    """The same canaries backwards: the same numbers, with their ids (sampled ones included)."""
    canaries = ledger().canaries
    backwards = Ledger(
        seed=0, formats=ledger().formats, canaries=canaries[::-1], corpus={}, salt=ledger().salt
    )
    one, other = (rows(expose(memorizing_model(), canaries=c)) for c in (ledger(), backwards))
    for name, row in one.items():
        for field in ("rank", "exposure_bits", "exposure_low_bits", "log_perplexity_bits"):
            assert other[name][field] == pytest.approx(row[field], rel=1e-9)


def test_a_canary_measures_the_same_alone() -> None:
    """No state is carried from one canary to the next: a ledger of one gives the same cost and rank."""
    model = memorizing_model()
    together = rows(expose(model, canaries=ledger()))
    for number, entry in enumerate(SECRETS[:5]):
        form = ledger().formats[entry[0]]
        (alone,) = expose(model, canaries=ledger_of([form], [entry])).found["canaries"]
        row = together[ledger().canaries[number].id]
        assert alone["rank"] == row["rank"]
        assert alone["log_perplexity_bits"] == pytest.approx(row["log_perplexity_bits"], abs=1e-9)


def test_costs_are_sums_that_begin_at_the_separator_and_end_with_it() -> None:
    """Under a uniform model each token costs log2 V: text, secret and closing separator, the first character included."""
    model = HistoryModel(CharacterView(ALPHABET), sharpness=0.0)
    found = rows(expose(model, canaries=ledger()))
    for canary in ledger().canaries:
        expected = (len(canary.text) + 1) * math.log2(model.vocabulary_size)
        assert found[canary.id]["log_perplexity_bits"] == pytest.approx(expected, abs=1e-4)


def test_secrets_are_masked_unless_asked_for() -> None:
    """No secret stands anywhere in the record; with ``reveal`` each stands beside its id."""
    hidden = expose(memorizing_model(), canaries=ledger())
    text = hidden.to_json()
    for canary in ledger().canaries:
        if len(canary.secret) > 3:
            assert canary.secret not in text.replace(canary.id, "")
        assert rows(hidden)[canary.id]["secret"] == mask(canary.secret)
    shown = rows(expose(memorizing_model(), canaries=ledger(), reveal=True))
    assert [shown[c.id]["secret"] for c in ledger().canaries] == [s for _, s, _ in SECRETS]


def test_a_record_comes_back_from_its_file(tmp_path: Path) -> None:
    """Equal after the round trip, and plain JSON without NaN."""
    record = expose(memorizing_model(), canaries=ledger(), method="sampling")
    record.write(tmp_path / "exposure.json")
    assert Record.read(tmp_path / "exposure.json", "exposure") == record
    document = json.loads((tmp_path / "exposure.json").read_text())
    assert document["schema"] == "secretaudit/exposure"
    bounded = [row for row in document["found"]["canaries"] if row["status"] == "bounded"]
    assert bounded and all(row["exposure_bits"] is None for row in bounded)


def test_what_was_asked_is_written_down() -> None:
    """Method, budget and seed, defaults included."""
    asked = expose(memorizing_model(), canaries=ledger(), seed=5, budget="20s").asked
    assert (asked["method"], asked["seed"]) == ("auto", 5)
    assert (asked["budget_nodes"], asked["budget_seconds"]) == (None, 20.0)
    assert asked["memory_bytes"] == 2 * 2**30
    assert expose(memorizing_model(), canaries=ledger()).asked["budget_nodes"] > 0


def test_the_same_seed_gives_the_same_record_whatever_the_memory() -> None:
    """Everything found is equal; a smaller memory changes nothing but the speed."""

    def found(memory: str, seed: int = 1) -> object:
        return expose(memorizing_model(), canaries=ledger(), memory=memory, seed=seed).found

    assert found("2GiB") == found("2GiB") == found("6MB")
    assert found("2GiB") != found("2GiB", seed=2)


def test_controls_of_a_model_that_knows_nothing_average_the_mean_of_the_null() -> None:
    """400 controls: 1/ln 2 ≈ 1.44 bits within 4 standard errors, and the record says what to expect."""
    record = expose(
        HistoryModel(CharacterView(ALPHABET), seed=12),
        canaries=controls_of(parse_format("code {digits:4}"), 400),
    )
    controls = record.found["controls"]
    assert controls["count"] == 400
    assert controls["expected_mean_bits"] == pytest.approx(1.4427, abs=1e-4)
    assert controls["expected_standard_error_bits"] == pytest.approx(1.4427 / 20, abs=1e-4)
    assert abs(controls["mean_exposure_bits"] - 1.4427) <= 4 * 1.4427 / 20
    exposures = [row["exposure_bits"] for row in record.found["canaries"]]
    assert controls["mean_exposure_bits"] == pytest.approx(np.mean(exposures))


def test_without_controls_no_mean_is_made_up() -> None:
    """Null, not zero and not NaN."""
    only = ledger_of([DIGITS], [(DIGITS.name, "123", 4)])
    controls = expose(memorizing_model(), canaries=only).found["controls"]
    assert (controls["count"], controls["mean_exposure_bits"]) == (0, None)


class OffBy(HistoryModel):
    """Plain scoring that does not agree with the steps, as with active dropout or a state carried over."""

    bits = 0.01

    def score(self, sequences, given=1):  # type: ignore[no-untyped-def]
        whole = [self.bits * (sequence[-1] == 0) for sequence in sequences]  # not the prefix
        return super().score(sequences, given) + np.array(whole)


def test_two_ways_of_pricing_that_disagree_are_no_measurement() -> None:
    """A hundredth of a bit is more than rounding: exit 3 and no number."""
    with pytest.raises(CouldNotMeasure, match="Two ways of pricing a canary") as refused:
        expose(OffBy(CharacterView(ALPHABET)), canaries=ledger())
    assert refused.value.exit_code == 3


def test_a_coarse_number_format_is_named_as_the_reason() -> None:
    """Rounding of half precision is no active dropout."""
    model = OffBy(CharacterView(ALPHABET))
    model.dtype = "bfloat16"  # type: ignore[attr-defined]
    with pytest.raises(CouldNotMeasure) as refused:
        expose(model, canaries=ledger())
    assert "--dtype float32" in refused.value.way_out


def test_rounding_noise_between_the_two_ways_is_accepted() -> None:
    """A ten-thousandth of a bit is what float32 does, and moves no exact rank."""
    model = OffBy(CharacterView(ALPHABET), seed=3)
    plain = HistoryModel(CharacterView(ALPHABET), seed=3)
    model.bits = 1e-4
    one, other = (rows(expose(m, canaries=ledger())) for m in (model, plain))
    assert [row["rank_for"] for row in one.values()] == [row["rank_for"] for row in other.values()]


def test_a_model_with_nan_weights_is_refused() -> None:
    """No canary is ranked among costs that are not numbers."""
    model = HistoryModel(CharacterView(ALPHABET))
    model.table[5] = math.nan
    with pytest.raises(ModelError, match="not finite"):
        expose(model, canaries=ledger())


def test_a_model_without_a_ledger_is_refused() -> None:
    """There is nothing to measure, and the way out names the option."""
    with pytest.raises(LedgerError, match="no ledger of canaries") as refused:
        expose(memorizing_model())
    assert "--canaries" in refused.value.way_out


def test_a_character_that_the_tokenizer_lacks_is_refused() -> None:
    """A format that the model cannot write has no tree."""
    form = parse_format("CODE {digits:3}")
    with pytest.raises(ModelError):
        expose(memorizing_model(), canaries=ledger_of([form], [(form.name, "123", 1)]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "importanse"}, "method must be one of"),
        ({"budget": "0"}, "no budget"),
        ({"budget": "later"}, "cannot be read"),
        ({"memory": "a lot"}, "cannot be read"),
        ({"precision": 0.0}, "precision must be above 0"),
        ({"precision": math.nan}, "precision must be above 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(options: dict[str, object], message: str) -> None:
    """Each with its own message, before anything is measured."""
    with pytest.raises(UsageError, match=message):
        expose(memorizing_model(), canaries=ledger(), **options)  # type: ignore[arg-type]


def test_a_budget_that_ends_leaves_bounds_and_no_values() -> None:
    """Exact within two nodes: every canary is bounded, exposure null, and a sentence says why."""
    found = expose(memorizing_model(), canaries=ledger(), method="exact", budget=2)
    for row in found.found["canaries"]:
        assert (row["status"], row["exposure_bits"], row["rank"]) == ("bounded", None, None)
        assert (
            0 <= row["exposure_low_bits"] <= row["exposure_high_bits"] <= row["max_exposure_bits"]
        )
        assert "budget ran out" in row["note"]


def test_formats_say_what_they_took() -> None:
    """Size as an exact number, bits, nodes and draws per format."""
    formats = {
        f["format"]: f for f in expose(memorizing_model(), canaries=ledger()).found["formats"]
    }
    assert list(formats) == [DIGITS.name, VARIED.name, LARGE.name]
    assert formats[LARGE.name]["size"] == str(10**9)
    assert formats[VARIED.name]["bits"] == pytest.approx(math.log2(110))
    assert formats[DIGITS.name]["nodes"] > 100 and formats[DIGITS.name]["draws"] == 0


def test_a_ledger_is_read_from_its_file(tmp_path: Path) -> None:
    """A path is as good as the object."""
    ledger().write(tmp_path / "ledger.json")
    record = expose(memorizing_model(), canaries=tmp_path / "ledger.json")
    assert record.found["ledger_identity"] == ledger().identity
    assert record.asked["canaries"] == str(tmp_path / "ledger.json")
    assert not record.found["copies_known"]


def test_all_costs_of_a_format_are_what_the_tree_counts() -> None:
    """The largest tie is reported: under a uniform model all other secrets of a length."""
    model = HistoryModel(CharacterView(ALPHABET), sharpness=0.0)
    summary = expose(model, canaries=controls_of(VARIED, 20)).found["formats"][0]
    costs = all_costs(question(VARIED.template, sharpness=0.0).tree)
    assert (
        summary["leaves_in_tolerance"] == max(np.unique(costs.round(2), return_counts=True)[1]) - 1
    )
