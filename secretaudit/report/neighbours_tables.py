"""The tables of ``suite neighbours``: agreement by condition, accuracy by layer, by k, a language model and its canaries."""

from __future__ import annotations

from typing import Any

__all__ = ["canaries", "exposure_bits", "measured", "tables"]

Found = dict[str, Any]
Table = tuple[str, list[str], list[list[str]]]

#: Key in the record and name of each classifier that stands beside the network.
CLASSIFIERS = (("knn", "k-NN"), ("svm", "linear SVM"), ("logistic", "logistic regression"))
_METRICS = {"l1": "L1", "l2": "L2"}
#: The same of the texts that a language model is asked about.
TEXTS = (
    ("train", "training text"),
    ("train_other_records", "training text, record left out"),
    ("held_out", "held-out text"),
)


def tables(found: Found) -> list[Table]:
    """The few tables that a person reads first."""
    parts = found.get("parts", {})
    made: list[Table] = []
    for name, make in (
        ("agreement", _agreement_table),
        ("layers", _layers_table),
        ("k", _k_table),
        ("language", _language_table),
    ):
        if parts.get(name, {}).get("status") == "measured":
            made.append(make(parts[name]))
    if parts.get("language", {}).get("status") == "measured":
        made += _canary_tables(parts["language"])
    return made


def measured(part: Found) -> list[Found]:
    """Conditions of a part that were measured."""
    return [row for row in part["conditions"] if row["status"] == "measured"]


def canaries(part: Found) -> list[Found]:
    """Canaries of all models."""
    return [row for model in part["models"] for row in model["canaries"]["rows"]]


def exposure_bits(row: Found) -> float | None:
    """Exposure, or what it is at least."""
    known = row["exposure_bits"]
    bits: float | None = row["exposure_low_bits"] if known is None else known
    return bits


def _agreement_table(part: Found) -> Table:
    head = [
        "condition", "networks", "network, held out", "k-NN, held out", "P_SAME, training", "P_SAME, held out", "MC, held out", "ME, held out",
        "KL, held out (nats)",
    ]  # fmt: skip
    figures_shown = (
        "held_out_network_accuracy",
        "held_out_knn_accuracy",
        "train_p_same",
        "held_out_p_same",
        "held_out_mc",
        "held_out_me",
    )
    rows = [
        [
            row["condition"],
            str(len(row["networks"])),
            *(_percent(row["summary"].get(figure)) for figure in figures_shown),
            _number(row["summary"].get("held_out_kl_nats")),
        ]
        for row in measured(part)
    ]
    title = (
        f"Agreement with k-NN on the embedding (k = {part['k']}, {_METRICS.get(part['metric'], part['metric'])}). "
        "MC and ME: share of the same class where the network is right and where it is wrong"
    )
    return (title, head, rows)


def _layers_table(part: Found) -> Table:
    head = ["condition", "layer", "features", "k-NN, training", *(f"{name}, held out" for _, name in CLASSIFIERS), "status"]  # fmt: skip
    rows = [
        [
            row["condition"],
            f"{entry['layer']} ({entry['kind']})",
            "–" if entry.get("features") is None else str(entry["features"]),
            _percent(entry.get("knn_train_accuracy")),
            *(_percent(entry.get(f"{key}_held_out_accuracy")) for key, _ in CLASSIFIERS),
            _status(entry),
        ]
        for row in measured(part)
        for entry in row["summary"]
    ]
    return ("Accuracy by layer", head, rows)


def _k_table(part: Found) -> Table:
    head = ["condition", "k", "k-NN, held out", "P_SAME, training", "P_SAME, held out", "status"]
    rows = [
        [
            row["condition"],
            str(entry["k"]),
            _percent(entry.get("held_out_accuracy")),
            _percent(entry.get("train_p_same")),
            _percent(entry.get("held_out_p_same")),
            str(entry["status"]),
        ]
        for row in measured(part)
        for entry in row["summary"]
    ]
    return ("Number of neighbours", head, rows)


def _language_table(part: Found) -> Table:
    summary = part["summary"]
    rows = [
        [
            label,
            *(
                _percent(summary.get(f"{key}_{figure}"))
                for figure in ("accuracy", "other_accuracy", "p_same", "mc", "me")
            ),
        ]
        for key, label in TEXTS
    ]
    return (
        f"Next tokens: the model and k-NN over hidden states (k = {part['k']}, {_METRICS.get(part['metric'], part['metric'])}). MC and ME: the same token where the model is right and where it is wrong",
        ["text", "model right", "k-NN right", "P_SAME", "MC", "ME"],
        rows,
    )


def _canary_tables(part: Found) -> list[Table]:
    rows = canaries(part)
    if not rows:
        return []
    known: dict[int, list[Found]] = {}
    for row in rows:
        known.setdefault(row["insertions"], []).append(row)
    shown = [
        [
            str(insertions) if insertions else "0 (controls)",
            str(len(group)),
            _plain_mean([exposure_bits(row) for row in group], 1),
            *(
                _plain_mean([row[figure] for row in group], 2)
                for figure in ("right_share", "unsupported_share", "self_share")
            ),
        ]
        for insertions, group in sorted(known.items())
    ]
    head = ["insertions", "canaries", "exposure, bits", "secret tokens right", "without support", "own copy nearest"]  # fmt: skip
    return [("Canaries beside their neighbours, means", head, shown)]


def _status(entry: Found) -> str:
    """Of a layer, with the linear classifiers that stopped early."""
    stuck = [
        f"{name}: {entry[f'{key}_not_converged']} not converged"
        for key, name in CLASSIFIERS
        if entry.get(f"{key}_not_converged")
    ]
    return "; ".join([str(entry.get("status", "measured")), *stuck])


def _percent(mean: Found | None) -> str:
    if mean is None or mean["mean"] is None:
        return "–"
    half = "" if mean["high"] is None else f" ± {100 * (mean['high'] - mean['mean']):.1f}"
    return f"{100 * mean['mean']:.1f}{half} %"


def _number(mean: Found | None) -> str:
    return "–" if mean is None or mean["mean"] is None else f"{mean['mean']:.3f}"


def _plain_mean(values: list[float | None], digits: int) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.{digits}f}" if known else "–"
