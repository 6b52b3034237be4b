"""What a default run of each module of the suite takes on scikit-learn's digits: the command as a user gives it, report included.

``python -m tests.benchmarks.bench_suite [MODULE …]``. One run each, in a process of its own and an empty directory, one worker per core.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from secretaudit.suite.modules import MODULES
from tests.benchmarks.timing import row


def measured(module: str) -> tuple[float, float]:
    """Wall time and CPU time of a run with its children, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        command = ["-m", "secretaudit", "suite", module, "digits", "-o", str(Path(place) / "out")]
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - started, after.ru_utime - before.ru_utime


def main() -> None:
    """Print the table."""
    row(f"default run on digits, {os.cpu_count()} cores", "wanted", "wall (CPU) seconds")
    for module in sys.argv[1:] or MODULES:
        wall, cpu = measured(module)
        row(f"suite {module}", "<= 180", f"{wall:.0f} ({cpu:.0f})")


if __name__ == "__main__":
    main()
