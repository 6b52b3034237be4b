"""From networks to what a person reads: means over networks, one sentence per part, and the paper's orderings with a verdict.

Each ordering has its rule beside it, fixed before the run. ``holds`` is ``None`` where the networks that it needs are not there, or too few for an
interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from secretaudit.suite.neighbours.sentences import say_agreement, say_layers, say_sweep
from secretaudit.suite.neighbours.settings import NeighboursSettings
from secretaudit.suite.statistics import mean_interval, paired_difference

__all__ = ["orderings", "parts_of_networks"]

Networks = dict[str, list[dict[str, Any]]]
Row = dict[str, Any]
#: "differences ≤ 1 point".
POINT = 0.01
_LINEAR = {"svm": "linear SVM", "logistic": "logistic regression"}


def parts_of_networks(
    networks: Networks, wanted: Sequence[str], settings: NeighboursSettings, classes: int
) -> dict[str, dict[str, Any]]:
    """One entry per part: status, sentence, conditions with their networks and means."""
    makers = {"agreement": _agreement, "layers": _layers, "k": _sweep}
    sentences: dict[str, Callable[[Sequence[Row]], str]] = {
        "agreement": say_agreement,
        "layers": lambda rows: say_layers(rows, 1.0 / classes),
        "k": say_sweep,
    }
    parts = {}
    for name in wanted:
        rows = [makers[name](condition, looked) for condition, looked in networks.items()]
        measured = [row for row in rows if row["status"] == "measured"]
        parts[name] = {
            "status": "measured" if measured else "could not measure",
            "sentence": sentences[name](measured) + _left_out(rows) + _fits(networks)
            if measured
            else "No network could be looked at: "
            + "; ".join(dict.fromkeys(row["status"] for row in rows))
            + ".",
            "k": settings.k,
            "metric": settings.metric,
            "leave_one_out": settings.leave_one_out,
            "engine": settings.engine,
            "conditions": rows,
        }
    return parts


def _left_out(rows: Sequence[Row]) -> str:
    """Conditions that could not be measured."""
    missing = [row["condition"] for row in rows if row["status"] != "measured"]
    return f" Not measured: {', '.join(missing)}." if missing else ""


def orderings(
    networks: Networks, wanted: Sequence[str], settings: NeighboursSettings, classes: int
) -> list[dict[str, Any]]:
    """What the paper reports, held against these networks."""
    found = []
    if "agreement" in wanted:
        found += [
            _close(networks),
            _lower(networks),
            _low(networks, classes),
            _follows(networks),
            *(_linear(networks, kind) for kind in settings.probes),
        ]
    if "k" in wanted:
        found.append(_insensitive(networks))
    if "layers" in wanted:
        found += [_deeper(networks), _last_layers(networks)]
    return found


def _measured(looked: Sequence[Row], part: str) -> list[Row]:
    return [row for row in looked if row["status"] == "measured" and part in row]


def _condition(name: str, looked: Sequence[Row], part: str) -> dict[str, Any]:
    """Head of a condition's entry."""
    usable = _measured(looked, part)
    return {
        "condition": name,
        "status": "measured" if usable else "; ".join(sorted({row["status"] for row in looked})),
        "fits": [row.get("fit") for row in looked],
        "networks": [
            {"seed": row["seed"], "train_examples": row["train_examples"], part: row[part]}
            for row in usable
        ],
    }


def _mean(rows: Sequence[Row], pick: Callable[[Row], float | None]) -> dict[str, Any]:
    """Mean over networks of what is known."""
    return mean_interval([value for row in rows if (value := pick(row)) is not None])


def _agreement(name: str, looked: Sequence[Row]) -> dict[str, Any]:
    usable = _measured(looked, "agreement")
    summary: dict[str, Any] = {}
    for part in ("train", "held_out"):
        for figure in ("accuracy", "other_accuracy", "mc", "me", "p_same", "kl_nats"):
            shown = {"accuracy": "network_accuracy", "other_accuracy": "knn_accuracy"}.get(
                figure, figure
            )
            summary[f"{part}_{shown}"] = _mean(usable, _at("agreement", "knn", part, figure))
        for kind in usable[0]["agreement"]["probes"] if usable else ():
            summary[f"{part}_p_same_{kind}"] = _mean(
                usable, _at("agreement", "probes", kind, part, "p_same")
            )
    summary["p_same_gap"] = _mean(usable, _at("agreement", "p_same_gap", "difference"))
    for who in ("network", "knn"):
        summary[f"generalization_error_{who}"] = _mean(
            usable, _at("agreement", "generalization_error", who)
        )
    return _condition(name, looked, "agreement") | {"summary": summary}


