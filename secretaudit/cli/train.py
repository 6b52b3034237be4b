"""``secretaudit train``: a corpus → a model and its record.

The options stand in ``training_options``; here they become settings.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import click

import secretaudit
from secretaudit.cli import options
from secretaudit.cli.sections import SectionedCommand
from secretaudit.cli.session import Session
from secretaudit.cli.training_options import training_options
from secretaudit.errors import UsageError

_INTERRUPTED = 130
_PRIVATE = {
    "dp_epsilon": "epsilon",
    "noise_multiplier": "noise_multiplier",
    "dp_delta": "delta",
    "max_grad_norm": "max_grad_norm",
    "accountant": "accountant",
    "poisson": "poisson",
    "dp_gradients": "gradients",
}
_NOT_PRIVATE = {
    field.name: field.default for field in dataclasses.fields(secretaudit.PrivacySettings)
}
_ADAPTING = {
    "lora_rank": "rank",
    "lora_alpha": "alpha",
    "lora_targets": "targets",
    "lora_dropout": "dropout",
}
_WATCHING = {
    "audit_every": "every",
    "audit_draws": "draws",
    "audit_share": "share",
    "stop_over": "stop_over",
}


@click.command("train", cls=SectionedCommand)
@click.argument("corpus", type=click.Path(path_type=Path))
@options.output_option(None, "Directory of the model.", required=True)
@training_options
@options.seed_option
@options.device_option
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
    source_column: str | None,
    max_seconds: float | None,
    resume: bool,
    force: bool,
    **dials: Any,
) -> int:
    """Train or fine-tune a language model on CORPUS.

    CORPUS is a directory made by "secretaudit insert", or a plain corpus. Ctrl-C leaves a usable model. Started by torchrun, several
    processes train one model.
    """
    seed = dials["seed"]
    watcher = _watcher(_taken(dials, _WATCHING), seed)
    privacy, lora = _privacy(_taken(dials, _PRIVATE)), _lora(_taken(dials, _ADAPTING))
    settings = secretaudit.TrainingSettings(**dials, privacy=privacy, lora=lora)
    with session.progress() as progress:
        record = secretaudit.train(
            corpus,
            output,
            settings=settings,
            text_column=text_column,
            source_column=source_column,
            device=device,
            max_seconds=max_seconds,
            watcher=watcher,
            progress=progress,
            resume=resume,
            force=force,
        )
    return _answer(session, record, output)


def _answer(session: Session, record: secretaudit.Record, output: Path) -> int:
    """Say what came out; only the first of several processes does."""
    stopped = record.found["stopped"]
    if os.environ.get("RANK", "0") == "0":
        from secretaudit.cli.run_table import (
            training_tables,  # rich: only when something is drawn
        )

        session.answer(record, *training_tables(record, output))
        if stopped in ("interrupted", "time"):
            session.say("Stopped before the end; --resume goes on from here.")
    return _INTERRUPTED if stopped == "interrupted" else 0


def _taken(dials: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Some of the options, out of the others, under the names that their settings have."""
    return {name: dials.pop(option) for option, name in names.items()}


def _privacy(given: dict[str, Any]) -> secretaudit.PrivacySettings | None:
    """Private training when ε or the noise is given."""
    if given["epsilon"] is None and given["noise_multiplier"] is None:
        _refuse_alone(
            given != _NOT_PRIVATE,
            "The training would not be private.",
            "An option of private training was given, and neither ε nor the noise.",
            "Add --dp-epsilon or --noise-multiplier.",
        )
        return None
    return secretaudit.PrivacySettings(**given)


def _lora(given: dict[str, Any]) -> secretaudit.LoraSettings | None:
    """Adapters when a rank is given."""
    targets = given["targets"]
    if given["rank"] is None:
        _refuse_alone(
            bool(targets or given["alpha"] or given["dropout"]),
            "No adapters would be trained.",
            "An option of LoRA was given, and no rank.",
            "Add --lora RANK.",
        )
        return None
    named = tuple(name.strip() for name in targets.split(",")) if targets else None
    return secretaudit.LoraSettings(**{**given, "targets": named})


def _watcher(given: dict[str, Any], seed: int) -> secretaudit.ExposureMonitor | None:
    """A monitor when it is to look at all."""
    every = given.pop("every")
    chosen = {name: value for name, value in given.items() if value is not None}
    if every is None:
        if "stop_over" in chosen:
            every = "epoch"
        else:
            _refuse_alone(
                bool(chosen),
                "The exposure would not be measured.",
                "How to look was given, and not when.",
                "Add --audit-every STEPS, or --audit-every epoch.",
            )
            return None
    return secretaudit.ExposureMonitor(
        every=None if every == "epoch" else every, seed=seed, **chosen
    )


def _refuse_alone(given: bool, what: str, why: str, way_out: str) -> None:
    """Refuse options that mean nothing without another."""
    if given:
        raise UsageError(what, why, way_out)
