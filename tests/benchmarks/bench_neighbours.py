"""Exact nearest neighbours by engine and distance, side by side.

``python -m tests.benchmarks.bench_neighbours [POINTS] [FEATURES]`` (default 10,000 and 640: LeNet's embedding of as many images). 300 queries on
one thread; process time, so that what else runs on the machine counts less. Both engines must find the same neighbours, up to ties.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from secretaudit.suite.neighbours.engine import nearest
from secretaudit.suite.neighbours.settings import ENGINES, METRICS

QUERIES, K = 300, 30


def main() -> None:
    """Print the table."""
    count, width = (int(x) for x in (sys.argv[1:] + ["10000", "640"][len(sys.argv) - 1 :]))
    rng = np.random.default_rng(0)
    reference = rng.random((count, width), dtype=np.float32)
    queries = rng.random((QUERIES, width), dtype=np.float32)
    print(f"{count} points, {width} features, {QUERIES} queries, k = {K}")
    for metric in METRICS:
        found, cost = {}, {}
        for engine in ENGINES:
            nearest(reference[:K], queries[:1], K, metric=metric, engine=engine)  # imports
            begin = time.process_time()
            found[engine] = nearest(reference, queries, K, metric=metric, engine=engine)
            cost[engine] = time.process_time() - begin
        same = float((found[ENGINES[0]] == found[ENGINES[1]]).mean())
        told = ", ".join(f"{engine} {1e3 * cost[engine] / QUERIES:.2f} ms" for engine in ENGINES)
        ratio = cost[ENGINES[0]] / cost[ENGINES[1]]
        print(f"{metric}: {told} a query, ratio {ratio:.1f}, same neighbours {100 * same:.2f} %")


if __name__ == "__main__":
    main()
