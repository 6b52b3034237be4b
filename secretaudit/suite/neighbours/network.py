"""One network: trained under a condition, or given; then its layers, its agreement with its neighbours, and the sweep over k."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from secretaudit.errors import CouldNotMeasure
from secretaudit.suite.classifier import Classifier
from secretaudit.suite.fitting import fit
from secretaudit.suite.labelled import Labelled, Task
from secretaudit.suite.learner import Learner
from secretaudit.suite.neighbours.comparison import (
    Seen,
    agreement_of_seen,
    at_layer,
    drawn,
    k_sweep,
    most_neighbours,
    neighbours_of,
)
from secretaudit.suite.neighbours.conditions import condition
from secretaudit.suite.neighbours.layers import (
    Layer,
    class_probabilities,
    embedding_of,
    features,
    layers_of,
    projected,
    spread,
)
from secretaudit.suite.neighbours.settings import NeighboursSettings

__all__ = ["look", "network_cell", "probabilities_and_points"]

#: What the cells share.
Shared = tuple[Task, Learner, NeighboursSettings]


def network_cell(shared: Shared, *, name: str, seed: int) -> dict[str, Any]:
    """Train under a condition (or take the given model) and look at it.

    Args:
        shared: Task, learner, settings.
        name: The condition.
        seed: Of everything random.

    Returns:
        The fit and one entry per part that was asked for.
    """
    task, learner, settings = shared
    if name == "given":
        model = learner.given()
        if model is None:
            return {"condition": name, "seed": seed, "status": "not applicable: no trained model"}
        head = {
            "condition": name,
            "seed": seed,
            "status": "measured",
            "train_examples": len(task.train),
        }
        return head | look(model, task.train, task.held_out, settings, seed)
    given = condition(name, task, settings, seed)
    model = learner.fresh(seed)
    done = fit(model, given.train, given.fit, seed, held_out=task.held_out)
    head = {
        "condition": name,
        "seed": seed,
        "status": "measured",
        "train_examples": len(given.train),
        "fit": {
            "status": done.status,
            "epochs": len(done.epochs),
            "train_accuracy": done.train_accuracy,
            "held_out_accuracy": done.held_out_accuracy,
        },
    }
    if done.status == "diverged":
        return head | {"status": "could not measure: the training diverged"}
    return head | look(model, given.train, task.held_out, settings, seed)


def look(
    model: Classifier,
    train: Labelled,
    held_out: Labelled,
    settings: NeighboursSettings,
    seed: int,
) -> dict[str, Any]:
    """All that is asked for about a network with weights.

    Args:
        model: The network.
        train: What it was trained on, with those labels.
        held_out: What it was not trained on.
        settings: Parts, k, distance, layers.
        seed: Of the draw of examples that are asked.
    """
    seen = probabilities_and_points(model, train, held_out, settings, seed)
    found: dict[str, Any] = {}
    if {"agreement", "k"} & set(settings.parts):
        near = neighbours_of(seen, settings, most_neighbours(seen, settings))
        if "agreement" in settings.parts:
            found["agreement"] = agreement_of_seen(seen, near, settings)
        if "k" in settings.parts:
            found["k"] = k_sweep(seen, near, settings)
    if "layers" in settings.parts:
        asked = drawn(len(held_out), settings.queries, seed + 1)
        known = layers_of(model, train.inputs, settings.layers, settings.embedding)
        places = known if settings.layers else spread(known, settings.most_layers)
        few = held_out.chosen(_rows(asked))
        found["layers"] = [_layer(model, train, few, seen, place, settings) for place in places]
        found["layers_left_out"] = len(known) - len(places)
    return found


def probabilities_and_points(
    model: Classifier,
    train: Labelled,
    held_out: Labelled,
    settings: NeighboursSettings,
    seed: int,
) -> Seen:
    """The network's class probabilities on what is asked, and embeddings."""
    rows = drawn(len(train), settings.queries, seed)
    few = held_out.chosen(_rows(drawn(len(held_out), settings.queries, seed + 1)))
    place = embedding_of(model, settings.embedding)
    points, others = projected(
        features(model, train.inputs, place, pool=settings.pool),
        features(model, few.inputs, place, pool=settings.pool),
        settings.pca,
    )
    return Seen(
        train=points,
        train_labels=train.labels.numpy(),
        rows=rows,
        held_out=others,
        held_out_labels=few.labels.numpy(),
        said_train=class_probabilities(model, train.inputs[_rows(rows)]),
        said_held_out=class_probabilities(model, few.inputs),
    )


def _layer(
    model: Classifier,
    train: Labelled,
    few: Labelled,
    seen: Seen,
    place: Layer,
    settings: NeighboursSettings,
) -> dict[str, Any]:
    """One row of the table by layers."""
    head = {"layer": place.name, "module": place.module, "kind": place.kind}
    try:
        points = features(model, train.inputs, place, pool=settings.pool)
        others = features(model, few.inputs, place, pool=settings.pool)
        width = points.shape[1]
        points, others = projected(points, others, settings.pca)
        found = at_layer(seen.at(points, others), settings)
    except CouldNotMeasure as error:
        return head | {"status": f"could not measure: {error}"}
    return head | {"status": "measured", "features": width, "used": points.shape[1]} | found


def _rows(chosen: NDArray[np.int64]) -> torch.Tensor:
    return torch.from_numpy(chosen)
