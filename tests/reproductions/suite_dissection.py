"""One way to learn, N ways to memorize; simple patterns first (Gu & Tresp 2019, of which only the abstract was available to us).

Networks that fit true labels, the same random labels, and random labels of their own, on subsets of MNIST and CIFAR-10 (LeNet) and of TREC's questions (word-CNN);
recurrent models that fit lines of Penn Treebank, and noise made of them. Every network is trained until it fits (99 % of the labels, 0.5 nats a token).
The paper's statements are: networks prioritize simple input patterns; networks trained with true labels are similar to each other, networks that memorized random labels are
not. It prints no number that we know, and its measure of similarity is not known to us: all measures here are ours.

The small sizes differ from any paper's in all respects: hundreds of examples, and a LeNet with few filters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from secretaudit.suite.dissection.run import run as dissect
from secretaudit.suite.dissection.settings import PARTS, DissectionSettings
from secretaudit.suite.labelled import Task
from secretaudit.suite.language.task import LanguageTask
from secretaudit.suite.learner import Architecture
from secretaudit.suite.subject import ClassifierSubject, LanguageSubject, Run
from secretaudit.training.settings import TrainingSettings
from tests.reproductions.outcome import Ordering, Outcome
from tests.reproductions.real_data import cifar, mnist, trec
from tests.reproductions.study import Study, penn_treebank

COLUMNS = ("data and network", "measure", "true", "same random", "independent random", "p, p")
_CONDITIONS = ("true labels", "same random labels", "independent random labels")
_PAIRS = ("agreement", "representation", "input gradients")
_TEXTS = ("real text", "same random text", "independent random text")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the experiment is.

    Attributes:
        models: Networks per condition.
        mnist: Training images.
        cifar: Of CIFAR-10; networks are compared, cues and coherence left out.
        questions: Of TREC; coherence left out.
        held_out: Held-out examples.
        filters: Of LeNet's first convolution.
        units: Of its hidden layer.
        epochs: Most passes.
        gradients: Examples whose gradients are taken.
        cues: Networks per cue.
        cue_epochs: Passes over cued examples.
        cue_pixels: Pixels of the cues.
        lines: Lines of Penn Treebank that models fit.
        corpus: Lines of it with canaries.
        corpus_epochs: Passes over them.
        line_epochs: Most passes over the lines that models fit.
        line_units: Of the LSTM.
        records: Lines whose gradients are taken beside those of the canaries.
    """

    models: int
    mnist: int
    cifar: int
    questions: int
    held_out: int
    filters: int
    units: int
    epochs: int
    gradients: int
    cues: int
    cue_epochs: int
    cue_pixels: tuple[int, ...]
    lines: int
    corpus: int
    corpus_epochs: int
    line_epochs: int
    line_units: int
    records: int


TINY = Sizes(
    models=2, mnist=40, cifar=30, questions=40, held_out=30, filters=2, units=12, epochs=2, gradients=8, cues=3, cue_epochs=1,
    cue_pixels=(4, 40), lines=6, corpus=20, corpus_epochs=1, line_epochs=4, line_units=8, records=6,
)  # fmt: skip
SMALL = Sizes(
    models=5, mnist=300, cifar=400, questions=300, held_out=300, filters=4, units=64, epochs=300, gradients=48, cues=3, cue_epochs=8,
    cue_pixels=(2, 8, 32), lines=30, corpus=300, corpus_epochs=10, line_epochs=300, line_units=96, records=50,
)  # fmt: skip
FULL = Sizes(
    models=10, mnist=8_000, cifar=8_000, questions=5_000, held_out=2_000, filters=32, units=640, epochs=1_000, gradients=256, cues=5, cue_epochs=20,
    cue_pixels=(2, 4, 8, 16, 32), lines=500, corpus=20_000, corpus_epochs=20, line_epochs=1_000, line_units=256, records=200,
)  # fmt: skip


