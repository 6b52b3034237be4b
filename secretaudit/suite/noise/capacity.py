"""Capacity and data-set size: how long until everything is fitted (Arpit et al. 2017, section 3.3, figures 5 and 6).

    T = the first epoch after which training accuracy is at the target (100 % in the paper)

over hidden units at a fixed number of examples, and over the number of examples at fixed units, at several shares of noise. The paper's claims [read]:
fewer units or more examples always slow the training down, and far more with noise; and with noise more units are needed for the best
held-out accuracy, as memorizing takes capacity that the data alone does not need.

The number is ours: the slope of T over log2 of the units or examples (epochs per halving of the units, per doubling of the examples), per seed.
A training that does not reach the target within its epochs has status "not reached" and enters with the epochs it had, so a slope in its condition
is a lower bound, marked so; where that happens on real data, slopes are not compared. T's logarithm has a slope too (where all reached the target): a
slope larger in epochs may come from noise being slower throughout.

Held-out accuracy is the best one until the target is reached, or in all epochs. Only the suite's own networks have a dial of width; with a user's model
the number of examples alone is varied.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from secretaudit.suite.cells import Cell
from secretaudit.suite.fitting import fit
from secretaudit.suite.learner import Architecture, Learner
from secretaudit.suite.noise.builders import generator, noisy
from secretaudit.suite.noise.capacity_summary import orderings as orderings_of
from secretaudit.suite.noise.capacity_summary import sentence
from secretaudit.suite.noise.judging import Shared, training_of
from secretaudit.suite.noise.settings import NoiseSettings
from secretaudit.suite.statistics import mean_interval
from secretaudit.suite.subject import ClassifierSubject, Run

__all__ = ["WIDTHS", "convergence_slope", "measure"]

#: The dial of width of the suite's own networks.
WIDTHS = {
    "mlp": "hidden",
    "lenet": "units",
    "small-alexnet": "filters",
    "word-cnn": "filters",
    "word-transformer": "dimension",
    "clip-cnn": "filters",
}
#: Stands for this part among the offsets of the seed.
_OFFSET = 44
#: Held-out accuracy within which a width counts as good as the best.
_AS_GOOD = 0.01


@dataclass(frozen=True, kw_only=True, order=True)
class Condition:
    """One point of a sweep.

    Attributes:
        axis: "units" or "examples".
        kind: "real", "randX" or "randY".
        fraction: Share of noise.
        value: Units or examples.
    """

    axis: str
    kind: str
    fraction: float
    value: int


def measure(
    subject: ClassifierSubject, settings: NoiseSettings, run: Run
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Part "capacity": epochs to the target and best held-out accuracy, over units and over examples.

    Returns:
        The part, and the paper's orderings.
    """
    sweeps = _sweeps(subject, settings)
    wanted = [
        Condition(axis=axis, kind=kind, fraction=fraction, value=value)
        for axis, values in sweeps.items()
        for kind, fraction in _levels(settings)
        for value in values
    ]
    numbers = range(settings.capacity_seeds)
    cells = {_name(one, n): _cell(one, n) for one in wanted for n in numbers}
    done = run.cells.run(
        list(cells.values()),
        Shared(subject=subject, settings=settings, seed=run.seed),
        identity=f"{run.identity} {settings!r}",
        stage="capacity",
    )
    curves = [
        _curve(axis, kind, fraction, values, settings, done)
        for axis, values in sweeps.items()
        for kind, fraction in _levels(settings)
    ]
    orderings = orderings_of(curves)
    for curve in curves:
        del curve["seeds"]
    return _part(subject, settings, sweeps, curves), orderings


def convergence_slope(values: list[int], epochs: list[float], *, logarithm: bool = False) -> float:
    """Least-squares slope of T, or of log2 T, over log2 of the values: epochs per doubling.

    Args:
        values: Units or examples, at least two.
        epochs: T of each.
        logarithm: Of T as well; then 1 is T in proportion to the value.

    >>> convergence_slope([8, 16, 32], [30.0, 20.0, 10.0])
    -10.0
    """
    x = np.log2(np.asarray(values, dtype=float))
    y = np.asarray(epochs, dtype=float)
    y = np.log2(y) if logarithm else y
    away = x - x.mean()
    return float((away * y).sum() / (away**2).sum())


def _sweeps(subject: ClassifierSubject, settings: NoiseSettings) -> dict[str, list[int]]:
    """Values of each axis; the axis of units only where the model has such a dial."""
    available = len(subject.task.train)
    counts = sorted(n for n in settings.capacity_examples if n <= available)
    sweeps = {"examples": counts or [available]}
    if isinstance(subject.learner, Architecture) and subject.learner.architecture in WIDTHS:
        sweeps = {"units": sorted(settings.capacity_units)} | sweeps
    return sweeps


def _levels(settings: NoiseSettings) -> list[tuple[str, float]]:
    """Real data first, then each kind with each share."""
    return [("real", 0.0)] + [
        (kind, share)
        for kind in settings.capacity_kinds
        for share in sorted(settings.capacity_fractions)
    ]


def _name(one: Condition, number: int) -> str:
    return f"capacity/{one.axis}/{one.kind}/{one.fraction}/{one.value}/{number}"


def _cell(one: Condition, number: int) -> Cell:
    arguments = {
        "axis": one.axis,
        "kind": one.kind,
        "fraction": one.fraction,
        "value": one.value,
        "number": number,
    }
    return Cell(name=_name(one, number), work=_trained, arguments=arguments)


