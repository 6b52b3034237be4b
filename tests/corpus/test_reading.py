"""Reading corpora: what a record is, constant memory, and every refusal by its message."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from secretaudit.corpus.inserting import insert_copies, place
from secretaudit.corpus.lines import LineSink
from secretaudit.corpus.occurrences import Needles
from secretaudit.corpus.reading import open_source, read_records, sha256_of
from secretaudit.corpus.survey import Copies, survey
from secretaudit.errors import CorpusError

Writer = Callable[[str, Path, Sequence[str]], Path]
KINDS = ("txt", "jsonl", "csv", "parquet", "dataset")


def _silent(_: int) -> None:
    """Nobody listens."""


def _file(tmp_path: Path, name: str, content: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_records_come_in_order(kind: str, tmp_path: Path, write_corpus: Writer) -> None:
    """Every kind gives its texts as they were written."""
    texts = ["first", 'with "quotes", commas; and \u00fc\U0001f512', " spaces around "]
    assert list(read_records(write_corpus(kind, tmp_path, texts))) == texts


def test_text_lines_end_at_line_ends_only(tmp_path: Path) -> None:
    """CR LF, LF and CR end a record; form feeds and Unicode separators do not; blank lines are no records."""
    content = "a\r\nb\x0cc\n\n d\u2028e\u0085f \rlast".encode()
    path = _file(tmp_path, "a.txt", content)
    assert list(read_records(path)) == ["a", "b\x0cc", " d\u2028e\u0085f ", "last"]


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv"])
def test_a_byte_order_mark_is_not_text(name: str, tmp_path: Path) -> None:
    """The mark belongs to the file, not to its first record or column."""
    body = {"a.txt": "hello\n", "a.jsonl": '{"text": "hello"}\n', "a.csv": "text\nhello\n"}[name]
    path = _file(tmp_path, name, b"\xef\xbb\xbf" + body.encode())
    assert list(read_records(path)) == ["hello"]


def test_a_line_end_across_two_blocks_is_one(tmp_path: Path) -> None:
    """CR at the end of one block and LF at the start of the next end one record."""
    from secretaudit.corpus.stream import BATCH_BYTES

    content = b"x" * (BATCH_BYTES - 1) + b"\r\nnext\r\n"
    assert [len(r) for r in read_records(_file(tmp_path, "a.txt", content))] == [BATCH_BYTES - 1, 4]


def test_the_text_column_is_chosen(tmp_path: Path) -> None:
    """Another column may hold the text."""
    path = _file(tmp_path, "a.csv", b"text;body\nno;yes\n")
    assert list(read_records(path, text_column="body")) == ["yes"]


def test_nulls_and_blank_lines_are_no_records(tmp_path: Path) -> None:
    """They are copied and never counted."""
    jsonl = _file(
        tmp_path, "a.jsonl", b'{"text": "a"}\n\n{"text": null}\n{"text": ""}\n{"text": "b"}'
    )
    table = _file(tmp_path, "a.csv", b'id,text\n1,a\n\n2,\n3,"b"\n')
    assert list(read_records(jsonl)) == list(read_records(table)) == ["a", "b"]


def test_a_long_field_is_read_and_the_parser_left_as_it_was(tmp_path: Path) -> None:
    """A field over the parser's own limit is read; the limit of the process stays."""
    limit = csv.field_size_limit()
    path = _file(tmp_path, "a.csv", b"text\n" + b"x" * (limit + 1) + b"\n")
    assert [len(record) for record in read_records(path)] == [limit + 1]
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize("kind", ["txt", "jsonl", "csv", "parquet"])
def test_the_hash_is_that_of_the_file(kind: str, tmp_path: Path, write_corpus: Writer) -> None:
    """The sum that the ledger keeps can be checked with sha256sum."""
    path = write_corpus(kind, tmp_path, ["a", "b"])
    assert sha256_of(open_source(path)) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_split_train_stands_for_a_dataset_of_several(tmp_path: Path) -> None:
    """A DatasetDict is read by its split "train"."""
    import datasets

    datasets.disable_progress_bars()
    parts = {
        name: datasets.Dataset.from_dict({"text": [name]}) for name in ("test", "train", "valid")
    }
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "d")
    assert list(read_records(tmp_path / "d")) == ["train"]
    assert list(read_records(tmp_path / "d" / "valid")) == ["valid"]


