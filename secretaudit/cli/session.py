"""What holds for the whole of one call: how much is said, and where.

stdout carries the answer (a table, or with ``--json`` the record); everything else goes to stderr, so that the answer can
be piped. Progress is drawn only for a person: on a terminal, and without ``--quiet``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from secretaudit.progress import Progress, SilentProgress

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

    from secretaudit.records import Record


@dataclass
class Session:
    """One call of the command line.

    Attributes:
        debug: Show tracebacks.
        quiet: Say nothing but the answer.
        json: Print the record instead of tables.
    """

    debug: bool = False
    quiet: bool = False
    json: bool = False

    def say(self, text: str) -> None:
        """A remark beside the answer."""
        if not self.quiet:
            click.echo(text, err=True)

    def answer(self, record: Record, *tables: RenderableType) -> None:
        """The answer of a command: the record with --json, otherwise its tables."""
        if self.json:
            click.echo(record.to_json())
        else:
            self.show(*tables)

    def show(self, *tables: RenderableType) -> None:
        """Print tables on stdout, at most as wide as the terminal."""
        from secretaudit.cli.terminal import answer_console  # rich: only when something is drawn

        console = answer_console()
        for table in tables:
            console.print(table)

    def save(self, record: Record, output: Path | None, *, private: bool) -> None:
        """Write the record and say where; nothing without an output."""
        if output is not None:
            record.write(output, mode=0o600 if private else 0o644)
            self.say(f"The record is in {output}.")

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """Something to tell progress to while the block runs."""
        if self.quiet:
            yield SilentProgress()
            return
        if not sys.stderr.isatty():
            yield _Sentences(self)
            return
        from secretaudit.cli.progress_bar import progress_bar  # rich: only when something is drawn

        with progress_bar() as bar:
            yield bar


class _Sentences(SilentProgress):
    """No bar, but what a person should know beforehand."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def announce(self, sentence: str) -> None:
        """Say it beside the answer."""
        self._session.say(sentence)
