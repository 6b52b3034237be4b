"""What the parts on critical samples, capacity and regularizers share: how they train, and how a paper's ordering is judged.

An ordering "a above b" is judged over seeds by the differences a − b, seed by seed: it holds when their 95 % interval lies above 0, does not hold when
their mean is not above 0, and is left open in between or with one seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from secretaudit.suite.fitting import FitSettings
from secretaudit.suite.noise.settings import NoiseSettings
from secretaudit.suite.statistics import paired_difference
from secretaudit.suite.subject import ClassifierSubject
from secretaudit.suite.wording import interval, said

__all__ = ["RULE", "Shared", "above", "ordering", "training_of"]

_NOTHING = "not measured"
#: Said with each ordering, and short, since there are many: the 95 % interval of the differences, seed by seed, lies above 0.
RULE = "interval above 0"


@dataclass(frozen=True, kw_only=True, eq=False)
class Shared:
    """What all cells of a part are given.

    Attributes:
        subject: The kind of classifier and its examples.
        settings: The dials.
        seed: Of the run.
    """

    subject: ClassifierSubject
    settings: NoiseSettings
    seed: int


def training_of(settings: NoiseSettings, part: str, **more: Any) -> FitSettings:
    """How a part trains: from its own dials, such as ``csr_epochs``.

    Args:
        settings: All dials.
        part: "csr", "capacity" or "regularizer".
        more: Other fields of ``FitSettings``.
    """
    names = ("epochs", "batch_size", "optimizer", "learning_rate", "momentum")
    return FitSettings(**{name: getattr(settings, f"{part}_{name}") for name in names}, **more)


def above(first: Sequence[float | None], second: Sequence[float | None]) -> tuple[bool | None, str]:
    """Whether the first lies above the second, and the numbers that say so.

    Args:
        first: One value per seed; ``None`` where a training gave none, and then the seed does not count.
        second: The same seeds in the same order.
    """
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    if not pairs:
        return None, _NOTHING
    firsts, seconds = [a for a, _ in pairs], [b for _, b in pairs]
    found = paired_difference(firsts, seconds)
    a, b = sum(firsts) / len(pairs), sum(seconds) / len(pairs)
    seen = f"{said(a, '.3g')} against {said(b, '.3g')}"
    if found["low"] is None:
        return None, f"{seen} (one seed)"
    seen += f", difference {said(found['mean'], '.3g')}{interval(found, '.3g')}, {found['n']} seeds"
    if found["mean"] <= 0:
        return False, seen
    return (True if found["low"] > 0 else None), seen


def ordering(
    part: str,
    claim: str,
    first: Sequence[float | None],
    second: Sequence[float | None],
    *,
    lower_bounds: bool = False,
) -> dict[str, Any]:
    """An ordering of the record: the first above the second.

    Args:
        part: Its part.
        claim: In words.
        first: One value per seed.
        second: The same seeds.
        lower_bounds: The first are at least so much: what does not hold of them is left open.
    """
    holds, seen = above(first, second)
    if lower_bounds and seen != _NOTHING:
        holds, seen = holds or None, f"at least {seen}"
    return {"part": part, "claim": f"{claim} ({RULE})", "seen": seen, "holds": holds}
