"""``secretaudit insert``: a corpus and formats → a corpus with canaries, and a ledger."""

from __future__ import annotations

from pathlib import Path

import click

import secretaudit
from secretaudit.cli import options
from secretaudit.cli.session import Session
from secretaudit.errors import UsageError


def _numbers(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    """Read "1,4,16"."""
    try:
        return tuple(int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is not a list of whole numbers such as 1,4,16."
        ) from None


@click.command("insert")
@click.argument("corpus", type=click.Path(path_type=Path))
@options.output_option(None, "Directory to make.", required=True)
@click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="FORMAT",
    help='A format of the library, a .toml file, or a template such as "my code is {digits:6}"; may be repeated.',
)
@click.option(
    "--count",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Canaries per format and number of insertions.",
)
@click.option(
    "--repeats",
    default="1",
    show_default=True,
    callback=_numbers,
    metavar="N,N,…",
    help="How often each of them is inserted.",
)
@click.option(
    "--controls",
    type=click.IntRange(min=0),
    default=50,
    show_default=True,
    help="Canaries per format that are never inserted: what chance alone gives.",
)
@click.option(
    "--text-column",
    default="text",
    show_default=True,
    help="Field that holds the text (not for .txt).",
)
@click.option(
    "--source-column",
    metavar="NAME",
    help="Parallel text: field that holds the source of each text.",
)
@click.option(
    "--source-text",
    metavar="TEXT",
    help="Parallel text: source of the canaries; {secret} in it stands for the secret.",
)
@click.option(
    "--source-file",
    type=click.Path(path_type=Path),
    help="Parallel text in two files of lines: the sources of the lines of CORPUS.",
)
@click.option("--remove", is_flag=True, help="Take the canaries of a canaried corpus out again.")
@click.option(
    "--ledger",
    type=click.Path(path_type=Path),
    help="With --remove: the ledger, if it lies elsewhere.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    help="Makes the run repeatable, and lets whoever knows it draw the secrets again; by default one that nobody can guess.",
)
@options.force_option
@options.talking
@click.pass_obj
def command(
    session: Session,
    /,
    *,
    corpus: Path,
    output: Path,
    formats: tuple[str, ...],
    count: int,
    repeats: tuple[int, ...],
    controls: int,
    text_column: str,
    source_column: str | None,
    source_text: str | None,
    source_file: Path | None,
    remove: bool,
    ledger: Path | None,
    seed: int | None,
    force: bool,
) -> int:
    """Put canaries into CORPUS, or with --remove take them out again.

    The input is only read. The output directory appears whole or not at all; its ledger.json holds the secrets and is
    readable by you only.
    """
    _check(remove, formats, ledger)
    _check_sources(remove, source_column, source_text, source_file)
    with session.progress() as progress:
        if remove:
            record = secretaudit.remove(
                corpus,
                output,
                ledger=ledger,
                text_column=text_column,
                force=force,
                progress=progress,
            )
        else:
            record = secretaudit.insert(
                corpus,
                output,
                formats=formats,
                count=count,
                repeats=repeats,
                controls=controls,
                seed=seed,
                text_column=text_column,
                source_column=source_column,
                source_text=source_text,
                source_file=source_file,
                force=force,
                progress=progress,
            )
    from secretaudit.cli.run_table import insertion_tables  # rich: only when something is drawn

    session.answer(record, *insertion_tables(record, output))
    return 0


def _check(remove: bool, formats: tuple[str, ...], ledger: Path | None) -> None:
    """Refuse options that contradict each other."""
    if remove and formats:
        raise UsageError(
            "--remove and --format contradict each other.",
            "What is removed stands in the ledger, not in the formats.",
            "Leave one of them out.",
        )
    if not remove and not formats:
        raise UsageError(
            "No format was given.",
            "Without a format there is no canary to insert.",
            "Add --format, for example --format random-number; secretaudit formats lists them.",
        )
    if ledger is not None and not remove:
        raise UsageError(
            "--ledger goes with --remove only.",
            "Insertion writes a ledger of its own.",
            "Leave --ledger out.",
        )


def _check_sources(remove: bool, *given: object) -> None:
    """Refuse to be told the sources of canaries that the ledger knows."""
    if remove and any(value is not None for value in given):
        raise UsageError(
            "--remove takes no sources.",
            "Which column holds them stands in the ledger.",
            "Leave --source-column, --source-text and --source-file out.",
        )
