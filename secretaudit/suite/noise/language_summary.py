"""Trainings of language models on text and on noise, summed up over seeds: fit, capacity, regularizers, and the orderings that are judged.

Rows of a condition stand in the order of the seeds, the same in all conditions, so that differences are taken seed by seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from secretaudit.suite.statistics import mean_interval, paired_difference

__all__ = ["capacity", "epochs_to", "fit_of", "judged_regularizers", "orderings", "sentence"]

Rows = Sequence[dict[str, Any]]
#: Regularized trainings by (text, regularizer, strength).
Conditions = Mapping[tuple[str, str, float], Rows]
PART = "language"
#: Fewer strengths than this say nothing of a rank correlation.
_LEAST_FOR_RANKS = 5


def epochs_to(curve: Rows, target: float, of: str = "training") -> dict[str, Any]:
    """Epochs until the accuracy of the next token was at the target.

    Args:
        curve: One entry per epoch.
        target: Share in (0, 1].
        of: Which lines.

    Returns:
        status "reached" with ``epochs``, or "not reached" with ``epochs`` ``None``; and the ``best`` accuracy.
    """
    seen = [entry[of]["accuracy"] for entry in curve]
    best = max(seen, default=None)
    epochs = next((round(e["epoch"], 6) for e in curve if e[of]["accuracy"] >= target), None)
    return {
        "status": "not reached" if epochs is None else "reached",
        "epochs": epochs,
        "best": best,
    }


def fit_of(rows: Rows, target: float) -> dict[str, Any]:
    """How a condition was fitted: curves over epochs with intervals over seeds, and epochs to the target."""
    length = min(len(row["curve"]) for row in rows)
    kinds = [name for name in ("training", "fresh", "clean") if name in rows[0]["final"]]
    curves = {
        f"{kind}_{number}": [
            mean_interval([row["curve"][i][kind][number] for row in rows]) for i in range(length)
        ]
        for kind in kinds
        for number in ("bits", "accuracy")
    }
    reached = [epochs_to(row["curve"], target) for row in rows]
    epochs = [found["epochs"] for found in reached]
    return {
        "epoch": [rows[0]["curve"][i]["epoch"] for i in range(length)],
        **curves,
        "final": {
            kind: {
                number: mean_interval([row["final"][kind][number] for row in rows])
                for number in ("bits", "accuracy")
            }
            for kind in kinds
        },
        "epochs_to_target": {
            "status": "not reached" if None in epochs else "reached",
            "by_seed": epochs,
            "best_accuracy": [found["best"] for found in reached],
            **(mean_interval(epochs) if None not in epochs else mean_interval([])),
        },
        "lines_cut": max(row["lines_cut"] for row in rows),
    }


def capacity(rows: Rows | None) -> dict[str, Any] | None:
    """Bits of random text memorized, over seeds; ``None`` where no training on random text was finished."""
    if not rows:
        return None
    memorized = [row["memorized"] for row in rows]
    bits = [found["bits"] for found in memorized]
    fresh = [row["fresh_excess"] for row in rows]
    return {
        "memorized_bits": mean_interval(bits),
        "entropy_bits": mean_interval([found["entropy_bits"] for found in memorized]),
        "share": mean_interval([found["bits"] / found["entropy_bits"] for found in memorized]),
        "parameters": rows[0]["parameters"],
        "bits_per_parameter": mean_interval([b / rows[0]["parameters"] for b in bits]),
        "fresh_share": mean_interval([found["bits"] / found["entropy_bits"] for found in fresh]),
    }


def judged_regularizers(conditions: Conditions) -> list[dict[str, Any]]:
    """One row per regularizer and strength, the plain recipe first."""
    plain, noise = conditions.get(("real", "none", 0.0)), conditions.get(("tokens", "none", 0.0))
    if plain is None or noise is None:
        return []
    rows = []
    for (text, name, value), real in conditions.items():
        random = conditions.get(("tokens", name, value))
        if text == "real" and random is not None:
            rows.append(
                _regularizer(name, value, real, random) | _against(real, random, plain, noise)
            )
    return rows


def _regularizer(name: str, value: float, real: Rows, random: Rows) -> dict[str, Any]:
    """What a recipe gives, without comparing."""
    counts = sorted({row["insertions"] for row in real[0]["exposures"]})
    epsilons = [row["epsilon"] for row in real]
    return {
        "name": name,
        "value": value,
        "held_out_bits": mean_interval([_held_out(row) for row in real]),
        "memorized_bits": mean_interval([row["memorized"]["bits"] for row in random]),
        "random_accuracy": mean_interval([row["final"]["training"]["accuracy"] for row in random]),
        "exposure_bits": mean_interval([exposure(row) for row in real]),
        "exposure_by_insertions": {
            str(count): mean_interval([exposure(row, count) for row in real]) for count in counts
        },
        "epochs": mean_interval([row["epochs"] for row in real]),
        "epsilon": max(epsilons) if None not in epsilons else None,
    }


def _against(real: Rows, random: Rows, plain: Rows, noise: Rows) -> dict[str, Any]:
    """The same against the plain recipe, seed by seed, and the verdict."""
    exposed = paired_difference([exposure(r) for r in real], [exposure(r) for r in plain])
    cost = paired_difference([_held_out(r) for r in real], [_held_out(r) for r in plain])
    kept = paired_difference(
        [r["memorized"]["bits"] for r in random], [r["memorized"]["bits"] for r in noise]
    )
    most = mean_interval([_held_out(r) for r in plain])["high"]
    return {
        "exposure_difference": exposed,
        "held_out_difference": cost,
        "memorized_difference": kept,
        "verdict": _verdict(exposed, [_held_out(r) for r in real], most, is_plain=real is plain),
    }


def _verdict(
    exposed: dict[str, Any], held_out: Sequence[float], most: float | None, *, is_plain: bool
) -> str:
    """Whether privacy is bought, and at which price."""
    if is_plain:
        return "plain recipe"
    if most is None or exposed["high"] is None:
        return "one seed says nothing"
    if exposed["high"] >= 0.0:
        return "no privacy shown"
    return "at no cost" if float(np.mean(held_out)) <= most else "at a cost"


def _held_out(row: dict[str, Any]) -> float:
    """Bits per token of clean held-out text."""
    final = row["final"]
    bits: float = final.get("clean", final["fresh"])["bits"]
    return bits


def exposure(row: dict[str, Any], insertions: int | None = None) -> float:
    """Mean exposure in bits of the canaries that were inserted, or inserted so often; where only an interval is known, its lower end."""
    chosen = [
        r["exposure_low_bits"] if r["exposure_bits"] is None else r["exposure_bits"]
        for r in row["exposures"]
        if (r["insertions"] > 0 if insertions is None else r["insertions"] == insertions)
    ]
    return float(np.mean(chosen))


def sentence(part: dict[str, Any]) -> str:
    """What a person reads first."""
    real, random = part["fit"]["real"]["final"], part["fit"]["tokens"]["final"]
    held = part["capacity"]
    free = [r for r in part["regularizers"] if r["verdict"] == "at no cost"]
    best = min(free, key=lambda r: r["exposure_difference"]["mean"], default=None)
    bought = (
        "Of no regularizer could it be shown that it lowers the exposure of canaries at no cost."
        if best is None
        else f"At no cost, {best['name']} {best['value']:g} lowers the mean exposure of canaries by "
        f"{-best['exposure_difference']['mean']:.1f} bits."
    )
    bits = held["memorized_bits"]["mean"]
    memorized = (
        f"of the random text it memorized at least {bits:,.0f} bits ({held['bits_per_parameter']['mean']:.2f} per parameter)"
        if bits > 0
        else "that it memorized any of the random text could not be shown"
    )
    return (
        f"The same recipe brings real text to {real['training']['bits']['mean']:.2f} bits per token and random text to "
        f"{random['training']['bits']['mean']:.2f}; {memorized}. {bought}"
    )


def orderings(part: dict[str, Any], plain: Mapping[str, Rows]) -> list[dict[str, Any]]:
    """The paper's orderings, and one of ours, judged."""
    found = [
        _faster(plain["real"], plain[text], text)
        for text in ("tokens", "shuffled")
        if text in plain
    ]
    found += [
        _noise_hurts(plain["real"], rows, text) for text, rows in plain.items() if " " in text
    ]
    found.append(_dropout(part["regularizers"]))
    found.append(_validated(part["regularizers"]))
    return found


