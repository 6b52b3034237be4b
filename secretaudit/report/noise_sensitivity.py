"""Sensitivity to single examples: Gini coefficients along training, and the matrix of classes (Arpit et al., figures 3 and 4)."""

from __future__ import annotations

from typing import Any

from secretaudit.report.figure import Figure, Matrix, Panel, Series
from secretaudit.report.values import with_interval

__all__ = ["figures", "tables"]

_LABELS = {"real": "real data", "randX": "random inputs (randX)", "randY": "random labels (randY)"}
_TITLES = {"labels": "Labels of the data", "one class per example": "One class per example"}


def figures(part: dict[str, Any]) -> list[Figure]:
    """Gini coefficients, sorted sensitivities, and the matrices."""
    made = [_gini_figure(part), _sorted_figure(part)]
    matrices = {name: k["matrix"] for name, k in part["tasks"]["labels"].items() if "matrix" in k}
    return [*made, _matrix_figure(part, matrices)] if matrices else made


def _gini_figure(part: dict[str, Any]) -> Figure:
    return Figure(
        name="noise-sensitivity",
        title="Inequality of the sensitivity to examples (Arpit et al., figure 3)",
        caption=(
            f"Gini coefficient over examples of the L1 norm of the training loss's derivative by the example, through the updates of SGD ({part['derivative']}), "
            f"averaged up to t; {part['network']}. High: few examples matter. Low: nearly all do, as when each is memorized by itself. With 95 % intervals "
            "over initial weights."
        ),
        panels=tuple(
            Panel(
                title=_TITLES[task],
                x_label="updates of SGD, t",
                y_label="Gini coefficient",
                series=tuple(
                    _line(part["at"], _LABELS[k], seen["gini"]) for k, seen in kinds.items()
                ),
                y_range=(0.0, 1.0),
            )
            for task, kinds in part["tasks"].items()
        ),
    )


def _line(at: list[int], label: str, entries: list[dict[str, Any]]) -> Series:
    """Means with their intervals."""
    return Series(
        label=label,
        x=tuple(at),
        y=tuple(entry["mean"] for entry in entries),
        low=tuple(entry["low"] for entry in entries),
        high=tuple(entry["high"] for entry in entries),
    )


def _sorted_figure(part: dict[str, Any]) -> Figure:
    kinds = part["tasks"]["labels"]
    curves = []
    for name, seen in kinds.items():
        total = sum(seen["sorted"])
        shares = [
            value * len(seen["sorted"]) / total if total else None for value in seen["sorted"]
        ]
        curves.append(
            Series(label=_LABELS[name], x=tuple(range(1, len(shares) + 1)), y=tuple(shares))
        )
    return Figure(
        name="noise-sensitivity-sorted",
        title="Sensitivity to examples, sorted (what the Gini coefficients of figure 3 sum up)",
        caption="Mean sensitivity of each example over the training, in multiples of the mean of all, sorted from the largest. Right: how large it is as training proceeds.",
        panels=(
            Panel(
                title="Sorted",
                x_label="rank of the example",
                y_label="sensitivity over its mean",
                series=tuple(curves),
            ),
            Panel(
                title="Size",
                x_label="updates of SGD, t",
                y_label="mean sensitivity, nats per unit of input",
                series=tuple(
                    _line(part["at"], _LABELS[k], seen["mean"]) for k, seen in kinds.items()
                ),
                log_y=True,
            ),
        ),
    )


def _matrix_figure(part: dict[str, Any], matrices: dict[str, Any]) -> Figure:
    names = tuple(part["class_names"])
    return Figure(
        name="noise-sensitivity-classes",
        title="Whose examples the loss of a class hangs on (Arpit et al., figure 4)",
        caption="Row: the class whose loss it is. Column: the class of the examples. Logarithmic colours. A dominant diagonal says that classes are fitted each by itself.",
        panels=tuple(
            Matrix(
                title=_LABELS[name],
                x_label="class of the examples",
                y_label="class of the loss",
                columns=names,
                rows=names,
                values=tuple(tuple(row) for row in matrix),
                log=True,
            )
            for name, matrix in matrices.items()
        ),
    )


def tables(part: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """One row per task and kind of data, at the end of training."""
    rows = []
    for task, kinds in part["tasks"].items():
        for name, seen in kinds.items():
            rows.append(
                [
                    _TITLES[task],
                    _LABELS[name],
                    with_interval(seen["gini"][-1], ".2f"),
                    f"{100 * seen['accuracy'][-1]['mean']:.1f} %",
                    with_interval(seen["dominance"], ".2f") if "dominance" in seen else "–",
                ]
            )
    head = ["task", "data", "Gini coefficient", "training accuracy", "diagonal over rest"]
    title = f"Sensitivity after {part['updates']} update{'s' * (part['updates'] != 1)} ({part['derivative']})"
    return [(title, head, rows)]
