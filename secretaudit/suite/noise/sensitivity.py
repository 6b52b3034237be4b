"""Which examples the training loss hangs on (Arpit et al., section 3.2, figures 3 and 4).

g_x^t = ‖dL_t/dx‖₁, differentiated through the t updates that led to L_t (``unrolled``); ḡ_x is its mean over t. On real data few examples should matter
much, so ḡ_x is unequal over examples: its Gini coefficient is high. On noise nearly all examples matter, and it is low.

The paper (read): two layers of 16 units, 1,000 MNIST digits of 14×14 pixels, SGD; Gini coefficients as training proceeds, higher for real data; the same in a
task with **one class per example**, where classes have nothing in common; and per class

    ḡ_ij = mean over x of class j of mean over t of ‖dL_t(y = i)/dx‖₁,    L_t(y = i) the term of class i in the cross-entropy,

dominated by its diagonal on random data and more spread on real data. The paper writes |·| there without saying how pixels are put together; the L1 norm
is ours, as are learning rate, batches, T, and the number that the diagonal is judged by: mean of the diagonal over mean of the rest, at each t, and
then the mean over t (sensitivity grows by orders of magnitude in a training, and the mean matrix is that of its end).

Ours too: t takes ``looks`` evenly spaced values. The Gini coefficient after t is that of the mean over the looks up to t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from secretaudit.suite.cells import Cell
from secretaudit.suite.classifier import Classifier
from secretaudit.suite.labelled import Labelled, Task
from secretaudit.suite.learner import Architecture
from secretaudit.suite.noise.builders import KINDS, generator, noisy
from secretaudit.suite.noise.judging import Shared, ordering
from secretaudit.suite.noise.settings import NoiseSettings
from secretaudit.suite.noise.unrolled import Trajectory, sensitivities, train_unrolled
from secretaudit.suite.statistics import gini, mean_interval
from secretaudit.suite.subject import ClassifierSubject, Run
from secretaudit.suite.wording import counted

__all__ = [
    "class_matrices",
    "diagonal_dominance",
    "example_sensitivities",
    "looks",
    "mean_matrix",
    "measure",
]

#: Row i: the loss of class i; column j: the examples of class j.
ClassMatrix = list[list[float | None]]
#: The two tasks, and the kinds of data that each has: with a class per example, random labels are labels like others.
TASKS = {"labels": ("real", "randX", "randY"), "one class per example": ("real", "randX")}
#: Stands for this part among the offsets of the seed.
_OFFSET = 22


def looks(updates: int, count: int) -> list[int]:
    """At most ``count`` values of t, evenly spaced up to T.

    >>> looks(600, 3), looks(2, 5)
    ([200, 400, 600], [1, 2])
    """
    return sorted({max(1, round(updates * i / count)) for i in range(1, count + 1)})


def example_sensitivities(
    trajectory: Trajectory, at: list[int], unroll: int | None = None
) -> NDArray[Any]:
    """g_x^t of every example, shape (looks, n): L1 norms of the derivatives of the mean cross-entropy (nats per unit of the input)."""
    n = len(trajectory.examples)
    mean = torch.full((1, n), 1 / n, dtype=trajectory.marks[0][0].dtype)
    slopes = sensitivities(trajectory, at, mean, unroll)
    return _norms(slopes)[:, 0].double().numpy()


def class_matrices(
    trajectory: Trajectory, at: list[int], classes: int, unroll: int | None = None
) -> list[ClassMatrix]:
    """‖dL_t(y = i)/dx‖₁, row i the class whose loss it is, column j the mean over the examples of class j; one matrix per t.

    Args:
        trajectory: The training.
        at: Values of t.
        classes: K; entries of classes without examples are ``None``.
        unroll: As in ``sensitivities``.
    """
    labels = trajectory.examples.labels
    members = F.one_hot(labels, classes).T.to(trajectory.marks[0][0].dtype)
    slopes = sensitivities(trajectory, at, members / len(labels), unroll)
    counts = members.sum(1).double()
    by_class = _norms(slopes).double() @ members.T.double() / counts.clamp(min=1)
    known = (counts > 0).tolist()
    return [
        [
            [float(m[i, j]) if known[i] and known[j] else None for j in range(classes)]
            for i in range(classes)
        ]
        for m in by_class
    ]


def mean_matrix(matrices: Sequence[ClassMatrix]) -> ClassMatrix:
    """Entry by entry, over those that know it: over t, the paper's ḡ_ij."""
    size = range(len(matrices[0]))
    entries = [[[m[i][j] for m in matrices] for j in size] for i in size]
    return [[_mean(entry) for entry in row] for row in entries]


