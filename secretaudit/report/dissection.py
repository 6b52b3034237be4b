"""Figures of the dissection (its tables are in ``dissection_tables``), from the ``found`` of its record.

The paper's own figures are not known to us (only its abstract was available), so no title carries one's number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from secretaudit.report.dissection_language import language_figures
from secretaudit.report.dissection_panels import (
    ABOUT,
    mean_series,
    pair_bars,
    pair_matrix,
    pair_values,
)
from secretaudit.report.dissection_tables import tables
from secretaudit.report.figure import Figure, Panel, Series

__all__ = ["figures", "tables"]

Found = dict[str, Any]


def figures(found: Found) -> list[Figure]:
    """The figures of the parts that were measured; none for the others."""
    parts = found.get("parts", {})
    makers = {
        "agreement": _agreement,
        "representation": _representation,
        "input gradients": _input_gradients,
        "coherence": _coherence,
        "patterns": _patterns,
        "language": language_figures,
    }
    made: list[Figure] = []
    for name, make in makers.items():
        part = parts.get(name)
        if part is not None and part.get("status") in ("measured", "not reached"):
            made += make(part)
    return made


def _agreement(part: Found) -> list[Figure]:
    return [
        Figure(
            name="dissection-agreement",
            title=f"Agreement of networks on held-out inputs ({ABOUT})",
            caption=_agreement_caption(part),
            panels=(pair_matrix(part, "kappa", "κ"), pair_bars(part, ("P_SAME", "kappa"))),
        )
    ]


def _agreement_caption(part: Found) -> str:
    """What the colours mean, of the conditions that there are."""
    there = part["measures"]["kappa"]["within"]
    text = "κ between every two networks: 1 for equal predictions, 0 for chance; the larger, the lighter."
    if any(value is not None and value < 0 for row in pair_values(part, "kappa") for value in row):
        text = "κ between every two networks: 1 for equal predictions (saturated), 0 for chance (pale)."
    if "true labels" in there:
        text += " One way to learn: high in the block of true labels."
    if any("random" in name for name in there):
        text += " N ways to memorize: low in those of random labels."
    return text


def _input_gradients(part: Found) -> list[Figure]:
    return [
        Figure(
            name="dissection-input-gradients",
            title=f"Cosine of input gradients ({ABOUT})",
            caption="Mean over examples of the cosine between the gradients of two networks' losses by the input. 1: they read the same features; 0: unrelated ones.",
            panels=(pair_matrix(part, "cosine", "cosine"), pair_bars(part, ("cosine",))),
        )
    ]


def _representation(part: Found) -> list[Figure]:
    layers = list(part["layers"])
    panels = []
    for measure in ("CKA", "debiased CKA", "SVCCA"):
        conditions = list(part["measures"][measure]["within"])
        series = [
            mean_series(
                condition,
                layers,
                [part["layers"][layer][measure]["within"][condition] for layer in layers],
            )
            for condition in conditions
        ]
        if measure == "SVCCA":
            chance = tuple(part["layers"][layer]["SVCCA by chance"] for layer in layers)
            series.append(
                Series(label="random subspaces", x=tuple(layers), y=chance, style="dashed")
            )
        panels.append(
            Panel(
                title=measure,
                x_label="layer",
                y_label=f"{measure}, mean over pairs",
                series=tuple(series),
                y_range=(_bottom(series), 1.0),
            )
        )
    return [
        Figure(
            name="dissection-representation",
            title=f"Similarity of representations, layer by layer ({ABOUT})",
            caption="Mean over the pairs of networks of a condition, with the jackknife's 95 % interval over networks (none from two networks). Lines that part towards the "
            "output: networks that memorize share what the input gives, not what they make of it.",
            panels=tuple(panels),
        )
    ]


def _bottom(series: Sequence[Series]) -> float:
    """0, or a tenth below the lowest value: the debiased CKA can lie below 0."""
    ends = [end for one in series for side in (one.y, one.low) for end in side if end is not None]
    return min(0.0, math.floor(10 * min(ends, default=0.0)) / 10)


def _coherence(part: Found) -> list[Figure]:
    rows = {
        condition: [row for row in curves["mean_cosine"] if row["epoch"] > 0]
        for condition, curves in part["curves"].items()
    }
    wrong = [row for row in part["wrong_labels"]["curve"] if row["epoch"] > 0]
    along = tuple(
        mean_series(condition, [row["epoch"] for row in own], own)
        for condition, own in rows.items()
        if own
    )
    panels = [
        Panel(
            title="all pairs",
            x_label="epoch",
            y_label="mean cosine",
            series=along,
            log_x=True,
            lines=((0.0, "unrelated"),),
        )
    ]
    caption = "Mean cosine between the parameter gradients of two training examples, with 95 % intervals over networks."
    if wrong:
        panels.append(
            Panel(
                title=f"{100 * part['wrong_labels']['share']:.0f} % wrong labels",
                x_label="epoch",
                y_label="AUC of low coherence",
                series=(mean_series("", [row["epoch"] for row in wrong], wrong),),
                log_x=True,
                lines=((0.5, "no difference"),),
            )
        )
        caption += " Right: chance that a wrongly labelled example is less coherent with the others than a rightly labelled one; 0.5 is no difference."
    return [
        Figure(
            name="dissection-coherence",
            title=f"Coherence of examples' gradients along training ({ABOUT})",
            caption=caption,
            panels=tuple(panels),
        )
    ]


def _patterns(part: Found) -> list[Figure]:
    cues, order = part["cues"], part["order"]
    panels = [
        Panel(
            title=title,
            x_label="epoch",
            y_label="share of predictions",
            series=tuple(
                mean_series(
                    _grade(grade["grade"], cues["unit"]), grade["epochs"], grade["curves"][name]
                )
                for grade in cues["by_grade"]
            ),
            y_range=(0.0, 1.0),
        )
        for name, title in (("cue", "the cue's class"), ("content", "the content's class"))
    ]
    made = [
        Figure(
            name="dissection-patterns-cues",
            title=f"Which pattern networks use where cue and content disagree ({ABOUT})",
            caption="Trained on examples whose cue and content agree; asked about held-out examples that carry the cue of another class. Cues from the simplest to the most "
            "complex.",
            panels=tuple(panels),
        )
    ]
    quarters = ["simple", "2nd", "3rd", "complex"]
    shown = [
        Panel(
            title=name,
            x_label="quarter of the examples",
            y_label="first-learned epoch / mean",
            series=tuple(
                mean_series(condition, quarters, _relative(rows["by_quarter"]))
                for condition, rows in conditions.items()
            ),
            lines=((1.0, "all examples"),),
        )
        for name, conditions in order["complexity"].items()
        if conditions
    ]
    if shown:
        made.append(
            Figure(
                name="dissection-patterns-order",
                title=f"When examples are learned, by complexity ({ABOUT})",
                caption="Mean over a quarter's examples and over networks of the first epoch after which the label was predicted, divided by the mean over all quarters. Rising lines: simple "
                "examples first.",
                panels=tuple(shown),
            )
        )
    return made


def _grade(grade: int, unit: str) -> str:
    """Such as "1 pixel" and "8 pixels"."""
    return f"{grade} {unit.removesuffix('s')}" if grade == 1 else f"{grade} {unit}"


def _relative(rows: Sequence[Found]) -> list[Found]:
    """Each quarter's mean and interval, divided by the mean of the quarters."""
    known = [row["mean"] for row in rows if row["mean"] is not None]
    scale = sum(known) / len(known) if known and sum(known) else 1.0
    return [
        {name: None if row[name] is None else row[name] / scale for name in ("mean", "low", "high")}
        for row in rows
    ]
