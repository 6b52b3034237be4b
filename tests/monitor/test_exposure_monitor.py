"""``ExposureMonitor``: when it looks, what it sees, and what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from secretaudit.canary.format import parse_format
from secretaudit.canary.ledger import Ledger
from secretaudit.errors import UsageError
from secretaudit.exposure.audit import expose
from secretaudit.monitor import watched_format
from secretaudit.monitor.exposure_monitor import ExposureMonitor
from secretaudit.training.watching import Moment, Sight
from secretaudit.tree.scored_space import SecretScorer
from tests.fakes import CharacterView, HistoryModel
from tests.naive import ALPHABET, all_secrets, ledger_of, record_tokens

PIN = parse_format("pin {digits:3}")
NUMBER = parse_format("the number is {digits:9}")
SECRETS = [
    (PIN.name, "123", 4),
    (PIN.name, "456", 0),
    (NUMBER.name, "281265017", 4),
    (NUMBER.name, "111222333", 1),
    (NUMBER.name, "000111222", 0),
    (NUMBER.name, "987654321", 0),
]
START = Moment(
    step=1, epoch=1.0, ends_epoch=True, ends_training=False, training_seconds=0.0, watching_seconds=0.0
)  # fmt: skip


def ledger() -> Ledger:
    return ledger_of([PIN, NUMBER], SECRETS)


def model(*memorized: str) -> HistoryModel:
    """A model of the whole history that knows these secrets by heart."""
    found = HistoryModel(CharacterView(ALPHABET))
    for name, secret, _ in SECRETS:
        if secret in memorized:
            form = PIN if name == PIN.name else NUMBER
            found.memorize(record_tokens(found, form, secret))
    return found


def begun(weights: Callable[[], Any], **settings: Any) -> ExposureMonitor:
    """A monitor at the start of a training."""
    monitor = ExposureMonitor(**settings)
    monitor.begin(ledger(), weights, [])
    return monitor


def seen(sight: Sight) -> dict[str, dict[str, Any]]:
    """The exposures of an entry by canary."""
    return {row["id"]: row for row in sight.entry["exposures"]}


def moments(monitor: ExposureMonitor, count: int, *, per_epoch: int, seconds: float) -> list[int]:
    """The steps at which a training of so many steps is looked at, each look taking ``seconds`` of a step's time."""
    looked, watching = [], 0.0
    for step in range(1, count + 1):
        moment = Moment(
            step=step,
            epoch=step / per_epoch,
            ends_epoch=step % per_epoch == 0,
            ends_training=step == count,
            training_seconds=float(step),
            watching_seconds=watching,
        )
        if monitor.wants(moment):
            sight = monitor.look(moment)
            looked.append(step)
            watching += seconds
            # what the look took is what the test says that it took
            monitor._last = replace(monitor._last, seconds=seconds)  # type: ignore[type-var]
            assert sight.entry["skipped"] >= 0
    return looked