def _layers(name: str, looked: Sequence[Row]) -> dict[str, Any]:
    """Means by layer, over the networks in which the layer was measured."""
    usable = _measured(looked, "layers")
    table = []
    for first in usable[0]["layers"] if usable else ():
        same = [
            row
            for network in usable
            for row in network["layers"]
            if row["layer"] == first["layer"] and row["status"] == "measured"
        ]
        entry = {key: first.get(key) for key in ("layer", "kind", "features", "used", "status")}
        for classifier in ("knn", "svm", "logistic"):
            have = [row for row in same if classifier in row]
            for part in ("train", "held_out"):
                for figure in ("accuracy", "p_same"):
                    if have:
                        entry[f"{classifier}_{part}_{figure}"] = _mean(
                            have, _at(classifier, part, figure)
                        )
            stuck = sum(row[classifier]["status"] != "measured" for row in have)
            if stuck:
                entry[f"{classifier}_not_converged"] = stuck
        table.append(entry)
    left_out = usable[0]["layers_left_out"] if usable else 0
    return _condition(name, looked, "layers") | {"summary": table, "layers_left_out": left_out}


def _sweep(name: str, looked: Sequence[Row]) -> dict[str, Any]:
    usable = _measured(looked, "k")
    table = []
    for place, first in enumerate(usable[0]["k"] if usable else ()):
        same = [row["k"][place] for row in usable if row["k"][place]["status"] == "measured"]
        entry: dict[str, Any] = {"k": first["k"], "status": first["status"]}
        for part in ("train", "held_out"):
            for figure in ("accuracy", "p_same", "kl_nats"):
                entry[f"{part}_{figure}"] = _mean(same, _at(part, figure))
        table.append(entry)
    return _condition(name, looked, "k") | {"summary": table}


def _at(*path: str) -> Callable[[Row], float | None]:
    """Looks up a figure."""

    def pick(row: Row) -> float | None:
        value: Any = row
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return None if value is None else float(value)

    return pick


def _fits(networks: Networks) -> str:
    """Says which trainings stopped short of their target."""
    short = [
        f"{len(missed)} of {len(looked)} with {name}"
        for name, looked in networks.items()
        if (missed := [row for row in looked if row.get("fit", {}).get("status") == "not reached"])
    ]
    return (
        f" Trainings that did not reach their target accuracy: {', '.join(short)}." if short else ""
    )


def _values(networks: Networks, name: str, part: str, *path: str) -> list[float]:
    pick = _at(part, *path)
    rows = _measured(networks.get(name, ()), part)
    return [value for row in rows if (value := pick(row)) is not None]


def _ordering(part: str, claim: str, seen: dict[str, Any], holds: bool | None) -> dict[str, Any]:
    return {"part": part, "claim": claim, "seen": seen, "holds": holds}


def _close(networks: Networks) -> dict[str, Any]:
    network = _values(networks, "true labels", "agreement", "knn", "held_out", "accuracy")
    knn = _values(networks, "true labels", "agreement", "knn", "held_out", "other_accuracy")
    seen = paired_difference(knn, network)
    return _ordering(
        "agreement",
        "With true labels k-NN on the embedding is as accurate on held-out examples as the network: the mean difference is at most 1 point.",
        {"k-NN": mean_interval(knn), "network": mean_interval(network), "difference": seen},
        abs(seen["mean"]) <= POINT if seen["n"] else None,
    )


def _lower(networks: Networks) -> dict[str, Any]:
    path = ("agreement", "knn", "held_out", "p_same")
    true, random = (_values(networks, name, *path) for name in ("true labels", "random labels"))
    seen = _paired(true, random)
    return _ordering(
        "agreement",
        "P_SAME on held-out examples falls under random labels: true labels minus random labels is above 0 with its 95 % interval.",
        {
            "true labels": mean_interval(true),
            "random labels": mean_interval(random),
            "difference": seen,
        },
        None if seen["low"] is None else seen["low"] > 0,
    )


