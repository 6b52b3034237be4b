"""What is shown of ``suite neighbours``: agreement by condition, accuracy by layer, accuracy by k, and a language model beside its training text.

The figures answer to those of Cohen, Sapiro and Giryes 2018 in what is drawn; we know their numbers from the authors' scripts, not the numbers of
their figures, so titles name none. Everything is made from the ``found`` of a record; parts that are not there, or were not measured, are left
out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from secretaudit.report.figure import Figure, Panel, Series
from secretaudit.report.neighbours_tables import (
    CLASSIFIERS,
    TEXTS,
    Found,
    canaries,
    exposure_bits,
    measured,
    tables,
)

__all__ = ["figures", "tables"]

_SOURCE = "Cohen et al. 2018"
_SETS = (("train", "training"), ("held_out", "held out"))


def figures(found: Found) -> list[Figure]:
    """All figures of what was measured."""
    makers: dict[str, Callable[[Found], list[Figure]]] = {
        "agreement": _agreement_figure,
        "layers": _layers_figures,
        "k": _k_figure,
        "language": _language_figure,
    }
    return [
        figure
        for name, make in makers.items()
        if (part := found.get("parts", {}).get(name, {})).get("status") == "measured"
        for figure in make(part)
    ]


def _agreement_figure(part: Found) -> list[Figure]:
    rows = measured(part)
    names = tuple(row["condition"] for row in rows)

    def bars(figure: str, label: str) -> Series:
        return _series(label, names, [row["summary"].get(figure) for row in rows], "bars")

    same = [bars(f"{key}_p_same", label) for key, label in _SETS]
    linear = [
        bars(f"held_out_p_same_{key}", label)
        for key, label in CLASSIFIERS
        if any(f"held_out_p_same_{key}" in row["summary"] for row in rows)
    ]
    split = [bars("held_out_mc", "MC, network right"), bars("held_out_me", "ME, network wrong")]
    panels = [
        _shares("Same class as k-NN (P_SAME)", "condition", same),
        _shares("MC and ME on held-out examples", "condition", split),
    ]
    if linear:
        nearest = bars("held_out_p_same", "k-NN")
        panels.append(
            _shares("P_SAME on held-out examples, by classifier", "condition", [nearest, *linear])
        )
    return [
        Figure(
            name="neighbours-agreement",
            title=f"Agreement of the network with its neighbours (after {_SOURCE})",
            caption="Share of examples on which the network and k-NN on its embedding choose the same class. Equal bars: the network decides for new examples as "
            "its neighbours would. A lower bar for held-out examples: it memorized. Whiskers: 95 % over networks.",
            panels=tuple(panels),
        )
    ]


def _layers_figures(part: Found) -> list[Figure]:
    rows = measured(part)

    def panels(place: str) -> tuple[Panel, ...]:
        return tuple(
            _shares(row["condition"], "layer", _by_layer(row["summary"], place), "accuracy")
            for row in rows
        )

    return [
        Figure(
            name="neighbours-layers",
            title=f"Accuracy by layer, held-out examples (after {_SOURCE})",
            caption="k-NN and linear classifiers on what each layer gives, from the input to the scores, against the true labels.",
            panels=panels("held_out"),
        ),
        Figure(
            name="neighbours-layers-training",
            title=f"Accuracy by layer, training examples (after {_SOURCE})",
            caption="The same against the labels that were trained on. Where it rises under random labels, they are being memorized. k-NN leaves the point "
            "itself out unless the settings say otherwise; linear classifiers were fitted on these very points.",
            panels=panels("train"),
        ),
    ]


def _by_layer(table: list[Found], place: str) -> list[Series]:
    """One line per classifier over the layers."""
    names = tuple(str(entry["layer"]) for entry in table)
    return [
        _series(label, names, [entry.get(f"{key}_{place}_accuracy") for entry in table], "line")
        for key, label in CLASSIFIERS
        if any(f"{key}_{place}_accuracy" in entry for entry in table)
    ]


def _k_figure(part: Found) -> list[Figure]:
    rows = measured(part)

    def panel(figure: str, title: str) -> Panel:
        drawn = [
            _series(
                row["condition"],
                tuple(float(entry["k"]) for entry in row["summary"]),
                [entry.get(figure) for entry in row["summary"]],
                "line",
            )
            for row in rows
        ]
        return Panel(
            title=title,
            x_label="k, neighbours that vote",
            y_label="share",
            series=tuple(drawn),
            log_x=True,
            y_range=(0.0, 1.0),
        )

    return [
        Figure(
            name="neighbours-k",
            title=f"Number of neighbours (after {_SOURCE})",
            caption="Left: accuracy of k-NN on held-out examples. Right: share of them on which it chooses the network's class. Flat curves say that "
            "the classes are apart in the embedding; a k above the examples of a class falls for that reason alone.",
            panels=(
                panel("held_out_accuracy", "Accuracy of k-NN, held out"),
                panel("held_out_p_same", "P_SAME, held out"),
            ),
        )
    ]


def _language_figure(part: Found) -> list[Figure]:
    summary = part["summary"]
    names = tuple(label for _, label in TEXTS)
    same = _series("same token", names, [summary[f"{key}_p_same"] for key, _ in TEXTS], "bars")
    right = _series("model right", names, [summary[f"{key}_accuracy"] for key, _ in TEXTS], "bars")
    groups: dict[str, list[tuple[float, float]]] = {}
    for row in canaries(part):
        bits = exposure_bits(row)
        if bits is not None:
            label = f"inserted {row['insertions']}×" if row["insertions"] else "controls"
            groups.setdefault(label, []).append((bits, row["unsupported_share"]))
    panels = [_shares("Agreement with k-NN, and accuracy", "text", [same, right])]
    if groups:
        panels.append(
            Panel(
                title="Canaries: known without support",
                x_label="exposure, bits",
                y_label="share of the secret's tokens",
                series=tuple(
                    Series(
                        label=label,
                        x=tuple(x for x, _ in pairs),
                        y=tuple(y for _, y in pairs),
                        style="points",
                    )
                    for label, pairs in sorted(groups.items())
                ),
                y_range=(0.0, 1.0),
            )
        )
    return [
        Figure(
            name="neighbours-language",
            title="A language model beside the hidden states of its training text (ours)",
            caption="Left: share of positions at which the model's likeliest token is the one that followed most of the nearest training positions. Right: tokens of each "
            "secret that the model says and that no text but the canary's own copies would; a point is a canary.",
            panels=tuple(panels),
        )
    ]


def _series(label: str, x: tuple[Any, ...], means: list[Found | None], style: str) -> Series:
    """Means with their intervals."""
    return Series(
        label=label,
        x=x,
        y=tuple(None if mean is None else mean["mean"] for mean in means),
        low=tuple(None if mean is None else mean["low"] for mean in means),
        high=tuple(None if mean is None else mean["high"] for mean in means),
        style=style,
    )


def _shares(title: str, x_label: str, series: list[Series], y_label: str = "share") -> Panel:
    return Panel(
        title=title, x_label=x_label, y_label=y_label, series=tuple(series), y_range=(0.0, 1.0)
    )