class TestNumbers:
    """The exposures are those of ``expose``."""

    def test_enumerated_ranks_are_those_that_expose_gives_for_the_same_model(self) -> None:
        """A small space has the same rank, to the last one."""
        weights = model("123")
        rows = seen(begun(lambda: weights, formats=[PIN.name]).look(START))
        said = expose(weights, canaries=ledger(), method="enumeration", budget="2000000 nodes")
        for canary in said.found["canaries"]:
            if canary["format"] == PIN.name:
                row = rows[canary["id"]]
                assert row["method"] == "enumeration"
                assert row["exposure_bits"] == canary["exposure_bits"]
                assert row["cost_bits"] == canary["log_perplexity_bits"]
                assert row["low_bits"] == row["exposure_bits"] == row["high_bits"]

    def test_an_enumerated_rank_counts_the_secrets_that_cost_no_more(self) -> None:
        """By listing all thousand and pricing each in plain Python."""
        weights = model()
        rows = seen(begun(lambda: weights, formats=[PIN.name]).look(START))
        costs = np.array([weights.cost(record_tokens(weights, PIN, s)) for s in all_secrets(PIN)])
        for row in rows.values():
            rank = (costs <= row["cost_bits"] + 1e-3).sum()
            assert row["exposure_bits"] == pytest.approx(np.log2(1000 / rank))

    def test_drawn_intervals_hold_what_expose_finds_by_far_more_work(self) -> None:
        """Nine digits under a model with one secret by heart: the exact ranks, and intervals around them."""
        weights = model("281265017")
        rows = seen(begun(lambda: weights, formats=[NUMBER.name], draws=3072).look(START))
        said = expose(weights, canaries=ledger(), precision=0.1, seed=5).found["canaries"]
        truth = {c["id"]: c for c in said if c["format"] == NUMBER.name}
        assert set(rows) == set(truth)
        for name, row in rows.items():
            assert row["method"] == "importance"
            assert row["low_bits"] <= truth[name]["exposure_high_bits"]
            assert row["high_bits"] >= truth[name]["exposure_low_bits"]
            assert row["high_bits"] - row["low_bits"] < 2.0

    def test_a_secret_known_by_heart_has_all_the_bits_of_its_space(self) -> None:
        """The likeliest of 10^9 is found to be the first."""
        weights = model("281265017")
        rows = seen(begun(lambda: weights).look(START))
        assert rows[_id("281265017")]["exposure_bits"] == pytest.approx(np.log2(1e9), abs=0.1)

    def test_looks_follow_the_weights(self) -> None:
        """The tree is made once, and its costs are those of the model of the moment."""
        weights = [model(), model("281265017")]
        monitor = begun(lambda: weights[0])
        before = seen(monitor.look(START))[_id("281265017")]
        weights.pop(0)
        after = seen(monitor.look(replace(START, step=2)))[_id("281265017")]
        assert after["cost_bits"] < before["cost_bits"] - 20
        assert after["exposure_bits"] > before["exposure_bits"] + 10

    def test_the_same_step_gives_the_same_numbers_and_other_steps_others(self) -> None:
        """Draws depend on seed and step, and not on what was looked at before."""
        weights = model()
        one = begun(lambda: weights)
        one.look(replace(START, step=7))
        other = begun(lambda: weights)
        at_nine = one.look(replace(START, step=9)).entry["exposures"]
        assert at_nine == other.look(replace(START, step=9)).entry["exposures"]
        assert at_nine != other.look(replace(START, step=10)).entry["exposures"]
        assert (
            at_nine
            != begun(lambda: weights, seed=1).look(replace(START, step=9)).entry["exposures"]
        )

    def test_a_model_that_prices_whole_texts_is_ranked_too(self) -> None:
        """Where there is no tree, the small space is listed and the large one sampled."""
        scorer = Scorer(model("123"))
        assert isinstance(scorer, SecretScorer)
        rows = seen(begun(lambda: scorer).look(START))
        assert rows[_id("123")]["exposure_bits"] == pytest.approx(np.log2(1000))
        assert rows[_id("000111222")]["method"] == "sampling"

    def test_the_most_that_is_enumerated_grows_with_the_draws(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A thousand secrets are listed for 300 draws, and drawn from where listing may cost less."""
        weights = model()
        assert (
            seen(begun(lambda: weights, draws=300).look(START))[_id("123")]["method"]
            == "enumeration"
        )
        monkeypatch.setattr(watched_format, "EXACT_UP_TO", 3)
        assert (
            seen(begun(lambda: weights, draws=300).look(START))[_id("123")]["method"]
            == "importance"
        )


class Scorer:
    """Prices whole texts only."""

    name = "scorer"

    def __init__(self, weights: HistoryModel) -> None:
        self._weights = weights

    def score_secrets(self, form: Any, secrets: Any) -> Any:
        return self._weights.score([record_tokens(self._weights, form, s) for s in secrets])


def _id(secret: str) -> str:
    return next(c.id for c in ledger().canaries if c.secret == secret)


class TestEntry:
    """What a look leaves behind."""

    def test_an_entry_is_plain_json_and_holds_no_secret(self) -> None:
        """What is written shows neither a secret nor a text."""
        weights = model()
        entry = begun(lambda: weights).look(START).entry
        text = json.dumps(entry, allow_nan=False)
        assert not any(secret in text for name, secret, _ in SECRETS if name == NUMBER.name)
        assert json.loads(text) == entry

    def test_an_entry_has_the_canaries_of_the_ledger_in_order(self) -> None:
        """Each with its insertions and an interval around its exposure."""
        weights = model()
        rows = begun(lambda: weights).look(START).entry["exposures"]
        assert [(r["format"], r["insertions"]) for r in rows] == [(f, n) for f, _, n in SECRETS]
        for row in rows:
            assert 0 <= row["low_bits"] <= row["exposure_bits"] <= row["high_bits"]

    def test_the_largest_is_of_inserted_canaries_and_the_mean_of_controls(self) -> None:
        """A control that happens to be likely is no memorization."""
        weights = model("987654321")
        sight = begun(lambda: weights).look(START)
        rows = sight.entry["exposures"]
        inserted = [r["exposure_bits"] for r in rows if r["insertions"]]
        controls = [r["exposure_bits"] for r in rows if not r["insertions"]]
        assert sight.entry["largest_bits"] == max(inserted) < max(controls)
        assert sight.entry["control_mean_bits"] == pytest.approx(np.mean(controls))
        assert sight.figures["exposure_bits"] == sight.entry["largest_bits"]

    def test_only_the_formats_that_are_asked_for_are_watched(self) -> None:
        """The others cost nothing."""
        weights = model()
        rows = begun(lambda: weights, formats=[NUMBER.name]).look(START).entry["exposures"]
        assert {row["format"] for row in rows} == {NUMBER.name}

    def test_the_settings_are_plain_json(self) -> None:
        """As the training's record holds them."""
        asked = ExposureMonitor(every=5, formats=["a"], stop_over=3).asked()
        assert asked == json.loads(json.dumps(asked))
        assert (asked["every"], asked["formats"], asked["stop_over"]) == (5, ["a"], 3)


class TestWhen:
    """When a look is taken."""

    def test_looks_are_taken_every_so_many_steps_and_at_the_end(self) -> None:
        """Also when the end is no multiple."""
        weights = model()
        monitor = begun(lambda: weights, every=3, formats=[PIN.name])
        assert moments(monitor, 8, per_epoch=4, seconds=0.0) == [3, 6, 8]

    def test_looks_are_taken_at_the_end_of_every_epoch_otherwise(self) -> None:
        """And at the end of the training."""
        weights = model()
        monitor = begun(lambda: weights, formats=[PIN.name])
        assert moments(monitor, 10, per_epoch=4, seconds=0.0) == [4, 8, 10]

    def test_looks_take_no_more_than_their_share_of_the_time(self) -> None:
        """Looks of one step's time at a tenth: the first, every tenth step from the twentieth on, and the last."""
        weights = model()
        monitor = begun(lambda: weights, every=1, formats=[PIN.name])
        looked = moments(monitor, 55, per_epoch=10, seconds=1.0)
        assert looked == [1, 20, 30, 40, 50, 55]

    def test_looks_that_were_left_out_are_counted(self) -> None:
        """Between steps 2 and 9, three were due and not taken; the end at 10 is none that was left out."""
        weights = model()
        monitor = begun(lambda: weights, every=2, formats=[PIN.name])
        monitor.look(replace(START, step=2))
        assert monitor.look(replace(START, step=9)).entry["skipped"] == 3
        assert monitor.look(replace(START, step=10)).entry["skipped"] == 0

    def test_epochs_that_were_left_out_are_counted(self) -> None:
        """From the end of epoch 1 to that of epoch 4, two."""
        weights = model()
        monitor = begun(lambda: weights, formats=[PIN.name])
        assert monitor.look(replace(START, epoch=1.0)).entry["skipped"] == 0
        assert monitor.look(replace(START, epoch=4.0000000001)).entry["skipped"] == 2
        assert monitor.look(replace(START, epoch=4.5)).entry["skipped"] == 0

    def test_a_resumption_goes_on_from_what_was_seen(self) -> None:
        """The first look of the resumed process is no first look, and what was left out is counted across."""
        weights = model()
        monitor = ExposureMonitor(every=1, formats=[PIN.name])
        monitor.begin(ledger(), lambda: weights, [{"step": 3, "epoch": 1.0, "seconds": 5.0}])
        late = replace(START, step=6, training_seconds=6.0, watching_seconds=5.0)
        assert not monitor.wants(late)
        assert monitor.wants(replace(late, ends_training=True))
        assert monitor.look(late).entry["skipped"] == 2

    @pytest.mark.parametrize("settings", [{"share": None}, {"stop_over": 30.0}])
    def test_no_look_is_left_out_where_the_clock_must_not_matter(
        self, settings: dict[str, Any]
    ) -> None:
        """Without a share, and where exposure stops the training."""
        weights = model()
        monitor = begun(lambda: weights, every=1, formats=[PIN.name], **settings)
        assert moments(monitor, 5, per_epoch=5, seconds=100.0) == [1, 2, 3, 4, 5]


class TestStopping:
    """``stop_over``."""

    def test_a_canary_over_the_limit_stops_the_training(self) -> None:
        """The reason stands in the sight."""
        weights = model("281265017")
        assert begun(lambda: weights, stop_over=20).look(START).stop == "exposure"

    def test_a_control_over_the_limit_stops_nothing(self) -> None:
        """It was never inserted, so it cannot have been memorized."""
        weights = model("987654321")
        assert begun(lambda: weights, stop_over=20).look(START).stop == ""

    def test_the_lower_end_of_the_interval_decides(self) -> None:
        """An exposure that may be below the limit does not stop."""
        weights = model()
        sight = begun(lambda: weights, formats=[NUMBER.name], draws=300).look(START)
        low = max(r["low_bits"] for r in sight.entry["exposures"] if r["insertions"])
        largest = sight.entry["largest_bits"]
        assert low < largest
        between = (low + largest) / 2
        settings: dict[str, Any] = {"formats": [NUMBER.name], "draws": 300}
        assert begun(lambda: weights, stop_over=between, **settings).look(START).stop == ""
        assert (
            begun(lambda: weights, stop_over=low - 0.01, **settings).look(START).stop == "exposure"
        )


class TestRefusals:
    """What cannot be watched."""

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"every": 0}, "every must be at least 1"),
            ({"draws": 299}, "draws must be at least 300"),
            ({"share": 0.0}, "share must be above 0"),
            ({"stop_over": -1.0}, "stop_over must be at least 0"),
            ({"stop_over": float("nan")}, "stop_over must be at least 0"),
            ({"seed": -1}, "seed must be at least 0"),
        ],
    )
    def test_settings_out_of_range_are_refused(
        self, settings: dict[str, Any], message: str
    ) -> None:
        """With the name of the setting."""
        with pytest.raises(UsageError, match=message):
            ExposureMonitor(**settings)

    def test_a_corpus_without_a_ledger_is_refused(self) -> None:
        """Before any training."""
        with pytest.raises(UsageError, match="no ledger of canaries"):
            ExposureMonitor().begin(None, model, [])

    def test_a_format_that_the_ledger_lacks_is_refused(self) -> None:
        """With the nearest that it has."""
        with pytest.raises(UsageError, match=f"Did you mean '{PIN.name}'"):
            ExposureMonitor(formats=[PIN.name[:-1]]).begin(ledger(), model, [])

    def test_a_ledger_without_canaries_is_refused(self) -> None:
        """There is nothing whose exposure could be measured."""
        with pytest.raises(UsageError, match="the ledger has no canary"):
            ExposureMonitor().begin(ledger_of([PIN], []), model, [])

    def test_controls_alone_cannot_stop_a_training(self) -> None:
        """A limit that can never be reached is a mistake."""
        alone = ledger_of([PIN], [(PIN.name, "123", 0)])
        ExposureMonitor().begin(alone, model, [])
        with pytest.raises(UsageError, match="could never stop"):
            ExposureMonitor(stop_over=3).begin(alone, model, [])

    def test_a_look_before_the_beginning_is_a_mistake_of_the_caller(self) -> None:
        """And says so."""
        with pytest.raises(ValueError, match="begin"):
            ExposureMonitor().look(START)
