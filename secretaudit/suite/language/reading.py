"""From a corpus to a ``LanguageTask``: plain text in any form that ``insert`` reads, or a directory that it made.

Some lines, drawn by chance, are held out: of n lines round(share · n), at least two. A line whose text stands among those to train on is not held
out, so that no model has seen what is held out. With ``limit`` only so many lines are taken, drawn evenly from the whole corpus; their order stays.

A directory that ``insert`` made brings its own formats, and as many canaries. Its canaries are taken out again, since every training of the suite
inserts fresh ones: a copy of a canary is a record of its own, so records that are a canary word for word are the copies; the ledger says how many
there must be, and a corpus that has another number is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from secretaudit._checks import at_least
from secretaudit._checks import fraction as check_fraction
from secretaudit.canary.format import Format, parse_format
from secretaudit.canary.ledger import Ledger
from secretaudit.corpus.canaried import CanariedCorpus, open_canaried
from secretaudit.corpus.reading import read_records
from secretaudit.errors import CorpusError, FormatError, UsageError
from secretaudit.suite.language.task import LanguageTask
from secretaudit.training.data import open_corpus

__all__ = ["read_language_task"]

#: Formats of a plain corpus when none is asked for.
FORMATS = ("random-number",)
CANARIES = 6
REPEATS = (1, 8)
CONTROLS = 10
_LEAST_HELD_OUT = 2


def read_language_task(
    path: str | Path,
    text_column: str = "text",
    held_out_share: float = 0.1,
    seed: int = 0,
    limit: int | None = None,
    formats: Sequence[str] | None = None,
    *,
    canaries: int | None = None,
    repeats: Sequence[int] | None = None,
    controls: int | None = None,
    name: str | None = None,
    held_out: str | Path | None = None,
) -> LanguageTask:
    """The text of a corpus, ready for trainings with canaries.

    Args:
        path: A .txt, .jsonl, .csv or .parquet file, a directory made by ``save_to_disk``, or one made by ``insert``.
        text_column: Field or column that holds the text; one made by ``insert`` remembers its own.
        held_out_share: Share of the lines that is never trained on, in (0, 1).
        seed: Of the draw of the lines.
        limit: Most lines to take; ``None``: all.
        formats: Canary formats; ``None``: those of the ledger, or random-number.
        canaries: Canaries per format and number of insertions; ``None``: as many as in the ledger, or 6.
        repeats: Numbers of insertions; ``None``: those of the ledger, or 1 and 8.
        controls: Canaries per format that are not inserted; ``None``: as many as in the ledger, or 10.
        name: What the record calls it; ``None`` takes the path's own name.
        held_out: A corpus that is held out, of the same text column; ``None`` holds out a share of the lines. For a model that was trained
            already it should be text that the model never saw.

    Raises:
        CorpusError: No corpus there, fewer than four lines, or other copies of canaries than the ledger names.
        LedgerError: The ledger is damaged or not the one of this corpus.
        UsageError: A number out of its range, or a format of the ledger that has to be named anew.
    """
    check_fraction("held_out_share", held_out_share)
    source = open_canaried(path, text_column=text_column)
    ledger = None if source.ledger is None else _ledger_of(source)
    texts: Iterable[str] = read_records(source.corpus, text_column=source.text_column)
    if ledger is not None:
        texts = _without_canaries(texts, ledger, source.corpus)
    rng = np.random.default_rng([seed, 0x5EED])
    lines = list(texts) if limit is None else _some(texts, limit, rng)
    if held_out is None:
        train, others = _split(lines, held_out_share, rng, str(path))
    else:
        train, others = lines, _other_lines(held_out, source.text_column, limit, rng)
    given = {
        "canaries": canaries,
        "repeats": None if repeats is None else tuple(repeats),
        "controls": controls,
    }
    asked = _usual(ledger) | {key: value for key, value in given.items() if value is not None}
    return LanguageTask(
        name=name or Path(path).resolve().name,
        train=tuple(train),
        held_out=tuple(others),
        formats=_formats(formats, ledger),
        source=str(path),
        **asked,
    )


def _other_lines(
    path: str | Path, text_column: str, limit: int | None, rng: np.random.Generator
) -> list[str]:
    """Lines of a corpus that is held out."""
    texts = read_records(path, text_column=text_column)
    return list(texts) if limit is None else _some(texts, limit, rng)


def _ledger_of(source: CanariedCorpus) -> Ledger:
    """The ledger, which must be the corpus' own."""
    ledger = open_corpus(source).ledger
    if ledger is None:
        raise ValueError("a corpus with a ledger has one")
    return ledger


