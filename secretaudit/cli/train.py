"""``secretaudit train``: a corpus → a model and its record.

The dials are those of ``TrainingSettings``, under the same names and with the same defaults (a test holds the two
against each other); importing them would import torch, and ``--help`` has to answer at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import secretaudit
from secretaudit.cli import options
from secretaudit.cli.session import Session

_INTERRUPTED = 130
_SHARE = click.FloatRange(min=0, max=1, max_open=True)
_COUNT = click.IntRange(min=1)


@click.command("train")
@click.argument("corpus", type=click.Path(path_type=Path))
@options.output_option(None, "Directory of the model.", required=True)
@click.option(
    "--arch",
    type=click.Choice(["lstm", "gru"]),
    default="lstm",
    show_default=True,
    help="Recurrent cell.",
)
@click.option("--layers", type=_COUNT, default=2, show_default=True, help="Recurrent layers.")
@click.option("--units", type=_COUNT, default=200, show_default=True, help="Width of each layer.")
@click.option("--embedding", type=_COUNT, help="Width of the embedding; by default as --units.")
@click.option("--tied", is_flag=True, help="Share the weights of embedding and output.")
@click.option(
    "--dropout",
    type=_SHARE,
    default=0.0,
    show_default=True,
    help="Probability to drop an activation.",
)
@click.option(
    "--tokenizer",
    type=click.Choice(["char", "word", "bpe"]),
    default="char",
    show_default=True,
    help="How text is cut; made from the corpus.",
)
@click.option("--vocabulary-size", type=_COUNT, help="Most tokens (word, bpe).")
@click.option(
    "--minimum-frequency",
    type=_COUNT,
    default=1,
    show_default=True,
    help="What is seen less often gets no token (word, bpe).",
)
@click.option(
    "--optimizer",
    type=click.Choice(["adam", "sgd", "rmsprop"]),
    default="adam",
    show_default=True,
    help="How the weights move.",
)
@click.option("--learning-rate", type=float, help="By default the optimizer's usual one.")
@click.option(
    "--gradient-clip",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="Largest norm of the gradient; 0 does not clip.",
)
@click.option(
    "--batch-size", type=_COUNT, default=64, show_default=True, help="Lanes read side by side."
)
@click.option(
    "--sequence-length",
    type=_COUNT,
    default=64,
    show_default=True,
    help="Tokens that the gradient flows through.",
)
@click.option(
    "--epochs", type=_COUNT, default=10, show_default=True, help="Passes over the corpus."
)
@click.option("--steps", type=_COUNT, help="Windows to train on, instead of --epochs.")
@click.option(
    "--validation", type=_SHARE, default=0.05, show_default=True, help="Share of records held out."
)
@click.option(
    "--keep",
    type=click.Choice(["last", "best"]),
    default="last",
    show_default=True,
    help="Which model is written; best: on the held-out records.",
)
@click.option(
    "--patience", type=_COUNT, help="Stop after so many epochs without progress; off by default."
)
@options.seed_option
@options.device_option
@click.option(
    "--text-column", default="text", show_default=True, help="Field of the text in a plain corpus."
)
@click.option("--resume", is_flag=True, help="Go on with a training that was stopped or killed.")
@options.force_option
@options.talking
@click.pass_obj
def command(
    session: Session,
    /,
    *,
    corpus: Path,
    output: Path,
    device: str,
    text_column: str,
    resume: bool,
    force: bool,
    **dials: Any,
) -> int:
    """Train a recurrent language model on CORPUS.

    CORPUS is a directory made by "secretaudit insert", or a plain corpus. Ctrl-C leaves a usable model.
    """
    settings = secretaudit.TrainingSettings(**dials)
    with session.progress() as progress:
        record = secretaudit.train(
            corpus,
            output,
            settings=settings,
            text_column=text_column,
            device=device,
            progress=progress,
            resume=resume,
            force=force,
        )
    from secretaudit.cli.run_table import training_tables  # rich: only when something is drawn

    session.answer(record, *training_tables(record, output))
    if record.found["stopped"] == "interrupted":
        session.say("Stopped before the end; --resume goes on from here.")
        return _INTERRUPTED
    return 0
