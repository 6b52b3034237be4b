"""The learning rate as a function of the step.

With base rate η, warm-up over w steps and T steps in all, step s = 0, 1, … uses

    η (s + 1) / (w + 1)                      while s < w
    η · { 1,  1 − p,  (1 + cos π p) / 2 }    afterwards, p = (s − w) / (T − w), for constant, linear and cosine.

It depends on nothing else, so that a resumed training needs no memory of it.
"""

from __future__ import annotations

import math


def learning_rate(step: int, *, base: float, schedule: str, warmup: int, total: int) -> float:
    """The learning rate of a step.

    Args:
        step: From 0.
        base: η.
        schedule: "constant", "linear" or "cosine".
        warmup: w.
        total: T.

    >>> [learning_rate(s, base=1.0, schedule="linear", warmup=1, total=5) for s in range(5)]
    [0.5, 1.0, 0.75, 0.5, 0.25]
    """
    if step < warmup:
        return base * (step + 1) / (warmup + 1)
    done = (step - warmup) / max(total - warmup, 1)
    match schedule:
        case "constant":
            return base
        case "linear":
            return base * max(1.0 - done, 0.0)
        case "cosine":
            return base * (1.0 + math.cos(math.pi * min(done, 1.0))) / 2.0
        case other:
            raise ValueError(f"schedule must be constant, linear or cosine, got {other!r}")
