"""Exposure of the same canaries under another model, and the gain between the two.

A canary's text may be likely for reasons that have nothing to do with the training in question: a round number, a common
word, an earlier training stage. Under a *reference* model that has not seen the insertion (the model before fine-tuning), the same
canary has an exposure too, and the difference is what this training added:

    gain = exposure(audited) − exposure(reference)        bits

with the interval [low − reference high, high − reference low]. A *baseline* is a model that needs no training worth the name: an
n-gram count over the same corpus (the objection of Y. Goldberg to the first version of the paper: any likelihood model ranks
an inserted string first). What a canary has there says how much of its exposure mere counting explains.
"""

from __future__ import annotations

from typing import Any

COMPARED = (
    "log_perplexity_bits",
    "exposure_bits",
    "exposure_low_bits",
    "exposure_high_bits",
    "method",
    "status",
    "note",
)


def compared(row: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """What an exposure row says beside another: the other's exposure, and the gain in bits (``None`` where a value is missing).

    >>> one = {"exposure_bits": 9.0, "exposure_low_bits": 8.0, "exposure_high_bits": 10.0}
    >>> two = {"exposure_bits": 2.0, "exposure_low_bits": 1.5, "exposure_high_bits": 2.5}
    >>> found = compared(one, two)
    >>> found["gain_bits"], found["gain_low_bits"], found["gain_high_bits"]
    (7.0, 5.5, 8.5)
    """
    return {
        **{name: other.get(name) for name in COMPARED},
        "gain_bits": _difference(row["exposure_bits"], other["exposure_bits"]),
        "gain_low_bits": _difference(row["exposure_low_bits"], other["exposure_high_bits"]),
        "gain_high_bits": _difference(row["exposure_high_bits"], other["exposure_low_bits"]),
    }


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other