def _faster(real: Rows, noise: Rows, text: str) -> dict[str, Any]:
    """Fitting noise takes longer (figure 6): judged by the mean over all epochs of bits per token."""
    means = [
        [np.mean([entry["training"]["bits"] for entry in row["curve"]]) for row in rows]
        for rows in (noise, real)
    ]
    seen = paired_difference(*means)
    name = "random text" if text == "tokens" else "shuffled lines"
    return {
        "part": PART,
        "claim": f"Noise is fitted more slowly than data (Arpit et al., figure 6): over all epochs, {name} costs more bits per token of training text "
        "than real text; the 95 % interval of the difference, seed by seed, is above 0.",
        "seen": seen,
        "holds": None if seen["low"] is None else seen["low"] > 0,
    }


def _noise_hurts(real: Rows, mixed: Rows, text: str) -> dict[str, Any]:
    """More noise, worse on clean text (figures 7 and 8)."""
    seen = paired_difference([_held_out(r) for r in mixed], [_held_out(r) for r in real])
    return {
        "part": PART,
        "claim": f"Noise among the data makes a network worse on clean data (Arpit et al., figures 7 and 8): with {100 * float(text.split(' ')[1]):g} % random lines "
        "clean held-out text costs more bits per token; the 95 % interval of the difference is above 0.",
        "seen": seen,
        "holds": None if seen["low"] is None else seen["low"] > 0,
    }


