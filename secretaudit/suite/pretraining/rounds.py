"""Memorize random labels, draw them anew, memorize again: the paper's figure 1.

One network f_θ starts from random weights. In round r = 1 … R it is trained on labels z^(r) that say nothing about the inputs, from the weights that round r − 1
left, head and all, until its accuracy on those labels reaches the target or the epochs are used up. E_r is the number of epochs. The paper
(read, figure 1): the first memorization is very slow, the later ones are much faster, that is E_1 ≫ E_2 … E_R. The target, the cap and the seeds are ours.

A round that does not reach the target has the status "not reached" and the accuracy that it had; its E_r is only known to be above the cap and enters means
with the cap, which is said beside the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from secretaudit.suite.classifier import Classifier
from secretaudit.suite.fitting import FitSettings, fit
from secretaudit.suite.labelled import Labelled
from secretaudit.suite.statistics import mean_interval, paired_difference
from secretaudit.suite.wording import counted, interval, said

__all__ = ["Round", "memorize", "rounds_ordering", "rounds_part"]


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one memorization took.

    Attributes:
        status: "reached", "not reached" or "diverged".
        epochs: Epochs that were trained.
        accuracy: Share of the random labels that the network gives at the end, in [0, 1]; ``None`` when it diverged in the first epoch.
        curve: That share after each epoch.
    """

    status: str
    epochs: int
    accuracy: float | None
    curve: tuple[float, ...]

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "status": self.status,
            "epochs": self.epochs,
            "accuracy": self.accuracy,
            "curve": list(self.curve),
        }


def memorize(
    model: Classifier,
    inputs: Tensor,
    labellings: Sequence[Tensor],
    settings: FitSettings,
    seeds: Sequence[int],
    *,
    after: Callable[[int, Classifier], None] | None = None,
) -> list[Round]:
    """Train one network on one labelling after the other; changed in place.

    Args:
        model: Where it starts; left with the weights of the last round.
        inputs: Shape (n, …).
        labellings: Labels of each round, shape (n,) each.
        settings: With a target.
        seeds: Of each round's order of the examples.
        after: Called after each round with its number, from 1, and the model.

    Returns:
        One entry per round; none after a round that diverged.
    """
    done = []
    for number, (labels, seed) in enumerate(zip(labellings, seeds, strict=True), 1):
        found = fit(model, Labelled(inputs=inputs, labels=labels), settings, seed)
        done.append(
            Round(
                status=found.status,
                epochs=len(found.epochs),
                accuracy=found.train_accuracy,
                curve=tuple(found.curve("train_accuracy")),
            )
        )
        if found.status == "diverged":
            break
        if after is not None:
            after(number, model)
    return done


def rounds_part(
    per_seed: Sequence[Sequence[dict[str, Any]]], *, rounds: int, target: float, cap: int
) -> dict[str, Any]:
    """What the seeds say together about the rounds.

    Args:
        per_seed: For each seed its rounds, as ``Round.plain`` gives them.
        rounds: That were asked for.
        target: Training accuracy of a memorization.
        cap: Most epochs of a round.

    Returns:
        The part of the record: status, sentence, ``rounds`` with the mean epochs of each, ``speed_up`` (first round minus the mean of the later ones, in epochs,
        paired by seed) and ``ratio`` (first over later).
    """
    whole = [seed for seed in per_seed if all(r["status"] != "diverged" for r in seed)]
    part: dict[str, Any] = {
        "target": target,
        "cap": cap,
        "seeds": len(per_seed),
        "diverged": len(per_seed) - len(whole),
        "per_seed": [list(seed) for seed in per_seed],
    }
    if not whole:
        return part | {
            "status": "could not measure",
            "sentence": "Every training on random labels diverged; a smaller learning rate may help.",
            "rounds": [],
            "speed_up": None,
            "ratio": None,
        }
    table = [_round([seed[number] for seed in whole], number + 1) for number in range(rounds)]
    part |= {"rounds": table, **_speed(whole)}
    short = sum(row["seeds"] - row["reached"] for row in table)
    part["status"] = "not reached" if short else "measured"
    part["sentence"] = _sentence(part, short)
    return part


