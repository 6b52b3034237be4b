"""Estimators against the truth: all 10^6 secrets of a trained model's 6-digit space are enumerated, then estimated.

``python -m tests.benchmarks.bench_coverage [SEEDS]`` (default 20). Secrets are taken at true ranks from 1 to |R|. Reported are, per rank, the
median ratio of estimated to true rank for importance sampling and for the paper's skew-normal fit, and how often the 95 % interval of
importance sampling covers the truth.
"""

from __future__ import annotations

import sys

import numpy as np

from secretaudit.canary.format import parse_format
from secretaudit.exposure.branch_and_bound import branch_and_bound
from secretaudit.exposure.estimate import Question
from secretaudit.exposure.estimators import ESTIMATORS, Work
from secretaudit.exposure.importance import importance
from secretaudit.progress import SilentProgress
from secretaudit.tree import Budget, SecretTree
from secretaudit.tree.secret_tree import TOLERANCE_BITS
from tests.benchmarks.subject import subject

RANKS = (1, 2, 3, 5, 10, 30, 100, 300, 1_000, 3_000, 10_000, 100_000, 500_000, 900_000, 1_000_000)


def main() -> None:
    """Print the table."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    form = parse_format("the random number is {digits:6}")
    tree = SecretTree(form, subject().audited.model)
    everything = form.automaton.unrank_many(np.arange(form.size))
    costs = tree.score(everything)
    order = np.argsort(costs, kind="stable")
    chosen = order[np.array(RANKS) - 1]
    question = Question(
        tree=tree, secrets=[everything[i] for i in chosen.tolist()], costs=costs[chosen]
    )
    truth = (costs[None, :] <= question.costs[:, None] + TOLERANCE_BITS).sum(axis=1)

    runs = [
        importance(question, Budget().meter(), np.random.default_rng(seed), SilentProgress())
        for seed in range(seeds)
    ]
    ranks = np.array([[e.rank for e in run] for run in runs], dtype=float)
    low = np.array([[e.rank_low for e in run] for run in runs])
    high = np.array([[e.rank_high for e in run] for run in runs])
    covered = (low <= truth) & (truth <= high)
    fit, _ = ESTIMATORS["extrapolation"]
    work = Work(meter=Budget().meter(), rng=np.random.default_rng(0), progress=SilentProgress())
    fitted = np.array([form.size * 2.0 ** -(e.exposure or 0.0) for e in fit(question, work)])

    print(f"{'true rank':>10} {'importance':>12} {'covered':>9} {'skew-normal fit':>17}")
    for i, rank in enumerate(truth.tolist()):
        print(
            f"{rank:>10,} {np.median(ranks[:, i]) / rank:>12.2f} {covered[:, i].mean():>9.0%} "
            f"{fitted[i] / rank:>17.3g}"
        )
    print(
        f"{covered.size} (canary, seed) pairs, {runs[0][0].draws:,} draws: {covered.mean():.1%} covered"
    )
    memorized = Question(space=tree, secrets=question.secrets[:8], costs=question.costs[:8])
    exact = branch_and_bound(memorized, Budget().meter(), SilentProgress())
    agree = all(e.rank == t for e, t in zip(exact, truth[:8].tolist(), strict=True))
    print(f"exact method equals enumeration at the first 8 ranks: {agree}")


if __name__ == "__main__":
    main()