def _dropout(rows: Rows) -> dict[str, Any]:
    """Dropout caps memorization at no cost (figure 10)."""
    dropped = [r for r in rows if r["name"] == "dropout"]
    plain = next((r for r in rows if r["name"] == "none"), None)
    most = None if plain is None else plain["held_out_bits"]["high"]
    judged = [
        {
            "value": r["value"],
            "memorized_difference_high": r["memorized_difference"]["high"],
            "held_out_bits": r["held_out_bits"]["mean"],
        }
        for r in dropped
    ]
    holds = None
    if judged and most is not None:
        holds = any(
            r["memorized_difference_high"] < 0 and r["held_out_bits"] <= most for r in judged
        )
    return {
        "part": PART,
        "claim": "Dropout caps memorization without harm (Arpit et al., figures 10 and 11): at some strength fewer bits of random text are memorized (95 %) "
        "while clean held-out text costs no more than the upper end of the plain recipe's interval.",
        "seen": {"dropout": judged, "plain_held_out_high": most},
        "holds": holds,
    }


def _validated(rows: Rows) -> dict[str, Any]:
    """Less random text memorized, less exposure: ours."""
    x = [r["memorized_bits"]["mean"] for r in rows]
    y = [r["exposure_bits"]["mean"] for r in rows]
    enough = len(rows) >= _LEAST_FOR_RANKS and len(set(x)) > 1 and len(set(y)) > 1
    found = stats.spearmanr(x, y, alternative="greater") if enough else None
    return {
        "part": PART,
        "claim": "Recipes that memorize less random text expose canaries less (ours, not the paper's): over all recipes, the rank correlation of bits "
        "memorized with mean exposure is above 0 with a one-sided p-value under 0.05.",
        "seen": {
            "recipes": len(rows),
            "spearman": None if found is None else float(found.statistic),
            "p_value": None if found is None else float(found.pvalue),
        },
        "holds": None if found is None else bool(found.pvalue < 0.05 and found.statistic > 0),
    }
