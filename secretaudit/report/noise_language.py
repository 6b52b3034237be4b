"""Figures of language models on text and on noise (after Arpit et al. 2017, figures 6 to 8, 10 and 11)."""

from __future__ import annotations

from typing import Any

from secretaudit.report.figure import Figure, Panel, Series
from secretaudit.report.values import with_interval

__all__ = ["figures", "tables"]

Table = tuple[str, list[str], list[list[str]]]
_NAMES = {"real": "real text", "tokens": "random text", "shuffled": "shuffled lines"}
_RECIPES: dict[str, str] = {"none": "plain", "privacy": "differential privacy"}


def figures(part: dict[str, Any]) -> list[Figure]:
    """How text and noise are fitted, what mixtures cost, and what regularizers buy.

    Args:
        part: "language" of ``found["parts"]``.
    """
    fit, rows = part.get("fit", {}), part.get("regularizers", [])
    made = []
    if fit:
        made.append(_fit(part, fit))
    if any(" " in name for name in fit):
        made.append(_mixtures(fit))
    if len(rows) > 1:
        made.append(_regularizers(rows))
    return made


def tables(part: dict[str, Any]) -> list[Table]:
    """Fit and regularizers, one row per condition.

    Args:
        part: "language" of ``found["parts"]``.
    """
    made: list[Table] = []
    if part.get("fit"):
        head = ["text", "bits per token", "accuracy", "fresh lines, bits", "epochs to the target"]
        made.append(
            (
                f"Fit after {part['epochs']} epochs (target: accuracy {part['target_accuracy']:g})",
                head,
                [_fit_row(name, fit) for name, fit in part["fit"].items()],
            )
        )
    if part.get("regularizers"):
        head = ["recipe", "held out, bits", "memorized, bits", "exposure, bits", "verdict"]
        made.append(
            (
                "Which regularizer buys privacy at no cost",
                head,
                [_regularizer_row(row) for row in part["regularizers"]],
            )
        )
    return made


def _fit_row(name: str, fit: dict[str, Any]) -> list[str]:
    final, reached = fit["final"], fit["epochs_to_target"]
    best = max((b for b in reached["best_accuracy"] if b is not None), default=None)
    missed = "not reached" if best is None else f"not reached (best {best:.2f})"
    return [
        _named(name),
        with_interval(final["training"]["bits"], ".2f"),
        with_interval(final["training"]["accuracy"], ".2f"),
        with_interval(final["fresh"]["bits"], ".2f"),
        with_interval(reached, ".1f") if reached["status"] == "reached" else missed,
    ]


def _regularizer_row(row: dict[str, Any]) -> list[str]:
    return [
        _recipe(row),
        with_interval(row["held_out_bits"], ".2f"),
        with_interval(row["memorized_bits"], ",.0f"),
        with_interval(row["exposure_bits"], ".1f"),
        row["verdict"],
    ]


def _recipe(row: dict[str, Any]) -> str:
    """A recipe by name, such as "dropout 0.5"."""
    name: str = _RECIPES.get(row["name"], row["name"])
    if row["name"] == "none":
        return name
    if row["name"] != "privacy":
        return f"{name} {row['value']:g}"
    epsilon = "" if row["epsilon"] is None else f" (ε {row['epsilon']:.3g})"
    return f"{name}, noise {row['value']:g}{epsilon}"


def _named(text: str) -> str:
    kind, _, share = text.partition(" ")
    name = _NAMES.get(kind, kind)
    return f"{name}, {100 * float(share):g} % of the lines" if share else name


def _series(label: str, x: list[Any], means: list[dict[str, Any]], style: str = "line") -> Series:
    return Series(
        label=label,
        x=tuple(x),
        y=tuple(m["mean"] for m in means),
        low=tuple(m["low"] for m in means),
        high=tuple(m["high"] for m in means),
        style=style,
    )


def _fit(part: dict[str, Any], fit: dict[str, Any]) -> Figure:
    whole = {name: found for name, found in fit.items() if " " not in name}
    panels = []
    for number, label, line in (
        ("bits", "bits per token", ()),
        ("accuracy", "accuracy of the next token", ((part["target_accuracy"], "target"),)),
    ):
        trained = [
            _series(_named(name), found["epoch"], found[f"training_{number}"])
            for name, found in whole.items()
        ]
        fresh = [
            _series(
                f"{_named(name)}, fresh lines", found["epoch"], found[f"fresh_{number}"], "dashed"
            )
            for name, found in whole.items()
            if name in ("real", "tokens")
        ]
        panels.append(
            Panel(
                title="Lines trained on, and fresh ones",
                x_label="epochs",
                y_label=label,
                series=(*trained, *fresh),
                y_range=(0.0, 1.0) if number == "accuracy" else None,
                lines=line,
            )
        )
    return Figure(
        name="noise-language-fit",
        title="How text and noise are fitted (language models; after Arpit et al., figure 6)",
        caption="The same recipe on real lines, on random text of the same unigram distribution, and on shuffled lines. What falls on random text is "
        "memorized: fresh lines of the same kind do not get cheaper.",
        panels=tuple(panels),
    )


def _mixtures(fit: dict[str, Any]) -> Figure:
    shares = {"real": 0.0, "tokens": 1.0}
    shares |= {name: float(name.split(" ")[1]) for name in fit if " " in name}
    known = sorted((share, name) for name, share in shares.items() if name in fit)
    clean = [
        fit[name]["final"].get("clean", fit[name]["final"]["fresh"])["bits"] for _, name in known
    ]
    return Figure(
        name="noise-language-mixtures",
        title="Noise among the lines (language models; after Arpit et al., figures 7 and 8)",
        caption="Bits per token of clean held-out lines after training on lines of which a share is random text.",
        panels=(
            Panel(
                title="",
                x_label="share of random lines",
                y_label="held-out bits per token",
                series=(_series("", [share for share, _ in known], clean),),
            ),
        ),
    )


def _regularizers(rows: list[dict[str, Any]]) -> Figure:
    names = dict.fromkeys(row["name"] for row in rows)
    most = next((row["held_out_bits"]["high"] for row in rows if row["name"] == "none"), None)
    lines = () if most is None else ((most, "upper end of the plain recipe"),)
    panels = []
    for number, label in (
        ("memorized_bits", "bits of random text memorized"),
        ("exposure_bits", "mean exposure of inserted canaries (bits)"),
    ):
        series = []
        for name in names:
            points = [row for row in rows if row["name"] == name]
            x = [row[number]["mean"] for row in points]
            bits = [row["held_out_bits"] for row in points]
            series.append(_series(_RECIPES.get(name, name), x, bits, "points"))
        panels.append(
            Panel(
                title="",
                x_label=label,
                y_label="clean held-out bits per token",
                series=tuple(series),
                lines=lines,
            )
        )
    return Figure(
        name="noise-language-regularizers",
        title="Which regularizer buys privacy at no cost (language models; after Arpit et al., figures 10 and 11)",
        caption="One point per strength, means over seeds. To the left: less memorized (left panel), canaries less exposed (right panel). Below the line: no worse "
        "on clean text than the plain recipe, within its interval over seeds.",
        panels=tuple(panels),
    )
