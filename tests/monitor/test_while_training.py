"""The monitor in our own training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from secretaudit.canary.ledger import Ledger
from secretaudit.demo_corpus import demo_records
from secretaudit.errors import UsageError
from secretaudit.exposure.audit import expose
from secretaudit.insertion import insert
from secretaudit.monitor.exposure_monitor import ExposureMonitor
from secretaudit.records import Record
from secretaudit.training.run import train
from secretaudit.training.settings import TrainingSettings


def small(**fields: Any) -> TrainingSettings:
    """A training of seconds."""
    given = {
        "units": 32,
        "layers": 1,
        "batch_size": 4,
        "epochs": 3,
        "layout": "records",
        "validation": 0.0,
    }
    return TrainingSettings(**{**given, **fields})


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("arch", ["lstm", "transformer"])
def test_a_training_that_is_watched_gives_the_same_weights(
    arch: str, canaried: Path, tmp_path: Path
) -> None:
    """Bit for bit, dropout included."""
    settings = small(arch=arch, dropout=0.2, epochs=1, heads=2 if arch == "transformer" else None)
    train(canaried, tmp_path / "alone", settings=settings)
    monitor = ExposureMonitor(every=7, share=None)
    record = train(canaried, tmp_path / "watched", settings=settings, watcher=monitor)
    alone, watched = weights(tmp_path / "alone"), weights(tmp_path / "watched")
    assert alone.keys() == watched.keys()
    for name, tensor in alone.items():
        assert torch.equal(tensor, watched[name]), name
    assert [e["step"] for e in record.found["watched"]][:3] == [7, 14, 21]


@pytest.mark.parametrize("arch", ["lstm", "transformer"])
def test_the_last_look_says_what_expose_says_of_the_model_that_is_written(
    arch: str, canaried: Path, tmp_path: Path
) -> None:
    """The same ranks among a thousand secrets, and the same costs up to rounding."""
    settings = small(arch=arch, epochs=1, heads=2 if arch == "transformer" else None)
    record = train(canaried, tmp_path / "model", settings=settings, watcher=ExposureMonitor())
    last = {row["id"]: row for row in record.found["watched"][-1]["exposures"]}
    said = expose(tmp_path / "model", method="enumeration").found["canaries"]
    assert len(said) == len(last) == 8
    for canary in said:
        row = last[canary["id"]]
        assert row["exposure_bits"] == pytest.approx(canary["exposure_bits"], abs=1e-9)
        assert row["cost_bits"] == pytest.approx(canary["log_perplexity_bits"], abs=1e-3)


def curve(record: Record, canary: str, quantity: str) -> NDArray[np.float64]:
    """One quantity of one canary over the steps, one row per epoch."""
    watched = record.found["watched"]
    values = [
        row[quantity] for entry in watched for row in entry["exposures"] if row["id"] == canary
    ]
    epochs = round(watched[-1]["epoch"])
    return np.array(values).reshape(epochs, -1)


def test_memorization_jumps_where_the_canary_is_seen_and_decays_in_between(tmp_path: Path) -> None:
    """A look after every mini-batch, in the order of the corpus (Carlini et al. 2019, within an epoch)."""
    lines = [line[:40] for line in demo_records(120, np.random.default_rng(0))]
    (tmp_path / "mail.txt").write_text("\n".join(lines))
    insert(
        tmp_path / "mail.txt",
        tmp_path / "canaried",
        formats=["my pin is {digits:3}"],
        count=1,
        repeats=(1,),
        controls=2,
        seed=2,
    )
    once = Ledger.read(tmp_path / "canaried" / "ledger.json").canaries[0]
    lines = (tmp_path / "canaried" / "corpus.txt").read_text().splitlines()
    settings = small(units=48, epochs=6, shuffle=False, optimizer="sgd", learning_rate=4.0)
    monitor = ExposureMonitor(every=1, share=None)
    record = train(tmp_path / "canaried", tmp_path / "model", settings=settings, watcher=monitor)
    seen = lines.index(once.text) // settings.batch_size
    cost = curve(record, once.id, "cost_bits")[2:]
    change = np.diff(cost, axis=1)
    assert (
        change.argmin(axis=1) == seen - 1
    ).all()  # its own step makes it likelier than any other
    assert (change[:, seen - 1] < -5).all()
    assert (
        cost[1:, seen - 1] > cost[:-1, seen] + 5
    ).all()  # until it is seen again, it gets dearer
    exposure = curve(record, once.id, "exposure_bits")[2:]
    assert (exposure[:, seen] > exposure[:, seen - 1]).all()


def test_a_training_stops_over_a_limit(canaried: Path, tmp_path: Path) -> None:
    """The record says why, and where."""
    monitor = ExposureMonitor(every=5, stop_over=1.5)
    record = train(
        canaried, tmp_path / "model", settings=small(epochs=30, learning_rate=0.02), watcher=monitor
    )
    assert record.found["stopped"] == "exposure"
    *before, last = record.found["watched"]
    assert max(r["low_bits"] for r in last["exposures"] if r["insertions"]) > 1.5
    for entry in before:
        assert max(r["low_bits"] for r in entry["exposures"] if r["insertions"]) <= 1.5


def test_a_corpus_without_canaries_is_refused_before_it_is_trained_on(tmp_path: Path) -> None:
    """There would be nothing to see."""
    (tmp_path / "plain.txt").write_text("one line\nand another\n" * 10)
    with pytest.raises(UsageError, match="no ledger of canaries"):
        train(tmp_path / "plain.txt", tmp_path / "m", settings=small(), watcher=ExposureMonitor())
