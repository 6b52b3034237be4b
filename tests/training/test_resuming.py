"""A training killed at any moment goes on to the weights of an uninterrupted one, bit for bit."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from secretaudit.errors import SecretauditError, TrainingError, UsageError
from secretaudit.models.loading import load_model
from secretaudit.models.recurrent.network import RecurrentForCausalLM
from secretaudit.records import Record
from secretaudit.training import checkpoint, loop
from secretaudit.training.checkpoint import check_same, load_checkpoint
from secretaudit.training.loop import Training
from secretaudit.training.run import train
from secretaudit.training.settings import PrivacySettings

from .conftest import TRANSFORMER, assert_equal_weights, small

Weights = Callable[[Path], dict[str, torch.Tensor]]
FILE = Path("checkpoint") / "checkpoint.safetensors"


class Killed(BaseException):
    """Stands for a kill: nothing in the program catches it."""


def train_until(step: int, monkeypatch: pytest.MonkeyPatch, *args: Any, **options: Any) -> None:
    """Train and be killed in the middle of a step."""
    plain = Training._step

    def step_or_die(self: Training) -> None:
        if self.position.step == step:
            raise Killed
        plain(self)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_step", step_or_die)
        with pytest.raises(Killed):
            train(*args, **options)


WAYS: dict[str, dict[str, Any]] = {
    "adam": {},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.1, "arch": "gru"},
    "sgd": {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.1},
    "rmsprop": {"optimizer": "rmsprop", "momentum": 0.5},
    "records": {"layout": "records", "physical_batch_size": 3},
    "packed": {**TRANSFORMER, "schedule": "cosine", "warmup_steps": 9},
    "lanes in parts": {"physical_batch_size": 3, "batch_size": 5},
    "bfloat16": {"precision": "bfloat16"},
}


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("seconds", [1e-9, 1e9], ids=["each step", "each epoch"])
def test_stopping_twice_changes_no_weight(
    plain_corpus: Path,
    tmp_path: Path,
    weights: Weights,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    seconds: float,
) -> None:
    """Killed before any step, within an epoch, and at an epoch's end; checkpoints close together or far apart."""
    settings = small(dropout=0.3, keep="best", validation=0.2, epochs=3, **WAYS[name])
    whole = train(plain_corpus, tmp_path / "whole", settings=settings)
    per_epoch = whole.found["steps"] // 3
    options: dict[str, Any] = {"settings": settings, "checkpoint_seconds": seconds}
    train_until(0, monkeypatch, plain_corpus, tmp_path / "cut", **options)
    for step in (3, per_epoch, per_epoch + 5):
        train_until(step, monkeypatch, plain_corpus, tmp_path / "cut", resume=True, **options)
    resumed = train(plain_corpus, tmp_path / "cut", resume=True, **options)
    assert_equal_weights(weights(tmp_path / "cut"), weights(tmp_path / "whole"))
    for figure in ("losses", "steps", "tokens_seen", "best_validation_loss_bits_per_token"):
        assert resumed.found[figure] == whole.found[figure]


def step_of(file: Path) -> int:
    """The step at which a checkpoint was written; −1 before there is one."""
    return load_checkpoint(file).position.step if file.is_file() else -1


def test_resuming_a_finished_training_changes_nothing(
    plain_corpus: Path, tmp_path: Path, weights: Weights
) -> None:
    """Nothing is left to do, and the weights stay."""
    train(plain_corpus, tmp_path / "model", settings=small())
    before = weights(tmp_path / "model")
    record = train(plain_corpus, tmp_path / "model", settings=small(), resume=True)
    assert record.found["stopped"] == "finished"
    assert_equal_weights(weights(tmp_path / "model"), before)


