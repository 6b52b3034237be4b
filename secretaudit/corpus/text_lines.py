"""Plain text: a line is a record (.txt).

CR LF, LF and CR end a line; form feeds and the line separators of Unicode do not. An empty line is copied and is
no record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from secretaudit.corpus.stream import Batch, Sink, Source
from secretaudit.errors import CorpusError


class TextLines:
    """A text file whose lines are records; a text column means nothing here and is only remembered.

    Raises:
        CorpusError: A source column was asked for.
    """

    output_name = "corpus.txt"
    byte_exact = True

    def __init__(self, path: Path, text_column: str, source_column: str | None = None) -> None:
        if source_column is not None:
            raise CorpusError(
                f"{path} has no source column {source_column!r}.",
                "A text file is one column: a line is a record.",
                "Give the lines' sources as a file of their own with --source-file, or a .jsonl corpus.",
            )
        self.path = path
        self.text_column = text_column
        self.source_column: str | None = None

    def batches(self) -> Iterator[Batch]:
        """All lines in order."""
        number = 1
        for lines in line_blocks(self.path, universal_lines):
            texts = [text.rstrip("\r\n") or None for text in decoded(self.path, lines, number)]
            yield Batch(texts=texts, payload=lines, unterminated=not has_line_end(lines[-1]))
            number += len(lines)

    def data_files(self) -> Sequence[Path]:
        """The file itself."""
        return (self.path,)

    def check_insertable(self, text: str) -> None:
        """Refuse a text that would be more than one line.

        Raises:
            CorpusError: The text holds a line end.
        """
        if "\n" in text or "\r" in text:
            raise CorpusError(
                f"A canary of several lines cannot be put into {self.path}.",
                "In a text file a line is a record, so the canary would fall apart.",
                "Use a format of one line, or a .jsonl corpus.",
            )

    def reopened(self, path: Path) -> Source:
        """A corpus of this kind at another path."""
        return TextLines(path, self.text_column)

    def open_sink(self, path: Path) -> Sink:
        """Begin a text file with the same byte order mark and line ends."""
        with opened(self.path) as file:
            mark = file.read(len(BYTE_ORDER_MARK))
        return LineSink(
            path,
            header=mark if mark == BYTE_ORDER_MARK else b"",
            line_end=first_line_end(self.path),
            render=lambda text, _: text.encode(),
        )
