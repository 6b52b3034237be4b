"""``suite neighbours``: all networks of all conditions, or a language model, and what the paper says of them.

``run`` gives the ``found`` of a record. Every network is one cell: it is trained, looked at and forgotten, so that cells run side by side. What is
said about a condition is the mean over its networks with Student's 95 % interval; a network that was given is one, and the intervals of its shares are
over examples.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from secretaudit.errors import UsageError
from secretaudit.suite.cells import Cell
from secretaudit.suite.neighbours.findings import orderings, parts_of_networks
from secretaudit.suite.neighbours.language import language_part
from secretaudit.suite.neighbours.network import network_cell
from secretaudit.suite.neighbours.settings import TRAINED, NeighboursSettings
from secretaudit.suite.subject import ClassifierSubject, LanguageSubject, Run, Subject

__all__ = ["run"]

_OF_CLASSIFIERS = ("layers", "agreement", "k")


def run(subject: Subject, settings: NeighboursSettings, run: Run) -> dict[str, Any]:
    """Measure.

    Args:
        subject: A classifier with its examples, or a language model with its text.
        settings: What, and how.
        run: Seed, cells, place.

    Returns:
        ``parts`` and ``orderings``, plain JSON.

    Raises:
        UsageError: Fewer training examples than neighbours, or a layer that the model does not have.
        CouldNotMeasure: Embeddings that are not numbers.
    """
    if isinstance(subject, LanguageSubject):
        part, judged = language_part(subject, settings, run)
        parts = {name: _not_applicable("a language model") for name in settings.parts}
        return {
            "parts": parts | ({"language": part} if "language" in settings.parts else {}),
            "orderings": judged if "language" in settings.parts else [],
        }
    wanted = [name for name in settings.parts if name in _OF_CLASSIFIERS]
    networks = _networks(subject, settings, run) if wanted else {}
    parts = parts_of_networks(networks, wanted, settings, subject.task.classes)
    if "language" in settings.parts:
        parts["language"] = _not_applicable("a classifier")
    return {
        "parts": parts,
        "orderings": orderings(networks, wanted, settings, subject.task.classes),
    }


def _networks(
    subject: ClassifierSubject, settings: NeighboursSettings, run: Run
) -> dict[str, list[dict[str, Any]]]:
    """What was found for each network, by condition."""
    names = _conditions(subject, settings)
    _refuse_few(subject, settings, names)
    cells = []
    for name in names:
        for number in range(1 if name == "given" else settings.seeds):
            seed = int(np.random.SeedSequence([run.seed, number]).generate_state(1)[0]) % 2**31
            arguments = {"name": name, "seed": seed}
            cells.append(Cell(name=f"{name}/{number}", work=network_cell, arguments=arguments))
    found = run.cells.run(
        cells,
        (subject.task, subject.learner, settings),
        identity=run.identity + repr(settings),
        stage="neighbours",
    )
    return {
        name: [row for key, row in found.items() if key.rpartition("/")[0] == name]
        for name in names
    }


def _conditions(subject: ClassifierSubject, settings: NeighboursSettings) -> tuple[str, ...]:
    """Those that were named; else the given network, else all that can be trained."""
    if settings.conditions:
        return tuple(dict.fromkeys(settings.conditions))
    return ("given",) if subject.learner.given() is not None else TRAINED


def _refuse_few(
    subject: ClassifierSubject, settings: NeighboursSettings, names: tuple[str, ...]
) -> None:
    """Refuse before anything is trained."""
    there = len(subject.task.train)
    if "over-fit" in names:
        there = min(there, settings.overfit_examples)
    if there - (1 if settings.leave_one_out else 0) < settings.k:
        raise UsageError(
            f"k is {settings.k}, and the smallest training set has {there} examples.",
            "Neighbours are training examples, and a point is not its own.",
            "Give a smaller k, or more examples (--overfit-examples for the over-fitting runs).",
        )


def _not_applicable(subject: str) -> dict[str, Any]:
    return {"status": "not applicable", "sentence": f"This part does not apply to {subject}."}
