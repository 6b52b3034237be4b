"""The secrets that a search found, for a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from secretaudit.cli import words
from secretaudit.cli.table import plain_table
from secretaudit.records import Record


def extraction_tables(record: Record) -> Iterator[RenderableType]:
    """What came out, in order, which of it is a canary, what it cost, and what is proven."""
    found = record.found
    if found["secrets"]:
        yield _secret_table(found["secrets"], drawn=found["draws"] > 0)
        yield Text("")
    yield Text(outcome(found))
    yield Text(found["note"] or certainty(found), style="yellow" if found["note"] else "")


def came_out(found: dict[str, Any]) -> int:
    """How many of the secrets found are canaries that had been inserted."""
    return sum(1 for canary in found["canaries"] if canary["insertions"] and canary["place"])


def outcome(found: dict[str, Any]) -> str:
    """How many canaries came out, and what it cost against guessing.

    >>> outcome({"canaries": [{"insertions": 4, "place": 1}, {"insertions": 1, "place": None}],
    ...     "secrets": [{}, {}], "queries": 1387, "size": "1000000000"})
    '1 of 2 inserted canaries came out, with 1,387 model queries where guessing would try 1,000,000,000.'
    """
    inserted = sum(1 for canary in found["canaries"] if canary["insertions"])
    queries = f"{found['queries']:,} model queries where guessing would try {words.space(int(found['size']))}"
    if not inserted:
        return f"{len(found['secrets'])} secrets came out, with {queries}; no canary of this format is known."
    return f"{came_out(found)} of {inserted} inserted canaries came out, with {queries}."


def certainty(found: dict[str, Any]) -> str:
    """What the search proves.

    >>> certainty({"secrets": [{}, {}], "proven": 1, "bound_bits": 20.51, "draws": 0, "complete": False})
    'The budget ran out. Proven: the first 1; whatever was not found costs at least 20.5 bits.'
    """
    shown = len(found["secrets"])
    ended = "" if found["complete"] else "The budget ran out. "
    if found["draws"]:
        return (
            f"{ended}Drawn {found['draws']:,} times, as a user of the model would: proves no order."
        )
    if found["bound_bits"] is None:
        return f"{ended}This search proves no order: something likelier may have been missed."
    if shown and found["proven"] >= shown:
        return f"{ended}Proven: no secret of the format is likelier than these."
    return (
        f"{ended}Proven: the first {found['proven']}; whatever was not found costs at least "
        f"{found['bound_bits']:.1f} bits."
    )


def _secret_table(secrets: list[dict[str, Any]], *, drawn: bool) -> Table:
    table = plain_table()
    table.add_column("place", justify="right")
    table.add_column("secret", no_wrap=True, overflow="ellipsis", max_width=32)
    table.add_column("cost in bits", justify="right")
    if drawn:
        table.add_column("drawn", justify="right")
    table.add_column("canary", no_wrap=True, overflow="ellipsis", max_width=28)
    table.add_column("times in the text", justify="right")
    for row in secrets:
        cells = [str(row["place"]), row["secret"], words.bits(row["log_perplexity_bits"])]
        if drawn:
            cells.append(str(row["times"]))
        cells += [row["canary"] or "", str(row["insertions"]) if row["canary"] else ""]
        table.add_row(*cells, style="red" if row["insertions"] else "")
    return table
