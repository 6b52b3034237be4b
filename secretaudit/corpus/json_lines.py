"""JSON lines: an object a line, the text in one of its fields (.jsonl).

Lines are copied as bytes, with all their fields and their spelling. A new record has just the text field, and the source field
where the corpus is parallel text. A blank line, or a text of null, is copied and is no record.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from secretaudit.corpus.lines import (
    BYTE_ORDER_MARK,
    LineSink,
    decoded,
    first_line_end,
    has_line_end,
    line_blocks,
    line_feed_lines,
    opened,
)
from secretaudit.corpus.stream import Batch, Sink, Source, missing_column
from secretaudit.errors import CorpusError


class JsonLines:
    """A file of JSON objects, one a line."""

    output_name = "corpus.jsonl"
    byte_exact = True

    def __init__(self, path: Path, text_column: str, source_column: str | None = None) -> None:
        self.path = path
        self.text_column = text_column
        self.source_column = source_column

    def batches(self) -> Iterator[Batch]:
        """All lines in order."""
        number = 1
        for lines in line_blocks(self.path, line_feed_lines):
            placed = enumerate(decoded(self.path, lines, number), start=number)
            rows = [(self._row(line, place), line, place) for place, line in placed]
            texts = [self._text(*row, self.text_column, "text") for row in rows]
            batch = Batch(texts=texts, payload=lines, unterminated=not has_line_end(lines[-1]))
            if self.source_column is not None:
                batch = batch.paired(
                    [self._text(*row, self.source_column, "source") for row in rows]
                )
            yield batch
            number += len(lines)

    def data_files(self) -> Sequence[Path]:
        """The file itself."""
        return (self.path,)

    def check_insertable(self, text: str) -> None:
        """Any text can be a JSON string."""

    def reopened(self, path: Path) -> Source:
        """A corpus of this kind at another path."""
        return JsonLines(path, self.text_column, self.source_column)

    def open_sink(self, path: Path) -> Sink:
        """Begin a file of JSON lines with the same byte order mark and line ends."""
        with opened(self.path) as file:
            mark = file.read(len(BYTE_ORDER_MARK))
        return LineSink(
            path,
            header=mark if mark == BYTE_ORDER_MARK else b"",
            line_end=first_line_end(self.path),
            render=self._render,
        )

    def _render(self, text: str, source: str | None) -> bytes:
        row = {self.text_column: text}
        if self.source_column is not None:
            row[self.source_column] = source or ""
        return json.dumps(row, ensure_ascii=False).encode()

    def _row(self, line: str, number: int) -> dict[str, Any] | None:
        """The object of a line; None for a blank one."""
        if not line.strip():
            return None
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise CorpusError(
                f"{self.path} is not JSON lines: line {number} cannot be parsed.",
                f"The parser says: {error}.",
                "Each line must be one JSON object; mend the line or take it out.",
            ) from error
        if not isinstance(row, dict):
            raise self._wrong_type(f"line {number} is {_json_type(row)}", "an object")
        return row

    def _text(
        self, row: dict[str, Any] | None, line: str, number: int, column: str, side: str
    ) -> str | None:
        """What a row has in a column; None where that is nothing."""
        if row is None:
            return None
        if column not in row:
            raise missing_column(self.path, column, list(row), f"line {number}", side=side)
        text = row[column]
        if text is not None and not isinstance(text, str):
            what = f"line {number}: the field {column!r} is {_json_type(text)}"
            raise self._wrong_type(what, "a string", side)
        if text and "\\u" in line:
            # JSON can spell half a character (a lone surrogate); no tokenizer takes it, so it reads as U+FFFD.
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return text or None

    def _wrong_type(self, what: str, wanted: str, side: str = "text") -> CorpusError:
        return CorpusError(
            f"{self.path}, {what}.",
            f"It must be {wanted}.",
            f"Mend the line, or name the field that holds the {side} with --{side}-column.",
        )


def _json_type(value: object) -> str:
    match value:
        case dict():
            return "an object"
        case list():
            return "an array"
        case bool() | None:
            return "true, false or null"
        case int() | float():
            return "a number"
        case _:
            return "a string"
