"""Networks beside the nearest neighbours of their own embedding (Cohen, Sapiro, Giryes 2018).

LeNet with an embedding of length 1, as the authors train it, on MNIST: as many images as the sizes say for true labels, and fewer for true beside
random labels (memorizing takes many epochs). A subset of CIFAR-10, and the questions of TREC with a word-CNN. k = 30 and L1, as theirs; the point
itself is left out. Layers are pooled over places, as theirs must have been (the input of MNIST gave them 13.86 %).

The paper (its numbers are read from the authors' plotting scripts): LeNet on MNIST 98.84 %, k-NN 99.06 % (k = 30) on test images; with random labels k-NN
follows the network on the training images and P_SAME on test images stays low. Their networks have four times the filters of the small sizes here and the
whole of MNIST; held-out images are drawn from MNIST's training images, the only ones at hand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from secretaudit.suite.labelled import Task
from secretaudit.suite.learner import Architecture
from secretaudit.suite.neighbours.run import run as measure
from secretaudit.suite.neighbours.settings import NeighboursSettings
from secretaudit.suite.subject import ClassifierSubject, Run
from tests.reproductions.outcome import Ordering, Outcome
from tests.reproductions.real_data import cifar, mnist, trec
from tests.reproductions.study import Study

#: LeNet on MNIST, per cent on test images: the network, and k-NN on the embedding by k.
PAPER_NETWORK = 98.84
PAPER_BY_K = {1: 99.27, 5: 99.22, 30: 99.06, 100: 98.94}
#: k = 30 by layer, MNIST; our names of the layers of ``lenet``.
PAPER_BY_LAYER = {
    "input": 13.86,
    "module.1": 73.37,
    "module.2": 70.18,
    "module.4": 97.00,
    "module.5": 96.88,
    "embedding": 99.06,
}
LAYER_NAMES = {
    "input": "input", "module.1": "conv1", "module.2": "pool1", "module.4": "conv2", "module.5": "pool2", "embedding": "embedding",
}  # fmt: skip
PAPER_OF_DATA = {"CIFAR-10, LeNet": (84.75, 83.49)}
COLUMNS = (
    "data and network", "condition", "network, held-out %", "k-NN, held-out %", "P_SAME, train %", "P_SAME, held-out %", "paper %",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the experiment is.

    Attributes:
        mnist: Images with true labels.
        memorized: Images of true beside random labels.
        held_out: Held-out images.
        cifar: Images of CIFAR-10.
        questions: Of TREC.
        filters: Of LeNet's first convolution.
        units: Its embedding.
        seeds: Networks of each kind.
        epochs: With true labels on MNIST, twice as many on other data; beside random labels at most ``memorizing``, and random labels four times that.
        memorizing: See ``epochs``.
        others: Networks on CIFAR-10, and on TREC, of each kind.
    """

    mnist: int
    memorized: int
    held_out: int
    cifar: int
    questions: int
    filters: int
    units: int
    seeds: int
    epochs: int
    memorizing: int
    others: int = 2


TINY = Sizes(
    mnist=120, memorized=80, held_out=60, cifar=60, questions=80, filters=2, units=8, seeds=2,
    epochs=1, memorizing=1,
)  # fmt: skip
SMALL = Sizes(
    mnist=10_000, memorized=2_000, held_out=2_000, cifar=3_000, questions=4_000, filters=8, units=640, seeds=3,
    epochs=8, memorizing=25,
)  # fmt: skip
FULL = Sizes(
    mnist=50_000, memorized=10_000, held_out=10_000, cifar=8_000, questions=5_452, filters=32, units=640, seeds=5,
    epochs=16, memorizing=100, others=5,
)  # fmt: skip


def run(study: Study, sizes: Sizes) -> Outcome:
    """Train and measure all of it."""
    images = mnist(study, sizes.mnist, sizes.held_out)
    found = {
        "MNIST, LeNet": _measured(study, images, sizes, _true(sizes)),
        "MNIST, LeNet, fewer images": _measured(
            study, images.smaller(sizes.memorized, None), sizes, _random(sizes)
        ),
        "CIFAR-10, LeNet": _measured(
            study, cifar(study, sizes.cifar, sizes.held_out), sizes, _other(sizes)
        ),
        "TREC, word-CNN": _measured(
            study, trec(study, sizes.questions, sizes.held_out), sizes, _other(sizes)
        ),
    }
    rows = [row for name, one in found.items() for row in _rows(name, one)]
    return Outcome(
        title=f"Networks beside k-NN (k = {_true(sizes).k}, L1) on their embedding, mean ± 95 % interval over networks",
        columns=COLUMNS,
        rows=[*rows, *_layer_rows(found["MNIST, LeNet"]), *_k_rows(found["MNIST, LeNet"])],
        orderings=[
            Ordering(
                claim=f"{name}: {ordering['claim']}",
                seen=_seen(ordering["seen"]),
                holds=ordering["holds"],
            )
            for name, one in found.items()
            for ordering in one["orderings"]
            if ordering["holds"] is not None
        ],
        values=found,
    )


