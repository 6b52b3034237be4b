"""One experiment of the papers, by one command: ``python -m tests.reproductions NAME``.

    python -m tests.reproductions epochs [--seed S] [--full] [--data DIR] [--out DIR]

``--data`` is the directory of the real corpora (default: SECRETAUDIT_DATA). The table and the verdicts are printed; ``--out`` also keeps them as
NAME.json. ``--full`` takes the paper's sizes, which need hours.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import torch

from tests.reproductions.experiments import EXPERIMENTS
from tests.reproductions.outcome import printed, write_outcome
from tests.reproductions.study import study_of


def main() -> int:
    """Run one experiment."""
    parser = argparse.ArgumentParser(prog="python -m tests.reproductions")
    parser.add_argument("name", choices=sorted(EXPERIMENTS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--full", action="store_true", help="the paper's sizes; hours")
    parser.add_argument("--data", type=Path, default=os.environ.get("SECRETAUDIT_DATA"))
    parser.add_argument("--out", type=Path, default=Path("reproductions"))
    given = parser.parse_args()
    if given.data is None:
        parser.error("the real corpora are needed: give --data, or set SECRETAUDIT_DATA")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    experiment = EXPERIMENTS[given.name]
    sizes = experiment.full if given.full else experiment.small
    started = time.time()
    lines = experiment.corpus_lines(given.data)
    with study_of(lines, given.seed, given.data) as study:
        outcome = experiment.run(study, sizes)
    print(printed(outcome))
    path = write_outcome(
        given.out,
        given.name,
        outcome,
        sizes=sizes,
        full=given.full,
        seed=given.seed,
        started=started,
    )
    print(f"\nseed {given.seed}, {(time.time() - started) / 60:.1f} minutes, {sizes}\n{path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
