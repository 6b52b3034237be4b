"""Write ``commands.md``, the command reference, from the commands themselves.

``python docs/generate_commands.py`` writes it; ``tests/test_docs.py`` fails when it is not current.
"""

from collections.abc import Iterator
from pathlib import Path

import click

from secretaudit.cli.application import application

PAGE = Path(__file__).with_name("commands.md")
HEAD = """# Commands

Every command takes `--help`. `--json` prints the [record](records.md) on stdout and everything else on stderr; `--quiet` prints
nothing but the answer and warnings; `--debug`, after the command, shows the traceback of an error. What the exit codes mean
stands in [gate](gate.md).

This page is made from the commands themselves by `docs/generate_commands.py`.
"""


def page() -> str:
    """The whole page, as Markdown."""
    return "\n".join([HEAD, *_sections("secretaudit", application, None)])


def _sections(name: str, command: click.Command, parent: click.Context | None) -> Iterator[str]:
    """The help of a command and of all below it, 80 columns wide."""
    settings = command.context_settings | {"terminal_width": 80, "max_content_width": 80}
    context = click.Context(command, info_name=name, parent=parent, **settings)
    path = context.command_path
    yield f"## {path}\n\n```text\n{command.get_help(context).rstrip()}\n```\n"
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            if found is not None:
                yield from _sections(below, found, context)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
