"""A gate's verdict for a person: the sentence, then the canaries that made it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from secretaudit.cli.table import plain_table
from secretaudit.records import Record

#: Canaries shown one by one.
SHOWN = 20
_STYLES = {"pass": "bold green", "fail": "bold red", "inconclusive": "bold yellow"}
_ORDER = ("over", "not shown under", "unknown", "cannot exceed")


def gate_tables(record: Record) -> Iterator[RenderableType]:
    """The verdict and whatever is not simply within the limit, the worst first."""
    found = record.found
    verdict = found["verdict"]
    yield Text(f"gate: {verdict}. {found['sentence']}", style=_STYLES[verdict])
    telling = [canary for canary in found["canaries"] if canary["outcome"] in _ORDER]
    if telling:
        telling.sort(key=lambda canary: _ORDER.index(canary["outcome"]))
        table = plain_table()
        table.add_column("canary", no_wrap=True, overflow="ellipsis", max_width=20)
        table.add_column("times", justify="right")
        table.add_column("")
        for canary in telling[:SHOWN]:
            table.add_row(canary["id"], str(canary["insertions"]), canary["sentence"])
        yield Text("")
        yield table
    if len(telling) > SHOWN:
        yield Text(f"{len(telling) - SHOWN} more are in the record.")
    for warning in found["warnings"]:
        yield Text(f"warning: {warning}", style="yellow")
