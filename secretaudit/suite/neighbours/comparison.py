"""A classifier beside its neighbours: everything that is taken from points, labels and class probabilities, no model needed.

``Seen`` is what a classifier was seen to do: the points it gives the training examples, the labels it was trained on, and for the examples that are
*asked* (rows of the training part, and held-out examples) its class probabilities. The neighbours always come from all training examples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secretaudit.errors import CouldNotMeasure, UsageError
from secretaudit.suite.neighbours.engine import nearest, nearest_others, votes
from secretaudit.suite.neighbours.measures import (
    agreement,
    difference_interval,
    divergence_over_samples_nats,
    divergences_nats,
    generalization_error,
)
from secretaudit.suite.neighbours.probes import linear_probe
from secretaudit.suite.neighbours.settings import NeighboursSettings

__all__ = ["Neighbours", "Seen", "agreement_of_seen", "at_layer", "k_sweep", "neighbours_of"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """Points, labels and what the classifier says.

    Attributes:
        train: Points of all training examples, shape (n, d).
        train_labels: That it was trained on, shape (n,).
        rows: Training examples that are asked, shape (q,).
        held_out: Points of held-out examples that are asked, shape (m, d).
        held_out_labels: Shape (m,).
        said_train: Its class probabilities on the rows, shape (q, K).
        said_held_out: Its class probabilities on the held-out examples, shape (m, K).
    """

    train: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    rows: NDArray[np.int64]
    held_out: NDArray[np.float32]
    held_out_labels: NDArray[np.int64]
    said_train: NDArray[np.float64]
    said_held_out: NDArray[np.float64]

    def __post_init__(self) -> None:
        worst = int(max(self.train_labels.max(), self.held_out_labels.max()))
        if worst >= self.classes:
            raise UsageError(
                f"A label is {worst}, and the classifier knows {self.classes} classes.",
                "Classes are numbered from 0.",
                "Give the examples that the classifier was made for.",
            )
        for said in (self.said_train, self.said_held_out):
            if not np.isfinite(said).all():
                raise CouldNotMeasure(
                    "The classifier gives probabilities that are NaN or infinite.",
                    "No class is the likeliest of such.",
                    "Check its weights and its inputs.",
                )

    @property
    def classes(self) -> int:
        """K."""
        return int(self.said_train.shape[1])

    def at(self, train: NDArray[np.float32], held_out: NDArray[np.float32]) -> Seen:
        """The same with the points of another layer."""
        return replace(self, train=train, held_out=held_out)


@dataclass(frozen=True, kw_only=True, eq=False)
class Neighbours:
    """Indices of training examples, nearest first.

    Attributes:
        train: Of the rows that are asked, shape (q, k).
        held_out: Of the held-out examples, shape (m, k).
    """

    train: NDArray[np.int64]
    held_out: NDArray[np.int64]

    def first(self, k: int) -> Neighbours:
        """The k nearest of them."""
        return Neighbours(train=self.train[:, :k], held_out=self.held_out[:, :k])


def neighbours_of(seen: Seen, settings: NeighboursSettings, count: int) -> Neighbours:
    """The nearest training examples of everything that is asked.

    Raises:
        UsageError: There are not so many, or all have one class.
    """
    if len(np.unique(seen.train_labels)) < 2:
        raise UsageError(
            "All training examples have one class.",
            "Then all neighbours agree, whatever the network does.",
            "Give examples of at least two classes.",
        )
    how = {"metric": settings.metric, "engine": settings.engine}
    if settings.leave_one_out:
        train = nearest_others(seen.train, seen.rows, count, **how)
    else:
        train = nearest(seen.train, seen.train[seen.rows], count, **how)
    return Neighbours(train=train, held_out=nearest(seen.train, seen.held_out, count, **how))


def most_neighbours(seen: Seen, settings: NeighboursSettings) -> int:
    """How many one search has to find: for k and for those k of the sweep that there are examples for."""
    there = len(seen.train) - (1 if settings.leave_one_out else 0)
    return max(settings.k, *(k for k in settings.k_values if k <= there), 0)


def agreement_of_seen(
    seen: Seen, found: Neighbours, settings: NeighboursSettings
) -> dict[str, Any]:
    """MC, ME, P_SAME and divergences between the classifier and its k nearest neighbours; P_SAME of linear classifiers beside them."""
    k_train, k_held = _votes(seen, found.first(settings.k))
    train = _beside(seen, "train", k_train)
    held_out = _beside(seen, "held_out", k_held)
    return {
        "k": settings.k,
        "knn": {"train": train, "held_out": held_out},
        "p_same_gap": difference_interval(train, held_out),
        "generalization_error": {
            "network": generalization_error(train["accuracy"], held_out["accuracy"]),
            "knn": generalization_error(train["other_accuracy"], held_out["other_accuracy"]),
        },
        "kl_over_samples_nats": {
            "train": divergence_over_samples_nats(k_train, seen.said_train).tolist(),
            "held_out": divergence_over_samples_nats(k_held, seen.said_held_out).tolist(),
        },
        "probes": {kind: _probe(kind, seen, settings) for kind in settings.probes},
    }


def k_sweep(seen: Seen, found: Neighbours, settings: NeighboursSettings) -> list[dict[str, Any]]:
    """Accuracy of the neighbours and their agreement with the classifier, by k."""
    rows = []
    for k in settings.k_values:
        if k > found.train.shape[1]:
            rows.append({"k": k, "status": f"not applicable: {len(seen.train)} training examples"})
            continue
        k_train, k_held = _votes(seen, found.first(k))
        rows.append(
            {
                "k": k,
                "status": "measured",
                "train": _brief(_beside(seen, "train", k_train)),
                "held_out": _brief(_beside(seen, "held_out", k_held)),
            }
        )
    return rows


def at_layer(seen: Seen, settings: NeighboursSettings) -> dict[str, Any]:
    """Accuracy and agreement of k-NN and linear classifiers on the points of one layer."""
    k_train, k_held = _votes(seen, neighbours_of(seen, settings, settings.k))
    found: dict[str, Any] = {
        "knn": {
            "train": _brief(_beside(seen, "train", k_train)),
            "held_out": _brief(_beside(seen, "held_out", k_held)),
            "status": "measured",
        }
    }
    for kind in settings.probes:
        probe = _probe(kind, seen, settings)
        found[kind] = {part: _brief(probe[part]) for part in ("train", "held_out")}
        found[kind]["status"] = probe["status"]
    return found


def _votes(seen: Seen, found: Neighbours) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return (
        votes(seen.train_labels, found.train, seen.classes),
        votes(seen.train_labels, found.held_out, seen.classes),
    )


def _beside(seen: Seen, part: str, shares: NDArray[np.float64]) -> dict[str, Any]:
    """Agreement of the classifier with votes, and the mean divergence."""
    said = seen.said_train if part == "train" else seen.said_held_out
    found = agreement(said.argmax(1), shares.argmax(1), _labels(seen, part))
    return found | {"kl_nats": float(divergences_nats(shares, said).mean())}


def _labels(seen: Seen, part: str) -> NDArray[np.int64]:
    return seen.train_labels[seen.rows] if part == "train" else seen.held_out_labels


def _brief(found: dict[str, Any]) -> dict[str, Any]:
    """What a table of many rows keeps of an agreement."""
    return {
        "accuracy": found["other_accuracy"],
        "p_same": found["p_same"],
        "kl_nats": found.get("kl_nats"),
    }


def _probe(kind: str, seen: Seen, settings: NeighboursSettings) -> dict[str, Any]:
    """A linear classifier beside the classifier, on the same examples."""
    rows = drawn(len(seen.train), settings.probe_examples, seed=len(seen.train))
    probe = linear_probe(
        kind,
        seen.train[rows],
        seen.train_labels[rows],
        [seen.train[seen.rows], seen.held_out],
        iterations=settings.probe_iterations,
    )
    on_train, on_held_out = probe.classes
    return {
        "status": probe.status,
        "train": agreement(seen.said_train.argmax(1), on_train, _labels(seen, "train")),
        "held_out": agreement(seen.said_held_out.argmax(1), on_held_out, _labels(seen, "held_out")),
    }


def drawn(there: int, most: int, seed: int) -> NDArray[np.int64]:
    """At most so many of the numbers below ``there``, in order."""
    if there <= most:
        return np.arange(there)
    return np.sort(np.random.default_rng([seed, there]).choice(there, most, replace=False))
