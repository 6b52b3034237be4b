"""The secret tree: speed of expansion, exact ranks and importance sampling in 10^9 leaves, shortest path among 10^14, memory.

``python -m tests.benchmarks.bench_tree [RUNS]``, medians of RUNS runs (default 5). The bare one-step call is ``torch.nn.LSTM`` of the same
size, fed one time step of the same number of rows in a loop, nothing else: no embedding, no output layer, no bookkeeping.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time

import numpy as np
import torch

from secretaudit.exposure.branch_and_bound import branch_and_bound
from secretaudit.exposure.estimate import Question
from secretaudit.exposure.importance import importance
from secretaudit.extraction.shortest_path import shortest_path
from secretaudit.progress import SilentProgress
from secretaudit.tree import Budget, SecretTree
from secretaudit.tree.walk import depth_first
from tests.benchmarks.subject import Subject, subject
from tests.benchmarks.timing import row, take_turns

NODES = 60_000


def expansion(asked: Subject, runs: int) -> None:
    """Nodes per second of a walk over everything, against the bare LSTM at the walk's own batch size."""
    tree = asked.tree("random-number")
    bare = torch.nn.LSTM(200, 200, 2, batch_first=True)
    x = torch.randn(tree.batch, 1, 200)
    state = (torch.randn(2, tree.batch, 200), torch.randn(2, tree.batch, 200))

    def walk() -> None:
        for _ in depth_first(tree, np.inf, Budget(nodes=NODES).meter()):
            pass

    def loop() -> None:
        with torch.inference_mode():
            for _ in range(NODES // tree.batch):
                bare(x, state)

    seconds = take_turns({"walk": walk, "loop": loop}, runs)
    ours = NODES / seconds["walk"]
    theirs = NODES // tree.batch * tree.batch / seconds["loop"]
    row(f"expansion, nodes/s (batch {tree.batch})", "", f"{ours:,.0f}")
    row("bare torch.nn.LSTM one-step calls, nodes/s", "", f"{theirs:,.0f}")
    row("ratio", ">= 0.6", f"{ours / theirs:.2f}")


def exact_rank(asked: Subject, runs: int) -> None:
    """Exact rank of fully memorized 9-digit canaries."""
    tree = asked.tree("random-number")
    for canary in asked.canaries("random-number", 32):
        question = _question(tree, [canary.secret])
        seconds, found = [], None
        for _ in range(runs):
            started = time.perf_counter()
            (found,) = branch_and_bound(question, Budget().meter(), SilentProgress())
            seconds.append(time.perf_counter() - started)
        assert found is not None
        row(
            f"exact rank {found.rank:,.0f} of 10^9 ({found.nodes:,} nodes), s",
            "<= 1",
            f"{statistics.median(seconds):.3f}",
        )


def importance_sampling(asked: Subject, runs: int) -> None:
    """Seconds until every canary's interval is at most ±0.5 bit, at ranks from the first to the last."""
    tree = asked.tree("random-number")
    assert asked.audited.ledger is not None
    secrets = [c.secret for c in asked.audited.ledger.canaries if c.format == "random-number"]
    question = _question(tree, secrets)
    seconds, ranks, draws, widest = [], [1.0], 0, 0.0
    for run in range(runs):
        started = time.perf_counter()
        found = importance(
            question, Budget().meter(), np.random.default_rng(run), SilentProgress(), 0.5
        )
        seconds.append(time.perf_counter() - started)
        ranks = [e.rank or 0.0 for e in found]
        draws = found[0].draws
        widest = max(
            np.log2(max(e.rank_high / (e.rank or 1), (e.rank or 1) / e.rank_low)) for e in found
        )
    row(
        f"importance, {len(secrets)} canaries, ranks {min(ranks):.0f} … {max(ranks):.1e}, s",
        "<= 10",
        f"{statistics.median(seconds):.2f}",
    )
    row(f"   draws {draws:,}; widest arm, bits", "<= 0.5", f"{widest:.2f}")


def shortest_card(asked: Subject, runs: int) -> None:
    """Queries of the shortest path to a memorized credit card."""
    tree = asked.tree("credit-card")
    inserted = {c.secret for c in asked.canaries("credit-card", 32)}
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        found = shortest_path(
            tree, top=1, meter=Budget(nodes=10**6).meter(), progress=SilentProgress()
        )
        seconds.append(time.perf_counter() - started)
    out = bool(found.leaves) and tree.secret(found.leaves[0].tokens) in inserted
    row(
        f"card among {tree.form.size:.1e} ({'an inserted one' if out else 'NOT FOUND'}), queries",
        "<= 100,000",
        f"{found.queries:,}",
    )
    row("   seconds", "", f"{statistics.median(seconds):.3f}")


def memory() -> None:
    """Peak memory of one process per search, beyond what loading the model takes, with the default limit of 2 GiB."""
    for what in ("nothing", "enumeration", "importance", "shortest-path", "beam"):
        command = [sys.executable, "-m", "tests.benchmarks.bench_tree", "memory-of", what]
        shown = subprocess.run(command, capture_output=True, text=True, check=True)
        row(f"peak resident memory, {what}, MB", "<= 2,147", shown.stdout.strip())


def _memory_of(what: str) -> None:
    from secretaudit.extraction.beam import beam

    asked = subject()
    tree = asked.tree("credit-card")
    meter = Budget(nodes=300_000).meter()
    match what:
        case "enumeration":
            for _ in depth_first(tree, np.inf, meter):
                pass
        case "importance":
            cards = [c.secret for c in asked.canaries("credit-card", 1)]
            rng = np.random.default_rng(0)
            importance(_question(tree, cards), meter, rng, SilentProgress(), 0.01)
        case "shortest-path":
            shortest_path(tree, top=10_000, meter=meter, progress=SilentProgress())
        case "beam":
            beam(tree, top=10, width=10_000, meter=meter, progress=SilentProgress())
        case _:
            tree.score([c.secret for c in asked.canaries("credit-card", 1)])
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6:,.0f}")


def _question(tree: SecretTree, secrets: list[str]) -> Question:
    return Question(space=tree, secrets=secrets, costs=tree.score(secrets))


def main() -> None:
    """Print the table."""
    if sys.argv[1:2] == ["memory-of"]:
        _memory_of(sys.argv[2])
        return
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    asked = subject()
    row("what", "wanted", "measured (median)")
    expansion(asked, runs)
    exact_rank(asked, runs)
    importance_sampling(asked, runs)
    shortest_card(asked, runs)
    memory()


if __name__ == "__main__":
    main()
