"""A corpus as a stream of units, whatever file it lies in.

A *unit* is the smallest piece that is copied as it is: a line of a text file, a line of a JSON-lines file, a row
of a table. A unit that has text is a *record*; one that has none (a blank line, a null) is copied and never
counted. N records have N + 1 *boundaries*: before each record, and after the last unit.

Parallel text has two columns: the text, and a *source* that it translates. A record is then a pair; a unit that lacks one side is copied
like a blank line and is no record.

A ``Source`` gives batches of units of bounded size; its ``Sink`` writes units of these batches unchanged and
new records between them. Whatever is not inserted comes out as it went in, for files of lines byte by byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from secretaudit.errors import CorpusError

#: Bytes of a corpus that are held at a time.
BATCH_BYTES = 1 << 20
#: Longest single record that is read, in bytes; more than this is no record but a file without line ends.
LONGEST_RECORD_BYTES = 1 << 26


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Some consecutive units.

    Attributes:
        texts: The text of each unit, None for a unit that is no record.
        payload: The same units as the sink wants them: a list of bytes, or an Arrow record batch.
        unterminated: The last unit is the last of a file that does not end with a line end.
        sources: Parallel text: the source of each unit, None where ``texts`` has None.
    """

    texts: Sequence[str | None]
    payload: Any
    unterminated: bool = False
    sources: Sequence[str | None] | None = None

    def paired(self, sources: Sequence[str | None]) -> Batch:
        """The same units as pairs: records are those that have both sides.

        >>> batch = Batch(texts=["a", "b", None], payload=[]).paired(["x", None, "z"])
        >>> batch.texts, batch.sources
        (['a', None, None], ['x', None, None])
        """
        whole = [
            (text, source) if text is not None and source is not None else (None, None)
            for text, source in zip(self.texts, sources, strict=True)
        ]
        return replace(self, texts=[t for t, _ in whole], sources=[s for _, s in whole])


class Sink(Protocol):
    """Where a corpus of one kind is written."""

    def write(self, batch: Batch, start: int, stop: int) -> None:
        """Copy the units ``start`` … ``stop - 1`` of a batch, unchanged."""

    def insert(self, text: str, source: str | None = None) -> None:
        """Write a new record of this text, with its source where the corpus is parallel text."""

    def end_batch(self) -> None:
        """The batch is over: what was gathered may go to disk."""

    def remove_last_terminator(self) -> None:
        """Let the file end without a line end, because the one it came from did."""

    def close(self) -> None:
        """Write what is left and close."""


class Source(Protocol):
    """A corpus of one kind that can be read any number of times."""

    path: Path
    #: Field or column that holds the text.
    text_column: str
    #: Field or column that holds the source; None where the corpus is not parallel text.
    source_column: str | None
    #: Name of the corpus inside an output directory: "corpus.txt", or "corpus" for a directory.
    output_name: str
    #: True when units are copied byte by byte, so that removal gives back the very file.
    byte_exact: bool

    def batches(self) -> Iterator[Batch]:
        """All units in order, some at a time."""

    def data_files(self) -> Sequence[Path]:
        """The files that hold the records, in order."""

    def check_insertable(self, text: str) -> None:
        """Raise CorpusError when this text cannot be one record of such a corpus."""

    def reopened(self, path: Path) -> Source:
        """A corpus of the same kind at another path, with the same columns."""

    def open_sink(self, path: Path) -> Sink:
        """Begin a corpus of the same kind at ``path``, which must not exist."""


def missing_column(
    path: Path, column: str, present: Sequence[str], place: str, *, side: str = "text"
) -> CorpusError:
    """The refusal of a corpus whose records have no such column; ``side`` is "text" or "source"."""
    names = ", ".join(sorted(present)) if present else "none"
    return CorpusError(
        f"{path} has no {side} column {column!r} ({place}).",
        f"The columns there are: {names}.",
        f"Name the one that holds the {side} with --{side}-column.",
    )