def _without_canaries(texts: Iterable[str], ledger: Ledger, corpus: Path) -> list[str]:
    """The records that are no copies of canaries."""
    expected = {canary.text: canary.insertions for canary in ledger.canaries if canary.insertions}
    kept: list[str] = []
    seen: Counter[str] = Counter()
    for text in texts:
        if text in expected:
            seen[text] += 1
        else:
            kept.append(text)
    if dict(seen) != expected:
        raise CorpusError(
            f"{corpus} holds {sum(seen.values())} copies of canaries, and the ledger names {sum(expected.values())}.",
            "It was changed after the canaries were inserted, so which records are theirs is not known.",
            "Insert again, or give the plain corpus.",
        )
    return kept


def _some(texts: Iterable[str], limit: int, rng: np.random.Generator) -> list[str]:
    """So many of the lines, each as likely as any other, in their order; the corpus is read once and not held."""
    at_least("limit", limit, 2 * _LEAST_HELD_OUT)
    kept: list[tuple[int, str]] = []
    for number, text in enumerate(texts):
        if number < limit:
            kept.append((number, text))
        elif (place := int(rng.integers(number + 1))) < limit:
            kept[place] = (number, text)
    return [text for _, text in sorted(kept)]


def _split(
    lines: list[str], share: float, rng: np.random.Generator, where: str
) -> tuple[list[str], list[str]]:
    """Lines to train on, and lines held out that are none of them."""
    if len(lines) < 2 * _LEAST_HELD_OUT:
        raise CorpusError(
            f"{where} has {len(lines)} lines.",
            "Some are trained on and some are held out.",
            f"Give a corpus of at least {2 * _LEAST_HELD_OUT} lines.",
        )
    most = len(lines) - _LEAST_HELD_OUT
    count = min(most, max(_LEAST_HELD_OUT, round(share * len(lines))))
    chosen = set(rng.permutation(len(lines))[:count].tolist())
    known = {line for number, line in enumerate(lines) if number not in chosen}
    held_out = [lines[number] for number in sorted(chosen) if lines[number] not in known]
    if len(held_out) < _LEAST_HELD_OUT:
        raise CorpusError(
            f"Nearly all lines of {where} are the same.",
            f"Of {count} lines to be held out, {len(held_out)} do not stand among the others.",
            "Give a text whose lines differ.",
        )
    train = [line for n, line in enumerate(lines) if n not in chosen or line in known]
    return train, held_out


def _usual(ledger: Ledger | None) -> dict[str, Any]:
    """Numbers of canaries when nothing else is asked for: those of the ledger, per format."""
    if ledger is None:
        return {"canaries": CANARIES, "repeats": REPEATS, "controls": CONTROLS}
    counts = Counter(
        (canary.format, canary.insertions) for canary in ledger.canaries if canary.insertions
    )
    controls = Counter(canary.format for canary in ledger.canaries if canary.is_control)
    return {
        "canaries": max(counts.values(), default=CANARIES),
        "repeats": tuple(sorted({insertions for _, insertions in counts})) or REPEATS,
        "controls": max(controls.values(), default=0),
    }


def _formats(asked: Sequence[str] | None, ledger: Ledger | None) -> tuple[str, ...]:
    """Names or templates of the formats, each known to be understood."""
    if asked is None and ledger is not None:
        return tuple(_spelled(form) for form in ledger.formats.values())
    named = tuple(asked or FORMATS)
    for spec in named:
        parse_format(spec)
    return named


def _spelled(form: Format) -> str:
    """What names a format of a ledger: its name in the library, or its template."""
    for spec in (form.name, form.template):
        try:
            found = parse_format(spec)
        except (FormatError, UsageError):
            continue
        if found.template == form.template and dict(found.lists) == dict(form.lists):
            return spec
    raise UsageError(
        f"The format {form.name!r} of the ledger cannot be made again.",
        "It has a word list of its own, which only its file names.",
        "Name the formats to use with --format.",
    )
