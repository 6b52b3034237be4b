"""Figures of capacity and data-set size (Arpit et al. 2017, figures 5 and 6)."""

from __future__ import annotations

from typing import Any

from secretaudit.report.figure import Figure, Panel, Series
from secretaudit.report.values import said

__all__ = ["figures", "tables"]

Table = tuple[str, list[str], list[list[str]]]

_KINDS = {"real": "real data", "randX": "random inputs", "randY": "random labels"}


def figures(part: dict[str, Any]) -> list[Figure]:
    """Best held-out accuracy by units; epochs to the target by units and by examples.

    Args:
        part: "capacity" of ``found["parts"]``.
    """
    curves = part.get("curves", [])
    axes = list(dict.fromkeys(curve["axis"] for curve in curves))
    found = []
    if "units" in axes:
        found.append(_accuracy([c for c in curves if c["axis"] == "units"], part))
    if axes:
        found.append(_time(part, curves, axes))
    return found


def tables(part: dict[str, Any]) -> list[Table]:
    """Epochs to the target, one table per axis, one row per kind and share of noise.

    Args:
        part: "capacity" of ``found["parts"]``.
    """
    made: list[Table] = []
    curves = part.get("curves", [])
    for axis in dict.fromkeys(curve["axis"] for curve in curves):
        some = [curve for curve in curves if curve["axis"] == axis]
        values = [str(point["value"]) for point in some[0]["points"]]
        rows = [
            [_named(curve), *(_epochs(point) for point in curve["points"]), _slope(curve)]
            for curve in some
        ]
        title = f"Epochs to {100 * part['target']:g} % training accuracy by {axis}, {_fixed(axis, part)}"
        made.append((title, ["trained on", *values, "epochs per doubling"], rows))
    return made


def _epochs(point: dict[str, Any]) -> str:
    """Epochs of a point, or what was reached instead."""
    if point["epochs_to_target"]["mean"] is not None:
        return f"{point['epochs_to_target']['mean']:.1f}"
    reached = point["train_accuracy"]["mean"]
    if point["status"] == "diverged" or reached is None:
        return "diverged"
    return f"not reached ({100 * reached:.0f} %)"


def _slope(curve: dict[str, Any]) -> str:
    """A slope; where some points did not get there the least that it can be, where none did no number."""
    if all(point["epochs_to_target"]["mean"] is None for point in curve["points"]):
        return "not reached"
    bound = " or steeper" if curve["slope_is_lower_bound"] else ""
    return f"{said(curve['slope']['mean'], '.1f')}{bound}"


def _named(curve: dict[str, Any]) -> str:
    name = _KINDS[curve["kind"]]
    return name if curve["kind"] == "real" else f"{100 * curve['fraction']:g} % {name}"


def _accuracy(curves: list[dict[str, Any]], part: dict[str, Any]) -> Figure:
    return Figure(
        name="noise-capacity",
        title="Held-out accuracy against capacity (Arpit et al., figure 5)",
        caption="The best accuracy on clean held-out examples until the training ended. With noise among the training examples, more units are needed to get there.",
        panels=(
            Panel(
                title=f"{part['fixed_examples']} training examples",
                x_label=f"units ({part['width']})",
                y_label="best held-out accuracy",
                series=tuple(
                    _series(curve, [point["best_held_out_accuracy"] for point in curve["points"]])
                    for curve in curves
                ),
                log_x=True,
                y_range=(0.0, 1.0),
            ),
        ),
    )


def _time(part: dict[str, Any], curves: list[dict[str, Any]], axes: list[str]) -> Figure:
    """Where a target was not reached, the line has a gap."""
    return Figure(
        name="noise-capacity-convergence",
        title=f"Epochs to {100 * part['target']:g} % training accuracy (Arpit et al., figure 6)",
        caption=f"Means over trainings with 95 % intervals; gaps: not reached in {part['most_epochs']} epoch{'s' * (part['most_epochs'] != 1)} by every training. Fewer units slow training down, "
        "and more so the more noise there is.",
        panels=tuple(
            Panel(
                title=_fixed(axis, part),
                x_label=f"units ({part['width']})" if axis == "units" else "training examples",
                y_label="epochs",
                series=tuple(
                    _series(curve, [point["epochs_to_target"] for point in curve["points"]])
                    for curve in curves
                    if curve["axis"] == axis
                ),
                log_x=True,
                y_range=_from_zero([curve for curve in curves if curve["axis"] == axis]),
            )
            for axis in axes
        ),
    )


def _from_zero(curves: list[dict[str, Any]]) -> tuple[float, float] | None:
    """No epochs below 0, whatever an interval says; ``None`` where there are none."""
    means = [point["epochs_to_target"] for curve in curves for point in curve["points"]]
    ends = [value for mean in means for value in (mean["mean"], mean["high"]) if value is not None]
    return (0.0, 1.02 * max(ends)) if ends else None


def _fixed(axis: str, part: dict[str, Any]) -> str:
    if axis == "units":
        return f"{part['fixed_examples']} training examples"
    return f"{part['fixed_units']} units" if part["fixed_units"] else "the model as it is"


def _series(curve: dict[str, Any], means: list[dict[str, Any]]) -> Series:
    return Series(
        label=_named(curve),
        x=tuple(point["value"] for point in curve["points"]),
        y=tuple(one["mean"] for one in means),
        low=tuple(one["low"] for one in means),
        high=tuple(one["high"] for one in means),
    )
