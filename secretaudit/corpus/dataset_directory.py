"""Datasets saved by the Hugging Face ``datasets`` library with ``save_to_disk``.

Such a directory holds Arrow streams (``data-*.arrow``), ``state.json`` that lists them, and ``dataset_info.json``
that names the features. These are read and written here directly, record batch by record batch, so that a dataset
is never loaded and the library need not be installed; what is written loads with ``load_from_disk``.

A directory that holds several splits (a ``DatasetDict``) stands for its split ``train``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa

from secretaudit.corpus.arrow_tables import (
    ArrowSink,
    batch_of,
    check_columns,
    nullable,
    unreadable,
)
from secretaudit.corpus.lines import opened
from secretaudit.corpus.stream import Batch, Sink, Source
from secretaudit.errors import CorpusError

_DATA_FILE = "data-00000-of-00001.arrow"
_SIZES = ("splits", "dataset_size", "download_size", "size_in_bytes", "download_checksums")


class DatasetDirectory:
    """A directory written by ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk``.

    Raises:
        CorpusError: No such directory, no split "train", an index file, or no text column.
    """

    output_name = "corpus"
    byte_exact = False

    def __init__(self, path: Path, text_column: str, source_column: str | None = None) -> None:
        self.path = _split_train(path)
        self.text_column = text_column
        self.source_column = source_column
        self._state = _read_json(self.path / "state.json")
        self._info = _read_json(self.path / "dataset_info.json")
        if self._state.get("_indices_data_files"):
            raise CorpusError(
                f"{self.path} holds a selection of rows as an index file.",
                "It was saved by an old version of datasets.",
                "Load it and save it again with dataset.flatten_indices().save_to_disk(...).",
            )
        with self._stream(self.data_files()[0]) as stream:
            self._schema = stream.schema
        check_columns(self.path, self._schema, text_column, source_column)

    def batches(self) -> Iterator[Batch]:
        """All rows in order."""
        for path in self.data_files():
            with self._stream(path) as stream:
                for rows in stream:
                    yield batch_of(path, rows, self.text_column, self.source_column)

    def data_files(self) -> Sequence[Path]:
        """The Arrow files in the order that ``state.json`` gives."""
        files = [self.path / entry["filename"] for entry in self._state.get("_data_files", [])]
        if not files:
            raise _not_saved(self.path, "state.json lists no data files")
        return files

    def check_insertable(self, text: str) -> None:
        """Any text can be a value."""

    def reopened(self, path: Path) -> Source:
        """A corpus of this kind at another path."""
        return DatasetDirectory(path, self.text_column, self.source_column)

    def open_sink(self, path: Path) -> Sink:
        """Begin a dataset directory with the same features."""
        path.mkdir()
        info = {key: value for key, value in self._info.items() if key not in _SIZES}
        fingerprint = sha256(str(path).encode() + json.dumps(info).encode()).hexdigest()[:16]
        state = self._state | {
            "_data_files": [{"filename": _DATA_FILE}],
            "_fingerprint": fingerprint,
        }
        (path / "dataset_info.json").write_text(json.dumps(info, indent=2), encoding="utf-8")
        (path / "state.json").write_text(json.dumps(state, indent=2), encoding="utf-8")
        schema = nullable(self._schema)
        writer = pa.ipc.new_stream(path / _DATA_FILE, schema)
        return ArrowSink(writer, schema, self.text_column, self.source_column)

    @contextmanager
    def _stream(self, path: Path) -> Iterator[pa.ipc.RecordBatchStreamReader]:
        with opened(path) as file:
            try:
                with pa.ipc.open_stream(file) as stream:
                    yield stream
            except (pa.ArrowException, OSError) as error:
                raise unreadable(path, error, "Save the dataset again.") from error


def _split_train(path: Path) -> Path:
    if not (path / "dataset_dict.json").exists():
        return path
    splits = _read_json(path / "dataset_dict.json").get("splits", [])
    if "train" in splits:
        return path / "train"
    raise CorpusError(
        f"{path} holds several splits and none is called 'train'.",
        f"The splits there are: {', '.join(sorted(splits))}.",
        f"Name one of them, for example {path / sorted(splits)[0] if splits else path}.",
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _not_saved(path.parent, f"{path.name} is missing") from error
    except (OSError, ValueError) as error:
        raise _not_saved(path.parent, f"{path.name} cannot be read") from error
    if not isinstance(value, dict):
        raise _not_saved(path.parent, f"{path.name} is not an object")
    return value


def _not_saved(path: Path, reason: str) -> CorpusError:
    return CorpusError(
        f"{path} is a directory but not a saved dataset.",
        f"In it, {reason}.",
        "Give a .txt, .jsonl, .csv or .parquet file, or a directory made by save_to_disk.",
    )
