"""Agreement with its neighbours of anything that gives class probabilities: scikit-learn's estimators, or a few lines around another library.

No gradients and no layers are needed: ``predict_proba`` says what the predictor thinks, ``transform``, where there is one, is its embedding, and the
inputs themselves are where there is none.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from secretaudit.errors import ModelError
from secretaudit.suite.labelled import Labelled, Task
from secretaudit.suite.neighbours.comparison import (
    Seen,
    agreement_of_seen,
    drawn,
    k_sweep,
    most_neighbours,
    neighbours_of,
)
from secretaudit.suite.neighbours.layers import projected
from secretaudit.suite.neighbours.settings import NeighboursSettings

__all__ = ["Predictor", "agreement_of"]


class Predictor(Protocol):
    """Gives each row of numbers a probability per class; may have ``transform`` as well."""

    def predict_proba(self, rows: NDArray[np.float32]) -> Any:
        """Shape (n, d) → (n, K)."""


def agreement_of(
    predictor: Predictor,
    task: Task,
    settings: NeighboursSettings | None = None,
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """Hold a fitted predictor against the k nearest neighbours of its embedding.

    Args:
        predictor: Fitted on ``task.train``; is given inputs flattened to shape (n, d), float32.
        task: The examples.
        settings: k, distance, leave-one-out; ``None`` takes the defaults.
        seed: Of the draw of examples that are asked.

    Returns:
        ``embedding``: "transform" or "inputs"; ``agreement`` and ``k`` as in the record of ``suite neighbours``.

    Raises:
        ModelError: What the predictor gives is not a row of K probabilities per example.
        UsageError: Fewer training examples than neighbours.

    >>> from sklearn.linear_model import LogisticRegression
    >>> from secretaudit.suite.data.arrays import digits
    >>> task = digits()
    >>> model = LogisticRegression(max_iter=500).fit(task.train.inputs.flatten(1).numpy(), task.train.labels.numpy())
    >>> found = agreement_of(model, task)
    >>> found["embedding"], found["agreement"]["knn"]["held_out"]["p_same"] > 0.9
    ('inputs', True)
    """
    chosen = settings or NeighboursSettings()
    rows = drawn(len(task.train), chosen.queries, seed)
    asked = drawn(len(task.held_out), chosen.queries, seed + 1)
    train, held_out = _flat(task.train), _flat(task.held_out)[asked]
    transform = getattr(predictor, "transform", None)
    points, others = train, held_out
    if callable(transform):
        points, others = (
            _points(transform(train), len(train)),
            _points(transform(held_out), len(held_out)),
        )
    points, others = projected(points, others, chosen.pca)
    seen = Seen(
        train=points,
        train_labels=task.train.labels.numpy(),
        rows=rows,
        held_out=others,
        held_out_labels=task.held_out.labels.numpy()[asked],
        said_train=_said(predictor, train[rows], task.classes),
        said_held_out=_said(predictor, held_out, task.classes),
    )
    near = neighbours_of(seen, chosen, most_neighbours(seen, chosen))
    return {
        "embedding": "transform" if callable(transform) else "inputs",
        "agreement": agreement_of_seen(seen, near, chosen),
        "k": k_sweep(seen, near, chosen),
    }


def _flat(examples: Labelled) -> NDArray[np.float32]:
    found: NDArray[np.float32] = examples.inputs.flatten(1).float().numpy()
    return found


def _points(given: Any, rows: int) -> NDArray[np.float32]:
    """What ``transform`` gives, as points."""
    dense = given.toarray() if hasattr(given, "toarray") else given
    points = np.asarray(dense, dtype=np.float32)
    if len(points) != rows or points.ndim < 2:
        raise ModelError(
            f"transform gives shape {points.shape} for {rows} examples.",
            "An embedding has one row per example.",
            "Return an array of shape (n, features), or leave transform out.",
        )
    return points.reshape(rows, -1)


def _said(predictor: Predictor, rows: NDArray[np.float32], classes: int) -> NDArray[np.float64]:
    """Class probabilities, checked."""
    said = np.asarray(predictor.predict_proba(rows), dtype=np.float64)
    if said.shape != (len(rows), classes):
        raise ModelError(
            f"predict_proba gives shape {said.shape} for {len(rows)} examples of {classes} classes.",
            "It must give one row per example and one column per class of the task.",
            "Fit the predictor on examples of all classes, numbered from 0.",
        )
    return said
