"""Run the measures of ``suite pretraining`` on a classifier or on a language model.

A piece of work is one seed: it memorizes all rounds and fine-tunes all conditions, since the rounds' weights are where the fine-tuning starts. Seeds run side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from secretaudit.suite.cells import Cell
from secretaudit.suite.classifier import Classifier, copied
from secretaudit.suite.labelled import Labelled
from secretaudit.suite.pretraining import language
from secretaudit.suite.pretraining.comparison import transfer_orderings, transfer_part
from secretaudit.suite.pretraining.heads import find_head, last_layers, replace_head
from secretaudit.suite.pretraining.random_labels import random_labels
from secretaudit.suite.pretraining.rounds import memorize, rounds_ordering, rounds_part
from secretaudit.suite.pretraining.settings import PretrainingSettings
from secretaudit.suite.pretraining.transfer import fine_tuned, starting_points
from secretaudit.suite.subject import ClassifierSubject, LanguageSubject, Run
from secretaudit.suite.wording import counted

__all__ = ["run"]

_WEIGHTS, _OTHER, _LABELS, _ORDER, _HEAD, _TUNING = range(6)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Shared:
    """What every seed works with."""

    subject: ClassifierSubject
    settings: PretrainingSettings
    seed: int


def run(
    subject: ClassifierSubject | LanguageSubject, settings: PretrainingSettings, run: Run
) -> dict[str, Any]:
    """Measure what was asked for.

    Args:
        subject: What learns, and from what.
        settings: The dials.
        run: Seed, and where pieces of work run.

    Returns:
        ``found`` of the record: ``parts`` by name and ``orderings``, plain JSON.

    Raises:
        ModelError: No head, or scores that are none.
        UsageError: More layers to re-initialize than there are.
    """
    if isinstance(subject, LanguageSubject):
        found = language.run(subject, settings, run) if "continuations" in settings.parts else None
        parts, orderings = ({}, []) if found is None else found
    else:
        parts, orderings = _classifier(subject, settings, run)
    for name in settings.parts:
        if name not in parts:
            parts[name] = _not_applicable(name)
    return {"parts": {name: parts[name] for name in settings.parts}, "orderings": orderings}


def _not_applicable(name: str) -> dict[str, Any]:
    wanted = "language models" if name == "continuations" else "classifiers"
    return {"status": "not applicable", "sentence": f"This is measured on {wanted}."}


def _classifier(
    subject: ClassifierSubject, settings: PretrainingSettings, run: Run
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Rounds and transfer."""
    wanted = [name for name in ("rounds", "transfer") if name in settings.parts]
    if not wanted:
        return {}, []
    _refuse_early(subject, settings)
    cells = [
        Cell(name=f"seed/{index}", work=one_seed, arguments={"index": index})
        for index in range(settings.seeds)
    ]
    shared = _Shared(subject=subject, settings=settings, seed=run.seed)
    identity = f"{run.identity} {run.seed} {settings!r}"
    seeds = list(run.cells.run(cells, shared, identity=identity, stage="pretraining").values())
    parts: dict[str, Any] = {}
    orderings: list[dict[str, Any]] = []
    if "rounds" in wanted:
        parts["rounds"] = rounds_part(
            [seed["rounds"] for seed in seeds],
            rounds=settings.rounds,
            target=settings.target,
            cap=settings.memorize_epochs,
        ) | _labelling(subject, settings)
        orderings.append(rounds_ordering(parts["rounds"]))
    if "transfer" in wanted:
        parts["transfer"] = _transfer(seeds, settings)
        orderings += transfer_orderings(parts["transfer"])
    return parts, orderings


def _labelling(subject: ClassifierSubject, settings: PretrainingSettings) -> dict[str, Any]:
    return {
        "labels": settings.labels,
        "classes": settings.random_classes or subject.task.classes,
        "examples": len(_some(subject, settings.examples)),
    }


