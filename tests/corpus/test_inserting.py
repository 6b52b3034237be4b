"""Putting records in and taking them out, for every kind of corpus."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secretaudit.corpus.inserting import insert_copies, place, remove_copies
from secretaudit.corpus.reading import open_source, read_records
from secretaudit.corpus.survey import Copies, verify
from secretaudit.errors import CorpusError

Writer = Callable[[str, Path, Sequence[str]], Path]
Reader = Callable[[str, Path], list[str]]
KINDS = ("txt", "jsonl", "csv", "parquet", "dataset")
BYTE_EXACT = ("txt", "jsonl", "csv")

_COPIES = (
    Copies(text="my pin is 12", insertions=1),
    Copies(text="my pin is 1234", insertions=4),
    Copies(text='say "open, sesame"; \u00e9\U0001f512', insertions=3),
    Copies(text="never inserted", insertions=0),
)
_LINE = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\r\n"), max_size=20
)


def _silent(_: int) -> None:
    """Nobody listens."""


def _canaried(
    corpus: Path, target: Path, copies: tuple[Copies, ...] = _COPIES, seed: int = 0
) -> Path:
    source = open_source(corpus)
    records = sum(1 for _ in read_records(corpus))
    insert_copies(source, target, place(copies, records, np.random.default_rng(seed)), _silent)
    return target


def _cleaned(corpus: Path, target: Path, copies: tuple[Copies, ...] = _COPIES) -> Path:
    remove_copies(open_source(corpus), target, copies, _silent)
    return target


def _round_trip(name: str, content: bytes) -> tuple[bytes, bytes]:
    """The canaried file, and the file after removal."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / f"a{name}"
        corpus.write_bytes(content)
        canaried = _canaried(corpus, Path(folder) / f"b{name}")
        verify(open_source(canaried), _COPIES, sum(1 for _ in read_records(corpus)) + 8, _silent)
        return canaried.read_bytes(), _cleaned(canaried, Path(folder) / f"c{name}").read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_the_other_records_are_the_input_in_order(
    kind: str, tmp_path: Path, write_corpus: Writer, read_corpus: Reader
) -> None:
    """Output without canaries equals input, and each canary is there as often as asked."""
    texts = [f"record number {i}, \u00fc" for i in range(50)]
    canaried = _canaried(
        write_corpus(kind, tmp_path, texts), tmp_path / Path("out").with_suffix(_suffix(kind))
    )
    found = read_corpus(kind, canaried)
    inserted = {copy.text for copy in _COPIES}
    assert [text for text in found if text not in inserted] == texts
    assert [found.count(copy.text) for copy in _COPIES] == [1, 4, 3, 0]
    assert list(read_records(canaried)) == found


@pytest.mark.parametrize("kind", KINDS)
def test_removal_gives_back_the_records(
    kind: str, tmp_path: Path, write_corpus: Writer, read_corpus: Reader
) -> None:
    """Insertion then removal is the identity, byte by byte where files are lines."""
    corpus = write_corpus(kind, tmp_path, [f"record {i}" for i in range(20)])
    suffix = _suffix(kind)
    canaried = _canaried(corpus, tmp_path / Path("with").with_suffix(suffix))
    cleaned = _cleaned(canaried, tmp_path / Path("without").with_suffix(suffix))
    assert read_corpus(kind, cleaned) == read_corpus(kind, corpus)
    if kind in BYTE_EXACT:
        assert cleaned.read_bytes() == corpus.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_corpus_of_one_record_takes_canaries(
    kind: str, tmp_path: Path, write_corpus: Writer, read_corpus: Reader
) -> None:
    """One record has two boundaries."""
    corpus = write_corpus(kind, tmp_path, ["alone"])
    canaried = _canaried(corpus, tmp_path / Path("out").with_suffix(_suffix(kind)))
    found = read_corpus(kind, canaried)
    assert (len(found), found.count("alone")) == (9, 1)


def _suffix(kind: str) -> str:
    return "" if kind == "dataset" else f".{kind}"


