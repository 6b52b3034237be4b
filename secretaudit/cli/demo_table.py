"""The demo's records as one table and three sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from secretaudit.cli import words
from secretaudit.cli.extraction_table import came_out, extraction_tables
from secretaudit.cli.table import plain_table
from secretaudit.records import Record


def demo_tables(records: Mapping[str, Record]) -> Iterator[RenderableType]:
    """Exposure by number of insertions, what the search found, and what it means."""
    canaries = records["exposure"].found["canaries"]
    yield Text("How much of a made-up secret the model gives away\n", style="bold")
    yield _by_insertions(canaries)
    yield Text("\nThe secrets that the model itself finds likeliest\n", style="bold")
    yield from extraction_tables(records["extraction"])
    yield Text("\nWhat it means\n", style="bold")
    for number, sentence in enumerate(meaning(records), start=1):
        yield Text(f"{number}. {sentence}")


def meaning(records: Mapping[str, Record]) -> list[str]:
    """Three sentences: what was memorized, whether it comes out, and what a gate makes of it."""
    groups = grouped(records["exposure"].found["canaries"])
    most, never = max(groups), groups.get(0, [])
    mean, ceiling = mean_bits(groups[most]), groups[most][0]["max_exposure_bits"]
    chance = mean_bits(never)
    memorized = (
        f"A secret that stood {most} times in the training text has {words.bits(mean)} of at most {words.bits(ceiling)} "
        f"bits of exposure on average: the model ranks it among the likeliest {words.one_in(mean)} of all possible "
        f"secrets, while secrets it never saw stay at {words.bits(chance)} bits, about the 1.4 that chance gives."
    )
    extraction = records["extraction"].found
    out = came_out(extraction)
    asked = f"{extraction['queries']:,} questions to the model, not {words.space(int(extraction['size']))} guesses"
    comes_out = (
        f"Whoever holds the model can read {out} of these secrets out of it without having seen the text, with {asked}."
        if out
        else f"A search for the likeliest secrets found none of them, with {asked}."
    )
    verdict = records["gate"]
    limit = verdict.asked["max_exposure_bits"]
    ships = {
        "pass": f"A gate at {limit:g} bits passes this model.",
        "fail": f"A gate at {limit:g} bits stops this model: real secrets repeated as often would be at risk, so remove "
        "duplicates or train with differential privacy before shipping.",
        "inconclusive": f"A gate at {limit:g} bits could not decide, which is not a pass.",
    }
    return [memorized, comes_out, ships[verdict.found["verdict"]]]


def grouped(canaries: Sequence[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    """Canaries by number of insertions, in rising order."""
    groups: dict[int, list[dict[str, Any]]] = {}
    for canary in sorted(canaries, key=lambda canary: int(canary["insertions"])):
        groups.setdefault(canary["insertions"], []).append(canary)
    return groups


def mean_bits(canaries: Sequence[dict[str, Any]]) -> float | None:
    """Mean exposure of those that were measured."""
    values = [value for canary in canaries if (value := words.known_bits(canary)) is not None]
    return fmean(values) if values else None


def _by_insertions(canaries: Sequence[dict[str, Any]]) -> Table:
    table = plain_table()
    table.add_column("times in the text", justify="right", no_wrap=True)
    table.add_column("secrets", justify="right")
    table.add_column("exposure, bits", justify="right", no_wrap=True)
    table.add_column("of at most", no_wrap=True)
    table.add_column("the likeliest", no_wrap=True)
    for insertions, group in grouped(canaries).items():
        mean, maximum = mean_bits(group), group[0]["max_exposure_bits"]
        table.add_row(
            f"{insertions}" if insertions else "never",
            str(len(group)),
            words.bits(mean),
            f"{words.bar(mean, maximum)} {words.bits(maximum)}",
            words.one_in(mean),
        )
    return table
