"""Which regularizer caps memorization at no cost (Arpit et al. 2017, section 5, figures 10 and 11).

One model per technique, strength and kind of data. A strength v gives a point:

    x = final training accuracy on random labels (memorization),   y = best held-out accuracy of the training on the data

Drawn over the strengths, a technique whose curve stays flat keeps the network from memorizing and not from learning. The paper [read]: dropout is
flattest, best together with adversarial training on the samples that ``lass`` finds. It prints curves only; how flat a curve is, is measured
here by two numbers of ours, per seed, both 0 to 1 and higher for a flatter one:

- *free cap*: x without a regularizer less the least x among strengths with y ≥ y without − tolerance (a point of accuracy by default): the memorization
  that the technique takes away before it costs anything;
- *area*: the mean of y over x, from chance, 1/K, to x without, along the technique's frontier: straight lines between those strengths (and none)
  that no other has less x and as much y than, from the point (1/K, 1/K) to which every technique comes when it is strong enough.

Both depend on which strengths were tried, the area less so.

How each technique acts is in ``techniques``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from secretaudit.suite.cells import Cell
from secretaudit.suite.fitting import fit
from secretaudit.suite.noise.builders import generator, noisy
from secretaudit.suite.noise.judging import Shared, ordering, training_of
from secretaudit.suite.noise.lass import Lass, released
from secretaudit.suite.noise.settings import NoiseSettings
from secretaudit.suite.noise.techniques import Technique, hidden_places, regularized
from secretaudit.suite.statistics import mean_interval
from secretaudit.suite.subject import ClassifierSubject, Run
from secretaudit.suite.wording import counted, said

__all__ = ["area", "free_cap", "measure"]

#: Stands for this part among the offsets of the seed.
_OFFSET = 55
#: Memorization that counts as one worth capping.
_MEMORIZES = 0.5


@dataclass(frozen=True, kw_only=True)
class Point:
    """One strength.

    Attributes:
        memorized: x.
        learned: y.
    """

    memorized: float
    learned: float


def free_cap(plain: Point, points: Sequence[Point], tolerance: float) -> float:
    """Memorization taken away without losing more than ``tolerance`` of held-out accuracy.

    >>> free_cap(Point(memorized=1.0, learned=0.9), [Point(memorized=0.4, learned=0.895)], 0.01)
    0.6
    """
    free = [p.memorized for p in points if p.learned >= plain.learned - tolerance - 1e-12]
    return max(0.0, plain.memorized - min(free, default=plain.memorized))


def area(plain: Point, points: Sequence[Point], chance: float) -> float | None:
    """Mean of y over x from chance to what is memorized without a regularizer, along the technique's frontier.

    Args:
        plain: Without a regularizer.
        points: One per strength.
        chance: 1/K, where every technique ends when it is strong enough, in both.

    Returns:
        In [0, 1]; ``None`` where nothing is memorized without a regularizer either.
    """
    top = plain.memorized
    if top <= chance:
        return None
    x, y = [chance], [chance]
    for point in sorted([*points, plain], key=lambda p: (p.memorized, -p.learned)):
        if chance < point.memorized <= top and point.learned > y[-1]:
            x.append(point.memorized)
            y.append(point.learned)
    x.append(top)
    y.append(y[-1])
    return float(np.trapezoid(y, x)) / (top - chance)


def measure(
    subject: ClassifierSubject, settings: NoiseSettings, run: Run
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Part "regularizers": memorization of random labels against held-out accuracy on the data, per technique and strength.

    Returns:
        The part, and the paper's orderings.
    """
    wanted = [
        _PLAIN,
        *(one for name in settings.regularizer_techniques for one in _grid(name, settings)),
    ]
    numbers = range(settings.regularizer_seeds)
    cells = [_cell(one, kind, n) for one in wanted for kind in ("real", "randY") for n in numbers]
    done = run.cells.run(
        cells,
        Shared(subject=subject, settings=settings, seed=run.seed),
        identity=f"{run.identity} {settings!r}",
        stage="regularizers",
    )
    found = {one: [_point(done, one, n) for n in numbers] for one in wanted}
    chance = 1.0 / subject.task.classes
    techniques = [
        _summary(name, _grid(name, settings), found, settings, chance)
        for name in settings.regularizer_techniques
    ]
    orderings = _orderings(techniques)
    for technique in techniques:
        del technique["seeds"]
    return _part(subject, settings, found[_PLAIN], techniques), orderings


_PLAIN = Technique(name="dropout", value=0.0)


def _grid(name: str, settings: NoiseSettings) -> list[Technique]:
    """The strengths of a technique."""
    values = getattr(settings, f"regularizer_{name.replace('-', '_')}")
    beside = settings.regularizer_adversarial_dropout if name == "adversarial" else (0.0,)
    return [Technique(name=name, value=v, dropout=d) for v in values for d in beside]


def _name(one: Technique, kind: str, number: int) -> str:
    return f"regularizers/{one.name}/{one.value}/{one.dropout}/{kind}/{number}"


def _cell(one: Technique, kind: str, number: int) -> Cell:
    arguments = {
        "technique": one.name,
        "value": one.value,
        "dropout": one.dropout,
        "kind": kind,
        "number": number,
    }
    return Cell(name=_name(one, kind, number), work=_trained, arguments=arguments)


