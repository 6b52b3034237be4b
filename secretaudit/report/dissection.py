"""Figures of the dissection (its tables are in ``dissection_tables``), from the ``found`` of its record.

The paper's own figures are not known to us (only its abstract was available), so no title carries one's number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from secretaudit.report.dissection_tables import tables
from secretaudit.report.figure import Figure, Matrix, Panel, Series

__all__ = ["figures", "tables"]

Found = dict[str, Any]

_ABOUT = "ours, after Gu & Tresp 2019"


def figures(found: Found) -> list[Figure]:
    """The figures of the parts that were measured; none for the others."""
    parts = found.get("parts", {})
    makers = {
        "agreement": _agreement,
        "representation": _representation,
        "input gradients": _input_gradients,
        "coherence": _coherence,
        "patterns": _patterns,
        "language": _language,
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
            title=f"Agreement of networks on held-out inputs ({_ABOUT})",
            caption="κ between every two networks: 1 for equal predictions, 0 for chance. One way to learn: the block of true labels is bright; "
            "N ways to memorize: those of random labels are dark.",
            panels=(_matrix(part, "kappa", "κ"), _bars(part, ("P_SAME", "kappa"))),
        )
    ]


def _input_gradients(part: Found) -> list[Figure]:
    return [
        Figure(
            name="dissection-input-gradients",
            title=f"Cosine of input gradients ({_ABOUT})",
            caption="Mean over examples of the cosine between the gradients of two networks' losses by the input. 1: they read the same features; 0: unrelated ones.",
            panels=(_matrix(part, "cosine", "cosine"), _bars(part, ("cosine",))),
        )
    ]


def _representation(part: Found) -> list[Figure]:
    layers = list(part["layers"])
    panels = []
    for measure in ("CKA", "debiased CKA", "SVCCA"):
        conditions = list(part["measures"][measure]["within"])
        series = [
            _series(
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
            )
        )
    return [
        Figure(
            name="dissection-representation",
            title=f"Similarity of representations, layer by layer ({_ABOUT})",
            caption="Mean over the pairs of networks of a condition, with the jackknife's 95 % interval over networks. Lines that part towards the output: networks that "
            "memorize share what the input gives, not what they make of it.",
            panels=tuple(panels),
        )
    ]


def _coherence(part: Found) -> list[Figure]:
    rows = {
        condition: [row for row in curves["mean_cosine"] if row["epoch"] > 0]
        for condition, curves in part["curves"].items()
    }
    wrong = [row for row in part["wrong_labels"]["curve"] if row["epoch"] > 0]
    along = tuple(
        _series(condition, [row["epoch"] for row in own], own)
        for condition, own in rows.items()
        if own
    )
    auc = (_series("", [row["epoch"] for row in wrong], wrong),) if wrong else ()
    return [
        Figure(
            name="dissection-coherence",
            title=f"Coherence of examples' gradients along training ({_ABOUT})",
            caption="Left: mean cosine between the parameter gradients of two training examples. Right: chance that a wrongly labelled example is less coherent with the "
            "others than a rightly labelled one; 0.5 is no difference.",
            panels=(
                Panel(
                    title="all pairs",
                    x_label="epoch",
                    y_label="mean cosine",
                    series=along,
                    log_x=True,
                    lines=((0.0, "unrelated"),),
                ),
                Panel(
                    title=f"{100 * part['wrong_labels']['share']:.0f} % wrong labels",
                    x_label="epoch",
                    y_label="AUC of low coherence",
                    series=auc,
                    log_x=True,
                    lines=((0.5, "no difference"),),
                ),
            ),
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
                _series(f"{grade['grade']} {cues['unit']}", grade["epochs"], grade["curves"][name])
                for grade in cues["by_grade"]
            ),
            y_range=(0.0, 1.0),
        )
        for name, title in (("cue", "the cue's class"), ("content", "the content's class"))
    ]
    made = [
        Figure(
            name="dissection-cues",
            title=f"Which pattern networks use where cue and content disagree ({_ABOUT})",
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
                _series(condition, quarters, _relative(rows["by_quarter"]))
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
                name="dissection-order",
                title=f"When examples are learned, by complexity ({_ABOUT})",
                caption="Mean over a quarter's examples and over networks of the first epoch after which the label was predicted, divided by the mean over all quarters. Rising lines: simple "
                "examples first.",
                panels=tuple(shown),
            )
        )
    return made


def _language(part: Found) -> list[Figure]:
    canaries = part["canaries"]
    times = sorted({row["insertions"] for row in canaries["points"]})
    points = tuple(
        Series(
            label="never inserted" if n == 0 else f"inserted {n} times",
            x=tuple(row["exposure_bits"] for row in rows),
            y=tuple(row["coherence"] for row in rows),
            style="points",
        )
        for n in times
        if (
            rows := [
                row
                for row in canaries["points"]
                if row["insertions"] == n and row["exposure_bits"] is not None
            ]
        )
    )
    usual = canaries["ordinary"]["coherence"]["mean"]
    return [
        Figure(
            name="dissection-language",
            title=f"Agreement of language models on held-out tokens ({_ABOUT})",
            caption="κ between every two models' most likely next tokens. Models of random text fit it as well as the others fit theirs.",
            panels=(
                _matrix(part, "kappa", "κ"),
                _bars(part, ("P_SAME", "kappa", "CKA")),
                Panel(
                    title="coherence of training lines",
                    x_label="epoch",
                    y_label="mean cosine",
                    series=tuple(
                        _series(kind, [row["epoch"] for row in rows], rows)
                        for kind, rows in part["coherence"]["curves"].items()
                        if rows
                    ),
                    log_x=True,
                ),
            ),
        ),
        Figure(
            name="dissection-canaries",
            title="Coherence of canaries with ordinary lines, against exposure (ours)",
            caption="Cosine between a canary's gradient and the sum of ordinary training lines' gradients. Canaries that were never inserted are as odd as the others, and not memorized: "
            "compare with them, not only with ordinary lines.",
            panels=(
                Panel(
                    title="canaries of all models",
                    x_label="exposure, bits",
                    y_label="coherence",
                    series=points,
                    lines=() if usual is None else ((usual, "ordinary lines, mean"),),
                ),
            ),
        ),
    ]


def _matrix(part: Found, measure: str, said: str) -> Matrix:
    names = tuple(_short(name) for name in part["networks"])
    return Matrix(
        title=f"{said} of pairs",
        x_label="network",
        y_label="network",
        columns=names,
        rows=names,
        values=tuple(tuple(row) for row in part["measures"][measure]["matrix"]),
    )


def _relative(rows: Sequence[Found]) -> list[Found]:
    """Each quarter's mean and interval, divided by the mean of the quarters."""
    known = [row["mean"] for row in rows if row["mean"] is not None]
    scale = sum(known) / len(known) if known and sum(known) else 1.0
    return [
        {name: None if row[name] is None else row[name] / scale for name in ("mean", "low", "high")}
        for row in rows
    ]


def _short(name: str) -> str:
    """The first word and the number: "true labels/0" as "true 0"."""
    condition, _, number = name.partition("/")
    return f"{condition.split()[0]} {number}".strip()


def _bars(part: Found, measures: Sequence[str]) -> Panel:
    conditions = list(part["measures"][measures[0]]["within"])
    return Panel(
        title="mean over pairs",
        x_label="condition",
        y_label="similarity",
        series=tuple(
            _series(
                measure,
                conditions,
                [part["measures"][measure]["within"][c] for c in conditions],
                "bars",
            )
            for measure in measures
        ),
    )


def _series(label: str, x: Sequence[Any], rows: Sequence[Found], style: str = "line") -> Series:
    return Series(
        label=label,
        x=tuple(x),
        y=tuple(row["mean"] for row in rows),
        low=tuple(row["low"] for row in rows),
        high=tuple(row["high"] for row in rows),
        style=style,
    )
