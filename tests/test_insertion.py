"""Insertion and removal as a user calls them."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from secretaudit.canary.format import Format
from secretaudit.canary.ledger import Ledger
from secretaudit.corpus.canaried import open_canaried
from secretaudit.corpus.reading import read_records
from secretaudit.errors import CorpusError, CouldNotMeasure, FormatError, LedgerError, UsageError
from secretaudit.insertion import insert, remove
from secretaudit.progress import SilentProgress
from secretaudit.records import Record

NUMBER = Format("number", "my number is {digits:9}")
PIN = Format("pin", "pin {digits:4}")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A hundred lines of text with few digits in them."""
    path = tmp_path / "corpus.txt"
    path.write_text("".join(f"an ordinary line, number {i}\n" for i in range(100)))
    return path


def _insert(corpus: Path, output: Path, **changes: object) -> Record:
    settings: dict[str, object] = {"count": 3, "repeats": (1, 4), "controls": 5, "seed": 1}
    settings |= {"formats": [NUMBER]} | changes
    return insert(corpus, output, **settings)  # type: ignore[arg-type]  # settings by name


def _names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_every_canary_stands_in_the_output_as_often_as_the_ledger_says(
    corpus: Path, tmp_path: Path
) -> None:
    """Counted here line by line: canaries as often as asked, controls never, all else untouched."""
    _insert(corpus, tmp_path / "out", formats=[NUMBER, PIN])
    ledger = Ledger.read(tmp_path / "out" / "ledger.json")
    lines = (tmp_path / "out" / "corpus.txt").read_text().splitlines()
    assert [lines.count(canary.text) for canary in ledger.canaries] == [
        canary.insertions for canary in ledger.canaries
    ]
    assert sorted(canary.insertions for canary in ledger.canaries) == [0] * 10 + [1] * 6 + [4] * 6
    texts = {canary.text for canary in ledger.canaries}
    assert [line for line in lines if line not in texts] == corpus.read_text().splitlines()


def test_the_record_says_what_was_done(corpus: Path, tmp_path: Path) -> None:
    """Counts, hashes and names can be checked against the files."""
    record = _insert(corpus, tmp_path / "out")
    out = tmp_path / "out"
    assert _names(out) == {"corpus.txt", "ledger.json", "ledger.public.json", "insertion.json"}
    assert Record.read(out / "insertion.json", kind="insertion") == record
    found = record.found
    assert (found["records"], found["canaried_records"]) == (100, 115)
    assert (found["canaries"], found["controls"], found["inserted"]) == (6, 5, 15)
    assert found["sha256"] == hashlib.sha256(corpus.read_bytes()).hexdigest()
    assert found["canaried_sha256"] == hashlib.sha256((out / "corpus.txt").read_bytes()).hexdigest()
    assert record.asked["repeats"] == [1, 4]
    opened = open_canaried(out)
    assert opened.corpus == out / "corpus.txt"
    assert opened.ledger is not None
    assert Ledger.read(opened.ledger).identity == opened.ledger_identity


def test_the_ledger_knows_its_corpus(corpus: Path, tmp_path: Path) -> None:
    """Name, hash and size of the corpus it was made for."""
    _insert(corpus, tmp_path / "out")
    digest = hashlib.sha256(corpus.read_bytes()).hexdigest()
    ledger = Ledger.read(tmp_path / "out" / "ledger.json")
    assert ledger.corpus == {"name": "corpus.txt", "sha256": digest, "records": 100}


def test_secrets_are_for_the_owner_only(corpus: Path, tmp_path: Path) -> None:
    """The ledger, and the record whose seed would draw the secrets again, have mode 0600."""
    _insert(corpus, tmp_path / "out")
    for name in ("ledger.json", "insertion.json"):
        assert stat.S_IMODE((tmp_path / "out" / name).stat().st_mode) == 0o600


