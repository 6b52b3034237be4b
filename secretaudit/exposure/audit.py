"""Exposure of every canary of a ledger under a model: the public function ``expose``.

    exposure(canary) = log2 |R| − log2 rank(canary)        bits, 0 … log2 |R|, higher is more memorized

Controls, which were drawn like the others and never inserted, are ranked with them. Their ranks are uniform, so their exposures
average 1/ln 2 ≈ 1.44 bits: that is what "nothing memorized" looks like. A reference model and a baseline say how much of an exposure
this training added (``comparison.py``).
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from secretaudit._checks import one_of, positive
from secretaudit.audited import Audited, ModelLike, open_audited, opened, source_from
from secretaudit.canary.ledger import Canary, Ledger
from secretaudit.errors import LedgerError, UsageError
from secretaudit.exposure.baseline import BASELINES, baseline_model
from secretaudit.exposure.comparison import compared
from secretaudit.exposure.estimate import INCONCLUSIVE
from secretaudit.exposure.estimators import estimator
from secretaudit.exposure.importance import PRECISION_BITS
from secretaudit.exposure.measurement import SEGMENTATIONS, Measured, Settings, measure
from secretaudit.models.model_options import ModelOptions
from secretaudit.progress import Progress, SilentProgress
from secretaudit.records import Record, environment, mask
from secretaudit.tree import Budget, Memory
from secretaudit.tree.secret_tree import TOLERANCE_BITS

#: Mean exposure of a canary that the model never saw: the mean of −log2 of a uniform number.
MEAN_OF_NULL_BITS = 1.0 / float(np.log(2.0))


def expose(
    model: ModelLike,
    *,
    canaries: str | Path | Ledger | None = None,
    method: str = "auto",
    segmentation: str = "canonical",
    reference: ModelLike | None = None,
    baseline: str | None = None,
    corpus: str | Path | None = None,
    budget: str | float | Budget | None = None,
    memory: str | int | Memory = "2GiB",
    precision: float = PRECISION_BITS,
    seed: int = 0,
    options: ModelOptions | None = None,
    reveal: bool = False,
    progress: Progress | None = None,
) -> Record:
    """Measure the exposure of each canary.

    Args:
        model: A model directory, a PEFT adapter, a GGUF file, a name on the hub, the address of a server, or anything that
            follows ``LanguageModel``.
        canaries: The ledger; by default the one that the model was trained with.
        method: ``auto``, ``enumeration``, ``exact``, ``importance``, ``sampling`` or ``extrapolation``.
        segmentation: What a text costs that can be cut into tokens in several ways: ``canonical`` (as the tokenizer cuts it),
            ``best`` (the cheapest way) or ``marginal`` (all ways together).
        reference: Another model under which the same canaries are measured, e.g. the one before fine-tuning.
        baseline: ``ngram``: also measure under an n-gram model of the corpus, with the same tokenizer.
        corpus: Corpus for the baseline, with its canaries; by default the one that the model was trained on.
        budget: Per format: seconds (``"60s"``) or nodes (``"1000000"``); by default the method's own, in nodes. It is looked at
            between rounds: one round of draws (6,144 secrets, down to 300 where a budget in nodes has no room for more) or one batch of a walk is
            always made.
        memory: Bytes that a walk may hold, e.g. ``"2GiB"``.
        precision: Half-width in bits at which sampled intervals are narrow enough.
        seed: Of all random draws; the same seed gives the same record on CPU.
        options: How the models are to be opened: device, dtype, server, chat template (``ModelOptions``).
        reveal: Put the secrets into the record in plain.
        progress: Is told how far the work is.

    Returns:
        A record of kind ``exposure``; ``found.canaries`` lists the canaries in the order of the ledger.

    Raises:
        ModelError: The model cannot be loaded or gives no usable probabilities.
        LedgerError: No ledger, or one that does not belong to the model.
        UsageError: An unknown method, an empty budget, a precision of 0.
        CouldNotMeasure: A server's answers cannot be relied on.
    """
    started = time.time()
    _, default = estimator(method)
    one_of("segmentation", segmentation, SEGMENTATIONS)
    if baseline is not None:
        one_of("baseline", baseline, BASELINES)
    elif corpus is not None:
        raise UsageError(
            "A corpus was given and no baseline.",
            "Only a baseline is counted over a corpus; the model has been trained already.",
            "Add --baseline ngram, or leave --corpus out.",
        )
    positive("precision", precision)
    settings = Settings(
        method=method,
        segmentation=segmentation,
        budget=default if budget is None else Budget.parse(budget),
        precision=precision,
        seed=seed,
        memory=Memory.parse(memory),
    )
    how, watch = options or ModelOptions(), progress or SilentProgress()
    audited = open_audited(model, canaries, options=how)
    ledger = _ledger(audited)
    others = _others(audited, reference, baseline, corpus, how)
    measured = measure(audited.model, ledger, settings, watch)
    rows = [_row(c, measured.rows[c.id], audited, reveal) for c in ledger.canaries]
    for role, other in others.items():
        beside = measure(other.model, ledger, settings, watch)
        for row in rows:
            row[role] = compared(row, beside.rows[row["id"]])
    return Record(
        kind="exposure",
        asked={
            "model": audited.name,
            "canaries": audited.ledger_path,
            "method": method,
            "segmentation": segmentation,
            "reference": others["reference"].name if "reference" in others else None,
            "baseline": baseline,
            "corpus": None if corpus is None else str(corpus),
            "budget_nodes": settings.budget.nodes,
            "budget_seconds": settings.budget.seconds,
            "memory_bytes": settings.memory.bytes,
            "precision_bits": precision,
            "seed": seed,
            "reveal": reveal,
            **asdict(how),
        },
        found=_found(audited, others, ledger, measured, rows),
        environment=environment(seed=seed, started=started, device=how.device),
    )


def _found(
    audited: Audited,
    others: dict[str, Audited],
    ledger: Ledger,
    measured: Measured,
    rows: list[dict[str, Any]],
) -> dict[str, Any]:
    """The ``found`` part of the record."""
    return {
        "model": audited.name,
        "models": {role: m.described() for role, m in {"audited": audited, **others}.items()},
        "ledger_identity": ledger.identity,
        "copies_known": audited.copies_seen is not None,
        "tolerance_bits": TOLERANCE_BITS,
        "formats": measured.formats,
        "controls": _controls(rows),
        "canaries": rows,
    }


def _others(
    audited: Audited,
    reference: ModelLike | None,
    baseline: str | None,
    corpus: str | Path | None,
    options: ModelOptions,
) -> dict[str, Audited]:
    """The models to compare with, by their role; opened before anything is measured, so that a mistake is found at once."""
    found: dict[str, Audited] = {}
    if reference is not None:
        name = str(reference) if isinstance(reference, str | Path) else reference.name
        model = opened(reference, options, audited.ledger)
        found["reference"] = _beside(audited, model, name, source_from(reference, options))
    if baseline is not None:
        counted = baseline_model(baseline, audited, corpus)
        found["baseline"] = _beside(audited, counted, counted.name)
    return found


def _beside(audited: Audited, model: Any, name: str, named_by: str = "model") -> Audited:
    """Another model for the same ledger; what it was trained on is not asked."""
    return Audited(
        model=model,
        name=name,
        ledger=audited.ledger,
        ledger_path=audited.ledger_path,
        copies_seen=None,
        source_from=named_by,
    )


def _ledger(audited: Audited) -> Ledger:
    if audited.ledger is None:
        raise LedgerError(
            "There is no ledger of canaries.",
            "The model's training record names none, so there is nothing whose exposure could be measured.",
            "Give one with --canaries LEDGER; `secretaudit insert` makes it.",
        )
    return audited.ledger


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
        expected = (audited.copies_expected or {}).get(canary.id, canary.insertions)
        if seen != expected:
            row["status"] = INCONCLUSIVE
            row["note"] = (
                f"The model saw {seen} of {expected} copies, so this says nothing of {expected} insertions."
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