def test_a_dataset_of_several_files_is_read_whole(tmp_path: Path) -> None:
    """Shards come one after another."""
    import datasets

    texts = [str(i) for i in range(10)]
    datasets.Dataset.from_dict({"text": texts}).save_to_disk(tmp_path / "d", num_shards=3)
    assert list(read_records(tmp_path / "d")) == texts


@pytest.mark.parametrize("kind", ["txt", "jsonl", "csv"])
def test_memory_does_not_grow_with_the_corpus(kind: str, tmp_path: Path) -> None:
    """Searching and copying forty megabytes takes no more memory than copying ten."""
    peaks = []
    for megabytes in (10, 40):
        path = _big(kind, tmp_path, megabytes)
        source = open_source(path)
        copies = [Copies(text=f"canary {i}", insertions=2) for i in range(50)]
        tracemalloc.start()
        found = survey(source, Needles([copy.text for copy in copies]), _silent)
        placement = place(copies, found.records, np.random.default_rng(0))
        insert_copies(source, tmp_path / f"{megabytes}.{kind}", placement, _silent)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] < 30e6


def _big(kind: str, directory: Path, megabytes: int) -> Path:
    """A corpus of records of 10 kB, so that the test is quick."""
    record = "lorem ipsum " * 850
    path = directory / f"big-{megabytes}.{kind}"
    line = {"txt": record, "csv": record, "jsonl": json.dumps({"text": record})}[kind]
    with path.open("w") as file:
        file.write("text\n" if kind == "csv" else "")
        for _ in range(megabytes * 1_000_000 // len(line)):
            file.write(line + "\n")
    return path


def test_parquet_is_read_some_rows_at_a_time(tmp_path: Path) -> None:
    """A file of many rows comes in batches of a few megabytes, also when it is one row group."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [f"{i:08}" * 100 for i in range(40_000)]
    pq.write_table(pa.table({"text": rows}), tmp_path / "a.parquet", row_group_size=40_000)
    sizes = [
        sum(map(sys.getsizeof, b.texts)) for b in open_source(tmp_path / "a.parquet").batches()
    ]
    assert len(sizes) > 3
    assert max(sizes) < 8e6


def test_reading_is_lazy(tmp_path: Path) -> None:
    """The first record comes before what is wrong at the end is seen."""
    path = _file(tmp_path, "a.txt", b"fine\n" * 1_000_000 + b"\xff\n")
    assert next(read_records(path)) == "fine"


def _refusal(path: Path, text_column: str = "text") -> CorpusError:
    with pytest.raises(CorpusError) as caught:
        list(read_records(path, text_column=text_column))
    return caught.value


def test_a_missing_corpus_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    """A slip in the name is answered by the file that is there."""
    _file(tmp_path, "corpus.txt", b"a\n")
    error = _refusal(tmp_path / "corpsu.txt")
    assert "There is no corpus at" in error.what
    assert "Did you mean" in error.way_out
    assert "corpus.txt" in error.way_out


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv", "a.parquet"])
def test_an_empty_file_is_refused(name: str, tmp_path: Path) -> None:
    """Zero bytes hold no record."""
    assert "is empty" in _refusal(_file(tmp_path, name, b"")).what


def test_an_unknown_extension_is_refused(tmp_path: Path) -> None:
    """The kinds that are known are listed."""
    error = _refusal(_file(tmp_path, "a.docx", b"PK"))
    assert "'.docx'" in error.what
    assert ".txt, .jsonl, .csv, .parquet" in error.why


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv"])
def test_a_binary_file_is_refused_with_its_line(name: str, tmp_path: Path) -> None:
    """A NUL byte is no text; UTF-16 is the usual reason."""
    head = {"a.txt": b"x\n", "a.jsonl": b'{"text": "x"}\n', "a.csv": b"text\n"}[name]
    error = _refusal(_file(tmp_path, name, head + b"a\0b\n"))
    assert "line 2 holds a NUL byte" in error.what
    assert "iconv" in error.way_out


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv"])
def test_other_encodings_are_refused_with_line_and_byte(name: str, tmp_path: Path) -> None:
    """The place of the first byte that is not UTF-8, and how to convert."""
    head = {"a.txt": b"x\n", "a.jsonl": b'{"text": "x"}\n', "a.csv": b"text\n"}[name]
    error = _refusal(_file(tmp_path, name, head + b"caf\xe9 au lait\n"))
    assert "not UTF-8: line 2, byte 4 of the line is 0xE9" in error.what
    assert "iconv -f latin1" in error.way_out


def test_the_line_is_counted_through_the_whole_file(tmp_path: Path) -> None:
    """A bad byte far behind is found at its line, also in a later block."""
    error = _refusal(_file(tmp_path, "a.txt", b"0123456789\n" * 300_000 + b"\xff\n"))
    assert "line 300001, byte 1 of the line is 0xFF" in error.what


def test_the_line_of_a_nul_byte_is_counted_through_the_whole_file(tmp_path: Path) -> None:
    """Also in a later block."""
    error = _refusal(_file(tmp_path, "a.txt", b"0123456789\n" * 300_000 + b"a\0\n"))
    assert "line 300001 holds a NUL byte" in error.what


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.jsonl", b'{"body": "x", "id": 1}\n'), ("a.csv", b"id,body\n1,x\n")],
)
def test_a_missing_text_column_is_refused_with_those_there_are(
    name: str, content: bytes, tmp_path: Path
) -> None:
    """The columns there are stand in the message."""
    error = _refusal(_file(tmp_path, name, content))
    assert "no text column 'text'" in error.what
    assert "body, id" in error.why
    assert "--text-column" in error.way_out


@pytest.mark.parametrize("kind", ["parquet", "dataset"])
def test_a_table_without_the_column_or_with_numbers_is_refused(
    kind: str, tmp_path: Path, write_corpus: Writer
) -> None:
    """A schema says beforehand what a column holds."""
    path = write_corpus(kind, tmp_path, ["a"])
    assert "id, text" in _refusal(path, "body").why
    assert "holds values of type int64" in _refusal(path, "id").what


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"{nope}", "line 2 cannot be parsed"),
        (b"[1]", "line 2 is an array"),
        (b'{"text": 5}', "the field 'text' is a number"),
        (b'{"text": ["a"]}', "the field 'text' is an array"),
        (b"[" * 100_000, "line 2 cannot be parsed"),
    ],
)
def test_malformed_json_lines_are_refused(line: bytes, what: str, tmp_path: Path) -> None:
    """Each with its line and what stands there."""
    error = _refusal(_file(tmp_path, "a.jsonl", b'{"text": "x"}\n' + line + b"\n"))
    assert what in error.what


def test_a_quote_that_never_closes_is_refused_with_its_row(tmp_path: Path) -> None:
    """Otherwise the rest of the table would be one field."""
    error = _refusal(_file(tmp_path, "a.csv", b'text\nfine\n"open\nfine\n'))
    assert "the row that begins at line 3 is malformed" in error.what


def test_a_short_row_is_refused(tmp_path: Path) -> None:
    """A row without the text column has no text to read."""
    error = _refusal(_file(tmp_path, "a.csv", b"id,text\n1,a\n2\n"))
    assert "line 3: the row has 1 of 2 fields" in error.what


def test_a_file_without_line_ends_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One endless line would have to be held in memory."""
    monkeypatch.setattr("secretaudit.corpus.lines.LONGEST_RECORD_BYTES", 1 << 21)
    error = _refusal(_file(tmp_path, "a.txt", b"short\n" + b"x" * (4 << 20)))
    assert "line 2 is longer than 2 MiB" in error.what


def test_a_damaged_parquet_file_is_refused(tmp_path: Path, write_corpus: Writer) -> None:
    """Cut in the middle, it has no footer."""
    whole = write_corpus("parquet", tmp_path, ["a"] * 100).read_bytes()
    assert "cannot be read as a table" in _refusal(_file(tmp_path, "b.parquet", whole[:-20])).what


def test_a_directory_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    """The way out names what a corpus can be."""
    error = _refusal(tmp_path)
    assert "not a saved dataset" in error.what
    assert "state.json is missing" in error.why


def test_splits_without_train_are_refused_with_their_names(tmp_path: Path) -> None:
    """One of them can be named as the corpus."""
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["test", "dev"]}')
    error = _refusal(tmp_path)
    assert "none is called 'train'" in error.what
    assert "dev, test" in error.why