def test_the_public_part_shows_no_secret(corpus: Path, tmp_path: Path) -> None:
    """Neither secrets nor seed nor salt stand in it, and the ledger can prove it is its own."""
    _insert(corpus, tmp_path / "out", seed=987654321987)
    ledger = Ledger.read(tmp_path / "out" / "ledger.json")
    text = (tmp_path / "out" / "ledger.public.json").read_text()
    hidden = [canary.secret for canary in ledger.canaries] + ["987654321987", ledger.salt]
    assert not any(secret in text for secret in hidden)
    ledger.verify(json.loads(text))


def test_the_seed_decides_the_output(corpus: Path, tmp_path: Path) -> None:
    """Twice the same seed gives the same bytes (trap: global random state), another seed others."""
    names = ("corpus.txt", "ledger.json", "ledger.public.json")
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        _insert(corpus, tmp_path / name, seed=seed)
    a, b, c = ([(tmp_path / d / name).read_bytes() for name in names] for d in "abc")
    assert a == b
    assert all(x != y for x, y in zip(a, c, strict=True))


def test_the_input_is_not_touched(corpus: Path, tmp_path: Path) -> None:
    """Neither content nor times change, and nothing appears beside it but the output."""
    before = (corpus.read_bytes(), corpus.stat().st_mtime_ns, corpus.stat().st_ino)
    _insert(corpus, tmp_path / "out")
    remove(tmp_path / "out", tmp_path / "clean")
    assert (corpus.read_bytes(), corpus.stat().st_mtime_ns, corpus.stat().st_ino) == before
    assert _names(tmp_path) == {"corpus.txt", "out", "clean"}


def test_removal_gives_back_the_very_corpus(corpus: Path, tmp_path: Path) -> None:
    """Byte by byte, with the number of records taken out; the result can be trained on as it is."""
    _insert(corpus, tmp_path / "out")
    record = remove(tmp_path / "out", tmp_path / "clean")
    assert (tmp_path / "clean" / "corpus.txt").read_bytes() == corpus.read_bytes()
    assert (record.found["removed"], record.found["records"]) == (15, 100)
    assert record.found["identical"] is True
    assert open_canaried(tmp_path / "clean").ledger is None


def test_removal_takes_a_file_with_its_ledger(corpus: Path, tmp_path: Path) -> None:
    """A canaried corpus that was moved away from its directory can be cleaned too."""
    _insert(corpus, tmp_path / "out")
    moved = tmp_path / "moved.txt"
    moved.write_bytes((tmp_path / "out" / "corpus.txt").read_bytes())
    record = remove(moved, tmp_path / "clean", ledger=tmp_path / "out" / "ledger.json")
    assert record.found["identical"] is True


def test_removal_says_when_the_corpus_was_changed(corpus: Path, tmp_path: Path) -> None:
    """A line added after insertion stays, and the result is not called identical."""
    _insert(corpus, tmp_path / "out")
    with (tmp_path / "out" / "corpus.txt").open("a") as file:
        file.write("added later\n")
    record = remove(tmp_path / "out", tmp_path / "clean")
    assert (record.found["identical"], record.found["records"]) == (False, 101)


def test_removal_after_deduplication_is_refused(corpus: Path, tmp_path: Path) -> None:
    """Copies that a cleaning step dropped (trap: a false all-clear) are missed, and nothing is written."""
    _insert(corpus, tmp_path / "out")
    path = tmp_path / "out" / "corpus.txt"
    path.write_text("\n".join(dict.fromkeys(path.read_text().splitlines())) + "\n")
    with pytest.raises(CorpusError, match=r"6 canary records were found, but the ledger says 15"):
        remove(tmp_path / "out", tmp_path / "clean")
    assert not (tmp_path / "clean").exists()


def test_removal_with_another_ledger_is_refused(corpus: Path, tmp_path: Path) -> None:
    """The identity of the ledger stands in the record of the insertion."""
    _insert(corpus, tmp_path / "a", seed=1)
    _insert(corpus, tmp_path / "b", seed=2)
    with pytest.raises(LedgerError, match="is not the ledger of"):
        remove(tmp_path / "a", tmp_path / "clean", ledger=tmp_path / "b" / "ledger.json")


