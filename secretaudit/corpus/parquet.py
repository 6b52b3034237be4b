"""Parquet files, read and written some thousand rows at a time (.parquet).

The output keeps the columns, their metadata and the compression of the first column; each batch becomes a row group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from secretaudit.corpus.arrow_tables import (
    ArrowSink,
    batch_of,
    check_columns,
    nullable,
    unreadable,
)
from secretaudit.corpus.lines import opened
from secretaudit.corpus.stream import BATCH_BYTES, Batch, Sink, Source

_MOST_ROWS = 1 << 16


class Parquet:
    """A Parquet file with a column of text.

    Raises:
        CorpusError: Not a Parquet file, or without the text column.
    """

    output_name = "corpus.parquet"
    byte_exact = False

    def __init__(self, path: Path, text_column: str, source_column: str | None = None) -> None:
        self.path = path
        self.text_column = text_column
        self.source_column = source_column
        with self._file() as file:
            self._schema = file.schema_arrow
            check_columns(path, self._schema, text_column, source_column)
            self._rows = _rows_per_batch(file.metadata)
            self._codec = _codec(file.metadata)

    def batches(self) -> Iterator[Batch]:
        """All rows in order."""
        with self._file() as file:
            for rows in file.iter_batches(batch_size=self._rows):
                yield batch_of(self.path, rows, self.text_column, self.source_column)

    def data_files(self) -> Sequence[Path]:
        """The file itself."""
        return (self.path,)

    def check_insertable(self, text: str) -> None:
        """Any text can be a value."""

    def reopened(self, path: Path) -> Source:
        """A corpus of this kind at another path."""
        return Parquet(path, self.text_column, self.source_column)

    def open_sink(self, path: Path) -> Sink:
        """Begin a Parquet file with the same columns."""
        schema = nullable(self._schema)
        writer = pq.ParquetWriter(path, schema, compression=self._codec)
        return ArrowSink(writer, schema, self.text_column, self.source_column)

    @contextmanager
    def _file(self) -> Iterator[pq.ParquetFile]:
        with opened(self.path) as raw:
            try:
                with pq.ParquetFile(raw) as file:
                    yield file
            except (pa.ArrowException, OSError) as error:
                raise unreadable(
                    self.path, error, "Check that the file is a whole Parquet file."
                ) from error


def _rows_per_batch(metadata: pq.FileMetaData) -> int:
    """As many rows as hold about four megabytes."""
    groups = (metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    per_row = max(sum(groups) // max(metadata.num_rows, 1), 1)
    return int(min(max(4 * BATCH_BYTES // per_row, 1), _MOST_ROWS))


def _codec(metadata: pq.FileMetaData) -> str:
    if metadata.num_row_groups == 0:
        return "snappy"
    name = str(metadata.row_group(0).column(0).compression).lower()
    return "none" if name == "uncompressed" else name
