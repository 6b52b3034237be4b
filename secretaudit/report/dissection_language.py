"""Figures of the dissection of language models: agreement, coherence of lines, and canaries against their exposure."""

from __future__ import annotations

from typing import Any

from secretaudit.report.dissection_panels import (
    ABOUT,
    mean_series,
    pair_bars,
    pair_matrix,
)
from secretaudit.report.dissection_tables import inserted
from secretaudit.report.figure import Figure, Panel, Series

__all__ = ["language_figures"]

Found = dict[str, Any]


def language_figures(part: Found) -> list[Figure]:
    """Two figures.

    Args:
        part: "language" of ``found["parts"]``.
    """
    return [_agreement(part), _canaries(part["canaries"])]


def _canaries(canaries: Found) -> Figure:
    """Coherence against exposure, a point per canary."""
    times = sorted({row["insertions"] for row in canaries["points"]})
    points = tuple(
        Series(
            label=inserted(n),
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
    return Figure(
        name="dissection-language-canaries",
        title="Coherence of canaries with ordinary lines, against exposure (ours)",
        caption="Cosine between a canary's gradient and the sum of ordinary training lines' gradients; a point is a canary."
        + (
            " Canaries that were never inserted cannot be memorized: compare with them, not only with ordinary lines."
            if 0 in times
            else ""
        ),
        panels=(
            Panel(
                title="canaries of all models",
                x_label="exposure, bits",
                y_label="coherence",
                series=points,
                lines=() if usual is None else ((usual, "ordinary lines, mean"),),
            ),
        ),
    )


def _agreement(part: Found) -> Figure:
    return Figure(
        name="dissection-language",
        title=f"Agreement of language models on held-out tokens ({ABOUT})",
        caption="κ between every two models' most likely next tokens on held-out text: 1 for equal predictions, 0 for chance."
        + (
            " Models of random text fit it as well as the others fit theirs."
            if any("random" in name for name in part["measures"]["kappa"]["within"])
            else ""
        ),
        panels=(
            pair_matrix(part, "kappa", "κ"),
            pair_bars(part, ("P_SAME", "kappa", "CKA")),
            Panel(
                title="coherence of training lines",
                x_label="epoch",
                y_label="mean cosine",
                series=tuple(
                    mean_series(kind, [row["epoch"] for row in rows], rows)
                    for kind, rows in part["coherence"]["curves"].items()
                    if rows
                ),
                log_x=True,
            ),
        ),
    )
