"""From language models to what a person reads: means over models, a sentence, and two orderings with a verdict (both ours)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from secretaudit.suite.neighbours.settings import NeighboursSettings
from secretaudit.suite.statistics import mean_interval
from secretaudit.suite.wording import said

__all__ = ["part_of_models", "text_orderings"]

Model = dict[str, Any]
#: Of an interval, and of a difference of the record.
_ENDS = {"mean": "difference", "low": "low", "high": "high"}


def part_of_models(models: Sequence[Model], settings: NeighboursSettings) -> dict[str, Any]:
    """The part "language" of the record."""
    summary = {
        f"{part}_{figure}": _mean(models, part, figure)
        for part in ("train", "train_other_records", "held_out")
        for figure in ("accuracy", "other_accuracy", "mc", "me", "p_same")
    }
    for name in ("train_gap", "train_other_records_gap"):
        summary[name] = _mean(models, name, "difference")
    for name in ("mean_canaries", "mean_others"):
        summary[f"excess_{name}"] = _mean(models, "excess", name)
    for name in ("self_share", "unsupported_share"):
        summary[f"spearman_{name}"] = _mean(models, "canaries", "spearman", name, "rho")
    return {
        "status": "measured",
        "sentence": _sentence(models, summary),
        "k": settings.k,
        "metric": settings.metric,
        "engine": settings.engine,
        "models": list(models),
        "summary": summary,
    }


def text_orderings(models: Sequence[Model]) -> list[dict[str, Any]]:
    """Agreement on training text above held-out text; what no other text supports rises with exposure."""
    gaps = [model["train_gap"] for model in models]
    told = [
        found
        for model in models
        if (found := model["canaries"]["spearman"]["unsupported_share"])["rho"] is not None
    ]
    return [
        {
            "part": "language",
            "claim": "The model agrees with its neighbours more on training than on held-out text (ours): the difference of P_SAME is above 0 with its 95 % interval over records in every model.",
            "seen": {
                f"model {number}": {name: gap[end] for name, end in _ENDS.items()}
                for number, gap in enumerate(gaps, 1)
            },
            "holds": all(gap["low"] > 0 for gap in gaps),
        },
        {
            "part": "language",
            "claim": "Canaries of higher exposure are known without support from other text (ours): Spearman's correlation of exposure and the unsupported share is positive with p < 0.05 in every model.",
            "seen": {
                f"model {number}": {"rho": f["rho"], "p_value": f["p_value"]}
                for number, f in enumerate(told, 1)
            },
            "holds": all(f["rho"] > 0 and f["p_value"] < 0.05 for f in told) if told else None,
        },
    ]


def _mean(models: Sequence[Model], *path: str) -> dict[str, Any]:
    """Mean over models of what is known."""
    values = []
    for model in models:
        value: Any = model
        for key in path:
            value = value[key]
        if value is not None:
            values.append(float(value))
    return mean_interval(values)


def _sentence(models: Sequence[Model], summary: dict[str, Any]) -> str:
    def percent(name: str) -> str:
        return f"{100 * summary[name]['mean']:.1f} %"

    text = (
        f"The model says the token that its nearest training positions would at {percent('train_p_same')} of the positions of training text "
        f"({percent('train_other_records_p_same')} with the record itself left out) and {percent('held_out_p_same')} of held-out text."
    )
    if any(model["model"] == "given" for model in models):
        text += " The model was given: whether it has seen the held-out lines is not known here."
    rho = summary["spearman_unsupported_share"]
    if rho["n"]:
        text += f" The share of a secret that no other text supports goes with exposure by a rank correlation of {said(rho['mean'], '.2f')}."
    return text
