"""Options that several commands share, so that one name means one thing everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from secretaudit.cli.session import Session

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], F]


def _remembered(name: str, flags: str, text: str) -> Decorator[Any]:
    """A flag that is kept in the session and not passed to the command."""

    def remember(context: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            setattr(context.ensure_object(Session), name, True)

    return click.option(
        *flags.split(),
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=remember,
        help=text,
    )


debug_option = _remembered("debug", "--debug", "Show the traceback of an error.")
quiet_option = _remembered("quiet", "--quiet -q", "Print nothing but the answer and warnings.")
json_option = _remembered(
    "json", "--json", "Print the record on stdout; everything else goes to stderr."
)


def talking(command: F) -> F:
    """The options about what is printed, which every command has."""
    talkative: F = json_option(quiet_option(debug_option(command)))
    return talkative


def output_option(default: str | None, text: str, *, required: bool = False) -> Decorator[Any]:
    """``-o``: where the result goes."""
    return click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        default=default,
        required=required,
        show_default=default is not None,
        help=text,
    )


model_option = click.option(
    "--model",
    required=True,
    type=click.Path(path_type=Path),
    help="Directory of the trained model.",
)
canaries_option = click.option(
    "--canaries",
    type=click.Path(path_type=Path),
    metavar="LEDGER",
    help="Ledger of the canaries; without it, the one named in the model's own record.",
)
seed_option = click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Makes the run repeatable.",
)
budget_option = click.option(
    "--budget", metavar="COST", help='Most that may be spent: "60s", "5min", or "200000 nodes".'
)
memory_option = click.option(
    "--memory", default="2GiB", show_default=True, help="Most memory that the search may hold."
)
device_option = click.option(
    "--device", default="cpu", show_default=True, help="Where the model runs, as torch names it."
)
reveal_option = click.option(
    "--reveal", is_flag=True, help="Show secrets in full; the record is then readable by you only."
)
force_option = click.option(
    "--force", is_flag=True, help="Replace what an earlier run of secretaudit wrote there."
)
