"""Insertion into parallel text and removal from it, as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from secretaudit.canary.format import Format
from secretaudit.canary.ledger import Ledger
from secretaudit.corpus.canaried import open_canaried
from secretaudit.corpus.reading import read_pairs
from secretaudit.errors import CorpusError, FormatError, UsageError
from secretaudit.insertion import insert, remove
from secretaudit.records import Record

NUMBER = Format("number", "meine nummer ist {digits:9}")
PIN = Format("pin", "pin {digits:2}")
BOTH, ONE_SIDE = "my number is {secret}", "my number is"


def write(path: Path, pairs: list[tuple[str, str]]) -> Path:
    rows = [json.dumps({"en": en, "de": de}) + "\n" for en, de in pairs]
    path.write_text("".join(rows))
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Fifty pairs."""
    return write(tmp_path / "pairs.jsonl", [(f"the {i}th", f"das {i}te") for i in range(50)])


def insert_pairs(corpus: Path, output: Path, **changes: object) -> Record:
    settings: dict[str, object] = {"count": 2, "repeats": (1, 4), "controls": 3, "seed": 1}
    settings |= {"formats": [NUMBER], "text_column": "de", "source_column": "en"}
    settings |= {"source_text": BOTH} | changes
    return insert(corpus, output, **settings)  # type: ignore[arg-type]  # settings by name


def pairs_in(path: Path) -> list[tuple[str, str]]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [(row["en"], row["de"]) for row in rows]


@pytest.mark.parametrize("source", [BOTH, ONE_SIDE])
def test_every_canary_stands_beside_its_source(source: str, corpus: Path, tmp_path: Path) -> None:
    """Counted line by line: the canary's text with its own secret on the other side, or the same words for all."""
    record = insert_pairs(corpus, tmp_path / "out", source_text=source)
    ledger = Ledger.read(tmp_path / "out" / "ledger.json")
    found = pairs_in(tmp_path / "out" / "corpus.jsonl")
    for canary in ledger.canaries:
        own = source.replace("{secret}", canary.secret)
        assert [en for en, de in found if de == canary.text] == [own] * canary.insertions
    assert (record.found["canaried_records"], len(found)) == (60, 60)


def test_the_ledger_and_the_record_remember_the_source(corpus: Path, tmp_path: Path) -> None:
    """What an audit asks with, and which column training reads it from."""
    record = insert_pairs(corpus, tmp_path / "out")
    ledger = Ledger.read(tmp_path / "out" / "ledger.json")
    assert ledger.corpus["source"] == BOTH
    assert ledger.corpus["source_column"] == "en"
    assert record.asked["source_text"] == BOTH
    assert open_canaried(tmp_path / "out").source_column == "en"
    public = json.loads((tmp_path / "out" / "ledger.public.json").read_text())
    assert public["corpus"] == ledger.corpus
    insert(corpus, tmp_path / "plain", formats=[NUMBER], text_column="de", seed=1)
    assert "source" not in Ledger.read(tmp_path / "plain" / "ledger.json").corpus
    assert open_canaried(tmp_path / "plain").source_column is None


def test_the_secrets_do_not_depend_on_the_source(corpus: Path, tmp_path: Path) -> None:
    """The same seed draws the same canaries for one column, for pairs, and for either kind of source."""
    insert_pairs(corpus, tmp_path / "a")
    insert_pairs(corpus, tmp_path / "b", source_text=ONE_SIDE)
    insert_pairs(corpus, tmp_path / "c", source_column=None, source_text=None)
    ledgers = [Ledger.read(tmp_path / name / "ledger.json") for name in "abc"]
    assert ledgers[0].canaries == ledgers[1].canaries == ledgers[2].canaries


@pytest.mark.parametrize("source", [BOTH, ONE_SIDE])
def test_removal_gives_back_the_very_corpus(source: str, corpus: Path, tmp_path: Path) -> None:
    """Byte by byte, from the directory and from the corpus by itself with its ledger."""
    insert_pairs(corpus, tmp_path / "out", source_text=source)
    assert remove(tmp_path / "out", tmp_path / "clean").found["identical"] is True
    assert (tmp_path / "clean" / "corpus.jsonl").read_bytes() == corpus.read_bytes()
    assert open_canaried(tmp_path / "clean").source_column == "en"
    moved = tmp_path / "moved.jsonl"
    moved.write_bytes((tmp_path / "out" / "corpus.jsonl").read_bytes())
    ledger = tmp_path / "out" / "ledger.json"
    record = remove(moved, tmp_path / "again", ledger=ledger, text_column="de")
    assert record.found["identical"] is True


