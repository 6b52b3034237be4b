"""One model held against one ledger: the rank of every canary, format by format.

All canaries of a format stand in the same tree, so they are measured together. Each is priced twice, by plain scoring of its
record and by walking the tree, and the two must agree: that is the check that tokenizer, automaton and model mean the same
text. How a secret is priced when its text has several segmentations into tokens is part of the question (``segmented.py``), and a
model that lists only its likeliest tokens is answered with a bracket (``two_readings.py``).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secretaudit.audited import announce_cost
from secretaudit.canary.format import Format
from secretaudit.canary.ledger import Canary, Ledger
from secretaudit.errors import CouldNotMeasure, UsageError
from secretaudit.exposure.estimate import Estimate, Question
from secretaudit.exposure.estimators import Work, estimator
from secretaudit.exposure.segmented import estimate_segmented
from secretaudit.exposure.two_readings import two_readings
from secretaudit.models.language_model import LanguageModel
from secretaudit.progress import Progress
from secretaudit.tree import Budget, Memory, SecretTree
from secretaudit.tree.budget import Meter
from secretaudit.tree.draws import path_costs
from secretaudit.tree.scored_space import ScoredSpace, SecretScorer
from secretaudit.tree.secret_tree import TOLERANCE_BITS

SEGMENTATIONS = ("canonical", "best", "marginal")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What may change the numbers: method, segmentation, budget, precision, seed. Memory may only change the speed."""

    method: str
    segmentation: str
    budget: Budget
    precision: float
    seed: int
    memory: Memory


@dataclass(frozen=True, kw_only=True)
class Measured:
    """All canaries of a ledger under one model.

    Attributes:
        rows: Canary id → log-perplexity and the fields of its estimate.
        formats: What each format took: size, nodes, draws, remarks.
    """

    rows: dict[str, dict[str, Any]]
    formats: list[dict[str, Any]]


def measure(
    model: LanguageModel | SecretScorer, ledger: Ledger, settings: Settings, progress: Progress
) -> Measured:
    """Rank every canary of the ledger.

    Raises:
        ModelError: The tokenizer lacks a character, or the model gives no usable probabilities.
        CouldNotMeasure: Two ways of pricing a canary disagree, or a server's answers changed on the way.
        UsageError: A method or segmentation that this model does not allow.
    """
    rows: dict[str, dict[str, Any]] = {}
    formats = []
    for name, form in ledger.formats.items():
        canaries = [c for c in ledger.canaries if c.format == name]
        if not canaries:
            continue
        found, summary = _measure_format(model, form, canaries, settings, progress)
        rows |= {c.id: row for c, row in zip(canaries, found, strict=True)}
        formats.append(summary)
    verify = getattr(model, "verify", None)
    if callable(verify):
        verify()
    return Measured(rows=rows, formats=formats)


def _measure_format(
    model: LanguageModel | SecretScorer,
    form: Format,
    canaries: list[Canary],
    settings: Settings,
    progress: Progress,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """All canaries of one format: rows in their order, and what the format took."""
    meter = settings.budget.meter()
    rng = np.random.default_rng([settings.seed, zlib.crc32(form.name.encode())])
    work = Work(meter=meter, rng=rng, progress=progress, precision=settings.precision)
    costs, estimates, notes = _estimates(model, form, [c.secret for c in canaries], settings, work)
    rows = [
        {"log_perplexity_bits": float(cost), **estimate.to_dict()}
        for cost, estimate in zip(costs, estimates, strict=True)
    ]
    summary = {
        "format": form.name,
        "size": str(form.size),
        "bits": form.bits,
        "nodes": meter.nodes,
        "draws": max((e.draws for e in estimates), default=0),
        "leaves_in_tolerance": max((e.ties for e in estimates if e.ties is not None), default=None),
        "notes": notes,
    }
    return rows, summary


def _estimates(
    model: LanguageModel | SecretScorer,
    form: Format,
    secrets: list[str],
    settings: Settings,
    work: Work,
) -> tuple[NDArray[np.float64], list[Estimate], list[str]]:
    """Costs in bits and estimates of these secrets, and what is to be said of the format."""
    run, _ = estimator(settings.method)
    if isinstance(model, SecretScorer):
        _only_canonical(settings, f"The model {model.name!r} prices whole texts only.")
        space = ScoredSpace(form, model)
        question = Question(space=space, secrets=secrets, costs=space.score(secrets))
        return question.costs, run(question, work), []
    if hasattr(model, "bounds"):
        _only_canonical(settings, f"{model.name!r} lists only its likeliest tokens.")
        low, high = (
            SecretTree(form, m, memory=settings.memory, charge_shared=False) for m in model.bounds
        )
        announce_cost(low, work.meter.budget, work.progress)
        costs, estimates = two_readings(low, high, secrets, work.meter, work.progress)
        return costs, estimates, low.notes
    if settings.segmentation != "canonical":
        return estimate_segmented(
            form,
            model,
            secrets,
            segmentation=settings.segmentation,
            method=settings.method,
            memory=settings.memory,
            work=work,
        )
    tree = SecretTree(form, model, memory=settings.memory)
    announce_cost(tree, work.meter.budget, work.progress)
    question = priced(tree, secrets)
    return question.costs, run(question, work), tree.notes


def _only_canonical(settings: Settings, why: str) -> None:
    if settings.segmentation != "canonical":
        raise UsageError(
            f"--segmentation {settings.segmentation} is not possible with this model.",
            why,
            "Leave the option out: the tokenizer's own segmentation is priced.",
        )


def priced(tree: SecretTree, secrets: list[str]) -> Question:
    """The costs of the canaries by plain scoring, held against their costs in the tree.

    Raises:
        CouldNotMeasure: The two differ by more than rounding.
    """
    costs = tree.score(secrets)
    in_tree = path_costs(tree, secrets, Meter(Budget()))
    worst = float(np.max(np.abs(costs - in_tree), initial=0.0))
    if worst > TOLERANCE_BITS:
        raise CouldNotMeasure(
            f"Two ways of pricing a canary of {tree.form.name!r} differ by {worst:.3g} bits.",
            "The model's step-by-step probabilities are not those of the whole text, so ranks would be wrong.",
            _steadier(tree.model),
        )
    return Question(space=tree, secrets=secrets, costs=costs)


def _steadier(model: LanguageModel) -> str:
    """What to do about a model whose numbers change with the way of asking."""
    dtype = str(getattr(model, "dtype", "float32")).removeprefix("torch.")
    if dtype in ("bfloat16", "float16"):
        return f"Use --dtype float32: products in {dtype} round too coarsely for exact ranks."
    return "Check the model for settings that change between calls, such as active dropout."
