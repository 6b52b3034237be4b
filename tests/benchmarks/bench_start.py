"""How long a newcomer waits: ``--help``, ``import secretaudit``, and the whole demo, each in a process of its own.

``python -m tests.benchmarks.bench_start [RUNS] [--demo]``. Medians of RUNS runs (default 5) after one that fills the disk cache; the demo runs once.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from tests.benchmarks.timing import row

COMMANDS = {
    "python -c pass (floor)": ["-c", "pass"],
    "import secretaudit": ["-c", "import secretaudit"],
    "secretaudit --help": ["-m", "secretaudit", "--help"],
}


def seconds_of(arguments: list[str]) -> float:
    """Wall time of one Python process."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    """Print the table."""
    numbers = [a for a in sys.argv[1:] if a.isdigit()]
    runs = int(numbers[0]) if numbers else 5
    row("what", "wanted", "measured (median)")
    for name, arguments in COMMANDS.items():
        seconds_of(arguments)
        taken = statistics.median(seconds_of(arguments) for _ in range(runs))
        row(name + ", s", "" if "floor" in name else "<= 0.3", f"{taken:.3f}")
    if "--demo" in sys.argv:
        row("secretaudit demo, s", "<= 90", f"{seconds_of(['-m', 'secretaudit', 'demo']):.1f}")


if __name__ == "__main__":
    main()
