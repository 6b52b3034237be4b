"""Figures of critical samples (Arpit et al. 2017, figures 7 to 9)."""

from __future__ import annotations

from typing import Any

from secretaudit.report.figure import Figure, Panel, Series
from secretaudit.report.values import with_interval

__all__ = ["figures", "tables"]

Table = tuple[str, list[str], list[list[str]]]

_KINDS = {"real": "real data", "randX": "random inputs", "randY": "random labels"}
_SETS = {
    "held_out": "held-out examples",
    "training": "training examples",
    "held_out_noise": "held-out noise",
}


def figures(part: dict[str, Any]) -> list[Figure]:
    """CSR on pure data and pure noise by epoch; accuracy and CSR of mixtures; CSR by radius.

    Args:
        part: "critical" of ``found["parts"]``.
    """
    conditions = [one for one in part.get("conditions", []) if one["looks"]]
    found = [_pure(part, conditions), _radii(part, conditions)] if conditions else []
    for kind in ("randY", "randX"):
        mixed = [one for one in conditions if one["kind"] in ("real", kind)]
        if any(0 < one["fraction"] < 1 for one in mixed):
            found.append(_mixed(part, kind, mixed))
    return found


def tables(part: dict[str, Any]) -> list[Table]:
    """CSR and accuracy after the last epoch, one row per condition, and the given model.

    Args:
        part: "critical" of ``found["parts"]``.
    """
    radii = part.get("radii", [])
    rows = [
        [
            _named(one),
            *(with_interval(mean, ".3f") for mean in one["looks"][-1]["csr"]["held_out"]),
            with_interval(one["looks"][-1]["train_accuracy"], ".3f"),
            with_interval(one["best_held_out_accuracy"], ".3f"),
        ]
        for one in part.get("conditions", [])
        if one["looks"]
    ]
    given = part.get("given")
    if given:
        accuracies = (given["train_accuracy"], given["held_out_accuracy"])
        numbers = [*given["csr"]["held_out"], *accuracies]
        rows.append(["the given model", *(f"{number:.3f}" for number in numbers)])
    if not rows:
        return []
    head = ["trained on", *(f"CSR held out, r = {r:g}" for r in radii)]
    return [
        (
            f"Critical samples, r in {part['unit']} (95 % intervals over trainings)",
            [*head, "training accuracy", "best held-out accuracy"],
            rows,
        )
    ]


def _pure(part: dict[str, Any], conditions: list[dict[str, Any]]) -> Figure:
    pure = [one for one in conditions if one["fraction"] in (0.0, 1.0)]
    return Figure(
        name="noise-critical",
        title="Critical samples during training (Arpit et al., figure 9)",
        caption=f"Share of examples with another prediction within r of them ({part['unit']}), with 95 % intervals over trainings. High after training on "
        "noise, low after training on data that has a pattern; the paper sees the same on held-out examples.",
        panels=tuple(
            Panel(
                title=f"{_SETS[name]}, r = {part['radii'][-1]:g}",
                x_label="epoch",
                y_label="critical sample ratio",
                series=tuple(
                    _by_epoch(
                        one,
                        _KINDS[one["kind"]],
                        [look["csr"][name][-1] for look in one["looks"]],
                    )
                    for one in pure
                    if name in one["looks"][0]["csr"]
                ),
                log_x=True,
                y_range=(0.0, 1.0),
            )
            for name in ("held_out", "training")
        ),
    )


def _radii(part: dict[str, Any], conditions: list[dict[str, Any]]) -> Figure:
    """At the last look; a model that was brought as one more line."""
    series = [
        _line(
            _named(one),
            tuple(part["radii"]),
            one["looks"][-1]["csr"]["held_out"],
        )
        for one in conditions
    ]
    if part.get("given"):
        ratios = tuple(part["given"]["csr"]["held_out"])
        series.append(Series(label="the given model", x=tuple(part["radii"]), y=ratios))
    return Figure(
        name="noise-critical-radii",
        title="Critical samples by the size of the box (ours; Arpit et al. have r = 0.3)",
        caption="Held-out examples after the last epoch. The paper says that other radii gave the same picture: the order of the lines should not change.",
        panels=(
            Panel(
                title="held-out examples",
                x_label=f"r, {part['unit']}",
                y_label="critical sample ratio",
                series=tuple(series),
                log_x=True,
                y_range=(0.0, 1.0),
            ),
        ),
    )


def _mixed(part: dict[str, Any], kind: str, conditions: list[dict[str, Any]]) -> Figure:
    accuracy = tuple(
        _by_epoch(one, f"{_share(one)}, {told}", [look[name] for look in one["looks"]], style)
        for one in conditions
        for name, told, style in (
            ("train_accuracy", "training", "line"),
            ("held_out_accuracy", "held out", "dashed"),
        )
    )
    ratios = tuple(
        _by_epoch(one, _share(one), [look["csr"]["held_out"][-1] for look in one["looks"]])
        for one in conditions
    )
    return Figure(
        name=f"noise-critical-mixed-{kind}",
        title=f"Data and {_KINDS[kind]} mixed (Arpit et al., figures 7 and 8)",
        caption=_mixed_caption(kind),
        panels=(
            Panel(
                title="accuracy",
                x_label="epoch",
                y_label="accuracy",
                series=accuracy,
                log_x=True,
                y_range=(0.0, 1.0),
            ),
            Panel(
                title=f"CSR, held out, r = {part['radii'][-1]:g}",
                x_label="epoch",
                y_label="critical sample ratio",
                series=ratios,
                log_x=True,
                y_range=(0.0, 1.0),
            ),
        ),
    )


def _mixed_caption(kind: str) -> str:
    """Of random labels the paper also says when held-out accuracy is best."""
    left = "Left: accuracy"
    if kind == "randY":
        left += "; the paper sees it best on held-out examples before it is high on the training examples"
    return f"{left}. Right: critical sample ratio on clean held-out examples; in the paper it is the higher the more noise there is. Means with 95 % intervals over trainings."


def _by_epoch(
    condition: dict[str, Any], label: str, means: list[dict[str, Any]], style: str = "line"
) -> Series:
    return _line(label, tuple(look["epoch"] for look in condition["looks"]), means, style)


def _line(
    label: str, x: tuple[float, ...], means: list[dict[str, Any]], style: str = "line"
) -> Series:
    return Series(
        label=label,
        x=x,
        y=tuple(one["mean"] for one in means),
        low=tuple(one["low"] for one in means),
        high=tuple(one["high"] for one in means),
        style=style,
    )


def _share(condition: dict[str, Any]) -> str:
    return f"{100 * condition['fraction']:g} % noise"


def _named(condition: dict[str, Any]) -> str:
    name = _KINDS[condition["kind"]]
    return name if condition["fraction"] in (0.0, 1.0) else f"{_share(condition)}: {name}"
