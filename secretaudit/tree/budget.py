"""How much a walk may cost: nodes or seconds, and bytes of memory.

A *node* is one prefix read by the model: one row of one batched forward pass. A budget in nodes gives the same
result on every machine; a budget in seconds does not, and the record says which was asked for.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from secretaudit.errors import UsageError

_UNITS = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
}
_SECONDS = {"s": 1.0, "sec": 1.0, "seconds": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """An upper limit on nodes, on seconds, or on both; ``None`` is no limit."""

    nodes: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("nodes", self.nodes), ("seconds", self.seconds)):
            if value is not None and not value > 0:
                raise UsageError(
                    f"A budget of {value} {name} is no budget.",
                    "Nothing can be measured with nothing.",
                    "Give a positive budget, such as 60s or 1000000 (nodes), or leave the option out.",
                )

    @classmethod
    def parse(cls, text: str | float | Budget | None) -> Budget:
        """Read a budget: ``"90s"``, ``"5min"``, ``"200000"`` or ``"200000 nodes"``.

        >>> Budget.parse("2min")
        Budget(nodes=None, seconds=120.0)
        >>> Budget.parse("200_000 nodes")
        Budget(nodes=200000, seconds=None)
        """
        if text is None:
            return cls()
        if isinstance(text, Budget):
            return text
        found = re.fullmatch(
            r"\s*([0-9][0-9_]*\.?[0-9]*(?:e[0-9]+)?)\s*([a-z]*)\s*", str(text).lower()
        )
        if found is not None:
            number, unit = float(found[1].replace("_", "")), found[2]
            if unit in ("", "nodes", "node") and number == int(number):
                return cls(nodes=int(number))
            if unit in _SECONDS:
                return cls(seconds=number * _SECONDS[unit])
        raise UsageError(
            f"The budget {str(text)!r} cannot be read.",
            "A budget is a number of nodes or a time.",
            "Write it as 60s, 5min, or 1000000 (nodes).",
        )

    def meter(self) -> Meter:
        """Start the clock."""
        return Meter(self)


class Meter:
    """What has been spent of a budget.

    Args:
        budget: The limit.
        whole: The meter of the whole job, when this is the meter of a part of it: what the part spends, the
            whole spends, and the part ends with the whole.
    """

    def __init__(self, budget: Budget, whole: Meter | None = None) -> None:
        self.budget = budget
        self.nodes = 0
        self._whole = whole
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def part(self, nodes: int) -> Meter:
        """The meter of a part of the job that may take so many nodes."""
        return Meter(Budget(nodes=nodes), self)

    def spend(self, nodes: int) -> None:
        """Note that the model has read this many more prefixes."""
        self.nodes += nodes
        if self._whole is not None:
            self._whole.spend(nodes)

    @property
    def spent(self) -> bool:
        """Whether nothing is left."""
        limit = self.budget
        return (
            (limit.nodes is not None and self.nodes >= limit.nodes)
            or (limit.seconds is not None and self.seconds >= limit.seconds)
            or (self._whole is not None and self._whole.spent)
        )


@dataclass(frozen=True)
class Memory:
    """Bytes that a walk may hold."""

    bytes: int = 2 * 2**30

    @classmethod
    def parse(cls, text: str | int | Memory) -> Memory:
        """Read an amount of memory: ``"2GiB"``, ``"500MB"`` or a number of bytes.

        >>> Memory.parse("2GiB").bytes == 2 * 1024**3
        True
        """
        if isinstance(text, Memory):
            return text
        found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", str(text))
        if found is None or found[2].upper() not in _UNITS or float(found[1]) <= 0:
            raise UsageError(
                f"The memory limit {str(text)!r} cannot be read.",
                "A memory limit is a positive number with a unit.",
                "Write it as 2GiB, 500MB, or a number of bytes.",
            )
        return cls(int(float(found[1]) * _UNITS[found[2].upper()]))
