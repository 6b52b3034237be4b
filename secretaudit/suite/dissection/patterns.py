"""Simple-pattern priority: graded cues against content, and the order in which examples are learned.

Two views of "networks prioritize simple input patterns" (Gu & Tresp 2019, abstract; both constructions are ours, see ``cues`` and ``learning_order``):

1. Per grade of the cue and per network: trained on examples in which cue and content agree, asked after every epoch about held-out examples in which they
   disagree. *Reliance* = share of predictions of the cue's class / share of the cue's or the content's. If simple is first, reliance falls
   with the cue's complexity. Rank correlation of simplicity and reliance (mean over epochs) per network number, Student's t over the numbers.
2. Of the networks of the conditions: rank correlation of first-learned epoch and complexity.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from secretaudit.suite.classifier import Classifier, predictions
from secretaudit.suite.dissection.conditions import (
    CONDITIONS,
    Shared,
    derived_seed,
)
from secretaudit.suite.dissection.cues import conflicting, cue_for, cued
from secretaudit.suite.dissection.learning_order import (
    complexities,
    rank_correlation,
    within_classes,
)
from secretaudit.suite.dissection.pairs import compared, matrix_of
from secretaudit.suite.fitting import Epoch, FitSettings, fit
from secretaudit.suite.labelled import Labelled, Task
from secretaudit.suite.statistics import mean_interval

__all__ = ["cue_grades", "cue_summary", "order_summary", "train_on_cues"]


def cue_grades(shared: Shared) -> tuple[int, ...]:
    """Grades, from the simplest to the most complex: pixels falling, tokens rising."""
    s = shared.settings
    if shared.task.kind == "text":
        return tuple(sorted(set(s.cue_tokens)))
    return tuple(sorted(set(s.cue_pixels), reverse=True))


def train_on_cues(shared: Shared, *, grade: int, index: int) -> dict[str, Any]:
    """Train one network on cued examples and ask which pattern it used (a cell).

    Args:
        shared: Data, learner and settings.
        grade: Pixels or tokens of the cue.
        index: Which network; cue, weights and order are its own.
    """
    s, task = shared.settings, shared.task
    seed = derived_seed(shared.seed, 20, grade, index)
    rng = np.random.default_rng(seed)
    cue = cue_for(task, grade, rng)
    other = conflicting(task.held_out.labels, task.classes, rng)
    asked = {
        "conflict": cued(task.held_out, cue, other, rng),
        "agree": cued(task.held_out, cue, None, rng),
        "content": task.held_out,
    }
    looks: list[dict[str, Any]] = []

    def watch(model: Classifier, after: Epoch) -> None:
        looks.append({"epoch": after.epoch, **_asked(model, asked, other)})

    examples = cued(task.train, cue, None, rng)
    settings = FitSettings(
        epochs=s.pattern_epochs,
        batch_size=s.batch_size,
        optimizer=s.optimizer,
        learning_rate=s.learning_rate,
    )
    found = fit(shared.learner.fresh(seed), examples, settings, seed, watch=watch)
    return {"status": found.status, "train_accuracy": found.train_accuracy, "looks": looks}


def _asked(model: Classifier, asked: dict[str, Labelled], cue_class: Tensor) -> dict[str, Any]:
    said = predictions(model, asked["conflict"].inputs)
    by_cue = float((said == cue_class).double().mean())
    by_content = float((said == asked["conflict"].labels).double().mean())
    either = by_cue + by_content
    agree = predictions(model, asked["agree"].inputs) == asked["agree"].labels
    alone = predictions(model, asked["content"].inputs) == asked["content"].labels
    return {
        "cue": by_cue,
        "content": by_content,
        "reliance": by_cue / either if either > 0 else None,
        "agreeing_accuracy": float(agree.double().mean()),
        "content_alone_accuracy": float(alone.double().mean()),
    }


def cue_summary(
    shared: Shared, found: dict[tuple[int, int], dict[str, Any]], grades: Sequence[int]
) -> dict[str, Any]:
    """Curves per grade, and how reliance goes with simplicity.

    Args:
        shared: As for the cells.
        found: Results of the cells by grade and number.
        grades: From the simplest to the most complex.
    """
    numbers = sorted({number for _, number in found})
    names = ("cue", "content", "reliance", "agreeing_accuracy", "content_alone_accuracy")
    by_grade = []
    for grade in grades:
        runs = [found[grade, number]["looks"] for number in numbers]
        epochs = min(len(run) for run in runs)
        curves = {
            name: [mean_interval(_known([run[e][name] for run in runs])) for e in range(epochs)]
            for name in names
        }
        by_grade.append({"grade": grade, "epochs": list(range(1, epochs + 1)), "curves": curves})
    relied = [[_mean_reliance(found[g, n]["looks"]) for g in grades] for n in numbers]
    simplicity = [float(-i) for i in range(len(grades))]
    ranks = [
        rank_correlation(simplicity, [value for value in row if value is not None])
        for row in relied
        if None not in row
    ]
    return {
        "unit": "tokens" if shared.task.kind == "text" else "pixels",
        "simplest_first": list(grades),
        "by_grade": by_grade,
        "mean_reliance": {
            str(grade): mean_interval(_known([row[i] for row in relied]))
            for i, grade in enumerate(grades)
        },
        "rank_correlation": mean_interval(_known(ranks)),
    }


def order_summary(
    task: Task,
    trained: dict[str, dict[str, Any]],
    groups: dict[str, list[int]],
    seed: int,
    splits: int,
) -> dict[str, Any]:
    """How the order of learning goes with complexity, and how far networks share it.

    Args:
        task: The examples that were trained on.
        trained: What the networks showed, by name.
        groups: Networks of each condition, as places in ``trained``.
        seed: Of permutations, where they are drawn.
        splits: Most divisions that are gone through one by one.
    """
    epochs = [_epochs(network) for network in trained.values()]
    measures = complexities(task, task.train)
    y = task.train.labels.numpy()
    by_measure = {
        name: {
            condition: {
                "all": mean_interval(
                    _known([rank_correlation(epochs[i], values) for i in groups[condition]])
                ),
                "within_classes": mean_interval(
                    _known([within_classes(epochs[i], values, y) for i in groups[condition]])
                ),
                "by_quarter": _by_quarter([epochs[i] for i in groups[condition]], values),
            }
            for condition in CONDITIONS
            if groups.get(condition)
        }
        for name, values in measures.items()
    }
    shared_order = compared(matrix_of(epochs, rank_correlation), groups, seed, splits)
    return {"complexity": by_measure, "order_shared": shared_order}


def _by_quarter(
    epochs: Sequence[NDArray[np.float64]], values: Sequence[float]
) -> list[dict[str, Any]]:
    """Mean first-learned epoch of the examples from the simplest quarter to the most complex, over networks."""
    quarters = np.array_split(np.argsort(np.asarray(values), kind="stable"), 4)
    return [mean_interval([float(e[rows].mean()) for e in epochs]) for rows in quarters]


def _epochs(network: dict[str, Any]) -> NDArray[np.float64]:
    """First-learned epochs; an example that was never learned comes after the last."""
    first = np.asarray(network["first_learned"], dtype=float)
    late: NDArray[np.float64] = np.where(first > 0, first, network["epochs"] + 1)
    return late


def _mean_reliance(looks: Sequence[dict[str, Any]]) -> float | None:
    known = _known([look["reliance"] for look in looks])
    return float(np.mean(known)) if known else None


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]
