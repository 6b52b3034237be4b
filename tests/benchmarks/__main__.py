"""All benchmarks, one after the other: ``python -m tests.benchmarks``."""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = (
    ["bench_start", "--demo"],
    ["bench_tree"],
    ["bench_training"],
    ["bench_reference_costs"],
    ["bench_coverage"],
)

for name, *arguments in BENCHMARKS:
    print(f"\n== {name}", flush=True)
    subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}", *arguments], check=True)