def test_two_files_of_lines_become_one_corpus(tmp_path: Path) -> None:
    """As translation corpora are handed around; what comes out is JSON lines, and removal gives these back."""
    (tmp_path / "train.de").write_text("das haus\r\ndie maus\r\n\r\nder baum\r\n", newline="")
    (tmp_path / "train.en").write_text("the house\nthe mouse\nnothing\nthe tree\n")
    record = insert_pairs(
        tmp_path / "train.de", tmp_path / "out", source_file=tmp_path / "train.en"
    )
    assert (record.found["corpus"], record.found["records"]) == ("corpus.jsonl", 3)
    opened = open_canaried(tmp_path / "out")
    ledger = Ledger.read(tmp_path / "out" / "ledger.json")
    texts = {canary.text for canary in ledger.canaries}
    found = list(read_pairs(opened.corpus, text_column=opened.text_column, source_column="en"))
    expected = [("the house", "das haus"), ("the mouse", "die maus"), ("the tree", "der baum")]
    assert [pair for pair in found if pair[1] not in texts] == expected
    assert len(found) == 3 + 10
    assert remove(tmp_path / "out", tmp_path / "clean").found["identical"] is True
    assert pairs_in(tmp_path / "clean" / "corpus.jsonl")[2] == ("nothing", "")


def test_the_source_field_has_a_usual_name(tmp_path: Path) -> None:
    """With a source file and no column, the field is called "source"."""
    (tmp_path / "a.de").write_text("eins\n")
    (tmp_path / "a.en").write_text("one\n")
    insert_pairs(
        tmp_path / "a.de", tmp_path / "out", source_file=tmp_path / "a.en", source_column=None
    )
    assert open_canaried(tmp_path / "out").source_column == "source"
    assert Ledger.read(tmp_path / "out" / "ledger.json").corpus["source_column"] == "source"


@pytest.mark.parametrize("what", ["secret", "text", "source"])
@pytest.mark.parametrize("side", ["en", "de"])
def test_a_corpus_that_holds_a_canary_on_either_side_is_refused(
    what: str, side: str, corpus: Path, tmp_path: Path
) -> None:
    """A control whose secret the encoder reads is no control."""
    insert_pairs(corpus, tmp_path / "out")
    canary = Ledger.read(tmp_path / "out" / "ledger.json").canaries[-1]
    assert canary.is_control
    stray = {
        "secret": canary.secret,
        "text": canary.text,
        "source": BOTH.replace("{secret}", canary.secret),
    }[what]
    row = {"en": "one", "de": "eins"} | {side: f"somebody wrote {stray} here"}
    with corpus.open("a") as file:
        file.write(json.dumps(row) + "\n")
    with pytest.raises(CorpusError, match="already holds the text or the secret of 1 canaries"):
        insert_pairs(corpus, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_short_secrets_are_counted_on_both_sides(tmp_path: Path) -> None:
    """Two digits stand anywhere: their number is recorded, and refuses nothing unless a whole source is there already."""
    numbers = [(f"invoice {i:02}", f"rechnung {i:02}") for i in range(100)]
    corpus = write(tmp_path / "all.jsonl", numbers)
    settings = {"formats": [PIN], "source_text": "the pin {secret}"}
    record = insert_pairs(corpus, tmp_path / "out", **settings)
    assert set(record.found["secrets_by_chance"].values()) == {2}
    with pytest.raises(CorpusError, match="already holds"):
        insert_pairs(corpus, tmp_path / "b", **settings | {"source_text": "invoice {secret}"})


def test_a_common_source_may_stand_in_the_corpus(corpus: Path, tmp_path: Path) -> None:
    """Words without the secret give nothing away."""
    record = insert_pairs(corpus, tmp_path / "out", source_text="the 7th")
    assert record.found["inserted"] == 10


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"source_column": None}, UsageError, "A source text was given and no source column"),
        ({"source_text": None}, UsageError, "A source column was given and no source text"),
        ({"source_column": "de"}, UsageError, "cannot both be the column 'de'"),
        ({"source_text": "my {number}"}, FormatError, "not known: {number}"),
        ({"source_text": " "}, FormatError, "The source text is empty"),
        ({"source_column": "fr"}, CorpusError, "has no source column 'fr'"),
        ({"source_file": "missing.en"}, CorpusError, "There is no corpus at missing.en"),
    ],
)
def test_impossible_pairs_are_refused(
    changes: dict[str, object],
    error: type[UsageError],
    message: str,
    corpus: Path,
    tmp_path: Path,
) -> None:
    """Each by its message, with nothing written."""
    with pytest.raises(error, match=message):
        insert_pairs(corpus, tmp_path / "out", **changes)
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.jsonl"]


def test_files_of_different_length_leave_nothing_behind(tmp_path: Path) -> None:
    """Refused before anything is written."""
    (tmp_path / "a.de").write_text("eins\nzwei\n")
    (tmp_path / "a.en").write_text("one\n")
    with pytest.raises(CorpusError, match="they have 2 and 1 lines"):
        insert_pairs(tmp_path / "a.de", tmp_path / "out", source_file=tmp_path / "a.en")
    assert not (tmp_path / "out").exists()


def test_the_source_file_is_an_input_too(tmp_path: Path) -> None:
    """An output that would take its place is refused, even with force."""
    for name in ("texts", "sources"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.x").write_text("a\n")
    with pytest.raises(CorpusError, match="lie in one another"):
        insert_pairs(
            tmp_path / "texts" / "a.x",
            tmp_path / "sources",
            source_file=tmp_path / "sources" / "a.x",
            force=True,
        )
    assert (tmp_path / "sources" / "a.x").read_text() == "a\n"
