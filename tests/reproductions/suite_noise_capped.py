"""Critical samples, capacity, and what caps memorization (Arpit et al. 2017, sections 3.3, 4 and 5, figures 5 to 11).

The paper (read) prints curves and no numbers, so its orderings are compared: critical samples are more frequent after training on noise than on real
data (CNN on CIFAR-10, figure 9; MNIST with noise mixed in, figure 7); fewer units slow training down more with noise (MNIST, figure 6), and more are needed
for the best held-out accuracy (figure 5); dropout, best with adversarial training, caps memorization at the least cost (figures 10 and 11).

The small sizes differ from the paper's in the network (tens of units and filters instead of thousands), in the number of examples (hundreds instead of
50,000) and in the learning rate (momentum on MNIST as well); regularizers are compared on MNIST with a fully connected network instead of CIFAR-10.
An ordering "holds" when the 95 % interval of the differences over seeds lies above 0, does not when their mean is not above 0, and cannot be judged in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from secretaudit.suite.data.arrays import task_of_arrays
from secretaudit.suite.labelled import Task
from secretaudit.suite.learner import Architecture
from secretaudit.suite.noise import capacity, critical, regularizers
from secretaudit.suite.noise.settings import NoiseSettings
from secretaudit.suite.subject import ClassifierSubject, Run
from tests.reproductions.outcome import Ordering, Outcome
from tests.reproductions.study import Study

COLUMNS = ("part", "condition", "what", "value")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the experiment is.

    Attributes:
        seeds: Trainings per condition.
        units: Of the fully connected network on MNIST.
        filters: Of the convolutional network on CIFAR-10.
        dense: Its units.
        held_out: Held-out examples.
        mnist: Dials of critical samples on MNIST.
        cifar: The same on CIFAR-10.
        capacity: Dials of capacity on MNIST.
        regularizers: Dials of regularizers.
        regularizers_on: "mnist" or "cifar".
    """

    seeds: int
    units: int
    filters: int
    dense: int
    held_out: int
    mnist: dict[str, Any]
    cifar: dict[str, Any]
    capacity: dict[str, Any]
    regularizers: dict[str, Any]
    regularizers_on: str = "mnist"


TINY = Sizes(
    seeds=2,
    units=16,
    filters=2,
    dense=8,
    held_out=20,
    mnist={"csr_training": 40, "csr_examples": 10, "csr_epochs": 2, "csr_looks": 2, "csr_iterations": 3},
    cifar={"csr_training": 20, "csr_examples": 5, "csr_epochs": 1, "csr_looks": 1, "csr_iterations": 2, "csr_fractions": ()},
    capacity={"capacity_units": (4, 8), "capacity_examples": (20, 40), "capacity_fixed_units": 8, "capacity_fixed_examples": 40, "capacity_epochs": 2},
    regularizers={"regularizer_techniques": ("dropout", "adversarial"), "regularizer_dropout": (0.5,), "regularizer_adversarial_dropout": (0.5,),
                  "regularizer_examples": 30, "regularizer_epochs": 2},
)  # fmt: skip
SMALL = Sizes(
    seeds=3,
    units=64,
    filters=8,
    dense=64,
    held_out=500,
    mnist={"csr_training": 500, "csr_examples": 100, "csr_epochs": 40, "csr_looks": 3, "csr_iterations": 50, "csr_batch_size": 32},
    cifar={"csr_training": 600, "csr_examples": 100, "csr_epochs": 30, "csr_looks": 3, "csr_iterations": 15, "csr_fractions": (), "csr_batch_size": 50,
           "csr_learning_rate": 0.01, "csr_radii": (0.3, 1.0)},
    capacity={"capacity_units": (16, 32, 64), "capacity_examples": (250, 500, 1_000), "capacity_fixed_units": 16, "capacity_fixed_examples": 1_000,
              "capacity_epochs": 150, "capacity_learning_rate": 0.02},
    regularizers={"regularizer_examples": 300, "regularizer_epochs": 50, "regularizer_dropout": (0.25, 0.5, 0.75, 0.9),
                  "regularizer_adversarial_dropout": (0.25, 0.5, 0.75, 0.9), "regularizer_learning_rate": 0.02},
)  # fmt: skip
FULL = Sizes(
    seeds=5,
    units=4_096,
    filters=200,
    dense=384,
    held_out=2_000,
    mnist={"csr_training": 50_000, "csr_examples": 1_000, "csr_epochs": 1_000, "csr_looks": 20, "csr_fractions": (0.2, 0.4, 0.6, 0.8),
           "csr_learning_rate": 0.01, "csr_momentum": 0.0},
    cifar={"csr_training": 8_000, "csr_examples": 500, "csr_epochs": 100, "csr_looks": 15, "csr_fractions": (0.2, 0.4, 0.6, 0.8),
           "csr_learning_rate": 0.01},
    capacity={"capacity_units": (256, 512, 1_024, 2_048, 4_096), "capacity_examples": (1_000, 5_000, 10_000, 50_000), "capacity_fixed_units": 4_096,
              "capacity_fixed_examples": 50_000, "capacity_fractions": (0.2, 0.4, 0.6, 0.8, 1.0), "capacity_epochs": 1_000,
              "capacity_learning_rate": 0.01, "capacity_momentum": 0.0},
    regularizers={"regularizer_examples": 8_000, "regularizer_epochs": 100, "regularizer_learning_rate": 0.01, "regularizer_batch_size": 64,
                  "regularizer_dropout": (0.1, 0.25, 0.5, 0.75, 0.9), "regularizer_input_dropout": (0.1, 0.25, 0.5, 0.75, 0.9),
                  "regularizer_input_noise": (0.5, 1.0, 2.0, 5.0), "regularizer_hidden_noise": (0.05, 0.1, 0.2, 0.3),
                  "regularizer_weight_decay": (0.001, 0.01, 0.1, 1.0), "regularizer_adversarial": (0.2, 0.5, 0.7),
                  "regularizer_adversarial_dropout": (0.03, 0.1, 0.25, 0.5)},
    regularizers_on="cifar",
)  # fmt: skip


