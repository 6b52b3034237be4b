"""What an insertion and a training have to say, in a few lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from secretaudit.records import Record


def insertion_tables(record: Record, output: Path) -> Iterator[RenderableType]:
    """What went into the corpus, or came out of it, and what to do next."""
    found = record.found
    corpus = output / found["corpus"]
    if "removed" in found:
        same = (
            "the corpus as it was"
            if found["identical"]
            else "not the corpus that the ledger was made for"
        )
        yield facts(
            {
                "corpus": corpus,
                "records": found["records"],
                "copies removed": found["removed"],
                "result": same,
            }
        )
        return
    yield facts(
        {
            "corpus": corpus,
            "records before": found["records"],
            "records now": found["canaried_records"],
            "canaries": f"{found['canaries']:,}, {found['inserted']:,} copies in all",
            "controls": f"{found['controls']:,}, never inserted",
            "ledger": f"{output / found['ledger']} (holds the secrets; for you only)",
            "public ledger": output / found["public_ledger"],
        }
    )
    yield from _by_chance(found.get("secrets_by_chance") or {})
    yield Text(f"next: secretaudit train {output} -o model/")


def training_tables(record: Record, output: Path) -> Iterator[RenderableType]:
    """How the training ended, and what to do next."""
    found = record.found
    shown = {
        "model": output,
        "stopped": found.get("stopped"),
        "epochs": found.get("epochs"),
        "tokens read": found.get("tokens_seen"),
        "tokens per second": found.get("tokens_per_second"),
        "loss, bits per token": found.get("train_loss_bits_per_token"),
        "on held-out records": found.get("validation_loss_bits_per_token"),
        "privacy": _privacy(found.get("privacy")),
        "largest exposure seen": _largest(found.get("watched") or ()),
    }
    yield facts({name: value for name, value in shown.items() if value is not None})
    if remark := (found.get("privacy") or {}).get("remark"):
        yield Text(f"warning: {remark}", style="yellow")
    if found.get("canaries_lost"):
        yield Text(
            f"warning: canaries of which the model has not read every copy: {len(found['canaries_lost'])}; "
            "their exposure will be inconclusive.",
            style="yellow",
        )
    if found.get("ledger"):
        yield Text(f"next: secretaudit expose --model {output}")
    else:
        yield Text(
            "This corpus has no canaries: name a ledger when you measure (expose --canaries)."
        )


def _privacy(spent: Mapping[str, Any] | None) -> str | None:
    """ε and δ in words, or that none is stated."""
    if not spent:
        return None
    noise = f"noise {spent['noise_multiplier']:.3g}, gradient of a record clipped to {spent['max_grad_norm']:g}"
    if spent.get("epsilon") is None:
        return f"no ε is stated; {noise}"
    return f"ε = {spent['epsilon']:.3g} at δ = {spent['delta']:.2g} for a record; {noise}"


def _largest(watched: Sequence[Mapping[str, Any]]) -> str | None:
    """The largest exposure that was seen while training, and when."""
    seen = [entry for entry in watched if entry.get("largest_bits") is not None]
    if not seen:
        return None
    most = max(seen, key=lambda entry: float(entry["largest_bits"]))
    return f"{most['largest_bits']:.1f} bits, after {most['epoch']:.2f} epochs (looks: {len(seen)})"


def facts(rows: Mapping[str, Any]) -> Table:
    """Names and values, one a line."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, _shown(value))
    return table


def _by_chance(occurrences: Mapping[str, int]) -> Iterator[Text]:
    """A small secret may stand in any text; whoever reads an exposure should know."""
    if occurrences:
        yield Text(
            f"note: secrets of small formats that stand in the input by chance: {len(occurrences)}; "
            "insertion.json lists them.",
            style="yellow",
        )


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
