"""The dissection, from a subject to what was found.

First all networks of the conditions are trained (and the network that the user brought is looked at), then pairs are compared, then cues are trained on; each a
list of cells. Of the networks that reached the target accuracy every pair is compared; the others are named.

The questions are Gu & Tresp's (2019, abstract); every estimator is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from secretaudit._checks import one_of
from secretaudit.errors import ModelError, UsageError
from secretaudit.suite.cells import Cell
from secretaudit.suite.dissection import conditions, language, pairs, patterns, reading
from secretaudit.suite.dissection.conditions import CONDITIONS, Shared
from secretaudit.suite.dissection.settings import DissectionSettings
from secretaudit.suite.subject import ClassifierSubject, LanguageSubject, Run

__all__ = ["run"]

Trained = dict[str, dict[str, Any]]


def run(
    subject: ClassifierSubject | LanguageSubject, settings: DissectionSettings, run: Run
) -> dict[str, Any]:
    """Dissect what a kind of network learns and memorizes.

    Args:
        subject: Classifiers with examples, or language models with text.
        settings: The dials; parts that do not apply to the subject say so.
        run: Seed, cells, place.

    Returns:
        ``parts`` and ``orderings``, plain JSON.

    Raises:
        UsageError: No part of the settings applies, or a layer that the model does not have.
        ModelError: The model cannot read the data.
    """
    if isinstance(subject, LanguageSubject):
        return language.run(subject, settings, run)
    wanted = [part for part in settings.parts if part != "language"]
    if not wanted:
        raise UsageError(
            "No part applies to a classifier.",
            'The part "language" is of language models.',
            "Choose other parts, or give a text corpus.",
        )
    shared = _shared(subject, replace(settings, parts=tuple(wanted)), run.seed)
    identity = run.identity + repr(shared.settings)
    trained = _networks(shared, run, identity)
    pool = {
        name: network
        for name, network in trained.items()
        if network["condition"] in CONDITIONS and network["status"] in ("reached", "given")
    }
    parts = _could_not(trained)
    wanted = [part for part in wanted if part not in parts]
    if "agreement" in wanted:
        parts["agreement"] = reading.agreement(shared, pool)
    parts |= _compared_by_cells(shared, pool, run, identity, wanted)
    if "coherence" in wanted:
        parts["coherence"] = reading.coherence(shared, trained)
    if "patterns" in wanted:
        parts["patterns"] = _patterns_or_why_not(shared, trained, run, identity)
    if "language" in settings.parts:
        parts["language"] = {
            "status": "not applicable",
            "sentence": "A classifier is no language model.",
        }
    return {
        "networks": [
            {"name": name} | {key: network.get(key) for key in _TOLD}
            for name, network in trained.items()
        ],
        "parts": {name: parts[name] for name in settings.parts if name in parts},
        "orderings": [claim for part in parts.values() for claim in part.pop("orderings", [])],
    }


_TOLD = ("condition", "status", "epochs", "train_accuracy", "held_out_accuracy")


def _shared(subject: ClassifierSubject, settings: DissectionSettings, seed: int) -> Shared:
    """What the cells are given, after a look at the model and the data."""
    task = subject.task.smaller(settings.examples, settings.held_out)
    if len(task.train.labels.unique()) < 2 or len(task.held_out) < 4:
        raise UsageError(
            f"{task.name} has {len(task.train)} training examples of {len(task.train.labels.unique())} classes, and {len(task.held_out)} held-out examples.",
            "Networks are compared on at least two classes and four held-out examples.",
            "Give more examples, in a random order.",
        )
    one_of("kind", task.kind, ("image", "text", "table", "clip"))
    model = subject.learner.fresh(seed)
    layers: tuple[str, ...] = ()
    if "representation" in settings.parts:
        layers = conditions.compared_layers(model, settings.layers, settings.most_layers)
        if not layers:
            raise ModelError(
                "The model has no linear or convolutional layer.",
                "Representations are compared layer by layer.",
                "Name the layers, or leave the part out.",
            )
    return Shared(task=task, learner=subject.learner, settings=settings, layers=layers, seed=seed)


def _networks(shared: Shared, run: Run, identity: str) -> Trained:
    """All networks by name, with their condition; the one that was brought last."""
    cells = [
        Cell(
            name=f"{condition}/{index}",
            work=conditions.train,
            arguments={"condition": condition, "index": index},
        )
        for condition in conditions.conditions_of(shared.settings)
        for index in range(shared.settings.models)
    ]
    if shared.learner.given() is not None:
        cells.append(Cell(name="given", work=conditions.given))
    found = run.cells.run(cells, shared, identity=identity, stage="networks")
    told: Trained = {}
    for name, network in found.items():
        brought = name == "given"
        extra = {
            "condition": conditions.TRUE if brought else name.rsplit("/", 1)[0],
            "status": "given" if brought else network["status"],
        }
        told[name] = network | extra
    return told


def _compared_by_cells(
    shared: Shared, pool: Trained, run: Run, identity: str, wanted: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Representation and input gradients, as far as they are wanted: all pairs, a cell per layer."""
    layers = shared.layers if "representation" in wanted else ()
    cells = [
        Cell(name=f"layer/{name}", work=pairs.layer_pairs, arguments={"layer": name})
        for name in layers
    ]
    if "input gradients" in wanted:
        cells.append(Cell(name="input gradients", work=pairs.slope_pairs))
    found = run.cells.run(cells, (shared, pool), identity=identity, stage="pairs")
    parts = {}
    if layers:
        by_layer = {name: found[f"layer/{name}"] for name in layers}
        parts["representation"] = reading.representation(shared, pool, by_layer)
    if "input gradients" in found:
        parts["input gradients"] = reading.input_gradients(shared, pool, found["input gradients"])
    return parts


def _could_not(trained: Trained) -> dict[str, dict[str, Any]]:
    """Parts that the model does not allow, with the reason."""
    return {
        part: {"status": "could not measure", "sentence": reason}
        for network in trained.values()
        for part, reason in network["errors"].items()
    }


def _patterns_or_why_not(
    shared: Shared, trained: Trained, run: Run, identity: str
) -> dict[str, Any]:
    """Cues that do not fit into the data are told, and do not keep the other parts from being shown."""
    try:
        return _patterns(shared, trained, run, identity)
    except UsageError as error:
        return {"status": "could not measure", "sentence": str(error)}


def _patterns(shared: Shared, trained: Trained, run: Run, identity: str) -> dict[str, Any]:
    """Cues and learning order."""
    grades = patterns.cue_grades(shared)
    numbers = range(shared.settings.pattern_models)
    cells = {
        (grade, index): Cell(
            name=f"cue/{grade}/{index}",
            work=patterns.train_on_cues,
            arguments={"grade": grade, "index": index},
        )
        for grade in grades
        for index in numbers
    }
    done = run.cells.run(list(cells.values()), shared, identity=identity, stage="cues")
    found = {key: done[cell.name] for key, cell in cells.items()}
    return reading.patterns(shared, trained, found, grades)
