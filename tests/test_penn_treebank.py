"""The main job on real text: Penn Treebank, a 2×200 character LSTM, canaries at 1, 4 and 16 insertions.

The short run trains on the validation part (400 kB) and is part of every test run that has the data. The long one trains on the whole
training part (5 MB, about twenty minutes on two cores): ``pytest -m slow``. Both assert what the paper's experiment shows, not a golden value.
"""

from __future__ import annotations

import lzma
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import secretaudit
from secretaudit.training.settings import TrainingSettings

pytestmark = pytest.mark.data


def measured(part: str, data: Path, place: Path, count: int, **dials: Any) -> dict[str, Any]:
    """Insert, train, expose, extract; everything that a user would call."""
    corpus = place / "ptb.txt"
    corpus.write_bytes(lzma.decompress((data / "ptb" / f"ptb.{part}.txt.xz").read_bytes()))
    secretaudit.insert(
        corpus,
        place / "canaried",
        formats=["random-number"],
        count=count,
        repeats=(1, 4, 16),
        controls=50,
        seed=1,
    )
    settings = TrainingSettings(arch="lstm", tokenizer="char", layers=2, units=200, seed=1, **dials)
    training = secretaudit.train(place / "canaried", place / "model", settings=settings)
    exposure = secretaudit.expose(place / "model")
    extraction = secretaudit.extract(place / "model", format="random-number", top=count)
    return {
        "training": training.found,
        "canaries": exposure.found["canaries"],
        "controls": exposure.found["controls"],
        "extraction": extraction.found,
    }


def check(found: dict[str, Any]) -> None:
    """Exposure grows with insertions, controls are at chance, what stood there 16 times comes out."""
    by_insertions: dict[int, list[float]] = {}
    for canary in found["canaries"]:
        assert canary["status"] == "measured"
        assert canary["copies_seen"] == canary["insertions"]
        assert (
            canary["exposure_low_bits"] <= canary["exposure_bits"] <= canary["exposure_high_bits"]
        )
        assert canary["exposure_high_bits"] - canary["exposure_low_bits"] <= 1.0
        by_insertions.setdefault(canary["insertions"], []).append(canary["exposure_bits"])
    means = {n: float(np.mean(bits)) for n, bits in by_insertions.items()}
    assert means[0] < means[1] < means[4] < means[16]
    # Controls are exponential with mean 1/ln 2; four standard errors of a mean of 50.
    assert abs(means[0] - 1 / math.log(2)) < 4 / math.log(2) / math.sqrt(len(by_insertions[0]))
    memorized = [c for c in found["extraction"]["canaries"] if c["insertions"] == 16]
    out = [c for c in memorized if c["place"] is not None]
    assert len(out) >= 0.8 * len(memorized)
    assert found["extraction"]["queries"] < 10**6


def test_a_short_run_shows_what_the_paper_shows(
    data_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """On the validation part, in two minutes."""
    place = tmp_path_factory.mktemp("ptb-short")
    check(measured("valid", data_directory, place, 4, epochs=14, batch_size=32))


@pytest.mark.slow
def test_the_whole_training_part_shows_it_too(
    data_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """On 5 MB, where every canary is one record in two hundred or less."""
    place = tmp_path_factory.mktemp("ptb-long")
    check(measured("train", data_directory, place, 10, epochs=6))
