"""``secretaudit demo``: the whole way in one go."""

from __future__ import annotations

import json
from pathlib import Path

import click

from secretaudit.cli import options
from secretaudit.cli.session import Session


@click.command("demo")
@options.output_option(None, "Keep the corpus, the ledger, the model and the records here.")
@options.seed_option
@options.talking
@click.pass_obj
def command(session: Session, /, *, output: Path | None, seed: int) -> int:
    """Insert, train, measure, extract and judge, on text made up on the spot.

    Takes one to two minutes and needs neither the network nor any data.
    """
    from secretaudit.demo import run_demo  # torch: only when it runs

    session.say(
        "Inserting canaries into made-up mail, training a small model on it, and measuring …"
    )
    with session.progress() as progress:
        records = run_demo(output, seed=seed, progress=progress)
    if session.json:
        documents = {name: json.loads(record.to_json()) for name, record in records.items()}
        click.echo(json.dumps(documents, indent=2))
        return 0
    from secretaudit.cli.demo_table import demo_tables  # rich: only when something is drawn

    session.show(*demo_tables(records))
    if output is not None:
        session.say(f"Everything is in {output}.")
    return 0
