"""Timing side by side: the contenders take turns in one process, and medians are compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def take_turns(
    contenders: Mapping[str, Callable[[], object]], runs: int, *, warm_up: int = 1
) -> dict[str, float]:
    """Median seconds of each contender over ``runs`` rounds in which all take their turn."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(runs + warm_up):
        for name, run in contenders.items():
            started = time.perf_counter()
            run()
            if turn >= warm_up:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def row(what: str, wanted: str, measured: str) -> None:
    """One line of a benchmark's table."""
    print(f"{what:<58} {wanted:>14} {measured:>20}", flush=True)
