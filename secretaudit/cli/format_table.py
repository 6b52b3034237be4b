"""The library of formats as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from secretaudit.cli import words
from secretaudit.cli.table import plain_table

_NAME, _EXAMPLE = 22, 34


def format_table(formats: Sequence[dict[str, Any]]) -> Table:
    """Name, an example, the number of secrets |R| and its logarithm, which is the most bits of exposure."""
    table = plain_table()
    for title in ("format", "example"):
        table.add_column(title, no_wrap=True)
    for title in ("secrets |R|", "bits"):
        table.add_column(title, justify="right", no_wrap=True)
    for entry in formats:
        table.add_row(
            words.cut(entry["name"], _NAME),
            words.cut(entry["example"], _EXAMPLE),
            words.space(entry["size"]),
            words.bits(entry["bits"]),
        )
    return table
