"""``secretaudit gate``: an exposure record and a limit → exit code."""

from __future__ import annotations

from pathlib import Path

import click

import secretaudit
from secretaudit.cli.options import output_option, talking
from secretaudit.cli.session import Session
from secretaudit.records import Record, check_record_place


@click.command("gate")
@click.argument("record", type=click.Path(path_type=Path))
@click.option(
    "--max-exposure",
    required=True,
    type=float,
    metavar="BITS",
    help="The most bits of exposure that an inserted canary may have.",
)
@output_option(None, "Also write the verdict to this file, as a record.")
@talking
@click.pass_obj
def command(session: Session, record: Path, max_exposure: float, output: Path | None) -> int:
    """Pass or fail an exposure RECORD by a limit.

    The upper end of each interval is compared. Exit codes: 0 pass, 1 fail, 2 usage or unusable limit, 3 could not measure.
    """
    if output is not None:
        check_record_place(output, "gate")
    verdict = secretaudit.gate(Record.read(record, "exposure"), max_exposure=max_exposure)
    session.save(verdict, output, private=False)
    return conclude(session, verdict)


def conclude(session: Session, verdict: Record) -> int:
    """Show a verdict and give its exit code."""
    from secretaudit.cli.gate_table import gate_tables  # rich: only when something is drawn

    session.answer(verdict, *gate_tables(verdict))
    code: int = verdict.found["exit_code"]
    return code
