"""Exposure of every canary of a ledger under a model: the public function ``expose``.

    exposure(canary) = log2 |R| − log2 rank(canary)        bits, 0 … log2 |R|, higher is more memorized

Canaries are taken format by format, since all canaries of a format stand in the same tree. Each is priced twice, by plain scoring
of its record and by walking the tree, and the two must agree: that is the check that tokenizer, automaton and model mean the
same text.

Controls, which were drawn like the others and never inserted, are ranked with them. Their ranks are uniform, so their exposures
average 1/ln 2 ≈ 1.44 bits: that is what "nothing memorized" looks like.
"""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from secretaudit._checks import positive
from secretaudit.audited import Audited, open_audited
from secretaudit.canary.ledger import Canary, Ledger
from secretaudit.errors import CouldNotMeasure, LedgerError
from secretaudit.exposure.estimate import INCONCLUSIVE, Estimate, Question
from secretaudit.exposure.estimators import Work, estimator
from secretaudit.exposure.importance import PRECISION_BITS
from secretaudit.models.language_model import LanguageModel
from secretaudit.progress import Progress, SilentProgress
from secretaudit.records import Record, environment, mask
from secretaudit.tree import Budget, Memory, SecretTree
from secretaudit.tree.budget import Meter
from secretaudit.tree.draws import follow_paths
from secretaudit.tree.secret_tree import TOLERANCE_BITS

#: Mean exposure of a canary that the model never saw: the mean of −log2 of a uniform number.
MEAN_OF_NULL_BITS = 1.0 / float(np.log(2.0))


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """What may change the numbers: method, budget, precision, seed. Memory may only change the speed."""

    method: str
    budget: Budget
    precision: float
    seed: int
    memory: Memory


def expose(
    model: str | Path | LanguageModel,
    *,
    canaries: str | Path | Ledger | None = None,
    method: str = "auto",
    budget: str | float | Budget | None = None,
    memory: str | int | Memory = "2GiB",
    precision: float = PRECISION_BITS,
    seed: int = 0,
    device: str = "cpu",
    reveal: bool = False,
    progress: Progress | None = None,
) -> Record:
    """Measure the exposure of each canary.

    Args:
        model: A model directory, or anything that follows ``LanguageModel``.
        canaries: The ledger; by default the one that the model was trained with.
        method: ``auto``, ``enumeration``, ``exact``, ``importance``, ``sampling`` or ``extrapolation``.
        budget: Per format: seconds (``"60s"``) or nodes (``"1000000"``); by default the method's own, in nodes. It is looked at
            between rounds: one round of draws (6,144 secrets) or one batch of a walk is always made.
        memory: Bytes that a walk may hold, e.g. ``"2GiB"``.
        precision: Half-width in bits at which sampled intervals are narrow enough.
        seed: Of all random draws; the same seed gives the same record on CPU.
        device: Where to compute, as torch names it.
        reveal: Put the secrets into the record in plain.
        progress: Is told how far the work is.

    Returns:
        A record of kind ``exposure``; ``found.canaries`` lists the canaries in the order of the ledger.

    Raises:
        ModelError: The model cannot be loaded or gives no usable probabilities.
        LedgerError: No ledger, or one that does not belong to the model.
        UsageError: An unknown method, an empty budget, a precision of 0.
    """
    started = time.time()
    _, default = estimator(method)
    positive("precision", precision)
    settings = _Settings(
        method=method,
        budget=default if budget is None else Budget.parse(budget),
        precision=precision,
        seed=seed,
        memory=Memory.parse(memory),
    )
    audited = open_audited(model, canaries, device=device)
    ledger = _ledger(audited)
    found: dict[str, dict[str, Any]] = {}
    formats = []
    for name in ledger.formats:
        chosen = [c for c in ledger.canaries if c.format == name]
        if chosen:
            rows, summary = _expose_format(
                audited, ledger, name, chosen, settings, progress or SilentProgress()
            )
            found |= dict(zip((c.id for c in chosen), rows, strict=True))
            formats.append(summary)
    rows = [_row(c, found[c.id], audited, reveal) for c in ledger.canaries]
    return Record(
        kind="exposure",
        asked={
            "model": audited.name,
            "canaries": audited.ledger_path,
            "method": method,
            "budget_nodes": settings.budget.nodes,
            "budget_seconds": settings.budget.seconds,
            "memory_bytes": settings.memory.bytes,
            "precision_bits": precision,
            "seed": seed,
            "device": device,
            "reveal": reveal,
        },
        found={
            "model": audited.name,
            "ledger_identity": ledger.identity,
            "copies_known": audited.copies_seen is not None,
            "tolerance_bits": TOLERANCE_BITS,
            "formats": formats,
            "controls": _controls(rows),
            "canaries": rows,
        },
        environment=environment(seed=seed, started=started, device=device),
    )


