"""What the capacity part says: a sentence, and the paper's orderings (Arpit et al. 2017, figures 5 and 6).

A *curve* is one kind of data at one share of noise over the values of one axis; its ``seeds`` hold the slope of each seed, whether all of its trainings
reached the target, and log2 of the least value whose held-out accuracy is within a point of the best.
"""

from __future__ import annotations

from typing import Any

from secretaudit.suite.noise.builders import KINDS
from secretaudit.suite.noise.judging import ordering
from secretaudit.suite.noise.settings import NoiseSettings
from secretaudit.suite.wording import counted

__all__ = ["orderings", "sentence"]


def sentence(settings: NoiseSettings, curves: list[dict[str, Any]], missed: int) -> str:
    """What a person reads first; ``missed`` conditions did not reach the target in every training."""
    target = f"{100 * settings.capacity_target:g} %"
    shown = []
    for curve in curves:
        if curve["axis"] == curves[0]["axis"] and curve["fraction"] in (0.0, 1.0):
            last = curve["points"][-1]
            mean = last["epochs_to_target"]["mean"]
            told = (
                _epochs(mean)
                if mean is not None
                else f"not in {counted(settings.capacity_epochs, 'epoch')} ({100 * (last['train_accuracy']['mean'] or 0):.0f} % reached)"
            )
            shown.append(f"{told} on {KINDS[curve['kind']]}")
    more = f" {counted(missed, 'condition')} did not reach it in every training." if missed else ""
    return f"To {target} training accuracy: {', '.join(shown)}.{more}"


def _epochs(mean: float) -> str:
    """A mean of epochs, "1 epoch" where it is just that."""
    return "1 epoch" if mean == 1 else f"{mean:.0f} epochs"


def orderings(curves: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The paper's, judged at the largest share of noise of each kind that there is."""
    named = {(c["axis"], c["kind"], c["fraction"]): c for c in curves}
    found = []
    for axis in dict.fromkeys(c["axis"] for c in curves):
        sign = -1.0 if axis == "units" else 1.0
        said = "fewer units slow" if axis == "units" else "more examples slow"
        real = named[axis, "real", 0.0]
        for kind in dict.fromkeys(c["kind"] for c in curves if c["kind"] != "real"):
            share = max(c["fraction"] for c in curves if c["kind"] == kind)
            noise = named[axis, kind, share]
            usable = real["seeds"]["reached"] and None not in noise["seeds"]["slopes"]
            found.append(
                ordering(
                    "capacity",
                    f"With {100 * share:g} % {KINDS[kind]}, {said} training down more than on real data, epochs per doubling",
                    [sign * s for s in noise["seeds"]["slopes"]] if usable else [],
                    [sign * s for s in real["seeds"]["slopes"]] if usable else [],
                    lower_bounds=noise["slope_is_lower_bound"],
                )
            )
    return found + _needed(named)


def _needed(named: dict[tuple[str, str, float], dict[str, Any]]) -> list[dict[str, Any]]:
    """Figure 5: units that are needed for the best held-out accuracy, at the largest share below 1."""
    found = []
    for kind in ("randX", "randY"):
        shares = [f for axis, k, f in named if axis == "units" and k == kind and 0 < f < 1]
        if not shares:
            continue
        noise = named["units", kind, max(shares)]["seeds"]["enough"]
        real = named["units", "real", 0.0]["seeds"]["enough"]
        usable = None not in noise and None not in real
        found.append(
            ordering(
                "capacity",
                f"With {100 * max(shares):g} % {KINDS[kind]} more units are needed for the best held-out accuracy, log2 of the units",
                noise if usable else [],
                real if usable else [],
            )
        )
    return found
