"""Inserting canaries into a corpus, and taking them out again.

Given a corpus of N records and formats with secret spaces R, ``insert`` draws, for every format, canaries for each
number of insertions and controls that are never inserted, all secrets of a format distinct and uniform on R. It reads
the corpus twice: once to count and hash it and to make sure that no canary, control or secret is there already, once
to copy it with the canaries at boundaries between records, uniform and independent (``corpus.inserting``). Then the
output is read back and every count checked. The input is only read; the output directory appears as a whole or not
at all; the same seed gives the same corpus and the same canaries.

In parallel text a canary is a pair: its text in the text column, and beside it a source, with the secret in it or without
(``canary.source_text``). The ledger remembers the source, since a model of pairs is asked for the text given the source.

A secret by itself is held against the corpus only where its space is so large (2^24 secrets and more) that finding
it cannot be chance. Four digits stand in any corpus; how often is written into the record and refuses nothing.

Seeds: one ``SeedSequence`` gives three independent streams, for the canaries, the boundaries and the salt of the
ledger's public part. Who knows or guesses the seed can draw the secrets again: the seed is as secret as the ledger, the record
that names it is readable by its owner only, and the default is a fresh one that cannot be guessed. A seed like 1 is for
experiments, not for a ledger whose public part is shown around.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.random import Generator

from secretaudit._checks import at_least
from secretaudit.canary.format import Format, parse_format
from secretaudit.canary.ledger import Canary, Ledger, draw_canaries
from secretaudit.canary.source_text import PLACEHOLDER, check_sides, filled
from secretaudit.corpus.canaried import RECORD_NAME, CanariedCorpus, open_canaried, open_input
from secretaudit.corpus.input_survey import InputSurvey, Unseen, read_input
from secretaudit.corpus.inserting import insert_copies, place, remove_copies
from secretaudit.corpus.reading import changed, sha256_of, state_of
from secretaudit.corpus.stream import Source
from secretaudit.corpus.survey import Copies, passing, verify
from secretaudit.errors import FormatError, LedgerError, UsageError
from secretaudit.progress import Progress, SilentProgress
from secretaudit.records import (
    Record,
    directory_being_written,
    environment,
    write_json,
)

LEDGER_NAME = "ledger.json"
PUBLIC_LEDGER_NAME = "ledger.public.json"
#: A secret of a space of at least so many bits does not stand in a corpus by chance.
TELLING_BITS = 24.0


def insert(
    corpus: str | Path,
    output: str | Path,
    *,
    formats: Sequence[str | Format] | Format,
    count: int = 10,
    repeats: Sequence[int] = (1,),
    controls: int = 50,
    seed: int | None = None,
    text_column: str = "text",
    source_column: str | None = None,
    source_text: str | None = None,
    source_file: str | Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Record:
    """Copy a corpus with canaries in it, and write the ledger that lists them.

    Args:
        corpus: A .txt, .jsonl, .csv or .parquet file, or a directory made by ``save_to_disk``. Only read.
        output: Directory to be made: the corpus, ``ledger.json`` (mode 0600), ``ledger.public.json`` and
            ``insertion.json``, the record of this run (mode 0600, since it names the seed).
        formats: Names of library formats, inline templates, paths of .toml files, or ``Format`` objects.
        count: Canaries per format and number of insertions.
        repeats: The numbers of insertions, each at least 1.
        controls: Canaries per format that are not inserted.
        seed: At least 0. The same seed gives the same canaries at the same places; by default one of 63 bits that
            nobody can guess is drawn and recorded.
        text_column: Field or column that holds the text; not used for .txt.
        source_column: Parallel text: field or column that holds the source of each text.
        source_text: The source of the canaries; ``{secret}`` in it stands for the canary's secret.
        source_file: Parallel text as two files of lines: ``corpus`` holds the texts and this one the sources. They become one file of
            JSON lines with the fields ``text_column`` and ``source_column`` ("source" by default).
        force: Replace an output of an earlier run.
        progress: Told how many records have passed, with ``stage``.

    Returns:
        The record (kind "insertion"). ``found`` has the names of the files in ``output``, counts and hashes before
        and after, ``ledger_identity``, and ``secrets_by_chance``: how often secrets of small spaces stand in the
        input, by canary id.

    Raises:
        CorpusError: The corpus is missing, empty, binary, malformed, or holds a canary or secret already.
        FormatError: A format is unknown, or has fewer secrets than are wanted; a source has a placeholder that is not known.
        UsageError: The output exists, or lies in the input, or an argument is out of range.
        CouldNotMeasure: The disk is full.
    """
    started = time.time()
    progress = progress or SilentProgress()
    wanted = _formats(formats)
    seed = secrets.randbits(63) if seed is None else seed
    at_least("seed", seed, 0)
    check_sides(text_column, source_column, source_text, source_file)
    source = open_input(
        corpus,
        output,
        text_column=text_column,
        source_column=source_column,
        source_file=source_file,
        force=force,
    )
    drawing, placing, salting = _streams(seed)
    canaries = draw_canaries(wanted, count=count, repeats=repeats, controls=controls, rng=drawing)
    copies = _copies(canaries, source, source_text)
    before = read_input(source, _unseen(wanted, canaries, source_text), progress)
    beside = {"source_column": source.source_column, "source": source_text}
    ledger = Ledger(
        seed=seed,
        formats={entry.name: entry for entry in wanted},
        canaries=tuple(canaries),
        corpus=before.described() | (beside if source_text is not None else {}),
        salt=salting.bytes(16).hex(),
    )
    asked = {
        "corpus": Path(corpus).resolve(),
        "formats": [{"name": entry.name, "template": entry.template} for entry in wanted],
        "count": count,
        "repeats": list(repeats),
        "controls": controls,
        "seed": seed,
        "text_column": text_column,
        "source_column": source_column,
        "source_text": source_text,
        "source_file": None if source_file is None else Path(source_file).resolve(),
    }
    with directory_being_written(output, force=force, kind="insertion") as directory:
        made = _write_corpus(source, directory, copies, before, placing, progress)
        ledger.write(directory / LEDGER_NAME)
        write_json(directory / PUBLIC_LEDGER_NAME, ledger.public())
        record = Record(
            kind="insertion",
            asked=asked,
            found=_found(source, made, ledger, before),
            environment=environment(seed=seed, started=started),
        )
        record.write(directory / RECORD_NAME, mode=0o600)
    return record


def remove(
    canaried: str | Path,
    output: str | Path,
    *,
    ledger: str | Path | None = None,
    text_column: str = "text",
    force: bool = False,
    progress: Progress | None = None,
) -> Record:
    """Copy a canaried corpus without its canaries.

    A record is taken out when its text is that of a canary. A .txt, .jsonl or .csv corpus comes out byte for byte as
    it was before insertion, unless it was changed since.

    Args:
        canaried: A directory made by ``insert``, or a canaried corpus by itself together with ``ledger``.
        output: Directory to be made: the corpus and ``insertion.json``, the record of this run.
        ledger: The ledger; by default the one in ``canaried``.
        text_column: For a corpus by itself; a directory made by ``insert`` remembers its own.
        force: Replace an output of an earlier run.
        progress: Told how many records have passed, with ``stage``.

    Returns:
        The record (kind "insertion"). ``found`` has ``corpus``, ``records`` (left), ``removed`` (copies), ``sha256``
        of the output, and ``identical``: whether the output is the very corpus that the ledger was made for.

    Raises:
        LedgerError: There is no ledger, or it is not the one of this corpus.
        CorpusError: A canary was found more or less often than it was inserted.
        UsageError: The output exists, or lies in the input.
        CouldNotMeasure: The disk is full.
    """
    started = time.time()
    progress = progress or SilentProgress()
    given = open_canaried(canaried, text_column=text_column)
    book, book_path = _ledger_of(given, ledger)
    if given.source_column is None:
        given = replace(given, source_column=book.corpus.get("source_column"))
    source = open_input(
        given.corpus,
        output,
        text_column=given.text_column,
        source_column=given.source_column,
        force=force,
        around=Path(canaried),
    )
    copies = _copies(book.canaries, source, book.corpus.get("source"))
    with directory_being_written(output, force=force, kind="insertion") as directory:
        target = directory / source.output_name
        removal = remove_copies(source, target, copies, passing(progress, "removing", None))
        made = source.reopened(target)
        none = [Copies(text=copy.text, insertions=0) for copy in copies]
        verify(made, none, removal.records, passing(progress, "verifying", removal.records))
        digest = sha256_of(made)
        record = Record(
            kind="insertion",
            asked={
                "remove": True,
                "corpus": given.corpus.resolve(),
                "ledger": book_path.resolve(),
                "text_column": given.text_column,
            },
            found={
                "corpus": source.output_name,
                "ledger": None,
                "text_column": given.text_column,
                "source_column": given.source_column,
                "records": removal.records,
                "removed": int(removal.removed.sum()),
                "sha256": digest,
                "identical": digest == book.corpus.get("sha256"),
            },
            environment=environment(seed=None, started=started),
        )
        record.write(directory / RECORD_NAME)
    return record


def _formats(specs: Sequence[str | Format] | Format) -> list[Format]:
    """The formats that are named, one by itself too."""
    listed = [specs] if isinstance(specs, str | Format) else specs
    if not listed:
        raise UsageError(
            "There is nothing to insert.",
            "No format was named.",
            "Name one or more; the library is listed by: secretaudit formats",
        )
    return [spec if isinstance(spec, Format) else parse_format(spec) for spec in listed]


def _write_corpus(
    source: Source,
    directory: Path,
    copies: Sequence[Copies],
    before: InputSurvey,
    placing: Generator,
    progress: Progress,
) -> Source:
    """Write the canaried corpus, read it back, and check every count."""
    placement = place(copies, before.records, placing)
    stage = passing(progress, "inserting", before.records)
    copied = insert_copies(source, directory / source.output_name, placement, stage)
    if copied != before.records or state_of(source) != before.state:
        raise changed(source.path)
    made = source.reopened(directory / source.output_name)
    total = before.records + len(placement.texts)
    verify(made, copies, total, passing(progress, "verifying", total))
    return made


def _found(source: Source, made: Source, ledger: Ledger, before: InputSurvey) -> dict[str, object]:
    inserted = sum(canary.insertions for canary in ledger.canaries)
    controls = sum(canary.is_control for canary in ledger.canaries)
    return {
        "corpus": source.output_name,
        "ledger": LEDGER_NAME,
        "public_ledger": PUBLIC_LEDGER_NAME,
        "ledger_identity": ledger.identity,
        "records": before.records,
        "canaried_records": before.records + inserted,
        "sha256": before.sha256,
        "canaried_sha256": sha256_of(made),
        "canaries": len(ledger.canaries) - controls,
        "controls": controls,
        "inserted": inserted,
        "secrets_by_chance": before.by_chance,
        "text_column": source.text_column,
        "source_column": source.source_column,
    }


def _copies(canaries: Sequence[Canary], source: Source, source_text: str | None) -> list[Copies]:
    """The texts and their numbers, each of which must fit the corpus and be told from all others."""
    owners: dict[str, str] = {}
    for canary in canaries:
        source.check_insertable(canary.text)
        other = owners.setdefault(canary.text, canary.id)
        if other != canary.id:
            raise FormatError(
                f"The canaries {other} and {canary.id} have the same text.",
                "Two formats describe overlapping texts, so their copies could not be told apart.",
                "Leave one of the two formats out, or choose another seed.",
            )
    return [
        Copies(
            text=canary.text,
            insertions=canary.insertions,
            source=None if source_text is None else filled(source_text, canary.secret),
        )
        for canary in canaries
    ]


def _unseen(
    formats: Sequence[Format], canaries: Sequence[Canary], source_text: str | None
) -> list[Unseen]:
    """What may not stand in the input: texts, sources that hold the secret, and secrets of large spaces."""
    telling = {entry.name for entry in formats if entry.bits >= TELLING_BITS}
    has_secret = source_text is not None and PLACEHOLDER in source_text
    return [
        Unseen(
            id=canary.id,
            texts=(canary.text, *([filled(str(source_text), canary.secret)] if has_secret else [])),
            secret=canary.secret,
            telling=canary.format in telling,
        )
        for canary in canaries
    ]


def _ledger_of(given: CanariedCorpus, path: str | Path | None) -> tuple[Ledger, Path]:
    place = Path(path) if path is not None else given.ledger
    if place is None:
        raise LedgerError(
            f"There is no ledger beside {given.corpus}.",
            "Only the ledger says which records are canaries.",
            "Name the ledger of this corpus with --ledger, or the directory that insert made.",
        )
    ledger = Ledger.read(place)
    if given.ledger_identity is not None and ledger.identity != given.ledger_identity:
        raise LedgerError(
            f"{place} is not the ledger of {given.corpus}.",
            f"The corpus was made with the ledger {given.ledger_identity[:12]}, this is {ledger.identity[:12]}.",
            "Use the ledger that insert wrote beside the corpus.",
        )
    return ledger, place


def _streams(seed: int) -> tuple[Generator, Generator, Generator]:
    """Independent generators for the canaries, their places and the salt."""
    first, second, third = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(3))
    return first, second, third
