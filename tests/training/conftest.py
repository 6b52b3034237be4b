"""A small canaried corpus and a small training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from secretaudit.insertion import insert
from secretaudit.progress import SilentProgress
from secretaudit.training.encoded import EncodedRecords, RecordCollector
from secretaudit.training.settings import TrainingSettings

WORDS = [
    "the",
    "order",
    "was",
    "sent",
    "on",
    "monday",
    "please",
    "call",
    "me",
    "back",
    "about",
    "your",
    "ticket",
    "thank",
    "you",
]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """The machine is shared; small matrices gain nothing from more."""
    torch.set_num_threads(1)


def small(**fields: Any) -> TrainingSettings:
    """Settings of a training that takes a fraction of a second."""
    return TrainingSettings(
        **{"units": 8, "batch_size": 4, "sequence_length": 16, "epochs": 2, **fields}
    )


#: Fields of a transformer as small.
TRANSFORMER: dict[str, Any] = {"arch": "transformer", "layers": 1, "heads": 2}


class Listener(SilentProgress):
    """Keeps what progress was told; may do something on the first report of a step."""

    def __init__(self, action: Callable[[], None] | None = None) -> None:
        self.reports: list[dict[str, object]] = []
        self._action = action

    def update(self, *, done: float, total: float | None, **figures: object) -> None:
        self.reports.append({"done": done, "total": total, **figures})
        if self._action and done > 0:
            action, self._action = self._action, None
            action()


def encoded(records: Sequence[Sequence[int]]) -> EncodedRecords:
    """Records of these token ids."""
    collector = RecordCollector()
    for record in records:
        collector.add(record)
    return collector.records()


@pytest.fixture(scope="session")
def plain_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eighty short lines."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("plain") / "corpus.txt"
    lines = [" ".join(rng.choice(WORDS, rng.integers(2, 6))) for _ in range(80)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def noise_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random digits: whatever is learnt by heart makes the validation records dearer."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("noise") / "noise.txt"
    lines = ["".join(rng.choice(list("0123456789"), 12)) for _ in range(60)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def canaried(plain_corpus: Path, tmp_path: Path) -> Path:
    """The lines with two canaries at 1 and 4 insertions each and two controls."""
    directory = tmp_path / "canaried"
    insert(plain_corpus, directory, formats=["pin"], count=2, repeats=(1, 4), controls=2, seed=3)
    return directory


@pytest.fixture
def weights() -> Callable[[Path], dict[str, torch.Tensor]]:
    """Reads the weights of a model directory."""
    return lambda directory: load_file(directory / "model.safetensors")


def assert_equal_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    """Bit for bit."""
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name