def diagonal_dominance(matrix: ClassMatrix) -> float | None:
    """Mean of the diagonal over mean of the rest, of the entries that are known; 1 when a class's loss hangs on all classes alike.

    >>> diagonal_dominance([[4.0, 1.0], [1.0, 4.0]])
    4.0
    """
    own = [row[i] for i, row in enumerate(matrix)]
    rest = [value for i, row in enumerate(matrix) for j, value in enumerate(row) if i != j]
    diagonal = [value for value in own if value is not None]
    other = [value for value in rest if value is not None]
    if not diagonal or not other or sum(other) == 0:
        return None
    return float(np.mean(diagonal) / np.mean(other))


def _norms(slopes: Tensor) -> Tensor:
    """L1 norms over what comes after (looks, terms, n)."""
    return slopes.flatten(3).abs().sum(3)


def measure(
    subject: ClassifierSubject, settings: NoiseSettings, run: Run
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Part "sensitivity": Gini coefficients along training, and the matrix of classes, on data and on noise.

    Returns:
        The part, and the paper's orderings.
    """
    wanted = [(task, kind) for task in _tasks(subject, settings) for kind in TASKS[task]]
    numbers = range(settings.sensitivity_initializations)
    cells = [
        Cell(
            name=f"sensitivity/{task}/{kind}/{number}",
            work=_trained,
            arguments={"task": task, "kind": kind, "number": number},
        )
        for number in numbers
        for task, kind in wanted
    ]
    done = run.cells.run(
        cells,
        Shared(subject=subject, settings=settings, seed=run.seed),
        identity=f"{run.identity} {settings!r}",
        stage="sensitivity",
    )
    found: dict[str, dict[str, Any]] = {task: {} for task, _ in wanted}
    for task, kind in wanted:
        found[task][kind] = [done[f"sensitivity/{task}/{kind}/{number}"] for number in numbers]
    return _part(subject, settings, found)


def _tasks(subject: ClassifierSubject, settings: NoiseSettings) -> list[str]:
    """Those that apply: a class per example needs a network with as many outputs, which only our own has."""
    second = settings.sensitivity_class_examples >= 2 and _own_network(subject.task, settings)
    return ["labels", "one class per example"] if second else ["labels"]


def _own_network(task: Task, settings: NoiseSettings) -> bool:
    """Whether the small network stands in for the model."""
    return settings.sensitivity_units > 0 and task.kind != "text"


def _examples(shared: Shared, task: str, kind: str, number: int) -> tuple[Labelled, int]:
    """What is trained on, and the number of classes."""
    settings, whole = shared.settings, shared.subject.task
    rng = generator(shared.seed, _OFFSET, number)
    if task == "labels":
        some = whole.train.first(settings.sensitivity_examples)
        return noisy(kind, some, whole.classes, rng, how=settings.labels).examples, whole.classes
    some = whole.train.first(settings.sensitivity_class_examples)
    each = some.relabelled(torch.arange(len(some)))
    return noisy(kind, each, len(each), rng).examples, len(each)


def _network(shared: Shared, examples: Labelled, classes: int, seed: int) -> Classifier:
    """The small network, or the model itself."""
    task, settings = shared.subject.task, shared.settings
    if not _own_network(task, settings):
        return shared.subject.learner.fresh(seed)
    small = replace(
        task,
        train=examples,
        held_out=examples,
        class_names=[str(i) for i in range(classes)],
    )
    options = {"hidden": settings.sensitivity_units}
    return Architecture(task=small, architecture="mlp", options=options).fresh(seed)


def _trained(shared: Shared, task: str, kind: str, number: int) -> dict[str, Any]:
    """A cell: one training, differentiated through."""
    settings = shared.settings
    examples, classes = _examples(shared, task, kind, number)
    start = generator(shared.seed, _OFFSET, 100, number).initial_seed()
    trajectory = train_unrolled(
        _network(shared, examples, classes, start),
        examples,
        updates=settings.sensitivity_updates,
        learning_rate=settings.sensitivity_learning_rate,
        batch_size=settings.sensitivity_batch_size,
        rng=generator(shared.seed, _OFFSET, 200, number),
    )
    if not trajectory.finite:
        return {"status": "diverged"}
    at = looks(trajectory.updates, settings.sensitivity_looks)
    by_look = example_sensitivities(trajectory, at, settings.sensitivity_unroll)
    if not np.isfinite(by_look).all():
        return {"status": "diverged"}
    so_far = by_look.cumsum(0) / np.arange(1, len(at) + 1)[:, None]
    found: dict[str, Any] = {
        "status": "measured",
        "gini": [gini(row) for row in so_far],
        "mean": [float(row.mean()) for row in by_look],
        "accuracy": [trajectory.accuracy(t) for t in at],
        "sorted": [float(x) for x in np.sort(so_far[-1])[::-1]],
    }
    if task == "labels" and settings.sensitivity_class_looks:
        few = looks(trajectory.updates, settings.sensitivity_class_looks)
        matrices = class_matrices(trajectory, few, classes, settings.sensitivity_unroll)
        dominance = [diagonal_dominance(matrix) for matrix in matrices]
        found |= {"matrix": mean_matrix(matrices), "dominance": _mean(dominance)}
    return found


def _part(
    subject: ClassifierSubject, settings: NoiseSettings, found: dict[str, dict[str, Any]]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Means over initial weights, and the orderings."""
    at = looks(settings.sensitivity_updates, settings.sensitivity_looks)
    tasks = {
        task: {kind: _kind(runs, len(at)) for kind, runs in kinds.items()}
        for task, kinds in found.items()
    }
    diverged = [
        f"{kind} ({task})"
        for task, kinds in tasks.items()
        for kind, seen in kinds.items()
        if seen["trainings"] == 0
    ]
    last = {kind: seen["gini"][-1]["mean"] for kind, seen in tasks["labels"].items()}
    lost = sum(seen["diverged"] for kinds in tasks.values() for seen in kinds.values())
    part = {
        "status": "could not measure" if diverged else "measured",
        "sentence": _sentence(last, diverged, settings)
        + (f" {counted(lost, 'training')} diverged, left out." if lost and not diverged else ""),
        "derivative": _derivative(settings),
        "network": _described(subject, settings),
        "examples": min(len(subject.task.train), settings.sensitivity_examples),
        "updates": settings.sensitivity_updates,
        "at": at,
        "class_names": list(subject.task.class_names),
        "tasks": tasks,
    }
    return part, _orderings(found)


def _kind(runs: list[dict[str, Any]], count: int) -> dict[str, Any]:
    """One kind of data over its trainings; those that diverged are counted and left out."""
    kept = [run for run in runs if run["status"] == "measured"]
    seen: dict[str, Any] = {
        "trainings": len(kept),
        "diverged": len(runs) - len(kept),
        "gini": [mean_interval([run["gini"][i] for run in kept]) for i in range(count)],
        "mean": [mean_interval([run["mean"][i] for run in kept]) for i in range(count)],
        "accuracy": [mean_interval([run["accuracy"][i] for run in kept]) for i in range(count)],
        "sorted": np.mean([run["sorted"] for run in kept], axis=0).tolist() if kept else [],
    }
    matrices = [run["matrix"] for run in kept if "matrix" in run]
    if matrices:
        seen["matrix"] = mean_matrix(matrices)
        seen["dominance"] = mean_interval(
            [run["dominance"] for run in kept if run["dominance"] is not None]
        )
    return seen


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _derivative(settings: NoiseSettings) -> str:
    """What stands with every number: exact, or what was left out."""
    unroll = settings.sensitivity_unroll
    if unroll is None or unroll >= settings.sensitivity_updates:
        return "exact"
    return f"truncated to {counted(unroll, 'update')}"


def _described(subject: ClassifierSubject, settings: NoiseSettings) -> str:
    if _own_network(subject.task, settings):
        return f"mlp, two layers of {settings.sensitivity_units} units"
    return subject.learner.name


def _sentence(last: dict[str, float | None], diverged: list[str], settings: NoiseSettings) -> str:
    if diverged:
        return f"The training diverged on {', '.join(diverged)}; take a smaller sensitivity_learning_rate."
    shown = ", ".join(f"{last[kind]:.2f} on {said}" for kind, said in KINDS.items())
    return (
        f"Gini coefficient of the sensitivity to single examples after {counted(settings.sensitivity_updates, 'update')}"
        f" ({_derivative(settings)}): {shown}."
    )


def _orderings(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The paper's, each judged over initial weights."""
    orders = []
    for task, kinds in found.items():
        what = "" if task == "labels" else ", each example a class of its own"
        for kind in (kind for kind in kinds if kind != "real"):
            claim = f"Few examples matter on real data, most on {KINDS[kind]}: higher Gini coefficient of the sensitivity on real data{what}"
            real, other = (_last(kinds[name], "gini") for name in ("real", kind))
            orders.append(ordering("sensitivity", claim, real, other))
    kinds = found["labels"]
    for kind in ("randX", "randY"):
        claim = f"The loss of a class hangs on its own examples with {KINDS[kind]}, on others too with real data: more dominant diagonal"
        noise, real = (_last(kinds[name], "dominance") for name in (kind, "real"))
        orders.append(ordering("sensitivity", claim, noise, real))
    return orders


def _last(runs: list[dict[str, Any]], name: str) -> list[float | None]:
    """A number at the end of each training."""
    values = [run.get(name) for run in runs]
    return [value[-1] if isinstance(value, list) else value for value in values]