@settings(max_examples=80, deadline=None)
@given(
    lines=st.lists(st.tuples(_LINE, st.sampled_from(["\n", "\r\n", "\r"])), min_size=1),
    last=_LINE,
    mark=st.booleans(),
)
def test_any_text_file_comes_back_byte_by_byte(
    lines: list[tuple[str, str]], last: str, mark: bool
) -> None:
    """Mixed line ends, blank lines, a byte order mark, a last line without end: all come back."""
    text = "only\n" + "".join(line + end for line, end in lines) + last
    content = (b"\xef\xbb\xbf" if mark else b"") + text.encode()
    canaried, cleaned = _round_trip(".txt", content)
    assert cleaned == content
    assert canaried.startswith(b"\xef\xbb\xbf") == mark
    assert canaried.endswith((b"\n", b"\r")) == content.endswith((b"\n", b"\r"))


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.text(st.characters(blacklist_categories=("Cs",)), max_size=12), min_size=1),
    ends=st.sampled_from(["\n", "\r\n"]),
    ended=st.booleans(),
    blank=st.booleans(),
)
def test_any_json_lines_come_back_byte_by_byte(
    rows: list[str], ends: str, ended: bool, blank: bool
) -> None:
    """Any string as text, other fields, odd spacing and blank lines come back."""
    import json

    lines = [json.dumps({"text": "only"})]
    lines += [f' {{"n": 1.50, "text" :{json.dumps(row)}}} ' for row in rows]
    content = (ends + (ends if blank else "")).join(lines) + (ends if ended else "")
    assert _round_trip(".jsonl", content.encode())[1] == content.encode()


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.text(
            st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=12
        ),
        min_size=1,
    ),
    ends=st.sampled_from(["\n", "\r\n"]),
    separator=st.sampled_from(",;\t|"),
    ended=st.booleans(),
)
def test_any_table_comes_back_byte_by_byte(
    rows: list[str], ends: str, separator: str, ended: bool
) -> None:
    """Quoted fields over several lines, any separator, a last row without end come back."""
    import csv
    import io

    table = io.StringIO(newline="")
    writer = csv.writer(table, delimiter=separator, lineterminator=ends)
    writer.writerows([("id", "text", "more"), (0, "only", "x"), *((1, row, "y") for row in rows)])
    content = table.getvalue().encode()
    if not ended:
        content = content.removesuffix(ends.encode())
    assert _round_trip(".csv", content)[1] == content


def test_a_quoted_field_of_several_lines_is_one_record(
    tmp_path: Path, write_corpus: Writer, read_corpus: Reader
) -> None:
    """No canary goes inside a row that spans lines (trap: cuts inside a record)."""
    corpus = write_corpus("csv", tmp_path, ["first\nsecond\r\nthird"] * 30)
    canaried = _canaried(corpus, tmp_path / "out.csv")
    assert read_corpus("csv", canaried).count("first\nsecond\r\nthird") == 30


def test_records_are_never_cut(tmp_path: Path, write_corpus: Writer) -> None:
    """Every line of the output is a whole line of the input or a whole canary."""
    texts = [f"a somewhat longer record {i}" for i in range(200)]
    canaried = _canaried(write_corpus("txt", tmp_path, texts), tmp_path / "out.txt")
    whole = {*texts, *(copy.text for copy in _COPIES)}
    assert set(canaried.read_text(encoding="utf-8").split("\n")) == whole - {"never inserted"} | {
        ""
    }


def test_places_are_uniform_over_all_boundaries() -> None:
    """Ten records have eleven boundaries, the first and the last as likely as the others."""
    copies = [Copies(text=f"canary {i}", insertions=11) for i in range(1000)]
    placed = place(copies, 10, np.random.default_rng(5))
    counts = np.bincount(placed.boundaries, minlength=11)
    # chi-square with 10 degrees of freedom: 35.6 is passed once in 10,000 times
    assert len(counts) == 11
    assert float(((counts - 1000.0) ** 2 / 1000).sum()) < 35.6


def test_copies_of_one_canary_stand_apart() -> None:
    """Each copy has a place of its own: a canary's copies are not one block."""
    placed = place([Copies(text="a", insertions=50)], 10**6, np.random.default_rng(1))
    assert len(set(placed.boundaries.tolist())) == 50


def test_order_at_one_boundary_is_random() -> None:
    """Canaries that meet at one boundary do not stand in the ledger's order."""
    copies = [Copies(text=f"{i:02}", insertions=1) for i in range(40)]
    placed = place(copies, 0, np.random.default_rng(1))
    assert sorted(placed.texts) == [copy.text for copy in copies] != list(placed.texts)


