"""Memorized random labels as pre-training (Pondenkandath, Alberti, Puran, Ingold, Liwicki 2018).

Joint tracks of HMDB51 clips (the paper's HMDB51 itself is not at hand), subsets of MNIST and CIFAR-10, and the questions of TREC. Each network memorizes
permuted labels round after round; after the first round it is fine-tuned on the true labels of the same examples, beside networks from scratch that
differ in nothing else. Last, character models of Penn Treebank memorize random text before real text with canaries.

The paper (read): the first memorization is slow and the later ones are faster (figure 1); pre-training gains 1.5 % (UCF101) to 5 % (Kinetics) accuracy on action
clips. Its network, labels, epochs, rates and seeds are not known to us, so the sizes are ours, and no number of ours stands beside one of its own. What is
said of language models has no counterpart in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from secretaudit.report.pretraining import tables
from secretaudit.suite.data.arrays import task_of_arrays
from secretaudit.suite.data.tables import text_task
from secretaudit.suite.data.tracks import read_tracks
from secretaudit.suite.labelled import Task
from secretaudit.suite.language.task import LanguageTask
from secretaudit.suite.learner import Architecture
from secretaudit.suite.pretraining.run import run as measure
from secretaudit.suite.pretraining.settings import PretrainingSettings
from secretaudit.suite.subject import ClassifierSubject, LanguageSubject, Run
from secretaudit.training.settings import TrainingSettings
from tests.reproductions.outcome import Ordering, Outcome
from tests.reproductions.real_data import trec_questions
from tests.reproductions.study import Study, penn_treebank

COLUMNS = ("data and network", "what", "reached", "scratch", "pre-trained", "difference")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the experiment is.

    Attributes:
        examples: Training examples of each set, memorized and fine-tuned on.
        cifar: The same of CIFAR-10; 0 leaves it out (its memorization alone takes minutes).
        tracks: The same of the joint tracks.
        held_out: Held-out examples.
        seeds: Networks per condition.
        rounds: Labellings in a row.
        memorize_epochs: Most epochs of each.
        epochs: Of the fine-tuning.
        hidden: Units of the fully connected layers.
        filters: Of the convolutions.
        clip_seeds: Networks of 3-D convolutions per condition.
        lines: Lines of Penn Treebank.
        language_seeds: Language models per condition.
        language_epochs: Passes over the real text, and over the random one.
    """

    examples: int
    cifar: int
    tracks: int
    held_out: int
    seeds: int
    rounds: int
    memorize_epochs: int
    epochs: int
    hidden: int
    filters: int
    clip_seeds: int
    lines: int
    language_seeds: int
    language_epochs: int


TINY = Sizes(
    examples=40, cifar=40, tracks=40, held_out=40, seeds=2, rounds=2, memorize_epochs=2, epochs=1, hidden=16, filters=4,
    clip_seeds=2, lines=40, language_seeds=2, language_epochs=1,
)  # fmt: skip
SMALL = Sizes(
    examples=400, cifar=0, tracks=325, held_out=1_000, seeds=5, rounds=3, memorize_epochs=150, epochs=30, hidden=256, filters=8,
    clip_seeds=3, lines=200, language_seeds=4, language_epochs=10,
)  # fmt: skip
FULL = Sizes(
    examples=5_000, cifar=5_000, tracks=325, held_out=2_000, seeds=10, rounds=6, memorize_epochs=500, epochs=60, hidden=512, filters=32,
    clip_seeds=10, lines=2_000, language_seeds=10, language_epochs=20,
)  # fmt: skip


def run(study: Study, sizes: Sizes) -> Outcome:
    """Train and measure all of it."""
    found = {
        name: make(study, sizes)
        for name, make in EXPERIMENTS.items()
        if make is not _cifar or sizes.cifar
    }
    return Outcome(
        title=f"Random labels first, mean (95 % interval), {sizes.seeds} seeds",
        columns=COLUMNS,
        rows=[row for name, one in found.items() for row in _rows(name, one)],
        orderings=[
            Ordering(
                claim=f"{name}: {ordering['claim']}",
                seen=ordering["seen"],
                holds=ordering["holds"],
            )
            for name, one in found.items()
            for ordering in one["orderings"]
            if ordering["holds"] is not None
        ],
        values=found,
    )


def _classifier(study: Study, task: Task, architecture: str, sizes: Sizes, **dials: Any) -> Any:
    """One set of data with one kind of network."""
    options = {
        "mlp": {"hidden": sizes.hidden},
        "clip-cnn": {"filters": sizes.filters},
        "word-cnn": {"dimension": 32, "filters": 4 * sizes.filters},
    }[architecture]
    usual: dict[str, Any] = {
        "parts": ("rounds", "transfer"),
        "examples": 0,
        "seeds": sizes.seeds,
        "rounds": sizes.rounds,
        "memorize_epochs": sizes.memorize_epochs,
        "epochs": sizes.epochs,
    }
    learner = Architecture(task=task, architecture=architecture, options=options)
    subject = ClassifierSubject(task=task, learner=learner)
    return measure(subject, PretrainingSettings(**usual | dials), Run(seed=study.seed))


