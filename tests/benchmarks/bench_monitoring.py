"""What it costs to watch: the share of the training time that looks at every epoch take.

``python -m tests.benchmarks.bench_monitoring [EPOCHS]``: the demo's made-up mail (2,000 records, with random numbers of nine digits and PINs) is
trained on twice per architecture: with the default share of 10 %, which leaves looks out when there is no time for them, and without any
limit, which shows what a look costs by itself. An epoch of a real corpus is longer, and a look is not.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from secretaudit.demo_corpus import demo_records
from secretaudit.insertion import insert
from secretaudit.monitor.exposure_monitor import ExposureMonitor
from secretaudit.training.run import train
from secretaudit.training.settings import TrainingSettings
from tests.benchmarks.timing import row

#: Name → settings.
SUBJECTS = {
    "LSTM 2×200": TrainingSettings(arch="lstm", layers=2, units=200, batch_size=16),
    "transformer 2×128": TrainingSettings(arch="transformer", layers=2, units=128, batch_size=16),
}


def main() -> None:
    """Print the table."""
    epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    row("what", "wanted", "measured")
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        lines = demo_records(2_000, np.random.default_rng(3))
        (folder / "mail.txt").write_text("\n".join(lines))
        insert(
            folder / "mail.txt",
            folder / "canaried",
            formats=["random-number", "pin"],
            count=5,
            repeats=(1, 4, 16),
            controls=30,
            seed=3,
        )
        for name, settings in SUBJECTS.items():
            for kind, monitor in (
                ("at most a tenth", ExposureMonitor()),
                ("every epoch", ExposureMonitor(share=None)),
            ):
                measure(folder, name, kind, settings, epochs, monitor)


def measure(
    folder: Path,
    name: str,
    kind: str,
    settings: TrainingSettings,
    epochs: int,
    monitor: ExposureMonitor,
) -> None:
    """Train once and print what the looks took."""
    record = train(
        folder / "canaried",
        folder / "model",
        settings=replace(settings, epochs=epochs),
        watcher=monitor,
        force=True,
    )
    found = record.found
    looks = found["watched"]
    training, watching = found["training_seconds"], found["watching_seconds"]
    limit = "<= 10 %" if monitor.settings.share is not None else ""
    row(f"{name}, {kind}: share of training time", limit, f"{watching / training:.1%}")
    row(
        "  looks taken, left out",
        "",
        f"{len(looks)}, {sum(entry['skipped'] for entry in looks)}",
    )
    row(
        "  seconds per look, per epoch",
        "",
        f"{watching / len(looks):.2f}, {training / epochs:.2f}",
    )


if __name__ == "__main__":
    main()
