"""All benchmarks, one after the other: ``python -m tests.benchmarks``."""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = (
    ["bench_start", "--demo"],
    ["bench_tree"],
    ["bench_training"],
    ["bench_private_recurrent"],
    ["bench_reference_costs"],
    ["bench_coverage"],
    ["bench_transformers"],
    ["bench_private_transformer"],
    ["bench_language_models"],
    ["bench_vocabulary_index"],
    ["bench_segmentations"],
    ["bench_server"],
    ["bench_monitoring"],
    ["bench_translation"],
    ["bench_published"],
    ["bench_per_example"],
    ["bench_neighbours"],
    ["bench_suite"],
)

for name, *arguments in BENCHMARKS:
    print(f"\n== {name}", flush=True)
    subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}", *arguments], check=True)
