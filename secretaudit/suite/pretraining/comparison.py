"""What the seeds say together about the fine-tuning: gains with intervals, and epochs to a fixed accuracy.

For seed s and condition c, a_cs is the held-out accuracy after the last epoch and e_cs the first epoch whose held-out accuracy is at least a fixed α. The gain of c
is the mean of a_cs − a_scratch,s with the interval of Student's t over the seeds; in points, 100 times that. α is given, or 95 % of the control's mean final
accuracy. Epochs are compared over the seeds in which both conditions got to α; how many did not stands beside it. All of this is ours: the paper
reports gains of 1.5 to 5 % without intervals (as far as we could read).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from secretaudit.suite.pretraining.transfer import epochs_to
from secretaudit.suite.statistics import mean_interval, paired_difference
from secretaudit.suite.wording import counted, interval, said

__all__ = ["CONTROL", "PRETRAINED", "transfer_orderings", "transfer_part"]

CONTROL, PRETRAINED = "scratch", "pre-trained"
#: Share of the control's mean final accuracy that epochs are counted to.
SHARE = 0.95


def transfer_part(
    per_seed: Sequence[dict[str, dict[str, Any]]], *, epochs: int, accuracy: float | None
) -> dict[str, Any]:
    """Gains of all conditions against the control.

    Args:
        per_seed: For each seed, what ``fine_tuned`` gave for each condition.
        epochs: Of the fine-tuning.
        accuracy: α in (0, 1]; ``None`` takes 95 % of the control's mean.

    Returns:
        The part of the record: ``conditions`` (held-out accuracy, curve, epochs to α), ``gains`` (against the control, paired) and ``pairs`` of further
        comparisons.
    """
    finals = [seed[CONTROL]["final"] for seed in per_seed if seed[CONTROL]["final"] is not None]
    part: dict[str, Any] = {"epochs": epochs, "seeds": len(per_seed)}
    if not finals:
        return part | {
            "status": "could not measure",
            "sentence": "Every network from scratch diverged on the true labels; a smaller learning rate may help.",
            "conditions": {},
            "gains": {},
        }
    fixed = SHARE * float(np.mean(finals)) if accuracy is None else accuracy
    names = list(per_seed[0])
    part |= {
        "fixed_accuracy": fixed,
        "conditions": {name: _condition([s[name] for s in per_seed], fixed) for name in names},
        "gains": {name: _gain(per_seed, name, fixed) for name in names if name != CONTROL},
    }
    part["beyond_rescaling"] = _beyond(per_seed)
    part["status"] = "measured" if part["gains"][PRETRAINED]["n"] else "could not measure"
    part["sentence"] = _sentence(part)
    return part


def _condition(found: Sequence[dict[str, Any]], fixed: float) -> dict[str, Any]:
    """One condition over the seeds."""
    whole = [one for one in found if one["final"] is not None]
    reached = [epochs_to(one["curve"], fixed) for one in found]
    return {
        "held_out": mean_interval([one["final"] for one in whole]),
        "diverged": len(found) - len(whole),
        "reached": sum(at is not None for at in reached),
        "epochs_to": mean_interval([at for at in reached if at is not None]),
        "curve": np.mean([one["curve"] for one in whole], axis=0).tolist() if whole else [],
        "train_curve": np.mean([one["train"] for one in whole], axis=0).tolist() if whole else [],
        "per_seed": [
            {"status": one["status"], "final": one["final"], "epochs_to": at}
            for one, at in zip(found, reached, strict=True)
        ],
    }


def _gain(per_seed: Sequence[dict[str, dict[str, Any]]], name: str, fixed: float) -> dict[str, Any]:
    """A condition against the control, seed by seed; accuracy in [−1, 1], epochs saved above 0."""
    finals = [(s[name]["final"], s[CONTROL]["final"]) for s in per_seed]
    both = [(a, b) for a, b in finals if a is not None and b is not None]
    times = [
        (epochs_to(s[CONTROL]["curve"], fixed), epochs_to(s[name]["curve"], fixed))
        for s in per_seed
    ]
    known = [(a, b) for a, b in times if a is not None and b is not None]
    found = _paired(both)
    found["epochs_saved"] = _paired(known)
    found["epochs_unknown"] = len(times) - len(known)
    return found


def _beyond(per_seed: Sequence[dict[str, dict[str, Any]]]) -> dict[str, Any] | None:
    """Pre-trained against the rescaled network from scratch."""
    if "rescaled" not in per_seed[0]:
        return None
    finals = [(s[PRETRAINED]["final"], s["rescaled"]["final"]) for s in per_seed]
    return _paired([(a, b) for a, b in finals if a is not None and b is not None])


def _paired(pairs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    return paired_difference([a for a, _ in pairs], [b for _, b in pairs])


def points(gain: dict[str, Any]) -> str:
    """A difference of accuracies in points, with its interval."""
    if gain["mean"] is None:
        return "not known"
    return f"{said(100 * gain['mean'], '+.1f')} points{interval(gain, '+.1f', 100.0)}"


def _sentence(part: dict[str, Any]) -> str:
    gain = part["gains"][PRETRAINED]
    if not gain["n"]:
        return "Every pre-trained network diverged on the true labels."
    here, there = (part["conditions"][name]["held_out"]["mean"] for name in (PRETRAINED, CONTROL))
    text = (
        f"After {counted(part['epochs'], 'epoch')} on the true labels the pre-trained networks are right on {100 * here:.1f} % of the held-out examples, those from scratch on {100 * there:.1f} %: "
        f"{points(gain)}, {counted(gain['n'], 'paired seed')}"
    )
    if gain["low"] is None:
        return text + "; one seed has no interval."
    if gain["low"] > 0:
        return text + "; a gain."
    return text + ("; a loss." if gain["high"] < 0 else "; no difference is shown.")


def transfer_orderings(part: dict[str, Any]) -> list[dict[str, Any]]:
    """The paper's gain, and the one that Maennel et al. add."""
    found = []
    if part["gains"]:
        found.append(
            _ordering(
                "Pre-training on random labels raises the held-out accuracy (Pondenkandath et al.: by 1.5 to 5 % on action clips; 95 % interval of the paired gain above 0)",
                part["gains"][PRETRAINED],
            )
        )
    if part.get("beyond_rescaling"):
        found.append(
            _ordering(
                "The gain is more than the weights' scale (Maennel et al. 2020; 95 % interval of pre-trained minus rescaled scratch above 0)",
                part["beyond_rescaling"],
            )
        )
    return found


def _ordering(claim: str, gain: dict[str, Any]) -> dict[str, Any]:
    known = gain["low"] is not None
    return {
        "part": "transfer",
        "claim": claim,
        "seen": f"{points(gain)}, {counted(gain['n'], 'seed')}",
        "holds": gain["low"] > 0 if known else None,
    }
