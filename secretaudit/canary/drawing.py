"""Canaries and how they are drawn: distinct secrets, exactly uniform over each secret space.

All secrets of one format are one draw without replacement, in random order; the first go to the
canaries, the rest to the controls, so that nothing but the insertions tells the two apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from secretaudit import _checks
from secretaudit.canary.format import Format
from secretaudit.errors import FormatError, UsageError


@dataclass(frozen=True, kw_only=True)
class Canary:
    """One canary.

    Attributes:
        id: Unique name within the ledger, such as ``random-number-4x-03`` or ``ssn-control-07``.
        format: Name of its format.
        secret: What fills the format's holes (with the literals between them).
        text: The whole record: prefix + secret + suffix.
        insertions: How many copies were inserted; 0 for a control.
    """

    id: str
    format: str
    secret: str = field(repr=False)
    text: str = field(repr=False)
    insertions: int

    @property
    def is_control(self) -> bool:
        """Whether it was never inserted."""
        return self.insertions == 0


def draw_canaries(
    formats: Mapping[str, Format] | Iterable[Format],
    *,
    count: int,
    repeats: Sequence[int],
    controls: int,
    rng: np.random.Generator,
) -> list[Canary]:
    """Draw distinct secrets for all canaries and controls, exactly uniformly from each format.

    Args:
        formats: The formats, in the order in which they are drawn.
        count: Canaries per format and entry of ``repeats``.
        repeats: Numbers of insertions, distinct and at least 1.
        controls: Canaries per format that are never inserted.
        rng: Source of all randomness.

    Returns:
        Per format, the canaries by ascending position in ``repeats``, then the controls.

    Raises:
        FormatError: If a format has fewer secrets than are asked of it, or two formats have one
            name.
        UsageError: If a number is out of range.
    """
    _checks.at_least("count", count, 1)
    _checks.at_least("controls", controls, 0)
    for number in repeats:
        _checks.at_least("repeats", number, 1)
    if not repeats or len(set(repeats)) < len(repeats):
        raise UsageError(
            f"repeats must be distinct numbers, at least one, got {list(repeats)}.",
            "Ids of canaries are made from them.",
            "Write for example 1,4,16.",
        )
    chosen = list(formats.values()) if isinstance(formats, Mapping) else list(formats)
    names = Counter(entry.name for entry in chosen)
    repeated = [name for name, times in names.items() if times > 1]
    if repeated:
        raise FormatError(
            f"The format {repeated[0]!r} is given twice.",
            "Canaries are told apart by it.",
            "Name each format once.",
        )
    drawn: list[Canary] = []
    for entry in chosen:
        drawn.extend(_draw(entry, count, repeats, controls, rng))
    return drawn


def _draw(
    entry: Format, count: int, repeats: Sequence[int], controls: int, rng: np.random.Generator
) -> Iterator[Canary]:
    """The canaries of one format."""
    groups = [(f"{number}x", number, count) for number in repeats] + [("control", 0, controls)]
    secrets = iter(entry.sample(sum(size for _, _, size in groups), rng))
    for label, insertions, size in groups:
        width = max(2, len(str(size - 1)))
        for place in range(size):
            secret = next(secrets)
            yield Canary(
                id=f"{entry.name}-{label}-{place:0{width}}",
                format=entry.name,
                secret=secret,
                text=entry.render(secret),
                insertions=insertions,
            )
