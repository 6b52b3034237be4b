"""What the critical part says: means over seeds, a sentence, and the paper's orderings (Arpit et al. 2017, figures 7 to 9).

A *condition* is one kind of data at one share of noise; its ``seeds`` are what its trainings gave: a status, looks with the ratios of each set of
inputs at each radius, and both accuracies of every epoch.
"""

from __future__ import annotations

from typing import Any

from secretaudit.suite.noise.builders import KINDS
from secretaudit.suite.noise.judging import ordering
from secretaudit.suite.statistics import mean_interval
from secretaudit.suite.wording import counted

__all__ = ["condition", "orderings", "sentence"]

#: A training accuracy is high from this share of its last value on.
HIGH = 0.9


def condition(kind: str, fraction: float, seeds: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds of one condition; trainings that diverged are counted and left out."""
    kept = [one for one in seeds if one["status"] != "diverged"]
    looks = []
    for index in range(len(kept[0]["looks"]) if kept else 0):
        rows = [one["looks"][index] for one in kept]
        epoch = rows[0]["epoch"]
        looks.append(
            {
                "epoch": epoch,
                "csr": {
                    name: [
                        mean_interval(values)
                        for values in zip(*(row["csr"][name] for row in rows), strict=True)
                    ]
                    for name in rows[0]["csr"]
                },
            }
            | {
                name: mean_interval([one[name][epoch - 1] for one in kept])
                for name in ("train_accuracy", "held_out_accuracy")
            }
        )
    return {
        "kind": kind,
        "fraction": fraction,
        "trainings": len(seeds),
        "diverged": len(seeds) - len(kept),
        "looks": looks,
        "best_held_out_accuracy": mean_interval([max(one["held_out_accuracy"]) for one in kept]),
        "best_epoch": mean_interval([_best_epoch(one) for one in kept]),
        "high_training_epoch": mean_interval([_high_epoch(one) for one in kept]),
        "seeds": seeds,
    }


def _best_epoch(one: dict[str, Any]) -> int:
    """The first epoch with the best held-out accuracy."""
    held = one["held_out_accuracy"]
    return int(held.index(max(held))) + 1


def _high_epoch(one: dict[str, Any]) -> int:
    """The first epoch whose training accuracy is at least ``HIGH`` of the last one."""
    train = one["train_accuracy"]
    return next(i for i, value in enumerate(train, 1) if value >= HIGH * train[-1])


def sentence(known: list[dict[str, Any]], diverged: int, radius: float, unit: str) -> str:
    """What a person reads first.

    Args:
        known: Conditions with looks.
        diverged: Trainings left out.
        radius: The largest; its ratio is told.
        unit: Of the radius.
    """
    if not known:
        return "No training came to an end: the loss was not a number; try a smaller csr_learning_rate."
    at = {one["kind"]: one["looks"][-1] for one in known if one["fraction"] in (0.0, 1.0)}
    shown = ", ".join(
        f"{100 * look['csr']['held_out'][-1]['mean']:.1f} % after training on {KINDS[kind]}"
        for kind, look in at.items()
    )
    told = f" {counted(diverged, 'training')} diverged, left out." if diverged else ""
    return f"Held-out examples with another prediction within {radius:g} {unit}: {shown}.{told}"


def _values(condition: dict[str, Any], radius: int) -> list[float | None]:
    """CSR on held-out examples at the last look, of every seed; nothing where the training diverged."""
    return [
        one["looks"][-1]["csr"]["held_out"][radius] if one["status"] != "diverged" else None
        for one in condition["seeds"]
    ]


def orderings(radii: list[float], conditions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The paper's, each with its rule."""
    named = {(one["kind"], one["fraction"]): one for one in conditions}
    real = named["real", 0.0]
    found = []
    for index, radius in enumerate(radii):
        for kind in ("randX", "randY"):
            found.append(
                ordering(
                    "critical",
                    f"CSR on held-out examples is higher after training on {KINDS[kind]} than on real data, r = {radius:g}",
                    _values(named[kind, 1.0], index),
                    _values(real, index),
                )
            )
    mixed = sorted({share for _, share in named if 0 < share < 1})
    return found + (_mixed(named, mixed[-1], mixed[0]) if mixed else [])


def _mixed(
    named: dict[tuple[str, float], dict[str, Any]], most: float, least: float
) -> list[dict[str, Any]]:
    """Of trainings on data and noise together; of the most noise, and for the turn to noise of the least."""
    found = []
    real = named["real", 0.0]
    for kind in ("randX", "randY"):
        some = named[kind, most]
        said = f"{100 * most:g} % {KINDS[kind]}"
        found.append(
            ordering(
                "critical",
                f"With {said} the CSR on held-out examples is higher than with none",
                _values(some, -1),
                _values(real, -1),
            )
        )
        found.append(
            ordering(
                "critical",
                f"With {said} the best held-out accuracy is lower than with none",
                _best(real),
                _best(some),
            )
        )
    turned = [one for one in named["randY", least]["seeds"] if one["status"] != "diverged"]
    said = f"{100 * least:g} % random labels"
    found.append(
        ordering(
            "critical",
            f"With {said} held-out accuracy is best before training accuracy is at {100 * HIGH:g} % of its last value (epochs)",
            [float(_high_epoch(one)) for one in turned],
            [float(_best_epoch(one)) for one in turned],
        )
    )
    found.append(
        ordering(
            "critical",
            f"With {said} the CSR on held-out examples is higher at the end than when held-out accuracy was best",
            [one["looks"][-1]["csr"]["held_out"][-1] for one in turned],
            [_at_best(one) for one in turned],
        )
    )
    return found


def _best(condition: dict[str, Any]) -> list[float | None]:
    return [
        max(one["held_out_accuracy"]) if one["status"] != "diverged" else None
        for one in condition["seeds"]
    ]


def _at_best(one: dict[str, Any]) -> float:
    """CSR at the last look that is not after the best epoch; the first look where there is none."""
    best = _best_epoch(one)
    known = [look for look in one["looks"] if look["epoch"] <= best] or one["looks"][:1]
    return float(known[-1]["csr"]["held_out"][-1])
