"""A command with many options shows them in sections, each under its own heading."""

from __future__ import annotations

from typing import Any

import click


class SectionedOption(click.Option):
    """An option that knows its section.

    Args:
        section: Heading in the help; other options stand under "Options".
    """

    def __init__(self, *args: Any, section: str = "Options", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


class SectionedCommand(click.Command):
    """A command whose help lists its options section by section, in the order in which they were declared."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            line = None if isinstance(parameter, click.Argument) else parameter.get_help_record(ctx)
            if line is not None:
                name = getattr(parameter, "section", "Options")
                sections.setdefault(name, []).append(line)
        for name, lines in sections.items():
            with formatter.section(name):
                formatter.write_dl(lines)
