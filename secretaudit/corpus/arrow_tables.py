"""Columns of Arrow: the common part of Parquet files and saved datasets.

A unit is a row. New records have null in every column but the text (and the source, in parallel text), so the columns of the output may hold nulls even where
those of the input might not. Row values are copied by Arrow; their bytes on disk may be packed differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from secretaudit.corpus.stream import Batch, missing_column
from secretaudit.errors import CorpusError


class TableWriter(Protocol):
    """What pyarrow's writers of files and streams have in common."""

    def write_table(self, table: pa.Table) -> None:
        """Append the rows of a table."""

    def close(self) -> None:
        """Write what is left and close."""


class ArrowSink:
    """Gathers the rows of one batch and the new records among them, then writes them as one table.

    Args:
        writer: Open writer of the columns ``schema``.
        schema: Columns of the output, all of which may hold nulls.
        text_column: The column that holds the text.
        source_column: The column that holds the source, in parallel text.
    """

    def __init__(
        self,
        writer: TableWriter,
        schema: pa.Schema,
        text_column: str,
        source_column: str | None = None,
    ) -> None:
        self._writer = writer
        self._schema = schema
        self._text_column = text_column
        self._source_column = source_column
        self._pieces: list[pa.Table] = []

    def write(self, batch: Batch, start: int, stop: int) -> None:
        """Copy rows of a batch."""
        if stop > start:
            rows = batch.payload.slice(start, stop - start)
            self._pieces.append(pa.Table.from_arrays(rows.columns, schema=self._schema))

    def insert(self, text: str, source: str | None = None) -> None:
        """Add a row that has just the text, and its source."""
        values = {self._source_column: source, self._text_column: text}
        columns = [
            pa.array([values[field.name]], type=field.type)
            if field.name in values
            else pa.nulls(1, type=field.type)
            for field in self._schema
        ]
        self._pieces.append(pa.Table.from_arrays(columns, schema=self._schema))

    def end_batch(self) -> None:
        """Write what was gathered."""
        if self._pieces:
            self._writer.write_table(pa.concat_tables(self._pieces).combine_chunks())
            self._pieces.clear()

    def remove_last_terminator(self) -> None:
        """Rows have no line ends."""

    def close(self) -> None:
        """Write what is left and close."""
        self.end_batch()
        self._writer.close()


def nullable(schema: pa.Schema) -> pa.Schema:
    """The same columns and metadata, where every column may hold nulls."""
    return pa.schema([field.with_nullable(True) for field in schema], metadata=schema.metadata)


def check_columns(
    path: Path, schema: pa.Schema, text_column: str, source_column: str | None
) -> None:
    """Refuse a table whose text or source column is missing or holds no strings.

    Raises:
        CorpusError: Names the columns there are, or the type of the column.
    """
    for side, column in (("text", text_column), ("source", source_column)):
        if column is None:
            continue
        if column not in schema.names:
            raise missing_column(path, column, schema.names, "schema", side=side)
        kind = schema.field(column).type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise CorpusError(
                f"{path}: the column {column!r} holds values of type {kind}.",
                f"A {side} column must hold strings.",
                f"Name the one that holds the {side} with --{side}-column.",
            )


def batch_of(
    path: Path, rows: pa.RecordBatch, text_column: str, source_column: str | None
) -> Batch:
    """Rows as units."""
    batch = Batch(texts=texts_of(path, rows, text_column), payload=rows)
    return batch if source_column is None else batch.paired(texts_of(path, rows, source_column))


def texts_of(path: Path, rows: pa.RecordBatch, text_column: str) -> Sequence[str | None]:
    """The text of each row; None for null and for the empty string.

    Raises:
        CorpusError: A string of the column is not UTF-8.
    """
    try:
        texts = rows.column(rows.schema.get_field_index(text_column)).to_pylist()
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{path}: a value of the column {text_column!r} is not UTF-8.",
            f"It is {error.object[:20]!r}, where {error.reason}.",
            "Write the table again with a column of valid strings.",
        ) from error
    return [text or None for text in texts]


def unreadable(path: Path, error: Exception, way_out: str) -> CorpusError:
    """The refusal of a file that Arrow cannot read."""
    return CorpusError(
        f"{path} cannot be read as a table.",
        f"Arrow says: {str(error).splitlines()[0]}.",
        way_out,
    )
