"""Parallel text: two columns, or two files of lines, one record each."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secretaudit.corpus.canaried import open_canaried
from secretaudit.corpus.inserting import insert_copies, place, remove_copies
from secretaudit.corpus.reading import open_source, read_pairs, read_records, sha256_of
from secretaudit.corpus.survey import Copies, verify
from secretaudit.errors import CorpusError

KINDS = ("jsonl", "csv", "parquet", "dataset")
PAIRS = [(f"the {i}", f"die {i}, ü") for i in range(30)]
COPIES = (
    Copies(text="meine nummer ist 42", insertions=3, source="my number is 42"),
    Copies(text='sag "auf; zu", 7', insertions=2, source='say "open, shut"; 7'),
    Copies(text="nie", insertions=0, source="never"),
)


def write(kind: str, directory: Path, pairs: Sequence[tuple[str | None, str | None]]) -> Path:
    """A corpus of pairs (source en, text de) with an id column, by the libraries that own the kind."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / ("input" if kind == "dataset" else f"input.{kind}")
    rows = [{"id": i, "en": en, "de": de} for i, (en, de) in enumerate(pairs)]
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif kind == "csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["id", "en", "de"], delimiter=";")
            writer.writeheader()
            writer.writerows(rows)
    elif kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        import datasets

        datasets.disable_progress_bars()
        datasets.Dataset.from_list(rows).save_to_disk(path)
    return path


def read(kind: str, path: Path) -> list[tuple[str, str]]:
    """All pairs of a corpus, by the same libraries."""
    if kind == "jsonl":
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    elif kind == "csv":
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter=";"))
    elif kind == "parquet":
        import pyarrow.parquet as pq

        rows = pq.read_table(path).to_pylist()
    else:
        import datasets

        rows = list(datasets.load_from_disk(path))
    return [(row["en"], row["de"]) for row in rows]


def aligned(directory: Path, targets: bytes, sources: bytes) -> tuple[Path, Path]:
    """Two files of lines."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "train.de").write_bytes(targets)
    (directory / "train.en").write_bytes(sources)
    return directory / "train.de", directory / "train.en"


def silent(_: int) -> None:
    """Nobody listens."""


def open_pairs(path: Path):
    return open_source(path, text_column="de", source_column="en")


def canaried(path: Path, target: Path, records: int = len(PAIRS)) -> Path:
    placed = place(COPIES, records, np.random.default_rng(0))
    insert_copies(open_pairs(path), target, placed, silent)
    return target


def suffixed(path: Path, kind: str) -> Path:
    return path if kind == "dataset" else path.with_suffix(f".{kind}")


@pytest.mark.parametrize("kind", KINDS)
def test_every_copy_stands_beside_its_source(kind: str, tmp_path: Path) -> None:
    """Read by other means, the output has each canary's pair as often as asked, and the other pairs in order."""
    path = write(kind, tmp_path, PAIRS)
    out = canaried(path, suffixed(tmp_path / "out", kind))
    found = read(kind, out)
    inserted = [(copy.source, copy.text) for copy in COPIES]
    assert [found.count(pair) for pair in inserted] == [3, 2, 0]
    assert [pair for pair in found if pair not in inserted] == PAIRS
    assert list(read_pairs(out, text_column="de", source_column="en")) == found
    verify(open_pairs(out), COPIES, len(PAIRS) + 5, silent)


@pytest.mark.parametrize("kind", KINDS)
def test_removal_gives_back_the_pairs(kind: str, tmp_path: Path) -> None:
    """Insertion then removal is the identity, byte by byte where files are lines."""
    path = write(kind, tmp_path, PAIRS)
    out = canaried(path, suffixed(tmp_path / "out", kind))
    clean = suffixed(tmp_path / "clean", kind)
    assert remove_copies(open_pairs(out), clean, COPIES, silent).records == len(PAIRS)
    assert read(kind, clean) == PAIRS
    if kind in ("jsonl", "csv"):
        assert clean.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_without_one_side_is_copied_and_is_no_record(kind: str, tmp_path: Path) -> None:
    """Half a pair trains nothing: it is neither counted nor read, and comes out as it went in."""
    nothing = "" if kind == "csv" else None
    pairs = [("a", "x"), (nothing, "y"), ("c", nothing), ("", ""), ("e", "z")]
    path = write(kind, tmp_path, pairs)
    assert list(read_pairs(path, text_column="de", source_column="en")) == [("a", "x"), ("e", "z")]
    out = canaried(path, suffixed(tmp_path / "out", kind), records=2)
    kept = {(copy.source, copy.text) for copy in COPIES}
    assert [pair for pair in read(kind, out) if pair not in kept] == pairs


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_source_column_is_named(kind: str, tmp_path: Path) -> None:
    """With the columns that there are, and the option that names another."""
    path = write(kind, tmp_path, PAIRS)
    with pytest.raises(CorpusError, match="has no source column 'fr'") as refused:
        list(read_pairs(path, text_column="de", source_column="fr"))
    assert "de, en, id" in refused.value.why
    assert "--source-column" in refused.value.way_out
    with pytest.raises(CorpusError, match="has no text column 'fr'"):
        list(read_pairs(path, text_column="fr", source_column="en"))


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_source_that_is_no_text_is_refused(kind: str, tmp_path: Path) -> None:
    """A number in the source column is a mistake in the name of the column."""
    path = write(kind, tmp_path, PAIRS)
    with pytest.raises(CorpusError) as refused:
        list(read_pairs(path, text_column="de", source_column="id"))
    assert "--source-column" in refused.value.way_out


