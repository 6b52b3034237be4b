"""Looking at the validation loss: when it is looked at, which model is kept, and when training stops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from secretaudit.errors import UsageError
from secretaudit.models.loading import load_model
from secretaudit.training.run import train

from .conftest import TRANSFORMER, Listener, assert_equal_weights, small

Weights = Callable[[Path], dict[str, torch.Tensor]]

NOISE = {"units": 48, "layers": 1, "learning_rate": 0.02, "validation": 0.3, "epochs": 14}


def test_the_best_model_is_kept_when_asked(noise_corpus: Path, tmp_path: Path) -> None:
    """The written weights have the lowest validation loss, which the last ones do not."""
    settings = small(**NOISE, keep="best")
    found = train(noise_corpus, tmp_path / "model", settings=settings).found
    judged = [epoch["validation"] for epoch in found["losses"]]
    assert min(judged) == found["best_validation_loss_bits_per_token"] < judged[-1] - 0.1
    assert found["kept"] == "best"
    last = train(noise_corpus, tmp_path / "last", settings=small(**NOISE)).found
    assert last["kept"] == "last"
    secrets = noise_corpus.read_text().splitlines()
    assert mean_bits(tmp_path / "last", secrets) < mean_bits(tmp_path / "model", secrets) - 0.2


def mean_bits(directory: Path, texts: list[str]) -> float:
    """Mean bits of the texts as records."""
    model = load_model(directory)
    ids = model.tokenizer.encode(texts)
    return float(model.score([model.framing.record(i) for i in ids]).mean())


def test_patience_stops_early(noise_corpus: Path, tmp_path: Path) -> None:
    """Training ends after so many epochs without a better validation loss, and says so."""
    settings = small(**{**NOISE, "epochs": 200}, patience=2)
    found = train(noise_corpus, tmp_path / "model", settings=settings).found
    judged = [epoch["validation"] for epoch in found["losses"]]
    assert found["stopped"] == "early"
    assert len(judged) < 200
    assert judged.index(min(judged)) == len(judged) - 3


@pytest.mark.parametrize(
    ("every", "steps", "expected"),
    [
        (None, None, "epochs"),
        (7, 20, [7, 14, 20]),
        (10, 20, [10, 20]),
        (50, 20, [20]),
        (None, 3, [3]),
    ],
)
def test_losses_are_looked_at_when_asked_and_at_the_end(
    plain_corpus: Path,
    tmp_path: Path,
    every: int | None,
    steps: int | None,
    expected: list[int] | str,
) -> None:
    """Every n steps, or every epoch, and always when the training has finished: what is written has been judged."""
    settings = small(validate_every=every, steps=steps, validation=0.2)
    found = train(plain_corpus, tmp_path / "m", settings=settings).found
    looks = [look["step"] for look in found["losses"]]
    if expected == "epochs":
        expected = [found["steps"] // 2, found["steps"]]
    assert looks == expected
    assert found["losses"][-1]["epoch"] == found["epochs"]
    assert all(look["validation"] is not None for look in found["losses"])
    assert found["validation_loss_bits_per_token"] == found["losses"][-1]["validation"]


@pytest.mark.parametrize("fields", [{}, {"layout": "records", "dropout": 0.2}, TRANSFORMER])
def test_looking_changes_no_weight(
    plain_corpus: Path, tmp_path: Path, weights: Weights, fields: dict[str, object]
) -> None:
    """Weights are the same, bit for bit, whether looked at every step or at the end; the loss of the training is a mean of parts."""
    settings = small(**fields, validation=0.2, epochs=1)
    rare = train(plain_corpus, tmp_path / "rare", settings=settings).found
    often = train(
        plain_corpus, tmp_path / "often", settings=replace(settings, validate_every=1)
    ).found
    assert_equal_weights(weights(tmp_path / "often"), weights(tmp_path / "rare"))
    assert len(often["losses"]) == often["steps"]
    parts = [look["training"] for look in often["losses"]]
    assert min(parts) < rare["train_loss_bits_per_token"] < max(parts)


def test_the_best_model_may_lie_within_an_epoch(
    noise_corpus: Path, tmp_path: Path, weights: Weights
) -> None:
    """The weights written are those of a training that was ended at the best step."""
    settings = small(**{**NOISE, "epochs": 8}, keep="best", validate_every=3)
    found = train(noise_corpus, tmp_path / "best", settings=settings).found
    judged = {look["step"]: look["validation"] for look in found["losses"]}
    assert found["best_step"] == min(judged, key=lambda step: judged[step]) < found["steps"]
    assert found["best_step"] % 3 == 0
    settings = replace(settings, steps=found["best_step"], keep="last")
    train(noise_corpus, tmp_path / "ended", settings=settings)
    assert_equal_weights(weights(tmp_path / "best"), weights(tmp_path / "ended"))


def test_patience_counts_looks(noise_corpus: Path, tmp_path: Path) -> None:
    """Three looks without progress end the training, also within an epoch."""
    settings = small(**{**NOISE, "epochs": 200}, patience=3, validate_every=2)
    found = train(noise_corpus, tmp_path / "m", settings=settings).found
    assert found["stopped"] == "early"
    assert found["steps"] == found["best_step"] + 6


def test_too_few_records_for_validation_are_refused(tmp_path: Path) -> None:
    """Keeping the best model needs something to judge by."""
    corpus = tmp_path / "two.txt"
    corpus.write_text("one\ntwo\n")
    settings = small(keep="best", validation=0.0001)
    with pytest.raises(UsageError, match="No record was kept for validation"):
        train(corpus, tmp_path / "model", settings=settings)
    with pytest.raises(UsageError, match="No record was kept for validation"):
        train(corpus, tmp_path / "model", settings=replace(settings, keep="last", patience=1))
    assert not (tmp_path / "model").exists()


def test_progress_has_the_last_validation_loss(plain_corpus: Path, tmp_path: Path) -> None:
    """It is shown until the next look."""
    listener = Listener()
    settings = small(validation=0.2)
    found = train(plain_corpus, tmp_path / "m", settings=settings, progress=listener).found
    assert listener.reports[-1]["validation_bits"] == found["validation_loss_bits_per_token"]
