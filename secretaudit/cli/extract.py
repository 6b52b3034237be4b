"""``secretaudit extract``: a model and a format → the secrets it finds likeliest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import secretaudit
from secretaudit.cli import options
from secretaudit.cli.session import Session
from secretaudit.errors import UsageError
from secretaudit.records import check_record_place

METHODS = ("shortest-path", "beam", "sampling")


@click.command("extract")
@options.model_options
@click.option(
    "--format",
    "format_",
    metavar="FORMAT",
    help="A format of the ledger or of the library, a .toml file, or a template.",
)
@click.option(
    "--prefix", metavar="TEXT", help="Instead of a format: the text before the secret (--regex)."
)
@click.option("--regex", metavar="PATTERN", help="Instead of a format: what the secret looks like.")
@click.option("--luhn", is_flag=True, help="With --regex: its digits pass the Luhn check.")
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
@options.segmentation_option
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
@options.output_option("extraction.json", "Where the record goes.")
@options.reveal_option
@options.force_option
@options.talking
@click.pass_obj
def command(
    session: Session,
    /,
    *,
    model: str,
    format_: str | None,
    prefix: str | None,
    regex: str | None,
    luhn: bool,
    canaries: Path | None,
    method: str,
    segmentation: str,
    top: int,
    budget: str | None,
    memory: str,
    width: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    seed: int,
    output: Path,
    reveal: bool,
    force: bool,
    **opening: Any,
) -> int:
    """Search a model for the likeliest secrets of a format."""
    check_record_place(output, "extraction", force=force)
    form = _format(format_, prefix, regex, luhn)
    with session.progress() as progress:
        record = secretaudit.extract(
            model,
            format=form,
            canaries=canaries,
            method=method,
            segmentation=segmentation,
            top=top,
            budget=budget,
            memory=memory,
            width=width,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
            options=options.opening(opening),
            reveal=reveal,
            progress=progress,
        )
    session.save(record, output, private=reveal)
    from secretaudit.cli.extraction_table import extraction_tables  # rich: only for drawing

    session.answer(record, *extraction_tables(record))
    return 0


def _format(
    named: str | None, prefix: str | None, pattern: str | None, luhn: bool
) -> str | secretaudit.Format:
    """The format that was named, or the one of a prefix and a regular expression."""
    if named is not None and (prefix, pattern, luhn) == (None, None, False):
        return named
    if named is not None or pattern is None:
        raise UsageError(
            "It is not clear what is to be searched."
            if named
            else "Nothing says what a secret looks like.",
            "A search has either --format, or --regex with an optional --prefix and --luhn.",
            "Write for example: --prefix 'my pin is ' --regex '[0-9]{4}'",
        )
    from secretaudit.canary.format import searched_format  # numpy: not for --help

    return searched_format(prefix or "", pattern, luhn=luhn)
