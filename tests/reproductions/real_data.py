"""The real data that the suite's experiments share: samples of MNIST, CIFAR-10 and TREC, drawn by the study's seed."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np
import torch

from secretaudit.suite.data.arrays import task_of_arrays
from secretaudit.suite.data.tables import text_task
from secretaudit.suite.labelled import Task
from tests.reproductions.study import Study


def mnist(study: Study, train: int, held_out: int) -> Task:
    """So many images to train on, others held out."""
    with np.load(study.data / "images" / "mnist_train.npz") as archive:
        images, labels = archive["x"], archive["y"]
    order = np.random.default_rng([study.seed, 1]).permutation(len(images))
    held, rest = order[:held_out], order[held_out:][:train]
    return task_of_arrays(images[rest], labels[rest], (images[held], labels[held]), name="MNIST")


def cifar(study: Study, train: int, held_out: int, *, standardized: bool = False) -> Task:
    """The same of CIFAR-10, from its own two parts; ``standardized`` to mean 0 and standard deviation 1 over all training images."""
    with np.load(study.data / "images" / "cifar10_10k.npz") as archive:
        parts = {name: archive[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    rng = np.random.default_rng([study.seed, 2])  # the file is in the order of the classes
    chosen = rng.permutation(len(parts["x_train"]))[:train]
    held = rng.permutation(len(parts["x_test"]))[:held_out]
    images = {"train": parts["x_train"], "test": parts["x_test"]}
    if standardized:
        images = {name: one.astype(np.float32) for name, one in images.items()}
        centre, spread = images["train"].mean(), images["train"].std()
        images = {name: (one - centre) / spread for name, one in images.items()}
    return task_of_arrays(
        images["train"][chosen],
        parts["y_train"][chosen],
        (images["test"][held], parts["y_test"][held]),
        name="CIFAR-10",
    )


def trec(study: Study, questions: int, held_out: int | None) -> Task:
    """So many questions of TREC's training part; its test part is held out."""
    texts, labels = trec_questions(study.data / "textcls" / "TREC.train.all.xz")
    others = trec_questions(study.data / "textcls" / "TREC.test.all.xz")
    names = [str(number) for number in range(max(labels) + 1)]
    task = text_task(texts, labels, others, names, name="TREC", seed=study.seed)
    order = np.random.default_rng([study.seed, 3]).permutation(len(texts))[:questions]
    return task.with_train(task.train.chosen(torch.from_numpy(order))).smaller(None, held_out)


def trec_questions(path: Path, encoding: str = "utf-8") -> tuple[list[str], list[int]]:
    """Texts and labels of a file of TREC: a number, a space, the question. Its few letters beyond ASCII are Latin-1; as UTF-8 they become one mark."""
    lines = lzma.decompress(path.read_bytes()).decode(encoding, "replace").splitlines()
    pairs = [line.partition(" ") for line in lines if line.strip()]
    return [text for _, _, text in pairs], [int(label) for label, _, _ in pairs]