def _measured(study: Study, task: Task, sizes: Sizes, settings: NeighboursSettings) -> Any:
    options: dict[str, Any] = {}
    if task.kind == "image":
        options = {"filters": sizes.filters, "units": sizes.units, "normalize": True}
    architecture = "lenet" if task.kind == "image" else "word-cnn"
    learner = Architecture(task=task, architecture=architecture, options=options)
    return measure(ClassifierSubject(task=task, learner=learner), settings, Run(seed=study.seed))


def _true(sizes: Sizes) -> NeighboursSettings:
    """k-NN and layers of networks with true labels."""
    return NeighboursSettings(
        parts=("agreement", "k", "layers"),
        conditions=("true labels",),
        seeds=sizes.seeds,
        layers=tuple(name for name in LAYER_NAMES if name != "embedding"),
        pool="all",
        engine="faiss",
        probe_examples=1_000,
        batch_size=100,
        learning_rate=0.1,
        weight_decay=0.0,
        epochs=sizes.epochs,
        k=min(30, sizes.memorized // 4),
    )


def _random(sizes: Sizes) -> NeighboursSettings:
    """True beside random labels on the same images."""
    return replace(
        _true(sizes),
        parts=("agreement", "layers"),
        conditions=("true labels", "random labels"),
        probe_examples=sizes.memorized,  # as many as the neighbours come from
        batch_size=50,
        learning_rate=0.05,
        epochs=sizes.memorizing,
    )


def _other(sizes: Sizes) -> NeighboursSettings:
    """Other data, agreement alone."""
    return replace(
        _true(sizes),
        parts=("agreement",),
        seeds=sizes.others,
        epochs=2 * sizes.epochs,
        batch_size=50,
        learning_rate=0.05,
        k=min(30, sizes.questions // 4, sizes.cifar // 4),
    )


def _rows(name: str, found: Any) -> list[list[str]]:
    rows = []
    for entry in found["parts"]["agreement"]["conditions"]:
        mean = entry["summary"]
        known = ""
        if entry["condition"] == "true labels" and name == "MNIST, LeNet":
            known = f"network {PAPER_NETWORK}, k-NN {PAPER_BY_K[30]}"
        elif name in PAPER_OF_DATA:
            known = "network {}, k-NN {} (all images)".format(*PAPER_OF_DATA[name])
        rows.append(
            [
                name,
                entry["condition"],
                *(
                    _percent(mean[figure])
                    for figure in (
                        "held_out_network_accuracy",
                        "held_out_knn_accuracy",
                        "train_p_same",
                        "held_out_p_same",
                    )
                ),
                known,
            ]
        )
    return rows


def _layer_rows(found: Any) -> list[list[str]]:
    table = found["parts"]["layers"]["conditions"][0]["summary"]
    return [
        [
            "MNIST, LeNet",
            f"layer {LAYER_NAMES[row['layer']]}",
            "",
            _percent(row["knn_held_out_accuracy"]),
            _percent(row["knn_train_p_same"]),
            _percent(row["knn_held_out_p_same"]),
            f"k-NN {PAPER_BY_LAYER[row['layer']]}",
        ]
        for row in table
        if row["status"] == "measured"
    ]


def _k_rows(found: Any) -> list[list[str]]:
    table = found["parts"]["k"]["conditions"][0]["summary"]
    return [
        [
            "MNIST, LeNet",
            f"k = {row['k']}",
            "",
            _percent(row["held_out_accuracy"]),
            _percent(row["train_p_same"]),
            _percent(row["held_out_p_same"]),
            f"k-NN {PAPER_BY_K[row['k']]}",
        ]
        for row in table
        if row["status"] == "measured"
    ]


def _percent(mean: dict[str, Any]) -> str:
    if mean["mean"] is None:
        return "–"
    half = "" if mean["low"] is None else f" ± {100 * (mean['high'] - mean['mean']):.1f}"
    return f"{100 * mean['mean']:.1f}{half}"


def _seen(seen: dict[str, Any]) -> str:
    """Means and differences in points."""
    return "; ".join(f"{name} {_percent(value)}" for name, value in seen.items())
