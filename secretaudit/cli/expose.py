"""``secretaudit expose``: a model → the exposure of each canary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import secretaudit
from secretaudit.cli import options
from secretaudit.cli.session import Session
from secretaudit.gate.verdict import check_limit
from secretaudit.records import check_record_place

METHODS = ("auto", "enumeration", "exact", "importance", "sampling", "extrapolation")


@click.command("expose")
@options.model_options
@options.canaries_option
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default="auto",
    show_default=True,
    help="How the rank is found; auto: exact where that is cheap, otherwise importance sampling.",
)
@options.segmentation_option
@click.option(
    "--reference",
    metavar="MODEL",
    help="Also measure under this model, and show what the audited one has gained over it.",
)
@click.option(
    "--baseline",
    type=click.Choice(("ngram",)),
    help="Also measure under a model that only counts: an n-gram model of the corpus.",
)
@click.option(
    "--corpus",
    type=click.Path(path_type=Path),
    help="Baseline: the corpus with the canaries; by default the one of the training or ledger.",
)
@options.budget_option
@options.memory_option
@options.seed_option
@click.option(
    "--fail-over",
    type=float,
    metavar="BITS",
    help="Also judge the result, as the command gate does: exit 1 when a canary exceeds this.",
)
@options.output_option("exposure.json", "Where the record goes.")
@options.reveal_option
@options.force_option
@options.talking
@click.pass_obj
def command(
    session: Session,
    /,
    *,
    model: str,
    canaries: Path | None,
    method: str,
    segmentation: str,
    reference: str | None,
    baseline: str | None,
    corpus: Path | None,
    budget: str | None,
    memory: str,
    seed: int,
    fail_over: float | None,
    output: Path,
    reveal: bool,
    force: bool,
    **opening: Any,
) -> int:
    """Measure how much a model gives away of each canary.

    A model made by "secretaudit train" knows its ledger; --canaries names another.
    """
    if fail_over is not None:
        check_limit(fail_over)
    check_record_place(output, "exposure", force=force)
    with session.progress() as progress:
        record = secretaudit.expose(
            model,
            canaries=canaries,
            method=method,
            segmentation=segmentation,
            reference=reference,
            baseline=baseline,
            corpus=corpus,
            budget=budget,
            memory=memory,
            seed=seed,
            options=options.opening(opening),
            reveal=reveal,
            progress=progress,
        )
    session.save(record, output, private=reveal)
    from secretaudit.cli.exposure_table import exposure_tables  # rich: only when something is drawn

    session.answer(record, *exposure_tables(record))
    if fail_over is None:
        return 0
    return judge(session, secretaudit.gate(record, max_exposure=fail_over))


def judge(session: Session, verdict: secretaudit.Record) -> int:
    """Show the verdict beside the exposures: on stdout, or on stderr when that belongs to the record."""
    if session.json:
        session.say(f"gate: {verdict.found['verdict']}. {verdict.found['sentence']}")
    else:
        from secretaudit.cli.gate_table import gate_tables  # rich: only when something is drawn

        session.show(*gate_tables(verdict))
    code: int = verdict.found["exit_code"]
    return code
