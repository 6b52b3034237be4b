"""A small canaried corpus, for trainings that take seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from secretaudit.demo_corpus import demo_records
from secretaudit.insertion import insert


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """The machine is shared; small matrices gain nothing from more."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def canaried(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short lines of made-up mail with one canary said once, one said 16 times, and six controls."""
    folder = tmp_path_factory.mktemp("mail")
    lines = [line[:40] for line in demo_records(100, np.random.default_rng(0))]
    (folder / "mail.txt").write_text("\n".join(lines))
    insert(
        folder / "mail.txt",
        folder / "canaried",
        formats=["my pin is {digits:3}"],
        count=1,
        repeats=(1, 16),
        controls=6,
        seed=2,
    )
    return folder / "canaried"


@pytest.fixture(scope="session")
def records(canaried: Path) -> list[str]:
    """The lines that are trained on."""
    return (canaried / "corpus.txt").read_text().splitlines()
