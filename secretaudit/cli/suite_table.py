"""What the suite found, for a person: each part's sentence, and the paper's orderings beside this run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from secretaudit.cli.table import plain_table
from secretaudit.records import Record
from secretaudit.report.values import shown

#: What an ordering came to, and how it is coloured.
_VERDICTS = {
    True: ("holds", "green"),
    False: ("does not hold", "red"),
    None: ("not judged", "yellow"),
}
_STYLES = {"measured": "green", "could not measure": "red"}


def suite_tables(record: Record, records: Sequence[Record]) -> Iterator[RenderableType]:
    """Part by part what was found, then the orderings; for several modules one after the other."""
    for one in records:
        name = one.kind.removeprefix("suite-")
        yield Text(f"{name}", style="bold")
        yield from _parts(one)
        yield from _orderings(one)
    for name, went in record.found.get("modules", {}).items():
        if "record" not in went:
            yield Text(f"{name}: could not measure. {went['sentence']}", style="red")


def _parts(record: Record) -> Iterator[RenderableType]:
    table = plain_table()
    table.add_column("part", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("what was found", overflow="fold")
    for name, part in record.found["parts"].items():
        status = part["status"]
        table.add_row(name, Text(status, style=_STYLES.get(status, "yellow")), part["sentence"])
    yield table
    yield Text("")


def _orderings(record: Record) -> Iterator[RenderableType]:
    orderings = record.found["orderings"]
    if not orderings:
        return
    table = plain_table()
    table.add_column("the paper's ordering, and the rule", overflow="fold", ratio=3)
    table.add_column("here", overflow="fold", ratio=2)
    table.add_column("", no_wrap=True)
    for ordering in orderings:
        word, style = _VERDICTS[ordering["holds"]]
        table.add_row(ordering["claim"], shown(ordering["seen"]), Text(word, style=style))
    yield table
    yield Text("")
