"""The other side of a canary in parallel text.

In parallel text a record is a pair: a source, and the text that translates it. A canary's text is inserted beside a source, and the source
either holds the secret too or does not:

    "meine nummer ist {secret}"    every canary has a source of its own, with its secret in it
    "meine nummer ist"             all canaries have the same source

The first is the translation experiment of Carlini et al. (2019), where the number stands on both sides. An encoder–decoder model is asked for
the text given the source, so the source is part of the question, and the ledger keeps it.
"""

from __future__ import annotations

import re
from pathlib import Path

from secretaudit.errors import FormatError, UsageError

#: Stands for the secret in a source.
PLACEHOLDER = "{secret}"
_ANY_PLACEHOLDER = re.compile(r"\{\w*(?::[^{}]*)?\}")


def filled(source: str, secret: str) -> str:
    """The source of the canary that has this secret.

    >>> filled("meine nummer ist {secret}", "42"), filled("meine nummer ist", "42")
    ('meine nummer ist 42', 'meine nummer ist')
    """
    return source.replace(PLACEHOLDER, secret)


def check_source_text(source: str) -> None:
    """Refuse a source that is empty, or that has a placeholder other than ``{secret}``.

    Raises:
        FormatError: Names the placeholder.
    """
    if not source.strip():
        raise FormatError(
            "The source text is empty.",
            "A canary in parallel text is a pair, and both sides must say something.",
            f"Give a sentence such as 'my number is {PLACEHOLDER}'.",
        )
    for found in _ANY_PLACEHOLDER.findall(source):
        if found != PLACEHOLDER:
            raise FormatError(
                f"The source text has a placeholder that is not known: {found}.",
                "The secret is described by the format; a source can only repeat it.",
                f"Write {PLACEHOLDER} where the secret stands, or leave it out.",
            )


def check_sides(
    text_column: str,
    source_column: str | None,
    source_text: str | None,
    source_file: str | Path | None,
) -> None:
    """Refuse one side of a pair without the other.

    Args:
        text_column: Of the texts.
        source_column: Of the sources, if they have one.
        source_text: What stands beside the canaries, if anything does.
        source_file: File of the sources, if they have one.

    Raises:
        UsageError: One was given without the other, or both are one column.
        FormatError: As for ``check_source_text``.
    """
    has_sources = source_column is not None or source_file is not None
    if source_text is not None and not has_sources:
        raise UsageError(
            "A source text was given and no source column.",
            "Without one the corpus is no parallel text, and there is nowhere to put it.",
            "Name the column with --source-column, or the file with --source-file.",
        )
    if source_text is None and has_sources:
        raise UsageError(
            "A source column was given and no source text.",
            "A canary in parallel text is a pair, and its source was not said.",
            "Add --source-text, for example --source-text 'my number is {secret}'.",
        )
    if source_text is None:
        return
    check_source_text(source_text)
    if (source_column or "source") == text_column:
        raise UsageError(
            f"The text and its source cannot both be the column {text_column!r}.",
            "A pair has two sides.",
            "Name two columns with --text-column and --source-column.",
        )
