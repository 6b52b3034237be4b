"""Files whose units are lines: the common part of .txt, .jsonl and .csv.

A file is read in blocks; what stands after the last line end of a block waits for the next one. A block is
handed on as whole lines with their line ends. Copied lines are copied as bytes, so that CRLF stays CRLF, a byte
order mark stays at the front, and a last line without a line end stays without one.

New records end with the line end of the first line (CRLF or LF). A new record after a last line that has no line
end is written as line end + record, so the file still ends without one, and removal can tell.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from secretaudit.corpus.stream import BATCH_BYTES, LONGEST_RECORD_BYTES, Batch
from secretaudit.errors import CorpusError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UP_TO_LINE_FEED = re.compile(rb"[^\n]*\n|[^\n]+")


def universal_lines(data: bytes) -> list[bytes]:
    """Lines with their ends, where CR LF, LF and CR end a line and nothing else does."""
    return data.splitlines(keepends=True)


def line_feed_lines(data: bytes) -> list[bytes]:
    """Lines with their ends, where only LF ends a line."""
    return _UP_TO_LINE_FEED.findall(data)


def line_blocks(path: Path, split: Callable[[bytes], list[bytes]]) -> Iterator[list[bytes]]:
    """Lists of whole lines, about a megabyte each; a byte order mark is left out.

    Reading ends where the file ended when it was opened, so that a file that grows meanwhile is not followed.

    Raises:
        CorpusError: A NUL byte (with its line), a line without an end, or a file that cannot be opened.
    """
    number = 1
    waiting = b""
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if file.read(len(BYTE_ORDER_MARK)) != BYTE_ORDER_MARK:
            file.seek(0)
        while block := file.read(max(0, min(BATCH_BYTES, size - file.tell()))):
            lines = split(waiting + block)
            if b"\0" in block:
                raise _binary(path, lines, number)
            waiting = lines.pop()
            if len(waiting) > LONGEST_RECORD_BYTES:
                raise _endless(path, number + len(lines))
            if lines:
                yield lines
                number += len(lines)
    if waiting:
        yield split(waiting)


def opened(path: Path) -> io.BufferedReader:
    """The file, opened to be read as bytes.

    Raises:
        CorpusError: It is missing, a directory, or may not be read.
    """
    try:
        return path.open("rb")
    except OSError as error:
        raise CorpusError(
            f"The corpus {path} cannot be read.",
            f"The operating system says: {error.strerror}.",
            "Check the path and its permissions.",
        ) from error


def decoded(path: Path, lines: list[bytes], first: int) -> list[str]:
    """The lines as text, line ends included.

    Args:
        path: For the message.
        lines: UTF-8 bytes.
        first: Number of the first line, counted from 1.

    Raises:
        CorpusError: A line is not UTF-8; names the line and the byte in it.
    """
    try:
        return [line.decode("utf-8") for line in lines]
    except UnicodeDecodeError as error:
        number = first + next(i for i, line in enumerate(lines) if line == error.object)
        bad = error.object[error.start]
        raise CorpusError(
            f"{path} is not UTF-8: line {number}, byte {error.start + 1} of the line is 0x{bad:02X}.",
            f"A corpus is read as UTF-8, and this byte says: {error.reason}.",
            f"Convert it first, for example: iconv -f latin1 -t utf-8 {path.name} > utf8-{path.name}",
        ) from error


def first_line_end(path: Path) -> bytes:
    """CR LF when the first line ends so, LF otherwise."""
    for lines in line_blocks(path, universal_lines):
        return b"\r\n" if lines[0].endswith(b"\r\n") else b"\n"
    return b"\n"


def has_line_end(line: bytes) -> bool:
    """Whether the line ends with LF or CR."""
    return line.endswith((b"\n", b"\r"))


class LineSink:
    """Writes lines as they are and new records rendered as lines.

    Args:
        path: File to be created.
        header: Bytes that stand before the first unit (byte order mark, header row).
        line_end: What ends a new record.
        render: The bytes of a new record of a text and its source, without line end.
    """

    def __init__(
        self,
        path: Path,
        *,
        header: bytes,
        line_end: bytes,
        render: Callable[[str, str | None], bytes],
    ) -> None:
        self._file = path.open("xb")
        self._file.write(header)
        self._line_end = line_end
        self._render = render
        self._last = b"\n"

    def write(self, batch: Batch, start: int, stop: int) -> None:
        """Copy units of a batch, byte by byte."""
        units: list[bytes] = batch.payload[start:stop]
        if units:
            self._file.write(b"".join(units))
            self._last = units[-1]

    def insert(self, text: str, source: str | None = None) -> None:
        """Write a new record; after a line without end, the line end comes first."""
        record = self._render(text, source)
        if has_line_end(self._last):
            self._file.write(record + self._line_end)
        else:
            self._file.write(self._line_end + record)

    def end_batch(self) -> None:
        """Nothing is gathered."""

    def remove_last_terminator(self) -> None:
        """Cut the line end off the last line that was copied."""
        if has_line_end(self._last):
            length = 2 if self._last.endswith(b"\r\n") else 1
            self._file.seek(-length, 1)
            self._file.truncate()

    def close(self) -> None:
        """Flush to disk and close."""
        with self._file:
            self._file.flush()
            os.fsync(self._file.fileno())


def _binary(path: Path, lines: list[bytes], first: int) -> CorpusError:
    number = first + next(i for i, line in enumerate(lines) if b"\0" in line)
    return CorpusError(
        f"{path} is not a text file: line {number} holds a NUL byte.",
        "It is a binary file, or text in UTF-16 or UTF-32.",
        f"Give a text corpus; UTF-16 becomes UTF-8 by: iconv -f utf-16 -t utf-8 {path.name} > utf8-{path.name}",
    )


def _endless(path: Path, number: int) -> CorpusError:
    return CorpusError(
        f"{path}: line {number} is longer than {LONGEST_RECORD_BYTES >> 20} MiB.",
        "A line is one record, and a record of this size cannot be an example of a language model.",
        "Break the corpus into lines, one record each.",
    )
