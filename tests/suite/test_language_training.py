"""Small trainings with canaries."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from secretaudit.canary.ledger import Ledger
from secretaudit.errors import FormatError, UsageError
from secretaudit.suite.language.noise_text import noisy_lines
from secretaudit.suite.language.training import exposures, train_model
from tests.suite.language_models import small_model, small_settings, small_task


def test_canaries_are_inserted_as_the_task_says_and_read_as_often(tmp_path: Path) -> None:
    """Two canaries once, two six times, four controls; the training saw each copy."""
    trained = small_model(tmp_path)
    ledger = Ledger.read(trained.ledger)
    assert [c.insertions for c in ledger.canaries] == [1, 1, 6, 6, 0, 0, 0, 0]
    assert trained.found["copies_seen"] == {c.id: c.insertions for c in ledger.canaries}
    assert trained.found["records"] == 60 + 2 * 1 + 2 * 6
    assert trained.found["validation_records"] == 0


def test_real_text_and_noise_have_the_same_tokens_and_the_same_canaries(tmp_path: Path) -> None:
    """One seed makes a pair: the tokenizer and the ledger do not depend on the lines."""
    task = small_task()
    noise = noisy_lines(task.train, "tokens", "word", 1.0, np.random.default_rng(0))
    settings = small_settings(tokenizer="word")
    pair = [
        train_model(task, lines, settings, 3, tmp_path / name)
        for name, lines in (("real", task.train), ("noise", noise))
    ]
    tokenizers = [json.loads((p.directory / "tokenizer.json").read_text("utf-8")) for p in pair]
    assert tokenizers[0] == tokenizers[1]
    secrets = [[c.text for c in Ledger.read(p.ledger).canaries] for p in pair]
    assert secrets[0] == secrets[1]
    assert pair[0].found["parameters"] == pair[1].found["parameters"]


def test_the_same_seed_gives_the_same_model(tmp_path: Path) -> None:
    """Loss by loss; another seed another."""
    found = [small_model(tmp_path / str(i), seed).found for i, seed in enumerate((5, 5, 6))]
    assert found[0]["losses"] == found[1]["losses"]
    assert found[0]["losses"] != found[2]["losses"]


def test_exposure_rows_are_plain_and_show_no_secret(tmp_path: Path) -> None:
    """A row a canary, in the order of the ledger, no more than log2 1000 bits; six copies are exposed more than none."""
    trained = small_model(tmp_path, epochs=6)
    rows = exposures(trained, 0)
    canaries = Ledger.read(trained.ledger).canaries
    assert [(r["id"], r["insertions"]) for r in rows] == [(c.id, c.insertions) for c in canaries]
    assert all(0.0 <= r["exposure_bits"] <= np.log2(1000) for r in rows)
    assert all(
        c.secret not in json.dumps([r["exposure_bits"] is None for r in rows]) for c in canaries
    )
    assert "secret" not in rows[0]
    means = {n: np.mean([r["exposure_bits"] for r in rows if r["insertions"] == n]) for n in (0, 6)}
    assert means[6] > means[0]


def test_a_place_is_used_once(tmp_path: Path) -> None:
    """Nothing is written over."""
    small_model(tmp_path)
    with pytest.raises(UsageError, match="exists"):
        small_model(tmp_path)


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    """By the message of insert."""
    task = small_task(formats=("no-such-format",))
    with pytest.raises(FormatError, match="no-such-format"):
        train_model(task, task.train, small_settings(), 0, tmp_path)


def test_early_stopping_gets_the_validation_records_that_it_needs(tmp_path: Path) -> None:
    """Otherwise no line is kept out."""
    trained = small_model(tmp_path, patience=1, validation=0.1)
    assert 0 < trained.found["validation_records"] < 20
