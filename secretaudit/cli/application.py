"""The command ``secretaudit``: its subcommands, its errors and its exit codes.

======  =========================================================
exit    meaning
======  =========================================================
0       done; a gate passed
1       a gate failed, and nothing else
2       the question was wrong: usage, bad input, no usable limit
3       could not measure; never to be read as a pass
130     interrupted (Ctrl-C)
141     the reader of stdout went away
======  =========================================================

A subcommand's module is imported only when the subcommand runs, so ``--help`` answers at once. A new command is one file
with a click command named ``command``, and one line in ``COMMANDS``.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn, TextIO

import click

from secretaudit._checks import suggestion
from secretaudit._version import __version__
from secretaudit.cli.options import debug_option
from secretaudit.cli.session import Session
from secretaudit.errors import EndedElsewhere, SecretauditError

#: Name of each command, and its line in the help. ``-`` in a name is ``_`` in its module.
COMMANDS = {
    "demo": "The whole way in one go, on text made up on the spot.",
    "formats": "The library of formats: an example, the number of secrets, bits.",
    "insert": "Put canaries into a corpus, or take them out again.",
    "train": "Train a language model on a corpus.",
    "expose": "Measure how much a model gives away of each canary.",
    "extract": "Search for the secrets that a model finds likeliest.",
    "gate": "Pass or fail an exposure record by a limit.",
    "suite": "How a network memorizes: the measures of four more papers.",
}

_USAGE, _COULD_NOT_MEASURE, _INTERRUPTED, _NO_READER = 2, 3, 130, 141


class Application(click.Group):
    """A group that knows its commands by name and imports each when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order of the work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"secretaudit.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was named, or suggest the nearest."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise SecretauditUsage(
                f"There is no command {args[0]!r}.",
                f"The commands are: {', '.join(COMMANDS)}.",
                suggestion(args[0], COMMANDS) or "Run secretaudit --help.",
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands in the help, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


class SecretauditUsage(SecretauditError):
    """A command line that cannot be understood: exit 2."""

    exit_code = _USAGE


@click.group(
    cls=Application,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="secretaudit")
@debug_option
def application() -> None:
    """How much of the secrets in its training text would a model give away?

    Start with: secretaudit demo
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run the command line.

    Args:
        arguments: What stands after ``secretaudit``.

    Returns:
        The exit code.
    """
    session = Session()
    warnings.showwarning = _show_warning
    try:
        answer: Any = application.main(
            list(arguments), prog_name="secretaudit", standalone_mode=False, obj=session
        )
        sys.stdout.flush()
        return answer if isinstance(answer, int) else 0
    except BrokenPipeError:
        _abandon_stdout()
        return _NO_READER
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return _INTERRUPTED
    except EndedElsewhere as error:
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return _USAGE
    except Exception as error:  # noqa: BLE001  (the last resort: exit 1 would read as a failed gate)
        if session.debug:
            traceback.print_exc()
        what, why, way_out, code = explained(error)
        for label, text in (("error", what), ("  why", why), ("  way out", way_out)):
            click.echo(f"{label}: {' '.join(text.split())}", err=True)
        return code


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """One plain line: where in our code a warning was raised is nothing to a user."""
    click.echo(f"warning: {message}", err=True)


def explained(error: Exception) -> tuple[str, str, str, int]:
    """What happened, why, the way out, and the exit code."""
    match error:
        case SecretauditError():
            return error.what, error.why, error.way_out, error.exit_code
        case click.UsageError():
            command = error.ctx.command_path if error.ctx else "secretaudit"
            return (
                error.format_message(),
                f"{command} does not understand the command line.",
                f"Run {command} --help.",
                _USAGE,
            )
        case click.ClickException():
            return error.format_message(), "The input cannot be used.", "Check it.", _USAGE
        case OSError():
            return (
                f"The system refused to read or write: {error.strerror or error}.",
                f"It concerns {error.filename or 'the output of this command'}.",
                "Check the disk, the path and your rights to it.",
                _COULD_NOT_MEASURE,
            )
        case MemoryError():
            return (
                "There is not enough memory.",
                "The system refused to give more.",
                "Set a smaller --memory, or a smaller model or batch.",
                _COULD_NOT_MEASURE,
            )
        case _:
            return (
                f"Something unexpected happened: {type(error).__name__}: {error}",
                "This is a fault in secretaudit, or in a library below it.",
                "Run again with --debug and report what it prints.",
                _COULD_NOT_MEASURE,
            )


def _abandon_stdout() -> None:
    """Send what is still buffered nowhere, so that the interpreter does not fail on it at its end."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        sys.stdout = None
