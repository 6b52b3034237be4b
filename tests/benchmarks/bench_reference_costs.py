"""References: ranks, the skew-normal fit and uniform secrets, beside tensorflow-privacy's way of doing the same.

The baselines are written anew from a description of its two functions (no code of it is used): ranks by sorting one Python
list of (cost, mark) tuples; the fit by ``scipy.stats.skewnorm.fit`` and −log2 of its ``cdf``; distinct secrets by drawing rows of
symbols, a sorting ``unique``, and a cut to the wanted number (which keeps the smallest: the first digits show it).

Run with ``python -m tests.benchmarks.bench_reference_costs [RUNS]``. All figures are medians of RUNS runs (default 3), both sides
in turn in the same process; peak memory is of a separate run under tracemalloc, beyond the inputs.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from secretaudit.canary.format import parse_format
from secretaudit.exposure.extrapolation import extrapolated_exposures
from secretaudit.exposure.rank import exposure_bits, ranks_among
from secretaudit.exposure.skew_normal import fit_skew_normal

Floats = NDArray[np.float64]

REFERENCES = 1_000_000
CANARIES = 1_000
SECRETS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Median seconds, and the peak of allocated memory in MB."""

    seconds: float
    megabytes: float


def baseline_ranks(costs: Sequence[float], references: Sequence[float]) -> list[float]:
    """Exposures by one sorted list of tuples; a canary sorts after the references that tie with it. In the order of cost."""
    marked = [(cost, 0) for cost in references] + [(cost, 1) for cost in costs]
    marked.sort()
    exposures, cheaper = [], 0
    for _, is_canary in marked:
        if is_canary:
            exposures.append(math.log2(len(references)) - math.log2(1 + cheaper))
        else:
            cheaper += 1
    return exposures


def baseline_extrapolation(costs: Floats, references: Floats) -> Floats:
    """−log2 of scipy's fitted distribution function: infinite where that is rounded to 0."""
    with np.errstate(divide="ignore"):
        exposures: Floats = -np.log2(stats.skewnorm.cdf(costs, *stats.skewnorm.fit(references)))
    return exposures


def baseline_secrets(n: int, rng: np.random.Generator) -> list[str]:
    """Distinct rows of nine digits: draw, sort out duplicates, draw again while any are missing, cut."""
    rows = np.unique(rng.integers(0, 10, (n, 9)), axis=0)
    while len(rows) < n:
        rows = np.unique(np.concatenate([rows, rng.integers(0, 10, (n, 9))]), axis=0)
    return ["".join(map(str, row)) for row in rows[:n].tolist()]


def measure(work: Callable[[], object], runs: int) -> Timing:
    """Median time of some runs, then the peak memory of one more."""
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return Timing(seconds=statistics.median(seconds), megabytes=peak / 1e6)


def row(what: str, theirs: Timing, ours: Timing) -> None:
    """One line of the table."""
    print(
        f"{what:<44}{theirs.seconds:9.3f} s {theirs.megabytes:7.0f} MB"
        f"{ours.seconds:9.3f} s {ours.megabytes:7.0f} MB{theirs.seconds / ours.seconds:8.1f} x"
    )


def first_digits(secrets: Sequence[str]) -> str:
    """How many secrets begin with 0 … 9, in thousands."""
    counts = np.bincount([int(secret[0]) for secret in secrets], minlength=10)
    return " ".join(f"{count / 1000:5.0f}" for count in counts)


def main(runs: int) -> None:
    """Prints the table."""
    rng = np.random.default_rng(0)
    references = stats.skewnorm.rvs(2.0, 30.0, 4.0, size=REFERENCES, random_state=1)
    costs = rng.uniform(0.0, references.max(), CANARIES)
    listed, asked = references.tolist(), costs.tolist()
    print(f"{'':44}{'baseline':>21}{'secretaudit':>21}   faster")

    def ours_ranks() -> Floats:
        ranks = ranks_among(costs, references)
        return exposure_bits(ranks.against, ranks.among)

    # the baseline leaves the canary out of the set that it counts in: log2 N where ours has log2 (N + 1)
    expected = np.array(baseline_ranks(asked, listed)) + math.log2(1 + 1 / REFERENCES)
    agree = np.allclose(np.sort(ours_ranks())[::-1], expected, rtol=0, atol=1e-9)
    row(
        f"ranks, {REFERENCES:,} references (agree: {'yes' if agree else 'NO'})",
        measure(lambda: baseline_ranks(asked, listed), runs),
        measure(ours_ranks, runs),
    )
    theirs = measure(lambda: baseline_extrapolation(costs, references), runs)
    row(
        "skew-normal fit, the same references",
        theirs,
        measure(lambda: fit_skew_normal(references).exposure_bits(costs), runs),
    )
    row(
        "  ours thinned, with test and interval",
        theirs,
        measure(lambda: extrapolated_exposures(costs, references, secrets=10**9, rng=rng), runs),
    )
    form = parse_format("random-number")
    row(
        f"{SECRETS:,} distinct 9-digit secrets",
        measure(lambda: baseline_secrets(SECRETS, rng), runs),
        measure(lambda: form.sample(SECRETS, rng), runs),
    )
    print(
        "\nsecrets by first digit, in thousands:   0     1     2     3     4     5     6     7     8     9"
    )
    print(f"  baseline                         {first_digits(baseline_secrets(SECRETS, rng))}")
    print(f"  secretaudit                      {first_digits(form.sample(SECRETS, rng))}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
