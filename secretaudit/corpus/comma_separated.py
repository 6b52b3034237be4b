"""Tables of comma-separated values with a header row (.csv).

A row is a unit, however many lines its quoted fields span. The separator is the first of comma, semicolon, tab
and bar under which the header row has the text column (and the source column, for parallel text). Rows are copied as bytes. A new
record leaves all other columns empty. A blank line, or an empty text, is copied and is no record.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from secretaudit.corpus.lines import (
    BYTE_ORDER_MARK,
    LineSink,
    decoded,
    first_line_end,
    has_line_end,
    line_blocks,
    opened,
    universal_lines,
)
from secretaudit.corpus.stream import (
    BATCH_BYTES,
    LONGEST_RECORD_BYTES,
    Batch,
    Sink,
    Source,
    missing_column,
)
from secretaudit.errors import CorpusError

_SEPARATORS = ",;\t|"


class CommaSeparated:
    """A table of comma-separated values.

    Raises:
        CorpusError: The header row lacks the text column or the source column.
    """

    output_name = "corpus.csv"
    byte_exact = True

    def __init__(self, path: Path, text_column: str, source_column: str | None = None) -> None:
        self.path = path
        self.text_column = text_column
        self.source_column = source_column
        wanted = {text_column} if source_column is None else {text_column, source_column}
        header, self._header = self._read_header()
        for separator in _SEPARATORS:
            self._columns = next(
                csv.reader(io.StringIO(header, newline=""), delimiter=separator), []
            )
            if wanted <= set(self._columns):
                self._separator = separator
                return
        raise self._missing(header)

    def batches(self) -> Iterator[Batch]:
        """All rows after the header, in order."""
        tap = _Tap(self.path)
        rows = csv.reader(tap, delimiter=self._separator, strict=True)
        with _long_fields():
            next(rows, None)
        tap.taken()
        while (batch := self._next_batch(tap, rows)) is not None:
            yield batch

    def data_files(self) -> Sequence[Path]:
        """The file itself."""
        return (self.path,)

    def check_insertable(self, text: str) -> None:
        """Any text can be a quoted field."""

    def reopened(self, path: Path) -> Source:
        """A corpus of this kind at another path."""
        return CommaSeparated(path, self.text_column, self.source_column)

    def open_sink(self, path: Path) -> Sink:
        """Begin a table with the same header row and line ends."""
        return LineSink(
            path, header=self._header, line_end=first_line_end(self.path), render=self._render
        )

    def _missing(self, header: str) -> CorpusError:
        """The refusal of a header row, read with the separator that finds one of the columns, or else with commas."""
        for separator in _SEPARATORS:
            names = next(csv.reader(io.StringIO(header, newline=""), delimiter=separator), [])
            if self.text_column in names and self.source_column is not None:
                return missing_column(
                    self.path, self.source_column, names, "header row", side="source"
                )
        names = next(csv.reader(io.StringIO(header, newline="")), [])
        return missing_column(self.path, self.text_column, names, "header row")

    def _render(self, text: str, source: str | None) -> bytes:
        row = ["" for _ in self._columns]
        row[self._columns.index(self.text_column)] = text
        if self.source_column is not None:
            row[self._columns.index(self.source_column)] = source or ""
        rendered = io.StringIO()
        csv.writer(rendered, delimiter=self._separator, lineterminator="").writerow(row)
        return rendered.getvalue().encode()

    def _read_header(self) -> tuple[str, bytes]:
        """The header row as text, and its bytes with the byte order mark."""
        tap = _Tap(self.path)
        with _long_fields():
            next(csv.reader(tap), [])
        row = tap.taken()
        with opened(self.path) as file:
            mark = file.read(len(BYTE_ORDER_MARK))
        return row.decode(), (mark if mark == BYTE_ORDER_MARK else b"") + row

    def _next_batch(self, tap: _Tap, rows: Iterator[list[str]]) -> Batch | None:
        texts: list[str | None] = []
        sources: list[str | None] = []
        units: list[bytes] = []
        size, first = 0, tap.lines + 1
        try:
            with _long_fields():
                for row in rows:
                    texts.append(self._text(row, first, self.text_column))
                    if self.source_column is not None:
                        sources.append(self._text(row, first, self.source_column))
                    units.append(tap.taken())
                    size += len(units[-1])
                    first = tap.lines + 1
                    if size >= BATCH_BYTES:
                        break
        except csv.Error as error:
            raise self._malformed(first, error) from error
        if not units:
            return None
        batch = Batch(texts=texts, payload=units, unterminated=not has_line_end(units[-1]))
        return batch if self.source_column is None else batch.paired(sources)

    def _text(self, row: list[str], number: int, column: str) -> str | None:
        if not row:
            return None
        place = self._columns.index(column)
        if len(row) <= place:
            raise CorpusError(
                f"{self.path}, line {number}: the row has {len(row)} of {len(self._columns)} fields.",
                f"The column {column!r} is not among them.",
                "Mend the row or take it out.",
            )
        return row[place] or None

    def _malformed(self, number: int, error: csv.Error) -> CorpusError:
        return CorpusError(
            f"{self.path} is not a readable table: the row that begins at line {number} is malformed.",
            f"The parser says: {error}.",
            "Look for a quote that is never closed, or quotes inside a field that are not doubled.",
        )


class _Tap:
    """Lines of a file as text for the parser, while their bytes are remembered until they are taken."""

    def __init__(self, path: Path) -> None:
        self._lines = self._read(path)
        self._taken: list[bytes] = []
        #: Lines handed out so far.
        self.lines = 0

    def __iter__(self) -> _Tap:
        return self

    def __next__(self) -> str:
        text, line = next(self._lines)
        self._taken.append(line)
        self.lines += 1
        return text

    def taken(self) -> bytes:
        """The bytes handed out since the last call."""
        unit = b"".join(self._taken)
        self._taken.clear()
        return unit

    @staticmethod
    def _read(path: Path) -> Iterator[tuple[str, bytes]]:
        number = 1
        for lines in line_blocks(path, universal_lines):
            yield from zip(decoded(path, lines, number), lines, strict=True)
            number += len(lines)


@contextmanager
def _long_fields() -> Iterator[None]:
    """Raise the parser's limit on a field (a setting of the whole process) for one batch, and put it back."""
    before = csv.field_size_limit(LONGEST_RECORD_BYTES)
    try:
        yield
    finally:
        csv.field_size_limit(before)