def _trained(
    shared: Shared, axis: str, kind: str, fraction: float, value: int, number: int
) -> dict[str, Any]:
    """A cell: one training until the target."""
    subject, settings = shared.subject, shared.settings
    count = value if axis == "examples" else settings.capacity_fixed_examples
    units = value if axis == "units" else settings.capacity_fixed_units
    base = subject.task.train.first(count)
    rng = generator(shared.seed, _OFFSET, 1, number)
    examples = noisy(kind, base, subject.task.classes, rng, fraction, settings.labels).examples
    start = generator(shared.seed, _OFFSET, 2, number).initial_seed()
    done = fit(
        _of_width(subject.learner, units).fresh(start),
        examples,
        training_of(settings, "capacity", target=settings.capacity_target),
        start,
        held_out=subject.task.held_out,
    )
    return {
        "status": done.status,
        "epochs": len(done.epochs),
        "epochs_to_target": done.epochs_to_target,
        "train_accuracy": done.train_accuracy,
        "held_out_accuracy": done.held_out_accuracy,
        "best_held_out_accuracy": done.best_held_out_accuracy,
    }


def _of_width(learner: Learner, units: int) -> Learner:
    """The learner with another width, where it has such a dial; else as it is."""
    if not isinstance(learner, Architecture) or not units or learner.architecture not in WIDTHS:
        return learner
    dial = WIDTHS[learner.architecture]
    return replace(learner, options={**learner.options, dial: units})


def _curve(
    axis: str,
    kind: str,
    fraction: float,
    values: list[int],
    settings: NoiseSettings,
    done: dict[str, Any],
) -> dict[str, Any]:
    """One line of a figure: points with means over seeds, and slopes per seed."""
    points, seeds = [], []
    for number in range(settings.capacity_seeds):
        seeds.append(
            [
                done[_name(Condition(axis=axis, kind=kind, fraction=fraction, value=v), number)]
                for v in values
            ]
        )
    for place, value in enumerate(values):
        rows = [seed[place] for seed in seeds]
        points.append(_point(value, rows))
    usable = len(values) > 1 and all(row["status"] != "diverged" for seed in seeds for row in seed)
    reached = all(row["status"] == "reached" for seed in seeds for row in seed)
    slopes = [
        convergence_slope(values, [float(row["epochs"]) for row in seed]) if usable else None
        for seed in seeds
    ]
    logs = [
        convergence_slope(values, [float(row["epochs"]) for row in seed], logarithm=True)
        for seed in seeds
        if usable and reached
    ]
    return {
        "axis": axis,
        "kind": kind,
        "fraction": fraction,
        "points": points,
        "slope": mean_interval([s for s in slopes if s is not None]),
        "slope_is_lower_bound": usable and not reached,
        "log_slope": mean_interval(logs),
        "seeds": {
            "slopes": slopes,
            "reached": reached,
            "enough": [_enough(values, seed) for seed in seeds],
        },
    }


def _point(value: int, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds at one value; epochs only of trainings that reached the target."""
    kept = [row for row in rows if row["status"] != "diverged"]
    reached = [row["epochs_to_target"] for row in kept if row["status"] == "reached"]
    status = "measured"
    if len(reached) < len(rows):
        status = "diverged" if len(kept) < len(rows) else "not reached"
    return {
        "value": value,
        "status": status,
        "reached": len(reached),
        "trainings": len(rows),
        "epochs_to_target": mean_interval(reached if status == "measured" else []),
        "epochs_at_least": None if not kept else float(np.mean([row["epochs"] for row in kept])),
        "train_accuracy": mean_interval([row["train_accuracy"] for row in kept]),
        "best_held_out_accuracy": mean_interval([row["best_held_out_accuracy"] for row in kept]),
    }


def _enough(values: list[int], seed: list[dict[str, Any]]) -> float | None:
    """log2 of the least value whose held-out accuracy is within a point of the best."""
    if any(row["best_held_out_accuracy"] is None for row in seed):
        return None
    best = max(row["best_held_out_accuracy"] for row in seed)
    good = [
        value
        for value, row in zip(values, seed, strict=True)
        if row["best_held_out_accuracy"] >= best - _AS_GOOD
    ]
    return float(np.log2(min(good)))


def _part(
    subject: ClassifierSubject,
    settings: NoiseSettings,
    sweeps: dict[str, list[int]],
    curves: list[dict[str, Any]],
) -> dict[str, Any]:
    missed = [(c, p) for c in curves for p in c["points"] if p["status"] != "measured"]
    reached = len(missed) < sum(len(c["points"]) for c in curves)
    varied = "units" in sweeps
    return {
        "status": "measured" if reached else "not reached",
        "sentence": sentence(settings, curves, len(missed)),
        "target": settings.capacity_target,
        "most_epochs": settings.capacity_epochs,
        "width": WIDTHS[subject.learner.name] if varied else None,
        "fixed_units": settings.capacity_fixed_units if varied else None,
        "fixed_examples": min(settings.capacity_fixed_examples, len(subject.task.train)),
        "left_out_examples": [n for n in settings.capacity_examples if n > len(subject.task.train)],
        "not_varied": None
        if varied
        else f"{subject.learner.name} has no dial of width that is known here, so only the number of examples is varied.",
        "curves": curves,
    }
