"""``secretaudit suite``: how a network memorizes, by the measures of four papers.

Each module is a command whose options are the dials of its settings; ``all`` runs what applies with their defaults.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from secretaudit.cli import options
from secretaudit.cli.sections import SectionedCommand, SectionedOption
from secretaudit.cli.session import Session
from secretaudit.cli.settings_options import settings_of, settings_options
from secretaudit.cli.suite_options import opened, subject_options
from secretaudit.records import Record
from secretaudit.suite.modules import MODULES, settings_class

__all__ = ["command"]

_COULD_NOT_MEASURE = 3
_ALL = "Every module that applies, with its defaults, and one report."


class Suite(click.Group):
    """The modules by name; the options of each are made when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The modules, then all of them."""
        return [*MODULES, "all"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a module."""
        if cmd_name == "all":
            return _command_of_all()
        return _command_of(cmd_name) if cmd_name in MODULES else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of modules, without importing any."""
        with formatter.section("Commands"):
            lines = {name: text for name, (_, text) in MODULES.items()} | {"all": _ALL}
            formatter.write_dl(list(lines.items()))


@click.group("suite", cls=Suite)
@options.talking
def command() -> None:
    """Measure how a network memorizes: four papers, on your data and model.

    Start with: secretaudit suite neighbours digits -o suite/
    """


def _command_of(module: str) -> click.Command:
    """The command of one module."""

    def call(session: Session, /, **given: Any) -> int:
        from secretaudit.suite.run import run_suite  # torch: only when something is measured

        settings = settings_of(settings_class(module), given)
        run = _run_arguments(given)
        subject = opened(given)
        with session.progress() as progress:
            record = run_suite(module, subject, settings=settings, progress=progress, **run)
        return _answer(session, record, [record], run["output"])

    return SectionedCommand(
        module,
        callback=click.pass_obj(call),
        help=_help(MODULES[module][1]),
        params=[*_params(), *settings_options(settings_class(module), "Dials of this module")],
    )


def _command_of_all() -> click.Command:
    """The command that runs every module."""

    def call(session: Session, /, modules: tuple[str, ...], **given: Any) -> int:
        from secretaudit.suite.run import run_all  # torch: only when something is measured

        run = _run_arguments(given)
        subject = opened(given)
        with session.progress() as progress:
            record, records = run_all(
                subject, modules=modules or tuple(MODULES), progress=progress, **run
            )
        return _answer(session, record, records, run["output"])

    chosen = SectionedOption(
        ["--module", "modules"],
        multiple=True,
        type=click.Choice(list(MODULES)),
        help="Only this module; may be given several times.",
    )
    return SectionedCommand(
        "all", callback=click.pass_obj(call), help=_help(_ALL), params=[*_params(), chosen]
    )


def _help(first: str) -> str:
    return (
        f"{first}\n\nDATA is digits (bundled), an .npz file, a .csv, .tsv or .jsonl table, a folder of class folders with images or clips, a saved "
        "dataset; for language models a text corpus or a directory made by secretaudit insert. What is finished is kept in the output directory: the same "
        "command goes on after a stop."
    )


def _params() -> list[click.Parameter]:
    """What every module's command takes."""

    @click.argument("data")
    @options.output_option(
        None, "Directory of the record, the figures and the report.", required=True
    )
    @subject_options
    @options.seed_option
    @click.option(
        "--workers",
        type=click.IntRange(min=0),
        default=0,
        help="Processes that train side by side.  [default: one per core]",
    )
    @click.option("--force", is_flag=True, help="Train again what an earlier run has finished.")
    @options.talking
    def carrier() -> None:
        """Carries the options."""

    return list(reversed(carrier.__click_params__))  # where click's decorators put them


def _run_arguments(given: dict[str, Any]) -> dict[str, Any]:
    return {name: given.pop(name) for name in ("output", "workers", "force")} | {
        "seed": given["seed"]
    }


def _answer(session: Session, record: Record, records: list[Record], output: Path) -> int:
    """Report, tables and exit code."""
    from secretaudit.cli.suite_table import suite_tables  # rich: only when something is drawn
    from secretaudit.report.suite import write_report  # matplotlib: only when something is drawn
    from secretaudit.suite.run import could_not_measure

    shown = [record] if record in records else [record, *records]
    page = write_report(shown, output)
    session.answer(record, *suite_tables(record, records))
    session.say(f"The report is {page}.")
    missing = could_not_measure(record)
    if missing:
        session.say(f"Could not measure: {', '.join(missing)}.")
    return _COULD_NOT_MEASURE if missing else 0