def test_a_dataset_with_an_index_file_is_refused(tmp_path: Path, write_corpus: Writer) -> None:
    """Its rows are not those of its files."""
    path = write_corpus("dataset", tmp_path, ["a"])
    state = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(
        json.dumps(state | {"_indices_data_files": [{"filename": "i"}]})
    )
    assert "index file" in _refusal(path).what


def test_a_sink_refuses_to_write_over_a_file(tmp_path: Path) -> None:
    """New files are created, never opened over old ones."""
    path = _file(tmp_path, "a.txt", b"precious")
    with pytest.raises(FileExistsError):
        LineSink(path, header=b"", line_end=b"\n", render=str.encode)
    assert path.read_bytes() == b"precious"


def test_a_damaged_page_of_a_parquet_file_is_refused(tmp_path: Path, write_corpus: Writer) -> None:
    """The footer is fine and the data are not: found while reading."""
    path = write_corpus("parquet", tmp_path, [f"record {i}" for i in range(5000)])
    content = bytearray(path.read_bytes())
    content[2000:9000] = bytes(7000)
    path.write_bytes(content)
    assert "cannot be read as a table" in _refusal(path).what


def test_a_truncated_dataset_is_refused(tmp_path: Path, write_corpus: Writer) -> None:
    """The schema is there and the rows are not: found while reading."""
    path = write_corpus("dataset", tmp_path, [f"record {i}" for i in range(500)])
    data = next(path.glob("*.arrow"))
    data.write_bytes(data.read_bytes()[:1500])
    assert "cannot be read as a table" in _refusal(path).what


