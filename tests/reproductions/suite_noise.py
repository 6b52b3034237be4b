"""Easy examples, and which of them matter: data against noise (Arpit et al. 2017, sections 3.1 and 3.2, figures 1, 3 and 4).

The paper prints no numbers, only curves; what is compared are its orderings. Easy examples on MNIST with two fully connected layers (theirs have 4,096
units), and, ours, on CIFAR-10 with the same and on the questions of TREC with a word-CNN. Sensitivity on MNIST of 14×14 pixels with two layers of 16
units, as theirs. Learning rates, batches and numbers of updates are ours where the paper gives none, and the small sizes train on fewer images.

The parts on critical samples, capacity and regularizers are in ``suite_noise_capped``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F

from secretaudit.report.noise import tables
from secretaudit.suite.data.arrays import task_of_arrays
from secretaudit.suite.labelled import Task
from secretaudit.suite.learner import Architecture
from secretaudit.suite.noise.run import run as measure
from secretaudit.suite.noise.settings import NoiseSettings
from secretaudit.suite.subject import ClassifierSubject, Run
from tests.reproductions.outcome import Ordering, Outcome
from tests.reproductions.real_data import cifar, mnist, trec
from tests.reproductions.study import Study


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the experiment is.

    Attributes:
        train: Images of MNIST and of CIFAR-10, and questions of TREC, at most.
        held_out: The same, held out; nothing is measured on them here.
        hidden: Units of each layer of the networks on images.
        ease: Dials of easy examples on MNIST.
        others: The same on CIFAR-10 and TREC.
        sensitivity: Dials of sensitivity on MNIST of 14×14 pixels.
    """

    train: int
    held_out: int
    hidden: int
    ease: dict[str, Any]
    others: dict[str, Any]
    sensitivity: dict[str, Any]


TINY = Sizes(
    train=60,
    held_out=30,
    hidden=8,
    ease={"ease_initializations": 6},
    others={"ease_initializations": 4},
    sensitivity={
        "sensitivity_examples": 30, "sensitivity_updates": 5, "sensitivity_initializations": 2, "sensitivity_looks": 2, "sensitivity_class_looks": 1,
        "sensitivity_class_examples": 10,
    },
)  # fmt: skip
SMALL = Sizes(
    train=2_000,
    held_out=100,
    hidden=128,
    ease={},
    others={"ease_initializations": 40, "ease_training": 1_000},
    sensitivity={"sensitivity_examples": 500, "sensitivity_initializations": 4, "sensitivity_class_examples": 200},
)  # fmt: skip
FULL = Sizes(
    train=50_000,
    held_out=100,
    hidden=4_096,
    ease={"ease_training": 50_000, "ease_learning_rate": 0.01},
    others={"ease_training": 50_000, "ease_learning_rate": 0.01},
    sensitivity={
        "sensitivity_examples": 1_000, "sensitivity_updates": 5_000, "sensitivity_initializations": 5, "sensitivity_looks": 20,
        "sensitivity_class_looks": 10, "sensitivity_class_examples": 1_000,
    },
)  # fmt: skip


def run(study: Study, sizes: Sizes) -> Outcome:
    """Measure both parts on their data."""
    images, wide = mnist(study, sizes.train, sizes.held_out), {"hidden": sizes.hidden}
    ease, sensitivity = {"parts": ("ease",)}, {"parts": ("sensitivity",)}
    found = {
        "MNIST, mlp": _measured(study, images, "mlp", wide, ease | sizes.ease),
        "CIFAR-10, mlp": _measured(
            study, cifar(study, sizes.train, sizes.held_out), "mlp", wide, ease | sizes.others
        ),
        "TREC, word-cnn": _measured(
            study, trec(study, sizes.train, sizes.held_out), "word-cnn", {}, ease | sizes.others
        ),
        "MNIST 14×14": _measured(
            study, _halved(images), "mlp", {}, sensitivity | sizes.sensitivity
        ),
    }
    return Outcome(
        title="Data against noise: easy examples and sensitivity (95 % intervals)",
        columns=("data and network", "measure", "seen"),
        rows=[row for name, one in found.items() for row in _rows(name, one)],
        orderings=[
            Ordering(
                claim=f"{name}: {ordering['claim']}",
                seen=ordering["seen"],
                holds=ordering["holds"],
            )
            for name, one in found.items()
            for ordering in one["orderings"]
        ],
        values=found,
    )


def _measured(
    study: Study, task: Task, architecture: str, options: dict[str, Any], dials: dict[str, Any]
) -> Any:
    learner = Architecture(task=task, architecture=architecture, options=options)
    subject = ClassifierSubject(task=task, learner=learner)
    return measure(subject, NoiseSettings(**dials), Run(seed=study.seed))


def _rows(name: str, found: dict[str, Any]) -> list[list[str]]:
    """The module's own tables, one line each; and parts that have none, with the reason."""
    rows = [
        [name, f"{title}: {row[0]}", "; ".join(_cells(head[1:], row[1:]))]
        for title, head, body in tables(found)
        for row in body
    ]
    failed = [
        [name, part, one["sentence"]]
        for part, one in found["parts"].items()
        if one["status"] not in ("measured", "not reached")
    ]
    return rows + failed


def _cells(head: list[str], row: list[str]) -> list[str]:
    return [f"{what} {value}" for what, value in zip(head, row, strict=True)]


def _halved(task: Task) -> Task:
    """Images of half the height and width, each pixel the mean of four."""
    parts = [F.avg_pool2d(part.inputs, 2).numpy() for part in (task.train, task.held_out)]
    return task_of_arrays(
        parts[0],
        task.train.labels.numpy(),
        (parts[1], task.held_out.labels.numpy()),
        name=f"{task.name} of 14×14 pixels",
    )