def run(study: Study, sizes: Sizes) -> Outcome:
    """Measure the parts on MNIST and CIFAR-10."""
    mnist, cifar = _mnist(study, sizes), _cifar(study, sizes)
    asked = Run(seed=study.seed)
    chosen = mnist if sizes.regularizers_on == "mnist" else cifar
    found = {
        "critical, MNIST": critical.measure(mnist, _dials(sizes, "csr", sizes.mnist), asked),
        "critical, CIFAR-10": critical.measure(cifar, _dials(sizes, "csr", sizes.cifar), asked),
        "capacity, MNIST": capacity.measure(
            mnist, _dials(sizes, "capacity", sizes.capacity), asked
        ),
        f"regularizers, {chosen.task.name}": regularizers.measure(
            chosen, _dials(sizes, "regularizer", sizes.regularizers), asked
        ),
    }
    return Outcome(
        title=f"Critical samples, capacity and regularizers, means over {sizes.seeds} trainings a condition (95 % intervals)",
        columns=COLUMNS,
        rows=[row for name, (part, _) in found.items() for row in _rows(name, part)],
        orderings=[
            _ordering(name, claim) for name, (_, claims) in found.items() for claim in claims
        ],
        values={
            name: {"part": part, "orderings": claims} for name, (part, claims) in found.items()
        },
    )


def _dials(sizes: Sizes, prefix: str, dials: dict[str, Any]) -> NoiseSettings:
    return NoiseSettings(**dials | {f"{prefix}_seeds": sizes.seeds})


def _ordering(name: str, claim: dict[str, Any]) -> Ordering:
    return Ordering(claim=f"{name}: {claim['claim']}", seen=claim["seen"], holds=claim["holds"])


def _mnist(study: Study, sizes: Sizes) -> ClassifierSubject:
    task = _task(study.data / "images" / "mnist_train.npz", "x", "y", "MNIST", study, sizes)
    return ClassifierSubject(
        task=task, learner=Architecture(task=task, options={"hidden": sizes.units})
    )


def _cifar(study: Study, sizes: Sizes) -> ClassifierSubject:
    path = study.data / "images" / "cifar10_10k.npz"
    task = _task(path, "x_train", "y_train", "CIFAR-10", study, sizes)
    options = {"filters": sizes.filters, "units": sizes.dense}
    learner = Architecture(task=task, architecture="small-alexnet", options=options)
    return ClassifierSubject(task=task, learner=learner)


def _task(path: Path, x: str, y: str, name: str, study: Study, sizes: Sizes) -> Task:
    """Examples in an order drawn by the seed; the first are held out."""
    with np.load(path, allow_pickle=False) as archive:
        inputs, labels = archive[x], archive[y]
    order = np.random.default_rng([study.seed, 5]).permutation(len(labels))
    held, rest = order[: sizes.held_out], order[sizes.held_out :]
    wanted = max(
        sizes.mnist["csr_training"],
        sizes.cifar["csr_training"],
        sizes.regularizers["regularizer_examples"],
        *sizes.capacity["capacity_examples"],
    )
    rest = rest[:wanted]
    return task_of_arrays(
        inputs[rest], labels[rest], (inputs[held], labels[held]), name=name, seed=study.seed
    )


def _rows(name: str, part: dict[str, Any]) -> list[list[str]]:
    """The numbers behind the orderings, as they are printed."""
    rows: list[list[str]] = []
    for one in part.get("conditions", []):
        for radius, mean in zip(part["radii"], one["looks"][-1]["csr"]["held_out"], strict=True):
            rows.append([name, _named(one), f"CSR held out, r = {radius:g}", _shown(mean)])
        rows.append(
            [name, _named(one), "best held-out accuracy", _shown(one["best_held_out_accuracy"])]
        )
    for curve in part.get("curves", []):
        for point in curve["points"]:
            what = f"epochs to the target, {point['value']} {curve['axis']}"
            rows.append([name, _named(curve), what, _epochs(point)])
    for one in part.get("techniques", []):
        rows.append([name, one["technique"], "taken away at no cost", _shown(one["free_cap"])])
        rows.append([name, one["technique"], "area", _shown(one["area"])])
    return rows


def _named(one: dict[str, Any]) -> str:
    return "real" if one["kind"] == "real" else f"{100 * one['fraction']:g} % {one['kind']}"


def _shown(mean: dict[str, Any]) -> str:
    if mean["mean"] is None:
        return "–"
    if mean["low"] is None:
        return f"{mean['mean']:.3f}"
    return f"{mean['mean']:.3f} ({mean['low']:.3f} to {mean['high']:.3f})"


def _epochs(point: dict[str, Any]) -> str:
    if point["epochs_to_target"]["mean"] is not None:
        return f"{point['epochs_to_target']['mean']:.1f}"
    reached = point["train_accuracy"]["mean"]
    return point["status"] + ("" if reached is None else f" ({100 * reached:.0f} % in training)")