def test_removal_without_a_ledger_is_refused(corpus: Path, tmp_path: Path) -> None:
    """A plain corpus has no canaries that could be known."""
    with pytest.raises(LedgerError, match="There is no ledger beside"):
        remove(corpus, tmp_path / "clean")


def test_formats_are_taken_as_names_templates_and_objects(corpus: Path, tmp_path: Path) -> None:
    """All three ways of naming a format, and one by itself."""
    record = _insert(corpus, tmp_path / "a", formats=["random-number", "code {digits:7}", NUMBER])
    assert len(record.asked["formats"]) == 3
    assert _insert(corpus, tmp_path / "b", formats=NUMBER).found["canaries"] == 6
    assert _insert(corpus, tmp_path / "c", formats="random-number").found["canaries"] == 6


@pytest.mark.parametrize("what", ["text", "secret"])
@pytest.mark.parametrize("control", [True, False])
def test_a_corpus_that_holds_a_canary_already_is_refused(
    what: str, control: bool, corpus: Path, tmp_path: Path
) -> None:
    """Text or secret, canary or control, inside a longer line: the seed is no good for this corpus."""
    _insert(corpus, tmp_path / "out")
    ledger = Ledger.read(tmp_path / "out" / "ledger.json")
    canary = next(entry for entry in ledger.canaries if entry.is_control == control)
    with corpus.open("a") as file:
        file.write(f"somebody wrote {getattr(canary, what)} in here\n")
    with pytest.raises(CorpusError) as caught:
        _insert(corpus, tmp_path / "again")
    assert "already holds the text or the secret of 1 canaries" in caught.value.what
    assert canary.id in caught.value.what
    assert canary.secret not in str(caught.value)
    assert "--seed" in caught.value.way_out
    assert not (tmp_path / "again").exists()


def test_short_secrets_may_stand_in_the_corpus_by_chance(tmp_path: Path) -> None:
    """Four digits are found in any corpus: counted in the record, and no reason to refuse."""
    path = tmp_path / "all.txt"
    path.write_text("".join(f"invoice {i:04}\n" for i in range(10_000)))
    record = _insert(path, tmp_path / "out", formats=[PIN])
    assert set(record.found["secrets_by_chance"].values()) == {1}
    assert len(record.found["secrets_by_chance"]) == 11


def test_two_formats_with_one_text_are_refused(corpus: Path, tmp_path: Path) -> None:
    """Copies of two canaries with the same text could not be told apart."""
    same = [Format("a", "pin {digits:1}"), Format("b", "pin {digits:1}")]
    with pytest.raises(FormatError, match="have the same text"):
        _insert(corpus, tmp_path / "out", formats=same, controls=4)


def test_canaries_inside_one_another_are_counted_right(corpus: Path, tmp_path: Path) -> None:
    """The text "pin 12" stands inside "pin 123": expected, and no error of the count."""
    nested = Format("nested", "pin {digits:1-3}")
    record = _insert(corpus, tmp_path / "out", formats=[nested], count=150, controls=300)
    assert record.found["inserted"] == 150 * 5
    assert remove(tmp_path / "out", tmp_path / "clean").found["identical"] is True


def test_the_output_is_not_overwritten_unasked(corpus: Path, tmp_path: Path) -> None:
    """Refused without force before any work; replaced with it."""
    _insert(corpus, tmp_path / "out", seed=1)
    before = (tmp_path / "out" / "corpus.txt").read_bytes()
    with pytest.raises(UsageError, match="already exists"):
        _insert(corpus, tmp_path / "out", seed=2)
    assert (tmp_path / "out" / "corpus.txt").read_bytes() == before
    _insert(corpus, tmp_path / "out", seed=2, force=True)
    assert (tmp_path / "out" / "corpus.txt").read_bytes() != before


