"""The sentence of each part: what a person reads first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["say_agreement", "say_layers", "say_sweep"]

Row = dict[str, Any]


def say_agreement(rows: Sequence[Row]) -> str:
    """Agreement on training and held-out examples, by condition."""
    told = [
        f"{row['condition']} {_percent(row['summary']['train_p_same'])} on training and {_percent(row['summary']['held_out_p_same'])} on held-out examples"
        for row in rows
    ]
    return "The network and its neighbours choose the same class (P_SAME): " + "; ".join(told) + "."


def say_layers(rows: Sequence[Row], chance: float) -> str:
    """The best layer of each condition, and whether it is better than chance."""
    told = []
    for row in rows:
        known = [
            e for e in row["summary"] if e.get("knn_held_out_accuracy", {}).get("mean") is not None
        ]
        if known:
            best = max(known, key=lambda e: e["knn_held_out_accuracy"]["mean"])
            mean = best["knn_held_out_accuracy"]
            low = mean["mean"] if mean["low"] is None else mean["low"]
            told.append(
                f"{row['condition']} at chance in every layer ({_percent(mean)} at most)"
                if low <= chance
                else f"{row['condition']} highest at {best['layer']}, {_percent(mean)}"
            )
    left_out = max((row["layers_left_out"] for row in rows), default=0)
    more = f" {left_out} layers between these were not looked at." if left_out else ""
    return "Accuracy of k-NN on held-out examples by layer: " + "; ".join(told) + "." + more


def say_sweep(rows: Sequence[Row]) -> str:
    """Accuracy of k-NN at the least and the largest k, by condition."""
    told = []
    for row in rows:
        known = [
            (e["k"], e["held_out_accuracy"]) for e in row["summary"] if e["held_out_accuracy"]["n"]
        ]
        if known:
            (low, a), (high, b) = known[0], known[-1]
            told.append(
                f"{row['condition']} {_percent(a)} with k = {low}, {_percent(b)} with k = {high}"
            )
    return "Accuracy of k-NN on held-out examples: " + "; ".join(told) + "."


def _percent(mean: dict[str, Any]) -> str:
    return "unknown" if mean["mean"] is None else f"{100 * mean['mean']:.1f} %"