def _ledger(audited: Audited) -> Ledger:
    if audited.ledger is None:
        raise LedgerError(
            "There is no ledger of canaries.",
            "The model's training record names none, so there is nothing whose exposure could be measured.",
            "Give one with --canaries LEDGER; `secretaudit insert` makes it.",
        )
    return audited.ledger


def _expose_format(
    audited: Audited,
    ledger: Ledger,
    name: str,
    canaries: list[Canary],
    settings: _Settings,
    progress: Progress,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """All canaries of one format: rows in their order, and what the format took."""
    run, _ = estimator(settings.method)
    rng = np.random.default_rng([settings.seed, zlib.crc32(name.encode())])
    form = ledger.formats[name]
    tree = SecretTree(form, audited.model, memory=settings.memory)
    meter = settings.budget.meter()
    question = _priced(tree, [c.secret for c in canaries])
    work = Work(meter=meter, rng=rng, progress=progress, precision=settings.precision)
    estimates = run(question, work)
    rows = [
        {"log_perplexity_bits": float(cost), **estimate.to_dict()}
        for cost, estimate in zip(question.costs, estimates, strict=True)
    ]
    summary = {
        "format": name,
        "size": str(form.size),
        "bits": form.bits,
        "nodes": meter.nodes,
        "draws": max((e.draws for e in estimates), default=0),
        "leaves_in_tolerance": _largest_tie(estimates),
    }
    return rows, summary


def _priced(tree: SecretTree, secrets: list[str]) -> Question:
    """The costs of the canaries by plain scoring, held against their costs in the tree."""
    costs = tree.score(secrets)
    unmetered = Meter(Budget())
    in_tree = follow_paths(tree, tree.root(), tree.paths(secrets), (1.0,), unmetered).cost
    worst = float(np.max(np.abs(costs - in_tree), initial=0.0))
    if worst > TOLERANCE_BITS:
        raise CouldNotMeasure(
            f"Two ways of pricing a canary of {tree.form.name!r} differ by {worst:.3g} bits.",
            "The model's step-by-step probabilities are not those of the whole text, so ranks would be wrong.",
            "Check the model for settings that change between calls, such as active dropout.",
        )
    return Question(space=tree, secrets=secrets, costs=costs)


def _row(
    canary: Canary, estimate: dict[str, Any], audited: Audited, reveal: bool
) -> dict[str, Any]:
    """One entry of ``found.canaries``."""
    row = {
        "id": canary.id,
        "format": canary.format,
        "secret": canary.secret if reveal else mask(canary.secret),
        "insertions": canary.insertions,
        "copies_seen": None,
        **estimate,
    }
    if audited.copies_seen is not None:
        seen = audited.copies_seen.get(canary.id, 0)
        row["copies_seen"] = seen
        if seen != canary.insertions:
            row["status"] = INCONCLUSIVE
            row["note"] = (
                f"The model saw {seen} of {canary.insertions} copies, so this says nothing of {canary.insertions} "
                "insertions."
            )
    return row


def _controls(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The null, as it was measured: number and mean exposure of the canaries that were never inserted."""
    exposures = [
        r["exposure_bits"] for r in rows if r["insertions"] == 0 and r["exposure_bits"] is not None
    ]
    return {
        "count": len(exposures),
        "mean_exposure_bits": float(np.mean(exposures)) if exposures else None,
        "expected_mean_bits": MEAN_OF_NULL_BITS,
        "expected_standard_error_bits": MEAN_OF_NULL_BITS / float(np.sqrt(len(exposures)))
        if exposures
        else None,
    }


def _largest_tie(estimates: list[Estimate]) -> int | None:
    """Most leaves within the tolerance of one canary, where they were counted."""
    return max((e.ties for e in estimates if e.ties is not None), default=None)