def run(study: Study, sizes: Sizes) -> Outcome:
    """Dissect all of it."""
    found = {
        "MNIST, LeNet": _images(study, sizes, mnist(study, sizes.mnist, sizes.held_out)),
        "CIFAR-10, LeNet": _images(
            study, sizes, cifar(study, sizes.cifar, sizes.held_out, standardized=True), _PAIRS
        ),
        "TREC, word-CNN": _questions(study, sizes, (*_PAIRS, "patterns")),
        "Penn Treebank, LSTM": _text(study, sizes),
    }
    return Outcome(
        title=f"Similarity of two networks, mean over the pairs of {sizes.models} networks a condition (95 % interval over networks)",
        columns=COLUMNS,
        rows=[row for name, one in found.items() for row in _rows(name, one)],
        orderings=[
            Ordering(claim=f"{name}: {claim['claim']}", seen=claim["seen"], holds=claim["holds"])
            for name, one in found.items()
            for claim in one["orderings"]
            if claim["holds"] is not None
        ],
        values=found,
    )


def _settings(sizes: Sizes, examples: int) -> DissectionSettings:
    return DissectionSettings(
        models=sizes.models,
        epochs=sizes.epochs,
        examples=examples,
        held_out=sizes.held_out,
        batch_size=50,
        learning_rate=0.002,
        gradient_examples=sizes.gradients,
        pattern_models=sizes.cues,
        pattern_epochs=sizes.cue_epochs,
        cue_pixels=sizes.cue_pixels,
        language_lines=sizes.lines,
        language_epochs=sizes.line_epochs,
        language_records=sizes.records,
    )


def _images(
    study: Study, sizes: Sizes, task: Task, parts: tuple[str, ...] = PARTS
) -> dict[str, Any]:
    options = {"filters": sizes.filters, "units": sizes.units}
    learner = Architecture(task=task, architecture="lenet", options=options)
    settings = replace(_settings(sizes, len(task.train)), parts=parts)
    return dissect(ClassifierSubject(task=task, learner=learner), settings, Run(seed=study.seed))


def _questions(study: Study, sizes: Sizes, parts: tuple[str, ...]) -> dict[str, Any]:
    task = trec(study, sizes.questions, None)
    learner = Architecture(task=task, architecture="word-cnn")
    settings = replace(_settings(sizes, sizes.questions), parts=parts)
    return dissect(ClassifierSubject(task=task, learner=learner), settings, Run(seed=study.seed))


def _text(study: Study, sizes: Sizes) -> dict[str, Any]:
    lines = [line for line in penn_treebank(study.data) if 20 < len(line) < 120]
    order = np.random.default_rng([study.seed, 4]).permutation(len(lines)).tolist()
    chosen = tuple(lines[i] for i in order)
    task = LanguageTask(
        name="Penn Treebank",
        train=chosen[: sizes.corpus],
        held_out=chosen[sizes.corpus : sizes.corpus + 100],
    )
    training = TrainingSettings(
        layers=1, units=sizes.line_units, epochs=sizes.corpus_epochs, batch_size=32
    )
    subject = LanguageSubject(task=task, settings=training)
    return dissect(subject, _settings(sizes, sizes.mnist), Run(seed=study.seed))


def _rows(name: str, found: dict[str, Any]) -> list[list[str]]:
    """One row per measure."""
    parts = found["parts"]
    rows = [
        _row(name, measure, values["within"], values["tests"])
        for part in ("agreement", "representation", "input gradients", "language")
        for measure, values in parts.get(part, {}).get("measures", {}).items()
    ]
    coherence = parts.get("coherence", {})
    if "tests" in coherence:
        means = coherence["mean_along_training"]
        rows.append(_row(name, "gradient coherence", means, coherence["tests"]))
    if "cues" in parts.get("patterns", {}):
        cues = parts["patterns"]["cues"]
        said = ", ".join(
            f"{grade} {cues['unit']} {_interval(value)}"
            for grade, value in cues["mean_reliance"].items()
        )
        rows.append([name, "reliance on the cue", said, "", "", ""])
    return rows


def _row(name: str, measure: str, means: dict[str, Any], tests: dict[str, Any]) -> list[str]:
    wanted = _TEXTS if _TEXTS[0] in means else _CONDITIONS
    ps = ["–" if test["p_value"] is None else f"{test['p_value']:.2g}" for test in tests.values()]
    shown = [_interval(means[c]) if c in means else "–" for c in wanted]
    return [name, measure, *shown, ", ".join(ps)]


def _interval(found: dict[str, Any]) -> str:
    if found["mean"] is None:
        return "–"
    half = "" if found["low"] is None else f" ± {found['high'] - found['mean']:.3f}"
    return f"{found['mean']:.3f}{half}"
