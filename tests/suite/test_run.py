"""From subject to record: what was asked and found, what is kept, and that "could not measure" stays what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from secretaudit.errors import CouldNotMeasure, UsageError
from secretaudit.records import Record
from secretaudit.suite import run as run_module
from secretaudit.suite.cells import Cell
from secretaudit.suite.modules import MODULES, settings_class, work_of
from secretaudit.suite.opening import Reading, open_subject
from secretaudit.suite.run import could_not_measure, run_all, run_suite
from secretaudit.suite.subject import ClassifierSubject, LanguageSubject, Run


def count(shared: Any, *, log: str) -> dict[str, Any]:
    with Path(log).open("a") as file:
        file.write("x")
    return {"examples": len(shared.task.train)}


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that counts examples in one cell, in the place of every paper's; "dissection" cannot measure."""
    place = tmp_path / "log"

    def work(module: str) -> Any:
        def run(subject: Any, settings: Any, run: Run) -> dict[str, Any]:
            if module == "dissection":
                raise CouldNotMeasure("It broke.", "It is a test.", "Nothing.")
            assert run.place is not None
            assert run.place.is_dir()
            cell = Cell(name="count", work=count, arguments={"log": str(place)})
            found = run.cells.run([cell], subject, identity=run.identity + module)
            status = "could not measure" if module == "pretraining" else "measured"
            part = {"status": status, "sentence": "Counted.", **found["count"]}
            return {
                "parts": {"count": part},
                "orderings": [{"part": "count", "claim": "c", "seen": "s", "holds": None}],
            }

        return run

    monkeypatch.setattr(run_module, "work_of", work)
    return place


def subject() -> ClassifierSubject:
    opened = open_subject("digits", reading=Reading(limit=20))
    assert isinstance(opened, ClassifierSubject)
    return opened


def test_every_module_has_settings_and_a_run() -> None:
    """With defaults for every dial, so that a command needs nothing but data."""
    for module in MODULES:
        assert settings_class(module)() == settings_class(module)()
        assert callable(work_of(module))
    with pytest.raises(UsageError, match="module must be one of noise"):
        settings_class("nois")


def test_the_record_says_what_was_asked_and_found(log: Path, tmp_path: Path) -> None:
    """Data by digest, model, every dial; the work directory is gone, the record is what was returned."""
    record = run_suite("noise", subject(), tmp_path / "out", seed=3)
    assert Record.read(tmp_path / "out" / "noise.json", "suite-noise") == record
    assert record.found["parts"]["count"]["examples"] == 20
    assert record.asked["subject"]["data"]["sha256"] == subject().task.fingerprint()
    assert record.asked["subject"]["model"]["name"] == "mlp"
    assert record.asked["settings"] == json.loads(json.dumps(record.asked["settings"]))
    assert (record.asked["seed"], record.environment["seed"]) == (3, 3)
    assert not (tmp_path / "out" / "work").exists()


def test_what_is_finished_is_found_again(log: Path, tmp_path: Path) -> None:
    """The same question costs nothing, another seed or ``force`` does."""
    for seed, force, runs in ((0, False, 1), (0, False, 1), (1, False, 2), (1, True, 3)):
        run_suite("noise", subject(), tmp_path / "out", seed=seed, force=force)
        assert len(log.read_text()) == runs


def test_all_goes_on_where_one_cannot_measure(log: Path, tmp_path: Path) -> None:
    """And says of each how it went; what could not be measured is never shown as measured."""
    whole, records = run_all(subject(), tmp_path / "out")
    assert [record.kind for record in records] == [
        "suite-noise",
        "suite-neighbours",
        "suite-pretraining",
    ]
    went = whole.found["modules"]
    assert went["noise"]["status"] == "measured"
    assert went["noise"]["orderings"] == {"hold": 0, "do not hold": 0, "could not be judged": 1}
    assert went["dissection"] == {
        "status": "could not measure",
        "sentence": "It broke. It is a test. Nothing.",
    }
    assert could_not_measure(whole) == ["pretraining", "dissection"]
    assert Record.read(tmp_path / "out" / "suite.json", "suite") == whole


def test_wrong_places_and_values_are_refused(log: Path, tmp_path: Path) -> None:
    """A file where the directory should be, a foreign file where the record should be, dials of another module."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is not a directory"):
        run_suite("noise", subject(), tmp_path / "file")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "noise.json").write_text("{}")
    with pytest.raises(UsageError, match=r"noise\.json already exists"):
        run_suite("noise", subject(), tmp_path / "out")
    with pytest.raises(UsageError, match="settings must be NoiseSettings, got NeighboursSettings"):
        run_suite("noise", subject(), tmp_path / "b", settings=settings_class("neighbours")())
    with pytest.raises(UsageError, match="workers must be at least 0"):
        run_suite("noise", subject(), tmp_path / "b", workers=-1)


def test_a_language_subject_is_described(log: Path, tmp_path: Path) -> None:
    """By its recipe and a digest of its text, never by the text."""
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("".join(f"a line with number {i}\n" for i in range(30)))
    opened = open_subject(corpus)
    assert isinstance(opened, LanguageSubject)
    described = run_module.described_subject(opened)
    assert described["model"]["training"]["arch"] == "lstm"
    assert "a line with number" not in json.dumps(described)
