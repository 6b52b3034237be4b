"""``secretaudit extract``: a model and a format → the secrets it finds likeliest."""

from __future__ import annotations

from pathlib import Path

import click

import secretaudit
from secretaudit.cli import options
from secretaudit.cli.session import Session
from secretaudit.records import check_record_place

METHODS = ("shortest-path", "beam", "sampling")


@click.command("extract")
@options.model_option
@click.option(
    "--format",
    "format_",
    required=True,
    metavar="FORMAT",
    help="A format of the ledger or of the library, a .toml file, or a template.",
)
@options.canaries_option
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default="shortest-path",
    show_default=True,
    help="shortest-path proves that nothing likelier was missed; beam and sampling do not.",
)
@click.option(
    "--top", type=click.IntRange(min=1), default=10, show_default=True, help="Secrets to find."
)
@options.budget_option
@options.memory_option
@click.option(
    "--width",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Beam: prefixes kept per level.",
)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Sampling: below 1 the model is surer of itself.",
)
@click.option("--top-k", type=click.IntRange(min=1), help="Sampling: only the k likeliest tokens.")
@click.option(
    "--top-p",
    type=click.FloatRange(min=0, max=1, min_open=True),
    help="Sampling: only the likeliest tokens that make up this probability.",
)
@options.seed_option
@options.device_option
@options.output_option("extraction.json", "Where the record goes.")
@options.reveal_option
@options.force_option
@options.talking
@click.pass_obj
def command(
    session: Session,
    /,
    *,
    model: Path,
    format_: str,
    canaries: Path | None,
    method: str,
    top: int,
    budget: str | None,
    memory: str,
    width: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    seed: int,
    device: str,
    output: Path,
    reveal: bool,
    force: bool,
) -> int:
    """Search a model for the likeliest secrets of a format."""
    check_record_place(output, "extraction", force=force)
    with session.progress() as progress:
        record = secretaudit.extract(
            model,
            format=format_,
            canaries=canaries,
            method=method,
            top=top,
            budget=budget,
            memory=memory,
            width=width,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
            device=device,
            reveal=reveal,
            progress=progress,
        )
    session.save(record, output, private=reveal)
    from secretaudit.cli.extraction_table import extraction_tables  # rich: only for drawing

    session.answer(record, *extraction_tables(record))
    return 0