def _round(found: Sequence[dict[str, Any]], number: int) -> dict[str, Any]:
    """One round over the seeds."""
    longest = max(len(one["curve"]) for one in found)
    # A network that has reached the target stays where it is, so that every mean is over all seeds.
    curves = [one["curve"] + [one["curve"][-1]] * (longest - len(one["curve"])) for one in found]
    return {
        "round": number,
        "seeds": len(found),
        "reached": sum(one["status"] == "reached" for one in found),
        "epochs": mean_interval([one["epochs"] for one in found]),
        "accuracy": mean_interval([one["accuracy"] for one in found]),
        "curve": np.mean(curves, axis=0).tolist(),
    }


def _speed(whole: Sequence[Sequence[dict[str, Any]]]) -> dict[str, Any]:
    """First round against the mean of the later ones."""
    if len(whole[0]) < 2:
        return {"speed_up": None, "ratio": None, "later_not_reached": 0}
    first = [float(seed[0]["epochs"]) for seed in whole]
    later = [float(np.mean([r["epochs"] for r in seed[1:]])) for seed in whole]
    return {
        "speed_up": paired_difference(first, later),
        "ratio": mean_interval([a / b for a, b in zip(first, later, strict=True)]),
        "later_not_reached": sum(r["status"] != "reached" for seed in whole for r in seed[1:]),
    }


def _sentence(part: dict[str, Any], short: int) -> str:
    table = part["rounds"]
    text = (
        f"From random weights, {100 * part['target']:g} % of the random labels were memorized after {table[0]['epochs']['mean']:.1f} epochs"
        if table[0]["reached"] == table[0]["seeds"]
        else f"From random weights, {100 * table[0]['accuracy']['mean']:.1f} % of the random labels were memorized in {counted(part['cap'], 'epoch')}"
    )
    if part["speed_up"] is not None:
        later = table[1:]
        text += (
            f"; when they were drawn anew, {100 * np.mean([row['accuracy']['mean'] for row in later]):.1f} % at the end of each round"
            if part["later_not_reached"]
            else f"; when they were drawn anew, after {np.mean([row['epochs']['mean'] for row in later]):.1f} epochs more"
        )
    text += f" (mean of {counted(table[0]['seeds'], 'network')})."
    if short:
        text += f" {short} of {part['seeds'] * len(table)} memorizations ended below the target; their epochs are lower bounds."
    if part["diverged"]:
        text += f" {counted(part['diverged'], 'network')} diverged, left out."
    return text


def rounds_ordering(part: dict[str, Any]) -> dict[str, Any]:
    """The paper's figure 1 as a claim with a verdict.

    Holds when the interval of E_1 − mean(E_2 … E_R) lies above 0. A first round that ended at the cap makes the difference larger than it is counted, so the
    verdict stands; later rounds that ended there make it smaller, and a difference above 0 is then not judged.
    """
    claim = (
        "Memorizing is slow from random weights and faster each later time (Pondenkandath et al., figure 1; "
        "first round minus the mean of the later ones, 95 % interval over seeds above 0)"
    )
    seen = part["speed_up"]
    if seen is None or seen["low"] is None:
        return {
            "part": "rounds",
            "claim": claim,
            "seen": "fewer than two rounds or seeds",
            "holds": None,
        }
    text = (
        f"{said(seen['mean'], '.1f')} epochs{interval(seen, '.1f')}, {counted(seen['n'], 'seed')}"
    )
    holds: bool | None = seen["low"] > 0
    if part["later_not_reached"]:
        text += f"; {counted(part['later_not_reached'], 'later round')} ended at the cap"
        holds = None if holds or part["rounds"][0]["reached"] == 0 else False
    return {"part": "rounds", "claim": claim, "seen": text, "holds": holds}
