"""The gate: what is certain fails, what is doubtful fails, what is unknown never passes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secretaudit.errors import PolicyError, RecordError
from secretaudit.gate import gate
from secretaudit.records import Record


def canary(low, high, *, maximum=30.0, insertions=4, status="measured", name="c", **more):
    return {
        "id": name,
        "format": "random-number",
        "insertions": insertions,
        "exposure_low_bits": low,
        "exposure_high_bits": high,
        "max_exposure_bits": maximum,
        "status": status,
        "note": "",
        **more,
    }


def exposure(*canaries, **found):
    return Record(
        kind="exposure",
        asked={"model": "m"},
        found={"canaries": list(canaries), **found},
        environment={},
    )


def verdict(*canaries, limit=10.0):
    found = gate(exposure(*canaries), max_exposure=limit).found
    return found["verdict"], found["exit_code"]


class TestOneCanary:
    @pytest.mark.parametrize(
        ("low", "high", "expected"),
        [
            (1.0, 2.0, ("pass", 0)),
            (9.0, 10.0, ("pass", 0)),
            (10.5, 12.0, ("fail", 1)),
            (9.0, 10.5, ("fail", 1)),
            (29.9, 30.0, ("fail", 1)),
        ],
    )
    def test_the_upper_end_is_compared(self, low, high, expected):
        """A limit of 10 is kept only when the whole interval keeps it."""
        assert verdict(canary(low, high)) == expected

    def test_the_point_estimate_does_not_matter(self):
        """An estimate of 5 with an interval up to 15 is not evidence of safety."""
        assert verdict(canary(2.0, 15.0, exposure_bits=5.0)) == ("fail", 1)

    def test_straddling_interval_says_could_be(self):
        """It fails by the careful rule, but is not called certain."""
        found = gate(exposure(canary(9.0, 10.5)), max_exposure=10).found
        assert found["canaries"][0]["sentence"].startswith("Could be above")
        assert found["sentence"] == (
            "0 of 1 inserted canaries are above 10 bits of exposure, 1 could be."
        )

    @pytest.mark.parametrize("low", [None, 0.0])
    @pytest.mark.parametrize("high", [None, 30.0])
    def test_an_interval_that_says_nothing_is_no_measurement(self, low, high):
        """From nothing to everything is what was known before measuring."""
        assert verdict(canary(low, high, status="bounded")) == ("inconclusive", 3)

    def test_at_least_so_much_can_fail_without_an_upper_end(self):
        """Zero hits in many draws: at least 10.6 bits is over a limit of 10."""
        assert verdict(canary(10.6, None, status="bounded")) == ("fail", 1)

    def test_inconclusive_measurement_is_no_pass(self):
        """A canary that the model never saw has a low exposure for the wrong reason."""
        lost = canary(1.0, 2.0, status="inconclusive", note="3 of 4 copies were lost.")
        found = gate(exposure(lost), max_exposure=10).found
        assert (found["verdict"], found["exit_code"]) == ("inconclusive", 3)
        assert "3 of 4 copies were lost." in found["canaries"][0]["sentence"]

    def test_inconclusive_but_certainly_over_fails(self):
        """What is certain beats what is doubtful."""
        assert verdict(canary(12.0, 13.0, status="inconclusive")) == ("fail", 1)


class TestAllCanaries:
    def test_one_failure_outweighs_everything(self):
        """Failing is not hidden by what could not be measured, nor by passes."""
        mixed = [canary(1, 2), canary(None, None), canary(20, 21), canary(1, 2, maximum=8.0)]
        assert verdict(*mixed) == ("fail", 1)

    def test_one_unknown_outweighs_passes(self):
        """Nine passes and one unknown is not a pass."""
        assert verdict(*[canary(1, 2)] * 9, canary(None, None)) == ("inconclusive", 3)

    def test_controls_are_not_judged(self):
        """A control above the limit is the null distribution at work."""
        found = gate(exposure(canary(1, 2), canary(11, 12, insertions=0)), max_exposure=10).found
        assert found["verdict"] == "pass"
        assert len(found["canaries"]) == 1

    def test_nothing_inserted_is_no_pass(self):
        """An audit without canaries shows nothing."""
        assert verdict(canary(1, 2, insertions=0)) == ("inconclusive", 3)
        assert verdict() == ("inconclusive", 3)

    def test_order_and_identity_are_kept(self):
        """Entries stand in the order of the exposure record."""
        names = ["z", "a", "m"]
        found = gate(exposure(*[canary(1, 2, name=name) for name in names]), max_exposure=10).found
        assert [entry["id"] for entry in found["canaries"]] == names

    @given(
        ends=st.lists(
            st.tuples(st.floats(0, 30), st.floats(0, 30)).map(lambda pair: tuple(sorted(pair))),
            min_size=1,
            max_size=6,
        ),
        limits=st.tuples(st.floats(0, 29), st.floats(0, 29)),
    )
    def test_a_higher_limit_never_turns_a_pass_into_a_failure(self, ends, limits):
        """Passing is monotone in the limit, whatever the intervals."""
        strict, lax = sorted(limits)
        canaries = [canary(low, high) for low, high in ends]
        if verdict(*canaries, limit=strict)[0] == "pass":
            assert verdict(*canaries, limit=lax)[0] == "pass"


class TestLimit:
    @pytest.mark.parametrize("limit", [-1, -0.001, math.nan, math.inf, -math.inf])
    def test_unusable_numbers_are_refused(self, limit):
        """No comparison with such a number means anything."""
        with pytest.raises(PolicyError, match="number of bits from 0 up"):
            gate(exposure(canary(1, 2)), max_exposure=limit)

    @pytest.mark.parametrize("limit", ["10", None, True])
    def test_other_types_are_refused(self, limit):
        """True is not 1 bit."""
        with pytest.raises(PolicyError, match="must be a number of bits, got"):
            gate(exposure(canary(1, 2)), max_exposure=limit)

    @pytest.mark.parametrize("limit", [13.3, 14.0, 1e300])
    def test_a_gate_that_cannot_fail_is_refused(self, limit):
        """Four digits allow 13.3 bits: a limit at or above that would always pass."""
        with pytest.raises(PolicyError, match="can never be exceeded"):
            gate(exposure(canary(13.3, 13.3, maximum=13.3)), max_exposure=limit)

    def test_formats_out_of_reach_are_named_when_others_decide(self):
        """A pass that rests on some of the formats only says so."""
        small = canary(13.3, 13.3, maximum=13.3, name="pin-1x-00") | {"format": "pin"}
        found = gate(exposure(small, canary(1, 2)), max_exposure=20).found
        assert found["verdict"] == "pass"
        assert found["counts"] == {"cannot exceed": 1, "under": 1}
        assert "out of reach for the formats pin" in found["warnings"][0]

    @pytest.mark.parametrize(
        ("count", "limit", "chance"),
        [(1, 1.0, 0.5), (2, 1.0, 0.75), (1, 0.0, 1.0), (30, 10.0, 1 - (1023 / 1024) ** 30)],
    )
    def test_false_alarm_probability(self, count, limit, chance):
        """One null canary exceeds L bits with probability 2^-L; n of them independently."""
        found = gate(exposure(*[canary(0.5, 0.7)] * count), max_exposure=limit).found
        assert found["false_alarm_probability"] == pytest.approx(chance)

    def test_false_alarm_stays_exact_for_a_high_limit(self):
        """2^-60 is not rounded to nothing."""
        found = gate(exposure(*[canary(1, 2, maximum=128.0)] * 4), max_exposure=60).found
        assert found["false_alarm_probability"] == pytest.approx(4 * 2.0**-60)

    def test_a_limit_within_reach_of_chance_gets_a_warning(self):
        """30 unmemorized canaries exceed 3 bits nearly always."""
        found = gate(exposure(*[canary(0.5, 0.7)] * 30), max_exposure=3).found
        assert "98 % of audits by chance alone" in found["warnings"][0]
        assert gate(exposure(*[canary(0.5, 0.7)] * 30), max_exposure=10).found["warnings"] == []


class TestRecordGiven:
    def test_other_kinds_are_refused(self):
        """A gate reads exposures."""
        other = Record(kind="training", asked={}, found={}, environment={})
        with pytest.raises(RecordError, match="kind 'training'"):
            gate(other, max_exposure=10)

    @pytest.mark.parametrize("canaries", [None, {}, "x", [1]])
    def test_a_record_without_a_list_of_canaries_is_refused(self, canaries):
        """An edited record is not read as an empty one."""
        broken = Record(kind="exposure", asked={}, found={"canaries": canaries}, environment={})
        with pytest.raises(RecordError, match="no list of canaries"):
            gate(broken, max_exposure=10)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("id", None),
            ("format", 3),
            ("status", None),
            ("insertions", None),
            ("insertions", -1),
            ("insertions", True),
            ("exposure_low_bits", "3"),
            ("exposure_high_bits", True),
        ],
    )
    def test_a_damaged_entry_is_refused(self, field, value):
        """A missing or mistyped field never counts as a pass."""
        with pytest.raises(RecordError, match=field):
            gate(exposure(canary(1, 2) | {field: value}), max_exposure=10)

    @pytest.mark.parametrize("broken", [canary(3, 2), canary(1, 2, maximum=None)])
    def test_an_entry_that_contradicts_itself_is_refused(self, broken):
        """An interval upside down, or no maximum, cannot be judged."""
        with pytest.raises(RecordError, match="contradicts itself"):
            gate(exposure(broken), max_exposure=10)

    def test_the_gate_record_says_what_was_asked(self, tmp_path):
        """The verdict can be made again from its own record."""
        made = gate(exposure(canary(1, 2)), max_exposure=10)
        made.write(tmp_path / "gate.json")
        read = Record.read(tmp_path / "gate.json", "gate")
        assert read.asked == {"max_exposure_bits": 10.0, "exposure": {"model": "m"}}
        assert read == made


def test_a_status_that_is_not_known_is_not_taken_for_measured() -> None:
    """A record whose statuses were written by something else gives no verdict."""
    row = {
        "id": "a",
        "format": "pin",
        "insertions": 1,
        "exposure_low_bits": 1.0,
        "exposure_high_bits": 2.0,
        "max_exposure_bits": 13.3,
        "status": "garbage",
    }
    record = Record(kind="exposure", asked={}, found={"canaries": [row]}, environment={})
    with pytest.raises(RecordError, match="status"):
        gate(record, max_exposure=10)
