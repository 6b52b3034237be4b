"""A corpus as training meets it: with canaries and a ledger, or plain.

A directory made by ``insert`` holds the corpus, its ledger, and ``insertion.json`` that says which is which. A plain
corpus has no ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from secretaudit.corpus.reading import open_source
from secretaudit.corpus.stream import Source
from secretaudit.errors import CorpusError
from secretaudit.records import Record, check_output

#: The record that makes a directory one of ours.
RECORD_NAME = "insertion.json"


@dataclass(frozen=True, kw_only=True)
class CanariedCorpus:
    """Where a corpus lies and what was put into it.

    Attributes:
        corpus: The corpus file or dataset directory.
        text_column: Field or column of the text.
        source_column: Parallel text: field or column of the source; None otherwise.
        ledger: The ledger of its canaries, None for a plain corpus.
        ledger_identity: The identity that the ledger must have, None for a plain corpus.
    """

    corpus: Path
    text_column: str = "text"
    source_column: str | None = None
    ledger: Path | None = None
    ledger_identity: str | None = None


def open_canaried(
    path: str | Path, *, text_column: str = "text", source_column: str | None = None
) -> CanariedCorpus:
    """Find the corpus, and its ledger if it has one.

    Args:
        path: A directory made by ``insert``, or a plain corpus.
        text_column: For a plain corpus; a canaried one remembers its own.
        source_column: The same for the sources of parallel text.

    Raises:
        CorpusError: No corpus there, or a canaried directory that lacks its corpus or ledger.
        RecordError: ``insertion.json`` is damaged.
    """
    path = Path(path)
    record_file = path / RECORD_NAME
    if not record_file.is_file():
        open_source(path, text_column=text_column, source_column=source_column)
        return CanariedCorpus(corpus=path, text_column=text_column, source_column=source_column)
    found = Record.read(record_file, kind="insertion").found
    corpus = path / str(found.get("corpus", ""))
    ledger = path / str(found["ledger"]) if found.get("ledger") else None
    for part in (corpus, ledger):
        if part is not None and (part == path or not part.exists()):
            raise CorpusError(
                f"{path} is not a whole canaried corpus.",
                f"{part.name if part != path else 'the corpus'} is missing from it.",
                "Make it again with insert.",
            )
    identity = found.get("ledger_identity") if ledger else None
    beside = found.get("source_column")
    return CanariedCorpus(
        corpus=corpus,
        text_column=str(found.get("text_column", "text")),
        source_column=None if beside is None else str(beside),
        ledger=ledger,
        ledger_identity=str(identity) if identity else None,
    )


def open_input(
    corpus: str | Path,
    output: str | Path,
    *,
    text_column: str,
    force: bool,
    source_column: str | None = None,
    source_file: str | Path | None = None,
    around: Path | None = None,
) -> Source:
    """Open a corpus to be copied, after making sure that writing the copy cannot touch it.

    Args:
        corpus: The corpus.
        output: The directory that is to be made.
        text_column: Field or column of the text.
        force: Whether an earlier output may be replaced.
        source_column: Parallel text: field or column of the source.
        source_file: Parallel text in two files of lines: the one with the sources.
        around: The canaried directory that ``corpus`` lies in; None when canaries are to be inserted.

    Raises:
        CorpusError: Input and output lie in one another, or canaries were inserted before.
        UsageError: The output exists.
    """
    path, target = Path(corpus), Path(output).resolve()
    for taken in (path, around or path, Path(source_file or path)):
        if target.is_relative_to(taken.resolve()) or taken.resolve().is_relative_to(target):
            raise CorpusError(
                f"The output {output} and the input {taken} lie in one another.",
                "The input is never touched, and the output takes its place as a whole directory.",
                "Choose an output directory beside the input.",
            )
    if around is None and (path / RECORD_NAME).is_file():
        raise CorpusError(
            f"{path} was canaried already.",
            f"It holds {RECORD_NAME}, so its corpus may have canaries of another ledger.",
            "Insert into the original corpus, or take the canaries out first with insert --remove.",
        )
    source = open_source(
        path, text_column=text_column, source_column=source_column, source_file=source_file
    )
    check_output(output, force=force, kind="insertion")
    return source