def test_a_text_file_has_no_sources(tmp_path: Path) -> None:
    """The way out is the second file."""
    (tmp_path / "a.txt").write_text("a\n")
    with pytest.raises(CorpusError, match="has no source column 'en'") as refused:
        open_source(tmp_path / "a.txt", source_column="en")
    assert "--source-file" in refused.value.way_out


def test_a_canary_beside_a_foreign_source_is_noticed(tmp_path: Path) -> None:
    """Shuffling one side after insertion leaves every count right and every pair wrong."""
    path = write("jsonl", tmp_path, PAIRS)
    rows = [json.loads(line) for line in canaried(path, tmp_path / "o.jsonl").open()]
    for row, source in zip(rows, [row["en"] for row in rows[1:]] + [rows[0]["en"]], strict=True):
        row["en"] = source
    shifted = tmp_path / "shifted.jsonl"
    shifted.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(CorpusError, match="canaries stand beside another source than their own"):
        verify(open_pairs(shifted), COPIES, len(rows), silent)


def test_a_plain_corpus_of_pairs_remembers_its_columns(tmp_path: Path) -> None:
    """As training asks for it."""
    path = write("jsonl", tmp_path, PAIRS)
    opened = open_canaried(path, text_column="de", source_column="en")
    assert (opened.text_column, opened.source_column, opened.ledger) == ("de", "en", None)
    assert open_canaried(path, text_column="de").source_column is None
    assert list(read_records(path, text_column="de")) == [target for _, target in PAIRS]


LINE = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\n"), max_size=15
)


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(st.tuples(LINE, LINE), min_size=1, max_size=12),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_any_two_files_of_lines_become_their_pairs(
    lines: list[tuple[str, str]], end: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Form feeds, stray CRs and Unicode's line separators stay inside their line, and no line is shifted against its counterpart."""
    folder = tmp_path_factory.mktemp("aligned")
    lines = [("only", "nur"), *lines]
    targets = "".join(target + end for _, target in lines).encode()
    sources = "".join(source + "\n" for source, _ in lines).encode()
    path, source_file = aligned(folder, targets, sources)
    source = open_source(path, source_file=source_file, text_column="de", source_column="en")
    placed = place((), 1, np.random.default_rng(0))
    insert_copies(source, folder / "out.jsonl", placed, silent)
    rows = [json.loads(row) for row in (folder / "out.jsonl").read_bytes().split(b"\n") if row]
    # a CR before the line end belongs to the line end
    expected = [
        (s.removesuffix("\r"), t.removesuffix("\r") if end == "\n" else t) for s, t in lines
    ]
    assert [(row["en"], row["de"]) for row in rows] == expected
    written = open_source(folder / "out.jsonl", text_column="de", source_column="en")
    assert sha256_of(source) == sha256_of(written)


@pytest.mark.parametrize(
    ("targets", "counts"), [(b"a\nb\n", "2 and 3"), (b"a\nb\nc\nd", "4 and 3")]
)
def test_files_of_different_length_are_refused(targets: bytes, counts: str, tmp_path: Path) -> None:
    """Both numbers, and the first line without a counterpart."""
    path, source_file = aligned(tmp_path, targets, b"1\n2\n3\n")
    source = open_source(path, source_file=source_file)
    with pytest.raises(CorpusError, match=f"they have {counts} lines") as refused:
        list(source.batches())
    assert f"Line {3 if counts == '2 and 3' else 4} of the longer one" in refused.value.why


def test_a_source_file_goes_with_lines_only(tmp_path: Path) -> None:
    """Beside a table, a missing file and an empty one it is refused."""
    path, source_file = aligned(tmp_path, b"a\n", b"1\n")
    table = write("jsonl", tmp_path, PAIRS)
    for files in ((table, source_file), (path, table)):
        with pytest.raises(CorpusError, match="is no file of lines"):
            open_source(files[0], source_file=files[1])
    with pytest.raises(CorpusError, match="There is no corpus at"):
        open_source(path, source_file=tmp_path / "train.fr")
    (tmp_path / "empty.en").write_bytes(b"")
    with pytest.raises(CorpusError, match="is empty"):
        open_source(path, source_file=tmp_path / "empty.en")


def test_a_side_that_is_not_utf8_is_named_with_its_line(tmp_path: Path) -> None:
    """The file and the line, whichever side it is."""
    path, source_file = aligned(tmp_path, b"a\nb\n", b"1\n\xff\n")
    with pytest.raises(CorpusError, match=r"train\.en is not UTF-8: line 2"):
        list(open_source(path, source_file=source_file).batches())