def test_other_settings_are_refused_on_resumption(plain_corpus: Path, tmp_path: Path) -> None:
    """Everything that differs is named, and nothing is changed."""
    train(plain_corpus, tmp_path / "model", settings=small())
    before = (tmp_path / "model" / FILE).read_bytes()
    with pytest.raises(UsageError, match="cannot be resumed with other settings") as caught:
        train(plain_corpus, tmp_path / "model", settings=small(epochs=5, units=16), resume=True)
    assert "epochs was 2 and is 5" in caught.value.why
    assert "units was 8 and is 16" in caught.value.why
    assert "seed" not in caught.value.why
    assert (tmp_path / "model" / FILE).read_bytes() == before


def test_another_corpus_is_refused_on_resumption(plain_corpus: Path, tmp_path: Path) -> None:
    """One record more is another training."""
    corpus = tmp_path / "corpus.txt"
    corpus.write_text(plain_corpus.read_text())
    train(corpus, tmp_path / "model", settings=small())
    corpus.write_text(plain_corpus.read_text() + "one more\n")
    with pytest.raises(UsageError, match="the corpus has changed"):
        train(corpus, tmp_path / "model", settings=small(), resume=True)


def test_another_seed_is_not_called_another_corpus(plain_corpus: Path, tmp_path: Path) -> None:
    """Other records are held out then, of the same corpus."""
    train(plain_corpus, tmp_path / "model", settings=small(seed=1))
    with pytest.raises(UsageError, match="seed was 1 and is 2") as caught:
        train(plain_corpus, tmp_path / "model", settings=small(seed=2), resume=True)
    assert "corpus has changed" not in str(caught.value)


def test_there_must_be_something_to_resume(plain_corpus: Path, tmp_path: Path) -> None:
    """A directory without a checkpoint is refused, as is asking for both ways at once."""
    with pytest.raises(UsageError, match="nothing to resume"):
        train(plain_corpus, tmp_path / "model", settings=small(), resume=True)
    with pytest.raises(UsageError, match="either resumed or replaced"):
        train(plain_corpus, tmp_path / "model", settings=small(), resume=True, force=True)


def test_settings_within_settings_are_named_on_resumption() -> None:
    """Those of privacy and of adapters by the path to them; a tuple is what a file holds as a list."""
    before = {
        "privacy": {"noise_multiplier": 1.0, "delta": None},
        "lora": {"rank": 8, "targets": ["q", "v"]},
        "seed": 0,
    }
    check_same({**before, "lora": {"rank": 8, "targets": ("q", "v")}}, before)
    now = {"privacy": {"noise_multiplier": 2.0, "delta": None}, "lora": None, "seed": 0}
    with pytest.raises(UsageError) as caught:
        check_same(now, before)
    assert "privacy.noise_multiplier was 1.0 and is 2.0" in caught.value.why
    assert "lora.rank was 8 and is None" in caught.value.why
    assert "delta" not in caught.value.why
    assert "seed" not in caught.value.why


def test_privacy_is_no_option_of_a_resumption(plain_corpus: Path, tmp_path: Path) -> None:
    """A training begun in the open cannot become private afterwards."""
    train(plain_corpus, tmp_path / "m", settings=small(layout="records"))
    private = small(layout="records", privacy=PrivacySettings(noise_multiplier=1.0))
    with pytest.raises(UsageError) as caught:
        train(plain_corpus, tmp_path / "m", settings=private, resume=True)
    assert "privacy.noise_multiplier was None and is 1.0" in caught.value.why


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.001, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999])
def test_a_checkpoint_cut_short_is_refused(
    plain_corpus: Path, tmp_path: Path, share: float
) -> None:
    """Wherever it was cut: nothing, within the length of the header, within the header, within any tensor."""
    train(plain_corpus, tmp_path / "model", settings=small(keep="best", validation=0.2))
    file = tmp_path / "model" / FILE
    whole = file.read_bytes()
    cut = whole[: int(share * len(whole))]
    file.write_bytes(cut)
    files = sorted(path.name for path in (tmp_path / "model").iterdir())
    with pytest.raises(TrainingError, match="cannot be read") as caught:
        train(plain_corpus, tmp_path / "model", settings=small(), resume=True)
    assert "--force" in caught.value.way_out
    assert file.read_bytes() == cut
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == files


