"""``secretaudit formats``: the library, one line a format."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

import secretaudit
from secretaudit.cli import options
from secretaudit.cli.session import Session

if TYPE_CHECKING:
    from secretaudit.canary.format import Format


@click.command("formats")
@click.argument("names", nargs=-1)
@options.talking
@click.pass_obj
def command(session: Session, /, *, names: tuple[str, ...]) -> int:
    """List the formats of the library, or describe the ones NAMED.

    A name may also be a .toml file or a template such as "my code is {digits:6}".
    """
    chosen = (
        [secretaudit.parse_format(name) for name in names]
        if names
        else list(secretaudit.library().values())
    )
    if session.json:
        click.echo(json.dumps([described(form) for form in chosen], indent=2))
        return 0
    from secretaudit.cli.format_table import format_table  # rich: only when something is drawn

    session.show(format_table([described(form) for form in chosen]))
    return 0


def described(form: Format) -> dict[str, object]:
    """What the list says of one format; the example is drawn with a fixed seed, so it is nobody's secret."""
    import numpy as np  # heavy: only when an example is drawn

    (secret,) = form.sample(1, np.random.default_rng(0))
    return {
        "name": form.name,
        "example": form.render(secret),
        "size": form.size,
        "bits": form.bits,
        "description": form.description,
    }
