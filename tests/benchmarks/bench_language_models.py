"""Exact rank and importance sampling of 9-digit canaries under a GPT-2 of 4 layers × 256 with the GPT-2 tokenizer.

``python -m tests.benchmarks.bench_language_models [RUNS]``, medians of RUNS runs (default 3). Times are those of one whole question on a
loaded model: building the token automaton is timed by itself, since it is done once per format and cached.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np

import secretaudit
from secretaudit.exposure.branch_and_bound import branch_and_bound
from secretaudit.exposure.estimate import Estimate
from secretaudit.exposure.importance import importance
from secretaudit.exposure.measurement import priced
from secretaudit.models.loading import load_model
from secretaudit.progress import SilentProgress
from secretaudit.tree import Budget, SecretTree
from tests.benchmarks.timing import row
from tests.benchmarks.transformer_subject import memorizing_gpt2

PRECISION_BITS = 0.5


def main(runs: int) -> None:
    """Print the table."""
    directory, path = memorizing_gpt2()
    ledger = secretaudit.Ledger.read(path)
    form = ledger.formats["random-number"]
    started = time.perf_counter()
    model = load_model(directory)
    row("loading the model, s", "", f"{time.perf_counter() - started:.2f}")
    started = time.perf_counter()
    tree = SecretTree(form, model)
    row("token automaton of 10^9 secrets, s", "", f"{time.perf_counter() - started:.2f}")
    secrets = {n: [c.secret for c in ledger.canaries if c.insertions == n] for n in (32, 1, 0)}

    def exact() -> list[Estimate]:
        question = priced(tree, secrets[32])
        return branch_and_bound(question, Budget().meter(), SilentProgress())

    seconds, estimates = _timed(exact, runs)
    ranks = ", ".join(f"{e.rank:,.0f}" for e in estimates if e.rank is not None)
    row("exact rank, memorized 9-digit canaries, s", "<= 10", f"{seconds:.2f}")
    row("   ranks; nodes read", "", f"{ranks}; {estimates[0].nodes:,}")

    def weighted() -> list[Estimate]:
        question = priced(tree, [*secrets[1], *secrets[0]])
        rng = np.random.default_rng(0)
        return importance(question, Budget().meter(), rng, SilentProgress(), PRECISION_BITS)

    seconds, estimates = _timed(weighted, runs)
    widths = [np.log2(e.rank_high / e.rank_low) / 2 for e in estimates]
    row(f"importance, {len(estimates)} canaries to ±0.5 bit, s", "<= 60", f"{seconds:.2f}")
    row(
        "   widest half-interval, bits; draws; nodes",
        "<= 0.5",
        f"{max(widths):.2f}; {estimates[0].draws:,}; {estimates[0].nodes:,}",
    )


def _timed(run, runs: int):  # type: ignore[no-untyped-def]
    """(median seconds, what the last run found)."""
    seconds, found = [], None
    for _ in range(runs):
        started = time.perf_counter()
        found = run()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds), found


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