def _low(networks: Networks, classes: int) -> dict[str, Any]:
    """Our number for "low"; of two classes, half of the predictions agree by chance."""
    path = ("agreement", "knn", "held_out", "p_same")
    seen = mean_interval(_values(networks, "random labels", *path))
    return _ordering(
        "agreement",
        "P_SAME on held-out examples stays low under random labels: its mean is below one half.",
        {"random labels": seen},
        seen["mean"] < 0.5 if seen["n"] and classes > 2 else None,
    )


def _follows(networks: Networks) -> dict[str, Any]:
    train = _values(networks, "random labels", "agreement", "knn", "train", "p_same")
    held = _values(networks, "random labels", "agreement", "knn", "held_out", "p_same")
    seen = _paired(train, held)
    return _ordering(
        "agreement",
        "Under random labels k-NN follows the network on the training examples and not on held-out ones: P_SAME on training minus held-out examples is above 0 with its 95 % interval.",
        {"training": mean_interval(train), "held out": mean_interval(held), "difference": seen},
        None if seen["low"] is None else seen["low"] > 0,
    )


def _linear(networks: Networks, kind: str) -> dict[str, Any]:
    probe = _values(networks, "random labels", "agreement", "probes", kind, "held_out", "p_same")
    knn = _values(networks, "random labels", "agreement", "knn", "held_out", "p_same")
    seen = _paired(probe, knn)
    return _ordering(
        "agreement",
        f"Under random labels a linear classifier ({_LINEAR[kind]}) agrees with the network on held-out examples more than k-NN does: the difference of P_SAME is above 0 with its 95 % interval.",
        {_LINEAR[kind]: mean_interval(probe), "k-NN": mean_interval(knn), "difference": seen},
        None if seen["low"] is None else seen["low"] > 0,
    )


def _insensitive(networks: Networks) -> dict[str, Any]:
    rows = [row for row in _measured(networks.get("true labels", ()), "k") if row["k"]]
    by_k: dict[int, list[float]] = {}
    for row in rows:
        for entry in row["k"]:
            if entry["status"] == "measured":
                by_k.setdefault(entry["k"], []).append(entry["held_out"]["accuracy"])
    means = {k: mean_interval(values) for k, values in by_k.items()}
    middle = [found["mean"] for found in means.values()]
    return _ordering(
        "k",
        "With true labels the accuracy of k-NN on the embedding hardly depends on k: the means over k lie within 1 point.",
        {f"k = {k}:": found for k, found in means.items()},
        max(middle) - min(middle) <= POINT if len(middle) > 1 else None,
    )


def _deeper(networks: Networks) -> dict[str, Any]:
    first, last = _ends(networks, "true labels", "held_out")
    seen = _paired(last, first)
    return _ordering(
        "layers",
        "With true labels k-NN on held-out examples is more accurate at the embedding than at the first layer: the difference is above 0 with its 95 % interval.",
        {"first layer": mean_interval(first), "embedding": mean_interval(last), "difference": seen},
        None if seen["low"] is None else seen["low"] > 0,
    )


def _last_layers(networks: Networks) -> dict[str, Any]:
    first, last = _ends(networks, "random labels", "train")
    seen = _paired(last, first)
    return _ordering(
        "layers",
        "Random labels are memorized in the last layers: k-NN finds the labels of training examples at the embedding better than at the first layer, with the 95 % interval above 0.",
        {"first layer": mean_interval(first), "embedding": mean_interval(last), "difference": seen},
        None if seen["low"] is None else seen["low"] > 0,
    )


def _ends(networks: Networks, name: str, part: str) -> tuple[list[float], list[float]]:
    """k-NN accuracy at the first layer and at the embedding, network by network."""
    first, last = [], []
    for row in _measured(networks.get(name, ()), "layers"):
        known = [entry for entry in row["layers"] if entry["status"] == "measured"]
        at = [entry for entry in known if entry["layer"] == "embedding"]
        if len(known) > 1 and at:
            first.append(known[0]["knn"][part]["accuracy"])
            last.append(at[0]["knn"][part]["accuracy"])
    return first, last


def _paired(first: list[float], second: list[float]) -> dict[str, Any]:
    """Difference seed by seed; without an interval where a training is missing."""
    return paired_difference(first, second) if len(first) == len(second) else mean_interval([])