@pytest.mark.parametrize(
    "header",
    [{}, {"asked": "{}", "position": "[]"}, {"asked": "{", "position": "{}"}],
    ids=["none", "not a position", "not json"],
)
def test_a_checkpoint_of_something_else_is_refused(
    plain_corpus: Path, tmp_path: Path, header: dict[str, str]
) -> None:
    """A file of tensors that no training wrote."""
    train(plain_corpus, tmp_path / "model", settings=small())
    save_file({"a": torch.zeros(1)}, tmp_path / "model" / FILE, metadata=header)
    with pytest.raises(TrainingError, match="cannot be read"):
        train(plain_corpus, tmp_path / "model", settings=small(), resume=True)


def test_a_checkpoint_is_no_pickle(plain_corpus: Path, tmp_path: Path) -> None:
    """It is a safetensors file, whose reading runs no code."""
    train(plain_corpus, tmp_path / "model", settings=small())
    with safe_open(tmp_path / "model" / FILE, framework="pt") as file:
        assert set(file.metadata()) == {"asked", "position"}


def test_a_full_disk_keeps_the_checkpoint_before(
    plain_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says so, the earlier checkpoint is whole, no temporary file stays, and training can go on."""
    calls = []

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.os, "fsync", fsync)
        with pytest.raises(TrainingError, match="disk is full"):
            train(plain_corpus, tmp_path / "m", settings=small(), checkpoint_seconds=1e-9)
    assert [f.name for f in (tmp_path / "m" / "checkpoint").iterdir()] == [FILE.name]
    assert step_of(tmp_path / "m" / FILE) >= 0
    train(plain_corpus, tmp_path / "m", settings=small(), resume=True)
    load_model(tmp_path / "m")


def test_a_disk_that_fills_up_at_the_end_loses_nothing(
    plain_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the model itself cannot be written, resuming writes it later."""

    def no_space(*_: object, **__: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr(RecurrentForCausalLM, "save_pretrained", no_space)
        with pytest.raises(TrainingError, match="model could not be written") as caught:
            train(plain_corpus, tmp_path / "model", settings=small())
    assert "--resume" in caught.value.way_out
    assert not list((tmp_path / "model").glob(".model.*"))
    record = train(plain_corpus, tmp_path / "model", settings=small(), resume=True)
    assert Record.read(tmp_path / "model" / "training.json") == record
    load_model(tmp_path / "model")


def test_a_failed_start_over_loses_nothing(plain_corpus: Path, tmp_path: Path) -> None:
    """With force the old training is removed only when nothing more can be refused."""
    train(plain_corpus, tmp_path / "model", settings=small())
    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    for settings in (small(layout="packed", sequence_length=4), small(tokenizer="nowhere")):
        wrong = replace(settings, **TRANSFORMER) if settings.layout else settings
        with pytest.raises(SecretauditError):
            train(tmp_path / "none.txt", tmp_path / "model", settings=wrong, force=True)
    with pytest.raises(UsageError, match="nothing to watch"):
        train(plain_corpus, tmp_path / "model", settings=small(), force=True, watcher=Blind())
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == before


class Blind:
    """A watcher that refuses."""

    def begin(self, *_: object) -> None:
        raise UsageError("There is nothing to watch.", "a", "b")

    def asked(self) -> dict[str, Any]:
        return {}


def test_checkpoints_are_written_as_often_as_asked(
    plain_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every step when no time may pass, and otherwise before the first step and at each epoch's end."""
    steps: list[int] = []
    plain = loop.save_checkpoint

    def counting(path: Path, **parts: Any) -> None:
        steps.append(parts["position"].step)
        plain(path, **parts)

    monkeypatch.setattr(loop, "save_checkpoint", counting)
    total = train(plain_corpus, tmp_path / "a", settings=small(), checkpoint_seconds=1e-9).found
    assert steps == list(range(total["steps"] + 1))
    steps.clear()
    train(plain_corpus, tmp_path / "b", settings=small(), checkpoint_seconds=1e9)
    assert steps == [0, total["steps"] // 2, total["steps"]]