@pytest.mark.parametrize("output", [".", "corpus.txt", "corpus.txt/out"])
@pytest.mark.parametrize("force", [True, False])
def test_an_output_that_could_touch_the_input_is_refused(
    output: str, force: bool, corpus: Path
) -> None:
    """The directory of the input, the input itself, a place inside it: never, not even with force."""
    before = corpus.read_bytes()
    with pytest.raises(CorpusError, match="lie in one another"):
        _insert(corpus, corpus.parent / output, force=force)
    assert corpus.read_bytes() == before


def test_a_removal_into_its_own_input_is_refused(corpus: Path, tmp_path: Path) -> None:
    """The canaried directory with its ledger is an input too."""
    _insert(corpus, tmp_path / "out")
    for output in (tmp_path / "out", tmp_path / "out" / "clean"):
        with pytest.raises(CorpusError, match="lie in one another"):
            remove(tmp_path / "out", output, force=True)
    assert (tmp_path / "out" / "ledger.json").exists()


def test_a_symbolic_link_to_the_input_is_the_input(corpus: Path, tmp_path: Path) -> None:
    """Names do not decide what may be written, places do."""
    (tmp_path / "link.txt").symlink_to(corpus)
    with pytest.raises(CorpusError, match="lie in one another"):
        _insert(tmp_path / "link.txt", tmp_path, force=True)


def test_canaries_are_not_inserted_twice(corpus: Path, tmp_path: Path) -> None:
    """A canaried directory is no input, and its corpus refuses the same seed."""
    _insert(corpus, tmp_path / "out")
    with pytest.raises(CorpusError, match="was canaried already"):
        _insert(tmp_path / "out", tmp_path / "twice")
    with pytest.raises(CorpusError, match="already holds the text"):
        _insert(tmp_path / "out" / "corpus.txt", tmp_path / "twice")


@pytest.mark.parametrize("content", [b"\n\n\r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_a_corpus_without_records_is_refused(content: bytes, tmp_path: Path) -> None:
    """Blank lines hold nothing to hide a canary in."""
    path = tmp_path / "blank.txt"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match="is empty"):
        _insert(path, tmp_path / "out")
    assert _names(tmp_path) == {"blank.txt"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"formats": []}, "There is nothing to insert"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"repeats": (0,)}, "repeats must be at least 1, got 0"),
        ({"controls": -1}, "controls must be at least 0, got -1"),
        ({"formats": [NUMBER, NUMBER]}, "given twice"),
        ({"formats": ["no-such-format"]}, "no-such-format"),
        ({"formats": [Format("d", "{digits:1}")], "count": 20}, "secrets"),
    ],
)
def test_impossible_questions_are_refused(
    changes: dict[str, object], message: str, corpus: Path, tmp_path: Path
) -> None:
    """Each by its message, with nothing written."""
    with pytest.raises(UsageError, match=message):
        _insert(corpus, tmp_path / "out", **changes)
    assert _names(tmp_path) == {"corpus.txt"}


