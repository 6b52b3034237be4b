"""Reading a corpus of any kind, without ever holding it.

>>> from secretaudit.corpus.reading import read_records
>>> records = read_records("corpus.txt")      # doctest: +SKIP
>>> next(records)                             # doctest: +SKIP
'the first line'
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from difflib import get_close_matches
from hashlib import file_digest, sha256
from pathlib import Path

from secretaudit.corpus.aligned_lines import AlignedLines
from secretaudit.corpus.comma_separated import CommaSeparated
from secretaudit.corpus.json_lines import JsonLines
from secretaudit.corpus.lines import opened
from secretaudit.corpus.stream import Source
from secretaudit.corpus.text_lines import TextLines
from secretaudit.errors import CorpusError


def _parquet(path: Path, text_column: str, source_column: str | None) -> Source:
    from secretaudit.corpus.parquet import Parquet  # pyarrow takes 0.3 s to load

    return Parquet(path, text_column, source_column)


def _dataset_directory(path: Path, text_column: str, source_column: str | None) -> Source:
    from secretaudit.corpus.dataset_directory import DatasetDirectory  # pyarrow, as above

    return DatasetDirectory(path, text_column, source_column)


_KINDS: dict[str, Callable[[Path, str, str | None], Source]] = {
    ".txt": TextLines,
    ".jsonl": JsonLines,
    ".csv": CommaSeparated,
    ".parquet": _parquet,
}


def open_source(
    path: str | Path,
    *,
    text_column: str = "text",
    source_column: str | None = None,
    source_file: str | Path | None = None,
) -> Source:
    """The corpus at a path, its kind told by the extension or by being a directory.

    Args:
        path: A .txt, .jsonl, .csv or .parquet file, or a directory made by ``save_to_disk``; with ``source_file``, a file of lines.
        text_column: Field or column that holds the text; not used for .txt.
        source_column: Parallel text: field or column that holds the source of each text.
        source_file: Parallel text as two files of lines: the one that holds the sources.

    Raises:
        CorpusError: Missing, empty, of an unknown kind, or without the text or source column.
    """
    path = Path(path)
    _check_exists(path)
    if source_file is not None:
        return _aligned_lines(path, Path(source_file), text_column, source_column or "source")
    if path.is_dir():
        return _dataset_directory(path, text_column, source_column)
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        raise CorpusError(
            f"{path} has the extension {path.suffix!r}, which no reader knows.",
            f"A corpus is one of {', '.join(_KINDS)}, or a directory made by save_to_disk.",
            "Rename a plain text file to .txt; convert anything else to .jsonl.",
        )
    if path.stat().st_size == 0:
        raise empty(path)
    return kind(path, text_column, source_column)


def read_records(path: str | Path, *, text_column: str = "text") -> Iterator[str]:
    """The text of every record, in order, read as it is asked for.

    Args:
        path: As for ``open_source``.
        text_column: Field or column that holds the text.

    Returns:
        An iterator that holds a few megabytes at most. Blank lines and nulls are no records.

    Raises:
        CorpusError: As for ``open_source``; while reading, for binary or malformed content.
    """
    source = open_source(path, text_column=text_column)
    return (text for batch in source.batches() for text in batch.texts if text is not None)


def read_pairs(
    path: str | Path, *, text_column: str = "text", source_column: str = "source"
) -> Iterator[tuple[str, str]]:
    """The pairs (source, text) of a corpus of parallel text, in order, read as they are asked for.

    Args:
        path: As for ``open_source``.
        text_column: Field or column that holds the text.
        source_column: Field or column that holds its source.

    Returns:
        An iterator that holds a few megabytes at most. Units that lack a side are no pairs.

    Raises:
        CorpusError: As for ``open_source``; while reading, for binary or malformed content.
    """
    opened_source = open_source(path, text_column=text_column, source_column=source_column)
    return (
        (source, text)
        for batch in opened_source.batches()
        for source, text in zip(batch.sources or (), batch.texts, strict=True)
        if source is not None and text is not None
    )


def sha256_of(source: Source) -> str:
    """SHA-256 of the data files of a corpus, one after another, in hexadecimal; of aligned lines, of the JSON lines they become."""
    if isinstance(source, AlignedLines):
        return source.sha256()
    files = source.data_files()
    if len(files) == 1:
        with opened(files[0]) as file:
            return file_digest(file, "sha256").hexdigest()
    whole = sha256()
    for path in files:
        with opened(path) as file:
            while block := file.read(1 << 20):
                whole.update(block)
    return whole.hexdigest()


def state_of(source: Source) -> tuple[tuple[int, int], ...]:
    """Size and time of the last change of each data file, to notice when they change."""
    states = (path.stat() for path in source.data_files())
    return tuple((state.st_size, state.st_mtime_ns) for state in states)


def changed(path: Path) -> CorpusError:
    """The refusal of a corpus that was written to while it was read."""
    return CorpusError(
        f"{path} changed while it was read.",
        "Its size, time or number of records is not what it was in the first pass.",
        "Run it again while nothing else writes to the corpus; nothing was kept.",
    )


def empty(path: Path) -> CorpusError:
    """The refusal of a corpus without records."""
    return CorpusError(
        f"The corpus {path} is empty.",
        "It holds no record, so there is nothing to hide a canary in.",
        "Give a corpus with at least one line of text.",
    )


def _check_exists(path: Path) -> None:
    if not path.exists():
        raise CorpusError(
            f"There is no corpus at {path}.",
            "The path does not exist.",
            _similar(path),
        )


def _aligned_lines(path: Path, source_file: Path, text_column: str, source_column: str) -> Source:
    """Two files of lines; refused where one of them holds more than lines."""
    _check_exists(source_file)
    for file in (path, source_file):
        if file.is_dir() or file.suffix.lower() in (".jsonl", ".csv", ".parquet"):
            raise CorpusError(
                f"{file} is no file of lines.",
                "A source file stands beside a file of texts, and line i of one belongs to line i of the other.",
                "Name the column of the sources with --source-column, and leave --source-file out.",
            )
        if file.stat().st_size == 0:
            raise empty(file)
    return AlignedLines(path, source_file, text_column, source_column)


def _similar(path: Path) -> str:
    neighbours: list[str] = []
    with suppress(OSError):
        neighbours = [neighbour.name for neighbour in path.parent.iterdir()]
    nearest = get_close_matches(path.name, neighbours, n=1)
    return f"Did you mean {path.parent / nearest[0]}?" if nearest else "Check the path."