def test_same_seed_same_file(tmp_path: Path, write_corpus: Writer) -> None:
    """The seed decides the output, and nothing else does."""
    corpus = write_corpus("txt", tmp_path, [f"r{i}" for i in range(100)])
    first = _canaried(corpus, tmp_path / "1.txt", seed=3).read_bytes()
    assert _canaried(corpus, tmp_path / "2.txt", seed=3).read_bytes() == first
    assert _canaried(corpus, tmp_path / "3.txt", seed=4).read_bytes() != first


@pytest.mark.parametrize("change", ["deduplicated", "filtered", "doubled"])
def test_a_corpus_that_was_cleaned_after_insertion_is_noticed(
    change: str, tmp_path: Path, write_corpus: Writer
) -> None:
    """Deduplication and filters that drop canaries (trap: a false all-clear) make the counts differ."""
    corpus = write_corpus("txt", tmp_path, [f"r{i}" for i in range(10)])
    lines = _canaried(corpus, tmp_path / "a.txt").read_text(encoding="utf-8").splitlines()
    kept = {
        "deduplicated": list(dict.fromkeys(lines)),
        "filtered": [line for line in lines if "pin" not in line],
        "doubled": lines * 2,
    }[change]
    path = write_corpus("txt", tmp_path / "changed", kept)
    with pytest.raises(CorpusError, match=r"canary records were found, but the ledger says 8"):
        _cleaned(path, tmp_path / "clean.txt")
    with pytest.raises(CorpusError, match="was checked and is wrong"):
        verify(open_source(path), _COPIES, len(kept), _silent)


def test_verification_counts_occurrences_inside_records(
    tmp_path: Path, write_corpus: Writer
) -> None:
    """A canary or control that stands inside another record is one too many."""
    for stray in ("my pin is 1234 or so", "never inserted by us"):
        lines = [copy.text for copy in _COPIES for _ in range(copy.insertions)] + [stray]
        path = write_corpus("txt", tmp_path, lines)
        with pytest.raises(CorpusError, match=r"[12] canaries or controls occur too often"):
            verify(open_source(path), _COPIES, len(lines), _silent)


def test_verification_counts_records(tmp_path: Path, write_corpus: Writer) -> None:
    """A lost record is noticed even when all canaries are there."""
    lines = [copy.text for copy in _COPIES for _ in range(copy.insertions)]
    path = write_corpus("txt", tmp_path, lines)
    with pytest.raises(CorpusError, match="it has 8 records instead of 9"):
        verify(open_source(path), _COPIES, 9, _silent)


def test_several_lines_do_not_fit_a_text_file(tmp_path: Path, write_corpus: Writer) -> None:
    """A canary with a line end would be two records."""
    corpus = write_corpus("txt", tmp_path, ["a"])
    with pytest.raises(CorpusError, match="canary of several lines"):
        _canaried(corpus, tmp_path / "out.txt", copies=(Copies(text="a\nb", insertions=1),))


def test_several_lines_fit_the_other_kinds(
    tmp_path: Path, write_corpus: Writer, read_corpus: Reader
) -> None:
    """JSON and quoted fields hold any text."""
    copies = (Copies(text='two\nlines, "quoted"\r\n', insertions=2),)
    for kind in ("jsonl", "csv", "parquet"):
        corpus = write_corpus(kind, tmp_path / kind, ["a", "b"])
        canaried = _canaried(corpus, tmp_path / f"out.{kind}", copies=copies)
        assert read_corpus(kind, canaried).count(copies[0].text) == 2


def test_other_columns_of_canaries_are_empty(tmp_path: Path, write_corpus: Writer) -> None:
    """Canary records bring just their text; a column that allowed no nulls allows them now."""
    import pyarrow.parquet as pq

    corpus = write_corpus("parquet", tmp_path, ["a", "b"])
    table = pq.read_table(_canaried(corpus, tmp_path / "out.parquet"))
    ids = dict(zip(table.column("text").to_pylist(), table.column("id").to_pylist(), strict=True))
    assert (ids["a"], ids["b"], ids["my pin is 1234"]) == (0, 1, None)


@pytest.mark.parametrize("bad", [{"text": "", "insertions": 1}, {"text": "a", "insertions": -1}])
def test_impossible_copies_are_refused(bad: dict[str, object]) -> None:
    """A canary has a text, and is inserted no negative number of times."""
    with pytest.raises(ValueError, match="text must not be empty and insertions not negative"):
        Copies(**bad)  # type: ignore[arg-type]  # wrong on purpose