def test_a_full_disk_leaves_nothing_behind(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The unfinished output is taken away, and the message says what to do."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("secretaudit.corpus.lines.LineSink.write", full)
    with pytest.raises(CouldNotMeasure, match="The disk is full") as caught:
        _insert(corpus, tmp_path / "out")
    assert "Free some space" in caught.value.way_out
    assert _names(tmp_path) == {"corpus.txt"}


def test_a_place_that_cannot_be_written_is_refused(corpus: Path, tmp_path: Path) -> None:
    """The system's reason is passed on."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="was not written"):
        _insert(corpus, tmp_path / "file" / "out")


def test_a_corpus_that_changes_meanwhile_is_noticed(corpus: Path, tmp_path: Path) -> None:
    """Between counting and copying somebody appends a line: nothing is kept."""

    class Meddler(SilentProgress):
        def update(self, *, done: float, total: float | None, **figures: object) -> None:
            if figures["stage"] == "inserting":
                with corpus.open("a") as file:
                    file.write("one more\n")

    with pytest.raises(CorpusError, match="changed while it was read"):
        _insert(corpus, tmp_path / "out", progress=Meddler())
    assert _names(tmp_path) == {"corpus.txt"}


def test_lost_copies_are_noticed_by_reading_back(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that drops canaries does not get away with it."""
    monkeypatch.setattr("secretaudit.corpus.lines.LineSink.insert", lambda *_: None)
    with pytest.raises(CorpusError, match="was checked and is wrong"):
        _insert(corpus, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_progress_passes_through_all_stages(corpus: Path, tmp_path: Path) -> None:
    """Checking, inserting and verifying, the last update of each with all records."""
    last: dict[object, tuple[float, float | None]] = {}

    class Listener(SilentProgress):
        def update(self, *, done: float, total: float | None, **figures: object) -> None:
            last[figures["stage"]] = (done, total)

    _insert(corpus, tmp_path / "out", progress=Listener())
    assert last == {"checking": (100, None), "inserting": (100, 100), "verifying": (115, 115)}


_SLOW = """
import sys, time
from pathlib import Path
from secretaudit.canary.format import Format
from secretaudit.insertion import insert
from secretaudit.progress import SilentProgress

class Slow(SilentProgress):
    def update(self, *, done, total, **figures):
        if figures["stage"] == "inserting":
            Path(sys.argv[3]).touch()
            time.sleep(60)

insert(sys.argv[1], sys.argv[2], formats=[Format("number", "my number is {digits:9}")], progress=Slow())
"""


def test_a_kill_leaves_no_half_directory(corpus: Path, tmp_path: Path) -> None:
    """Killed in the middle of writing, nothing bears the final name, and the next run succeeds."""
    signal_file = tmp_path / "writing"
    arguments = [sys.executable, "-c", _SLOW, str(corpus), str(tmp_path / "out"), str(signal_file)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen(arguments, env=environment)
    try:
        limit = time.monotonic() + 60
        while not signal_file.exists():
            assert process.poll() is None, "the run ended before it wrote"
            assert time.monotonic() < limit, "the run never began to write"
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "out").exists()
    _insert(corpus, tmp_path / "out")
    assert _names(tmp_path) == {"corpus.txt", "out", "writing"}


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_the_text_column_is_remembered(name: str, tmp_path: Path) -> None:
    """Training and removal need not be told again which column holds the text."""
    rows = {"a.jsonl": '{"id": 1, "body": "x"}\n', "a.csv": "id,body\n1,x\n"}[name]
    (tmp_path / name).write_text(rows)
    _insert(tmp_path / name, tmp_path / "out", text_column="body")
    opened = open_canaried(tmp_path / "out")
    assert opened.text_column == "body"
    assert len(list(read_records(opened.corpus, text_column=opened.text_column))) == 16
    assert remove(tmp_path / "out", tmp_path / "clean").found["identical"] is True


def test_a_saved_dataset_goes_all_the_way(tmp_path: Path) -> None:
    """A directory in, a directory out, and back again."""
    import datasets

    datasets.disable_progress_bars()
    texts = [f"row {i}" for i in range(30)]
    datasets.Dataset.from_dict({"text": texts}).save_to_disk(tmp_path / "in")
    _insert(tmp_path / "in", tmp_path / "out")
    assert len(datasets.load_from_disk(tmp_path / "out" / "corpus")) == 45
    remove(tmp_path / "out", tmp_path / "clean")
    assert list(datasets.load_from_disk(tmp_path / "clean" / "corpus")["text"]) == texts


def test_without_a_seed_no_two_runs_draw_the_same_secrets(tmp_path: Path) -> None:
    """The default seed cannot be guessed, so that a public ledger really hides its secrets."""
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("one line\nanother line\n")
    seeds = set()
    for name in ("a", "b"):
        record = insert(corpus, tmp_path / name, formats=["random-number"], count=1, controls=1)
        seeds.add(record.asked["seed"])
    assert len(seeds) == 2
    assert min(seeds) > 2**32
