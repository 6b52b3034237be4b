"""Parallel text as two files of lines: line i of one translates line i of the other (train.de, train.en).

This is how corpora for translation are handed around. Only LF ends a line, so that a stray CR, form feed or line separator of Unicode
does not shift one side against the other; a CR before the LF is left out. A pair with an empty side is copied and is no record.

What is written is one file of JSON lines with a field for each side (``json_lines``), so nothing can get out of step later.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import chain, zip_longest
from pathlib import Path

from secretaudit.corpus.json_lines import JsonLines
from secretaudit.corpus.lines import LineSink, decoded, line_blocks, line_feed_lines
from secretaudit.corpus.stream import Batch, Sink, Source
from secretaudit.errors import CorpusError

#: Pairs in a batch.
_BATCH_PAIRS = 4096


class AlignedLines:
    """A file of texts and a file of their sources.

    Args:
        path: The texts, one a line.
        source_file: The sources, one a line.
        text_column: Field of the text in what is written.
        source_column: Field of the source in what is written.
    """

    output_name = "corpus.jsonl"
    byte_exact = True

    def __init__(self, path: Path, source_file: Path, text_column: str, source_column: str) -> None:
        self.path = path
        self.text_column = text_column
        self.source_column: str | None = source_column
        self._source_file = source_file
        self._fields = (text_column, source_column)

    def batches(self) -> Iterator[Batch]:
        """All pairs in order.

        Raises:
            CorpusError: The files do not have the same number of lines.
        """
        pairs: list[tuple[str, str]] = []
        both = zip_longest(_lines(self.path), _lines(self._source_file))
        for number, (text, source) in enumerate(both, start=1):
            if text is None or source is None:
                raise self._of_different_length(number)
            pairs.append((text, source))
            if len(pairs) == _BATCH_PAIRS:
                yield self._batch(pairs)
                pairs = []
        if pairs:
            yield self._batch(pairs)

    def data_files(self) -> Sequence[Path]:
        """Both files."""
        return (self.path, self._source_file)

    def sha256(self) -> str:
        """SHA-256 of the JSON lines that the files become, so that removal can tell that it gave them back."""
        digest = sha256()
        for batch in self.batches():
            digest.update(b"".join(batch.payload))
        return digest.hexdigest()

    def check_insertable(self, text: str) -> None:
        """Any text can be a JSON string."""

    def reopened(self, path: Path) -> Source:
        """What was written: JSON lines."""
        return JsonLines(path, self.text_column, self.source_column)

    def open_sink(self, path: Path) -> Sink:
        """Begin a file of JSON lines."""
        return LineSink(
            path,
            header=b"",
            line_end=b"\n",
            render=lambda text, source: self._render(text, source or ""),
        )

    def _batch(self, pairs: list[tuple[str, str]]) -> Batch:
        lines = [self._render(text, source) + b"\n" for text, source in pairs]
        batch = Batch(texts=[text or None for text, _ in pairs], payload=lines)
        return batch.paired([source or None for _, source in pairs])

    def _render(self, text: str, source: str) -> bytes:
        row = zip(self._fields, (text, source), strict=True)
        return json.dumps(dict(row), ensure_ascii=False).encode()

    def _of_different_length(self, first: int) -> CorpusError:
        counts = [sum(1 for _ in _lines(file)) for file in self.data_files()]
        return CorpusError(
            f"{self.path} and {self._source_file} are no parallel text: they have {counts[0]} and {counts[1]} lines.",
            f"Line {first} of the longer one has no counterpart.",
            "Give two files of as many lines, where each line translates the one at its place.",
        )


def _lines(path: Path) -> Iterator[str]:
    """The lines of a file as text, without their ends."""
    numbers = iter(_numbered(path))
    return chain.from_iterable(
        [line.removesuffix("\n").removesuffix("\r") for line in decoded(path, lines, number)]
        for number, lines in numbers
    )


def _numbered(path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """Blocks of lines with the number of their first."""
    number = 1
    for lines in line_blocks(path, line_feed_lines):
        yield number, lines
        number += len(lines)