def _transfer(seeds: list[dict[str, Any]], settings: PretrainingSettings) -> dict[str, Any]:
    """The part of the record; seeds whose memorization diverged have no fine-tuning."""
    whole = [seed["transfer"] for seed in seeds if seed["transfer"] is not None]
    lost = len(seeds) - len(whole)
    if not whole:
        return {
            "status": "could not measure",
            "sentence": "Every memorization diverged, so there is nothing to fine-tune; a smaller learning rate may help.",
            "conditions": {},
            "gains": {},
        }
    part = transfer_part(whole, epochs=settings.epochs, accuracy=settings.accuracy)
    short = [seed for seed in seeds if seed["pretraining_status"] == "not reached"]
    part |= {"memorization_diverged": lost, "memorization_not_reached": len(short)}
    if short:
        part["sentence"] += f" {len(short)} of {len(seeds)} pre-trainings ended below their target."
    if lost:
        part["sentence"] += f" {counted(lost, 'seed')} left out: the memorization diverged."
    return part


def _refuse_early(subject: ClassifierSubject, settings: PretrainingSettings) -> None:
    """What would stop every seed stops the run before the first."""
    model = subject.learner.fresh(0)
    head = find_head(model, subject.task.train.inputs)
    if "transfer" in settings.parts:
        for count in settings.reinitialize:
            last_layers(model, head, count)


def _some(subject: ClassifierSubject, count: int) -> Labelled:
    """So many training examples from the beginning; 0: all."""
    train = subject.task.train
    return train.first(count) if count else train


def _seed(*path: int) -> int:
    """A seed for one purpose, such as (run, index, purpose, round)."""
    return int(np.random.SeedSequence(path).generate_state(1)[0]) & 0x7FFFFFFF


def one_seed(shared: _Shared, *, index: int) -> dict[str, Any]:
    """All rounds of one network, and the fine-tuning of all conditions."""
    settings, subject = shared.settings, shared.subject
    examples = _some(subject, settings.examples)
    transfers = "transfer" in settings.parts
    count = settings.rounds if "rounds" in settings.parts else settings.transfer_round

    def seed(purpose: int, number: int = 0) -> int:
        return _seed(shared.seed, index, purpose, number)

    scratch = subject.learner.fresh(seed(_WEIGHTS))
    head = find_head(scratch, subject.task.train.inputs)
    model = copied(scratch)
    if settings.random_classes not in (None, subject.task.classes):
        replace_head(model, head, settings.random_classes or 0, seed(_HEAD))
    taken: list[Classifier] = []

    def take(number: int, now: Classifier) -> None:
        if transfers and number == settings.transfer_round:
            taken.append(copied(now))

    rounds = memorize(
        model,
        examples.inputs,
        [
            random_labels(
                examples.labels,
                settings.labels,
                settings.random_classes or subject.task.classes,
                seed(_LABELS, number),
            )
            for number in range(count)
        ],
        settings.memorizing,
        [seed(_ORDER, number) for number in range(count)],
        after=take,
    )
    return {
        "rounds": [one.plain() for one in rounds],
        "pretraining_status": rounds[min(settings.transfer_round, len(rounds)) - 1].status,
        "transfer": _conditions(shared, taken[0], scratch, head, seed(_OTHER), seed(_TUNING))
        if taken
        else None,
    }


def _conditions(
    shared: _Shared, pretrained: Classifier, scratch: Classifier, head: str, other: int, tuning: int
) -> dict[str, Any]:
    """Fine-tune every condition of a seed."""
    settings, task = shared.settings, shared.subject.task
    replace_head(pretrained, head, task.classes, other)
    starts = starting_points(
        pretrained,
        scratch,
        shared.subject.learner.fresh(other),
        head,
        reinitialize=settings.reinitialize,
        rescale=settings.rescale,
    )
    examples = _some(shared.subject, settings.labelled_examples)
    return {
        name: fine_tuned(model, examples, task.held_out, settings.fine_tuning, tuning)
        for name, model in starts.items()
    }