def _trained(
    shared: Shared, technique: str, value: float, dropout: float, kind: str, number: int
) -> dict[str, Any]:
    """A cell: one training with a regularizer, on the data or on random labels."""
    settings, task = shared.settings, shared.subject.task
    one = Technique(name=technique, value=value, dropout=dropout)
    base = task.train.first(settings.regularizer_examples)
    rng = generator(shared.seed, _OFFSET, 1, number)
    examples = noisy(kind, base, task.classes, rng, 1.0, settings.labels).examples
    start = generator(shared.seed, _OFFSET, 2, number).initial_seed()
    model = shared.subject.learner.fresh(start)
    with regularized(model, task, one, _box(shared)) as objective:
        done = fit(
            model,
            examples,
            training_of(settings, "regularizer", weight_decay=one.weight_decay),
            start,
            held_out=task.held_out if kind == "real" else None,
            objective=objective,
        )
    return {
        "status": done.status,
        "train_accuracy": done.train_accuracy,
        "best_held_out_accuracy": done.best_held_out_accuracy,
    }


def _box(shared: Shared) -> Lass:
    """The search for adversarial samples."""
    settings = shared.settings
    scaled = shared.subject.task.pixel is not None
    radius = settings.regularizer_radius if scaled else settings.regularizer_deviation_radius
    return released(radius, settings.regularizer_iterations)


def _point(done: dict[str, Any], one: Technique, number: int) -> Point | None:
    """What a strength gave for a seed; nothing where a training diverged."""
    real, random = done[_name(one, "real", number)], done[_name(one, "randY", number)]
    if "diverged" in (real["status"], random["status"]):
        return None
    return Point(memorized=random["train_accuracy"], learned=real["best_held_out_accuracy"])


def _summary(
    name: str,
    grid: list[Technique],
    found: dict[Technique, list[Point | None]],
    settings: NoiseSettings,
    chance: float,
) -> dict[str, Any]:
    """Points and flatness of a technique."""
    caps: list[float | None] = []
    areas: list[float | None] = []
    for number in range(settings.regularizer_seeds):
        plain = found[_PLAIN][number]
        known = [p for one in grid if (p := found[one][number]) is not None]
        caps.append(
            None if plain is None else free_cap(plain, known, settings.regularizer_tolerance)
        )
        areas.append(None if plain is None else area(plain, known, chance))
    return {
        "technique": name,
        "points": [
            {"value": one.value, "dropout": one.dropout, **_means(found[one])} for one in grid
        ],
        "free_cap": mean_interval([c for c in caps if c is not None]),
        "area": mean_interval([a for a in areas if a is not None]),
        "seeds": {"free_cap": caps, "area": areas},
    }


def _means(points: list[Point | None]) -> dict[str, Any]:
    """x and y over seeds."""
    kept = [point for point in points if point is not None]
    return {
        "memorized": mean_interval([p.memorized for p in kept]),
        "learned": mean_interval([p.learned for p in kept]),
        "diverged": len(points) - len(kept),
    }


def _part(
    subject: ClassifierSubject,
    settings: NoiseSettings,
    plain: list[Point | None],
    techniques: list[dict[str, Any]],
) -> dict[str, Any]:
    without = _means(plain)
    known = without["memorized"]["mean"]
    names, on_input = hidden_places(subject.learner.fresh(0))
    status = "measured" if known is not None else "could not measure"
    if known is not None and known < _MEMORIZES:
        status = "not reached"
    return {
        "status": status,
        "sentence": _sentence(without, techniques, settings, status),
        "examples": min(settings.regularizer_examples, len(subject.task.train)),
        "epochs": settings.regularizer_epochs,
        "tolerance": settings.regularizer_tolerance,
        "chance": 1.0 / subject.task.classes,
        "hidden_places": names,
        "hidden_places_are": "inputs" if on_input else "outputs",
        "without": without,
        "techniques": techniques,
    }


def _sentence(
    without: dict[str, Any],
    techniques: list[dict[str, Any]],
    settings: NoiseSettings,
    status: str,
) -> str:
    if status == "could not measure":
        return "Trainings without a regularizer diverged; try a smaller regularizer_learning_rate."
    share = 100 * without["memorized"]["mean"]
    if status == "not reached":
        return f"Without a regularizer {share:.0f} % of random labels are fitted in {counted(settings.regularizer_epochs, 'epoch')}: too little to see what caps it; raise regularizer_epochs or regularizer_learning_rate."
    shown = ", ".join(
        f"{one['technique']} {said(100 * one['free_cap']['mean'], '.0f')}"
        for one in sorted(techniques, key=lambda t: -t["free_cap"]["mean"])
    )
    lost = 100 * settings.regularizer_tolerance
    return f"Without a regularizer {share:.0f} % of random labels are fitted; at a cost of at most {lost:g} point{'s' * (lost != 1)} of held-out accuracy each takes away, in points: {shown}."


def _orderings(techniques: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The paper's: dropout flatter than every other single technique, and with adversarial training flatter still."""
    named = {one["technique"]: one["seeds"]["area"] for one in techniques}
    others = [n for n in named if n not in ("dropout", "adversarial")]
    pairs = [("dropout", other) for other in others if "dropout" in named]
    if {"dropout", "adversarial"} <= set(named):
        pairs.append(("adversarial", "dropout"))
    found = []
    for first, second in pairs:
        said = "dropout with adversarial training" if first == "adversarial" else first
        found.append(
            ordering(
                "regularizers",
                f"{said[0].upper()}{said[1:]} caps memorization of random labels flatter than {second}, area under the best held-out accuracy",
                named[first],
                named[second],
            )
        )
    return found
