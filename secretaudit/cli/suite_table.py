"""What the suite found, for a person: each part's sentence, and the paper's orderings beside this run.

An ordering begins with its verdict, as a sign and a word; the claim follows over the whole width, and the numbers that were seen stand below it, set in. Colour
is an addition and says nothing that the words do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from secretaudit.cli.table import plain_table
from secretaudit.records import Record
from secretaudit.report.values import shown

#: What an ordering came to: its sign, its word, and how it is coloured.
_VERDICTS = {
    True: ("✓", "holds", "green"),
    False: ("✗", "does not hold", "red"),
    None: ("?", "not judged", "yellow"),
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
    """How many hold, then each with its verdict, claim and numbers."""
    orderings = record.found["orderings"]
    if not orderings:
        return
    yield _count(orderings)
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for ordering in orderings:
        sign, word, style = _VERDICTS[ordering["holds"]]
        seen = Padding(Text(shown(ordering["seen"]), style="dim"), (0, 0, 0, 2))
        table.add_row(Text(f"{sign} {word}", style=style), Group(Text(ordering["claim"]), seen))
    yield table
    yield Text("")


def _count(orderings: Sequence[dict[str, Any]]) -> Text:
    """Such as "The paper's orderings: 9 of 12 hold, 3 do not"."""
    verdicts = [ordering["holds"] for ordering in orderings]
    told = [f"{verdicts.count(True)} of {len(verdicts)} hold"]
    for verdict, words in ((False, "do not"), (None, "not judged")):
        if verdict in verdicts:
            told.append(f"{verdicts.count(verdict)} {words}")
    return Text(f"The paper's orderings, each with its rule: {', '.join(told)}", style="bold")
