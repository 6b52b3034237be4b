"""The whole way in one go, on text made up on the spot: insert → train → expose → extract → gate.

The corpus is support mail from our own grammar, so nothing is downloaded and nobody is in it. Social security numbers that never
existed are inserted once, 4 and 16 times; others are drawn and left out, as controls. A small character LSTM is trained on it, and
then asked. It takes about a minute on two cores, and the numbers are as real as on any other text.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from secretaudit.demo_corpus import demo_records
from secretaudit.exposure.audit import expose
from secretaudit.extraction.audit import extract
from secretaudit.gate import gate
from secretaudit.insertion import insert
from secretaudit.progress import Progress, SilentProgress
from secretaudit.records import Record, check_output
from secretaudit.training.run import train
from secretaudit.training.settings import TrainingSettings

FORMAT = "ssn"
RECORDS = 2_000
REPEATS = (1, 4, 16)
COUNT = 3
CONTROLS = 30
SETTINGS = TrainingSettings(
    arch="lstm", tokenizer="char", layers=1, units=160, epochs=12, batch_size=16, sequence_length=64
)
#: The gate of the demo: a secret that is 1,000 times likelier than chance does not ship.
MAX_EXPOSURE = 10.0


def run_demo(
    directory: Path | None = None, *, seed: int = 0, progress: Progress | None = None
) -> dict[str, Record]:
    """Run the demo.

    Args:
        directory: Where corpus, ledger, model and records stay; ``None`` keeps nothing.
        seed: Of everything.
        progress: Is told what is going on.

    Returns:
        The records by name: ``insertion``, ``training``, ``exposure``, ``extraction``, ``gate``.

    Raises:
        UsageError: The directory is not empty.
    """
    with _one_thread():
        if directory is None:
            with tempfile.TemporaryDirectory(prefix="secretaudit-demo-") as temporary:
                return _run(Path(temporary), seed, progress or SilentProgress())
        check_output(directory)
        directory.mkdir(parents=True, exist_ok=True)
        return _run(directory, seed, progress or SilentProgress())


@contextmanager
def _one_thread() -> Iterator[None]:
    """A model this small gains little from a second core, and loses much when that core is busy with something else."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _run(directory: Path, seed: int, progress: Progress) -> dict[str, Record]:
    corpus, canaried, model = directory / "mail.txt", directory / "canaried", directory / "model"
    lines = demo_records(RECORDS, np.random.default_rng(seed))
    corpus.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    insertion = insert(
        corpus,
        canaried,
        formats=[FORMAT],
        count=COUNT,
        repeats=REPEATS,
        controls=CONTROLS,
        seed=seed,
        progress=progress,
    )
    training = train(canaried, model, settings=SETTINGS, progress=progress)
    exposure = expose(model, seed=seed, progress=progress)
    extraction = extract(model, format=FORMAT, top=10, seed=seed, progress=progress)
    verdict = gate(exposure, max_exposure=MAX_EXPOSURE)
    records = {
        "insertion": insertion,
        "training": training,
        "exposure": exposure,
        "extraction": extraction,
        "gate": verdict,
    }
    for name in ("exposure", "extraction", "gate"):
        records[name].write(directory / f"{name}.json")
    return records