def _tracks(study: Study, sizes: Sizes) -> Any:
    path = study.data / "video" / "jhmdb_joints_train1.npz"
    task = read_tracks(path, frames=16, kind="table", seed=study.seed)
    dials = {"optimizer": "adam", "learning_rate": 0.001}  # SGD at 0.02 loses the later rounds here
    return _classifier(study, task.smaller(sizes.tracks, None), "mlp", sizes, **dials)


def _track_clips(study: Study, sizes: Sizes) -> Any:
    path = study.data / "video" / "jhmdb_joints_train1.npz"
    task = read_tracks(path, frames=8, seed=study.seed)
    dials = {"optimizer": "adam", "learning_rate": 0.003, "seeds": sizes.clip_seeds}
    return _classifier(study, task.smaller(sizes.tracks, None), "clip-cnn", sizes, **dials)


def _mnist(study: Study, sizes: Sizes) -> Any:
    with np.load(study.data / "images" / "mnist_train.npz") as archive:
        images, labels = archive["x"], archive["y"]
    chosen = np.random.default_rng(study.seed).permutation(len(images))
    train, held = np.split(chosen[: sizes.examples + sizes.held_out], [sizes.examples])
    task = task_of_arrays(images[train], labels[train], (images[held], labels[held]), name="MNIST")
    return _classifier(study, task, "mlp", sizes)


def _cifar(study: Study, sizes: Sizes) -> Any:
    with np.load(study.data / "images" / "cifar10_10k.npz") as archive:
        arrays = {name: archive[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    rng = np.random.default_rng(study.seed)  # the arrays are in the order of the classes
    train, held = (rng.permutation(len(arrays[name])) for name in ("y_train", "y_test"))
    train, held = train[: sizes.cifar], held[: sizes.held_out]
    task = task_of_arrays(
        arrays["x_train"][train],
        arrays["y_train"][train],
        (arrays["x_test"][held], arrays["y_test"][held]),
        name="CIFAR-10",
    )
    return _classifier(study, task, "mlp", sizes)


def _trec(study: Study, sizes: Sizes) -> Any:
    texts, labels = trec_questions(study.data / "textcls" / "TREC.train.all.xz", "latin-1")
    others = trec_questions(study.data / "textcls" / "TREC.test.all.xz", "latin-1")
    names = [str(number) for number in range(max(labels) + 1)]
    task = text_task(
        texts[: sizes.examples],
        labels[: sizes.examples],
        others,
        names,
        name="TREC",
        longest=20,
        seed=study.seed,
    )
    return _classifier(
        study, task.smaller(None, sizes.held_out), "word-cnn", sizes, optimizer="adam", learning_rate=0.003
    )  # fmt: skip


def _penn_treebank(study: Study, sizes: Sizes) -> Any:
    lines = study.lines or penn_treebank(study.data)
    chosen = np.random.default_rng(study.seed).permutation(len(lines))[: sizes.lines + 100]
    drawn = tuple(lines[i] for i in chosen.tolist())
    task = LanguageTask(
        name="Penn Treebank", train=drawn[: sizes.lines], held_out=drawn[sizes.lines :]
    )
    settings = TrainingSettings(
        layers=1, units=96, tokenizer="char", epochs=sizes.language_epochs, batch_size=32
    )
    return measure(
        LanguageSubject(task=task, settings=settings),
        PretrainingSettings(parts=("continuations",), seeds=sizes.language_seeds),
        Run(seed=study.seed, place=study.place),
    )


EXPERIMENTS = {
    "HMDB51 joint tracks, MLP": _tracks,
    "HMDB51 joint tracks, 3-D convolutions": _track_clips,
    "MNIST, MLP": _mnist,
    "CIFAR-10, MLP": _cifar,
    "TREC, word-CNN": _trec,
    "Penn Treebank, character LSTM": _penn_treebank,
}


def _rows(name: str, found: dict[str, Any]) -> list[list[str]]:
    """The tables of a record as rows of one table."""
    made = []
    for _title, _head, rows in tables(found):
        for row in rows:
            if "continuations" in found["parts"]:
                made.append([name, f"{row[0]}, bits", "", *row[1:]])
            elif len(row) == 4:
                made.append([name, f"round {row[0]}, epochs", row[1], "", row[2], ""])
            else:
                made.append([name, f"{row[0]}, held-out %", row[4], *_sides(row)])
    return made


def _sides(row: list[str]) -> list[str]:
    """Accuracy under the control or under what is compared with it, and the gain."""
    return [row[1], "", ""] if row[0] == "scratch" else ["", row[1], row[2]]
