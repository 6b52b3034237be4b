"""The model that the tree benchmarks ask: a 2×200 character LSTM that has memorized random numbers and credit cards.

It is trained once on the demo's made-up mail and kept in the directory that ``SECRETAUDIT_BENCHMARKS`` names (default:
``secretaudit-benchmarks`` in the system's temporary directory), so that later runs start at once.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from secretaudit.audited import Audited, open_audited
from secretaudit.canary.ledger import Canary
from secretaudit.demo_corpus import demo_records
from secretaudit.insertion import insert
from secretaudit.training.run import train
from secretaudit.training.settings import TrainingSettings
from secretaudit.tree import Memory, SecretTree

SETTINGS = TrainingSettings(
    arch="lstm", layers=2, units=200, epochs=14, batch_size=16, sequence_length=64, seed=3
)


@dataclass(frozen=True)
class Subject:
    """The model and its ledger."""

    audited: Audited
    path: Path

    def tree(self, name: str, memory: str = "2GiB") -> SecretTree:
        """The tree of one of the ledger's formats."""
        assert self.audited.ledger is not None
        form = self.audited.ledger.formats[name]
        return SecretTree(form, self.audited.model, memory=Memory.parse(memory))

    def canaries(self, name: str, insertions: int) -> list[Canary]:
        """Canaries of a format with so many insertions."""
        assert self.audited.ledger is not None
        return [
            c
            for c in self.audited.ledger.canaries
            if c.format == name and c.insertions == insertions
        ]


def subject() -> Subject:
    """Train the model, or take the one that is there."""
    place = os.environ.get("SECRETAUDIT_BENCHMARKS")
    root = Path(place) if place else Path(tempfile.gettempdir()) / "secretaudit-benchmarks"
    corpus, canaried, model = root / "mail.txt", root / "canaried", root / "model"
    if not (model / "model.safetensors").is_file():
        root.mkdir(parents=True, exist_ok=True)
        lines = demo_records(2_000, np.random.default_rng(3))
        corpus.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        print(f"training the benchmark model in {root} (once) …", flush=True)
        insert(
            corpus,
            canaried,
            formats=["random-number", "credit-card"],
            count=3,
            repeats=(1, 4, 32),
            controls=12,
            seed=3,
            force=True,
        )
        train(canaried, model, settings=SETTINGS, force=True)
    return Subject(open_audited(model), model)
