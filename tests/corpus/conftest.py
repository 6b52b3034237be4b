"""Small corpora of every kind, written by other means than the code under test."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

Writer = Callable[[str, Path, Sequence[str]], Path]
Reader = Callable[[str, Path], list[str]]


@pytest.fixture
def write_corpus() -> Writer:
    """Writes a corpus of a kind with these records and, where there are columns, a column ``id``."""

    def write(kind: str, directory: Path, texts: Sequence[str]) -> Path:
        directory.mkdir(parents=True, exist_ok=True)
        return _WRITERS[kind](directory, list(texts))

    return write


@pytest.fixture
def read_corpus() -> Reader:
    """Reads all texts of a corpus by the libraries that own the kind."""

    def read(kind: str, path: Path) -> list[str]:
        return _READERS[kind](path)

    return read


def _txt(directory: Path, texts: list[str]) -> Path:
    path = directory / "input.txt"
    path.write_bytes("".join(f"{text}\n" for text in texts).encode())
    return path


def _jsonl(directory: Path, texts: list[str]) -> Path:
    path = directory / "input.jsonl"
    rows = [json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(texts)]
    path.write_bytes("".join(rows).encode())
    return path


def _csv(directory: Path, texts: list[str]) -> Path:
    path = directory / "input.csv"
    table = io.StringIO(newline="")
    csv.writer(table).writerows([("id", "text"), *enumerate(texts)])
    path.write_bytes(table.getvalue().encode())
    return path


def _parquet(directory: Path, texts: list[str]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = directory / "input.parquet"
    schema = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("text", pa.string())])
    pq.write_table(pa.table([list(range(len(texts))), texts], schema=schema), path)
    return path


def _dataset(directory: Path, texts: list[str]) -> Path:
    import datasets

    datasets.disable_progress_bars()
    path = directory / "input"
    data = datasets.Dataset.from_dict({"id": list(range(len(texts))), "text": texts})
    data.save_to_disk(path)
    return path


def _read_csv(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8") as file:
        return [row["text"] for row in csv.DictReader(file)]


def _read_jsonl(path: Path) -> list[str]:
    lines = path.read_bytes().decode().split("\n")
    return [json.loads(line)["text"] for line in lines if line.strip()]


def _read_parquet(path: Path) -> list[str]:
    import pyarrow.parquet as pq

    return list(pq.read_table(path).column("text").to_pylist())


def _read_dataset(path: Path) -> list[str]:
    import datasets

    return list(datasets.load_from_disk(path)["text"])


_WRITERS: dict[str, Callable[[Path, list[str]], Path]] = {
    "txt": _txt,
    "jsonl": _jsonl,
    "csv": _csv,
    "parquet": _parquet,
    "dataset": _dataset,
}
_READERS: dict[str, Callable[[Path], list[str]]] = {
    "txt": lambda path: path.read_bytes().decode().splitlines(),
    "jsonl": _read_jsonl,
    "csv": _read_csv,
    "parquet": _read_parquet,
    "dataset": _read_dataset,
}
