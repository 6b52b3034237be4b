"""The demo speaks to somebody who has not read the paper."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest

from secretaudit.cli.demo_table import meaning
from secretaudit.gate import gate
from secretaudit.records import Record


@pytest.fixture
def records(exposure, extraction):
    """Five records of one demo."""
    return {
        "insertion": Record(kind="insertion", asked={}, found={}, environment={}),
        "training": Record(kind="training", asked={}, found={}, environment={}),
        "exposure": exposure,
        "extraction": extraction,
        "gate": gate(exposure, max_exposure=10),
    }


@pytest.fixture
def demo(monkeypatch, records):
    """The demo, without the minute that it takes."""
    asked = {}

    def run_demo(directory, *, seed, progress):
        asked.update(directory=directory, seed=seed)
        return records

    monkeypatch.setitem(sys.modules, "secretaudit.demo", SimpleNamespace(run_demo=run_demo))
    return asked


class TestDemo:
    def test_one_line_for_each_number_of_insertions(self, call, demo):
        """Never, once, sixteen times: what it did to the exposure."""
        shown = call("demo").stdout.splitlines()
        rows = [line.split()[:3] for line in shown if "░" in line or "█" in line]
        assert rows == [["never", "2", "1.5"], ["1", "1", "2.2"], ["16", "1", "29.9"]]

    def test_fits_80_columns(self, call, demo):
        """On the narrowest terminal that is still in use."""
        assert all(len(line.rstrip()) <= 80 for line in call("demo").stdout.splitlines())

    def test_three_sentences_say_what_it_means(self, records):
        """What was memorized, whether it comes out, what a gate makes of it; in this order."""
        memorized, comes_out, ships = meaning(records)
        assert "stood 16 times" in memorized
        assert "29.9 of at most 29.9 bits" in memorized
        assert "1 in 1,000,000,000" in memorized
        assert "1.5 bits" in memorized
        assert "can read 1 of these secrets" in comes_out
        assert "1,387 questions to the model, not 1,000,000,000 guesses" in comes_out
        assert ships.startswith("A gate at 10 bits stops this model")

    def test_sentences_follow_the_records(self, records):
        """A model that gives nothing away is not accused."""
        quiet = [
            c | {"exposure_low_bits": 1.0, "exposure_high_bits": 2.0, "exposure_bits": 1.5}
            for c in records["exposure"].found["canaries"]
        ]
        calm = Record(kind="exposure", asked={}, found={"canaries": quiet}, environment={})
        found = records["extraction"].found
        none = [c | {"place": None} for c in found["canaries"]]
        empty = Record(
            kind="extraction", asked={}, found={**found, "canaries": none}, environment={}
        )
        memorized, comes_out, ships = meaning(
            {**records, "exposure": calm, "extraction": empty, "gate": gate(calm, max_exposure=10)}
        )
        assert "has 1.5 of at most 29.9 bits" in memorized
        assert "found none of them" in comes_out
        assert ships == "A gate at 10 bits passes this model."

    def test_json_holds_all_five_records(self, call, demo, records):
        """One object, a record under each name."""
        outcome = call("demo", "--json", "--seed", 4, "-o", "kept")
        documents = json.loads(outcome.stdout)
        assert {name: document["schema"] for name, document in documents.items()} == {
            name: f"secretaudit/{name}" for name in records
        }
        assert demo["seed"] == 4
        assert str(demo["directory"]) == "kept"
