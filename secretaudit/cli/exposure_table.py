"""The exposures of a record, as a table for people who have not read the paper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from secretaudit.cli import words
from secretaudit.cli.table import plain_table
from secretaudit.records import Record

#: Canaries shown one by one; the others are in the record.
SHOWN = 40
#: Different notes shown.
NOTES = 6
_EXPECTED_NULL = 1.44


def exposure_tables(record: Record) -> Iterator[RenderableType]:
    """The canaries one by one, the controls of each format in one line, and how to read it."""
    canaries: list[dict[str, Any]] = record.found["canaries"]
    inserted = [canary for canary in canaries if canary["insertions"] > 0]
    controls = [canary for canary in canaries if canary["insertions"] == 0]
    if inserted:
        yield _inserted_table(inserted[:SHOWN])
    if len(inserted) > SHOWN:
        yield Text(f"{len(inserted) - SHOWN} more are in the record.")
    if controls:
        yield Text("")
        yield _control_table(controls)
    for role, title in (("reference", "reference model"), ("baseline", "n-gram baseline")):
        if inserted and role in inserted[0]:
            yield Text("")
            yield _beside_table(inserted[:SHOWN], role, title)
    yield Text(
        "\nExposure x bits: the model finds the secret among the likeliest 1 in 2^x of all secrets of its format. "
        f"Chance alone gives {_EXPECTED_NULL} bits on average; the bar is full when the secret comes first."
    )
    yield from _notes(canaries)


def _inserted_table(canaries: Sequence[dict[str, Any]]) -> Table:
    table = plain_table()
    table.add_column("canary", no_wrap=True, overflow="ellipsis", max_width=20)
    table.add_column("times", justify="right", no_wrap=True)
    table.add_column("bits", justify="right", no_wrap=True)
    table.add_column("95 %", no_wrap=True)
    table.add_column("of at most", no_wrap=True)
    table.add_column("the likeliest", no_wrap=True)
    for canary in canaries:
        value, maximum = words.known_bits(canary), canary["max_exposure_bits"]
        table.add_row(
            canary["id"],
            str(canary["insertions"]),
            words.exposure(canary),
            words.interval(canary["exposure_low_bits"], canary["exposure_high_bits"]),
            f"{words.bar(value, maximum, 8)} {words.bits(maximum)}",
            words.one_in(value),
            style=_style(value, maximum),
        )
    return table


def _beside_table(canaries: Sequence[dict[str, Any]], role: str, title: str) -> Table:
    """The same canaries under another model, and what the audited one has over it."""
    table = plain_table()
    table.add_column(f"beside the {title}", no_wrap=True, overflow="ellipsis", max_width=28)
    table.add_column("there", justify="right", no_wrap=True)
    table.add_column("here", justify="right", no_wrap=True)
    table.add_column("gain", justify="right", no_wrap=True)
    table.add_column("95 %", no_wrap=True)
    for canary in canaries:
        other = canary[role]
        gain, low, high = (other[f"gain_{end}bits"] for end in ("", "low_", "high_"))
        table.add_row(
            canary["id"],
            words.exposure(other),
            words.exposure(canary),
            "–" if gain is None else f"{gain:+.1f}",
            _from_to(low, high),
        )
    return table


def _from_to(low: float | None, high: float | None) -> str:
    """The ends of a difference, which may be negative."""
    if low is None or high is None:
        return "–"
    return "exact" if low == high else f"{low:+.1f} to {high:+.1f}"


def _control_table(controls: Sequence[dict[str, Any]]) -> Table:
    table = plain_table()
    table.add_column("controls (never inserted)", no_wrap=True, overflow="ellipsis", max_width=30)
    table.add_column("number", justify="right")
    table.add_column("mean bits", justify="right")
    table.add_column("largest", justify="right")
    for name in dict.fromkeys(canary["format"] for canary in controls):
        group = [canary for canary in controls if canary["format"] == name]
        values = [value for canary in group if (value := words.known_bits(canary)) is not None]
        table.add_row(
            name,
            str(len(group)),
            words.bits(fmean(values) if values else None),
            words.bits(max(values, default=None)),
        )
    return table


def _notes(canaries: Sequence[dict[str, Any]]) -> Iterator[Text]:
    """What is to be said of the numbers, each sentence once, with the number of canaries it holds for."""
    counts: dict[str, int] = {}
    for canary in canaries:
        if canary.get("note"):
            counts[canary["note"]] = counts.get(canary["note"], 0) + 1
    for note, count in list(counts.items())[:NOTES]:
        yield Text(f"note ({count} of {len(canaries)}): {note}", style="yellow")
    if len(counts) > NOTES:
        yield Text(f"{len(counts) - NOTES} more notes are in the record.", style="yellow")


def _style(value: float | None, maximum: float) -> str:
    """Red from half of the maximum on, where guessing the secret becomes practical."""
    return "red" if value is not None and value > maximum / 2 else ""