def test_strings_that_are_not_utf8_in_a_table_are_refused(tmp_path: Path) -> None:
    """Arrow does not check strings when a file is made from raw buffers."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    column = pa.array([b"caf\xe9"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    assert "is not UTF-8" in _refusal(tmp_path / "a.parquet").what


def test_reading_text_loads_no_heavy_library(tmp_path: Path) -> None:
    """Tables need pyarrow, which takes a while to load; text does without it."""
    path = _file(tmp_path, "a.txt", b"a\n")
    script = (
        "import sys; from secretaudit.corpus.reading import read_records; "
        f"list(read_records({str(path)!r})); "
        "print(sorted({'pyarrow', 'datasets', 'torch', 'pandas'} & set(sys.modules)))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(place for place in sys.path if place)}
    answer = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert answer.stdout == "[]\n"


def test_a_file_that_grows_is_not_followed(tmp_path: Path) -> None:
    """Lines appended while reading are not read, so reading ends however fast they come."""
    path = _file(tmp_path, "a.txt", b"first\n" * 400_000)
    count = 0
    for batch in open_source(path).batches():
        count += len(batch.texts)
        with path.open("ab") as file:
            file.write(b"later\n" * 400_000)
        assert count <= 400_000
    assert count == 400_000


def test_half_a_character_in_json_reads_as_the_replacement_character(tmp_path: Path) -> None:
    """A lone surrogate is no text that could be encoded; a pair is one character."""
    path = _file(tmp_path, "a.jsonl", rb'{"text": "a\ud83db \ud83d\ude00 \u00e9"}')
    assert list(read_records(path)) == ["a\ufffdb \U0001f600 \u00e9"]
