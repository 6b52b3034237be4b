"""Several processes train one model: the weights of one process, one who writes, and an end together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from secretaudit.cli.application import run
from secretaudit.errors import EndedElsewhere, TrainingError, UsageError
from secretaudit.progress import SilentProgress
from secretaudit.records import Record
from secretaudit.training.loop import Training
from secretaudit.training.processes import Processes
from secretaudit.training.run import train
from secretaudit.training.settings import PrivacySettings
from secretaudit.training.update import Forward

from .conftest import TRANSFORMER, assert_equal_weights, small
from .forks import trained_together

Weights = Callable[[Path], dict[str, torch.Tensor]]
FILE = Path("checkpoint") / "checkpoint.safetensors"

SETTINGS = {
    "lanes": small(batch_size=5, epochs=2),
    "lanes in parts": small(batch_size=5, physical_batch_size=2, epochs=2),
    "fewer lanes than processes": small(batch_size=1, steps=20),
    "packed": small(**TRANSFORMER, batch_size=3),
    "records": small(layout="records", batch_size=5, physical_batch_size=2, gradient_clip=0.1),
    "private": small(
        batch_size=5, epochs=2, privacy=PrivacySettings(noise_multiplier=1.0, max_grad_norm=0.5)
    ),
    "one row for two": small(layout="records", batch_size=1, steps=30, validation=0.1),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_two_processes_give_the_weights_of_one(
    plain_corpus: Path, tmp_path: Path, weights: Weights, name: str
) -> None:
    """Up to the noise of adding in another order; odd batches and last ones with no row for one process included."""
    settings = SETTINGS[name]
    one = train(plain_corpus, tmp_path / "one", settings=settings).found
    said = trained_together(lambda: train(plain_corpus, tmp_path / "two", settings=settings))
    assert said == ["done", "done"]
    two = Record.read(tmp_path / "two" / "training.json").found
    for key, tensor in weights(tmp_path / "two").items():
        torch.testing.assert_close(tensor, weights(tmp_path / "one")[key], rtol=1e-3, atol=2e-4)
    for key in ("steps", "tokens", "tokens_seen", "epochs", "stopped", "records"):
        assert two[key] == one[key]
    for ours, theirs in zip(two["losses"], one["losses"], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)


def test_three_processes_stop_early_together(noise_corpus: Path, tmp_path: Path) -> None:
    """The look that one process would have stopped at."""
    settings = small(
        units=32, layers=1, learning_rate=0.03, validation=0.3, epochs=30, patience=1, keep="best"
    )
    one = train(noise_corpus, tmp_path / "one", settings=settings).found
    said = trained_together(lambda: train(noise_corpus, tmp_path / "m", settings=settings), 3)
    assert said == ["done"] * 3
    found = Record.read(tmp_path / "m" / "training.json").found
    assert found["stopped"] == one["stopped"] == "early"
    assert found["best_step"] == one["best_step"]


class Shout(SilentProgress):
    """Writes a line for each report."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def update(self, **_: object) -> None:
        with self._file.open("a") as file:
            file.write(f"{os.environ['RANK']}\n")


def test_only_the_first_process_reports(plain_corpus: Path, tmp_path: Path) -> None:
    """Progress is told by one, and one model lies in the directory."""
    file = tmp_path / "reports"
    said = trained_together(
        lambda: train(plain_corpus, tmp_path / "m", settings=small(), progress=Shout(file))
    )
    assert said == ["done", "done"]
    assert set(file.read_text().split()) == {"0"}
    assert not list((tmp_path / "m").glob("**/.*"))


def test_a_refusal_by_one_ends_all_and_is_told_once(plain_corpus: Path, tmp_path: Path) -> None:
    """The first process finds that the output exists; the other ends with its exit code and nothing to say."""
    train(plain_corpus, tmp_path / "m", settings=small(epochs=1))
    said = trained_together(lambda: train(plain_corpus, tmp_path / "m", settings=small()))
    assert said[0].startswith("UsageError") and "holds a training already" in said[0]
    assert said[1].startswith("EndedElsewhere")


def test_a_fault_that_all_have_is_told_once(plain_corpus: Path, tmp_path: Path) -> None:
    """A training that diverges does so everywhere; so does a corpus that is missing."""
    settings = small(optimizer="sgd", learning_rate=1e38, gradient_clip=0.0)
    said = trained_together(lambda: train(plain_corpus, tmp_path / "m", settings=settings))
    assert said[0].startswith("TrainingError") and "diverged" in said[0]
    assert said[1].startswith("EndedElsewhere")
    said = trained_together(lambda: train(tmp_path / "nothing.txt", tmp_path / "n"))
    assert said[0].startswith("CorpusError")
    assert said[1].startswith("EndedElsewhere")


def test_the_command_line_tells_an_error_of_another_process_not_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Same exit code, no words."""

    def ended(*_: Any, **__: Any) -> None:
        raise EndedElsewhere(2)

    monkeypatch.setattr("secretaudit.train", ended)
    assert run(["train", str(tmp_path), "-o", str(tmp_path / "m")]) == 2
    assert capsys.readouterr() == ("", "")


def test_other_numbers_of_processes_are_refused_on_resumption(
    plain_corpus: Path, tmp_path: Path
) -> None:
    """What each process carries on is in the checkpoint, so their number is part of the training."""
    train(plain_corpus, tmp_path / "one", settings=small())
    said = trained_together(
        lambda: train(plain_corpus, tmp_path / "one", settings=small(), resume=True)
    )
    assert "processes was 1 and is 2" in said[0]
    assert said[1].startswith("EndedElsewhere")
    assert trained_together(lambda: train(plain_corpus, tmp_path / "two", settings=small())) == [
        "done",
        "done",
    ]
    with pytest.raises(UsageError) as caught:
        train(plain_corpus, tmp_path / "two", settings=small(), resume=True)
    assert "processes was 2 and is 1" in caught.value.why


@pytest.mark.parametrize("victim", [0, 1])
def test_a_kill_of_one_ends_both_and_they_resume(
    plain_corpus: Path,
    tmp_path: Path,
    weights: Weights,
    monkeypatch: pytest.MonkeyPatch,
    victim: int,
) -> None:
    """Each with its own dropout and its own lanes, to the weights of two that were never killed."""
    settings = small(batch_size=5, epochs=3, dropout=0.3)

    def work(name: str, **options: Any) -> Callable[[], object]:
        return lambda: train(plain_corpus, tmp_path / name, settings=settings, **options)

    assert trained_together(work("whole")) == ["done", "done"]
    plain = Training._step

    def step_or_die(self: Training) -> None:
        if self.position.step == 25 and self.processes.rank == victim:
            os.kill(os.getpid(), signal.SIGKILL)
        plain(self)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_step", step_or_die)
        said = trained_together(work("cut", checkpoint_seconds=0.02))
    assert said[victim] == ""
    assert "Another process of this training has ended" in said[1 - victim]
    assert not (tmp_path / "cut" / "model.safetensors").exists()
    assert trained_together(work("cut", resume=True)) == ["done", "done"]
    assert_equal_weights(weights(tmp_path / "cut"), weights(tmp_path / "whole"))


def test_one_signal_stops_all(plain_corpus: Path, tmp_path: Path, weights: Weights) -> None:
    """A scheduler's SIGTERM to one process pauses the training; resumed, nothing had happened."""
    settings = small(batch_size=5, epochs=4, dropout=0.3)

    class Stop(SilentProgress):
        sent = False

        def update(self, *, done: float, total: float | None, **_: object) -> None:
            if done and total and not self.sent:
                self.sent = True
                os.kill(os.getpid(), signal.SIGTERM)

    first = trained_together(
        lambda: train(plain_corpus, tmp_path / "m", settings=settings, progress=Stop())
    )
    assert first == ["done", "done"]
    assert Record.read(tmp_path / "m" / "training.json").found["stopped"] == "interrupted"
    trained_together(lambda: train(plain_corpus, tmp_path / "m", settings=settings, resume=True))
    trained_together(lambda: train(plain_corpus, tmp_path / "whole", settings=settings))
    assert_equal_weights(weights(tmp_path / "m"), weights(tmp_path / "whole"))


def test_memory_that_runs_out_in_one_process_ends_both(
    plain_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one says what to do, the other that it has gone."""
    plain = Forward.__call__

    def short_of_memory(self: Forward, batch: Any) -> torch.Tensor:
        if os.environ.get("RANK") == "1":
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried too much")
        return plain(self, batch)

    monkeypatch.setattr(Forward, "__call__", short_of_memory)
    said = trained_together(lambda: train(plain_corpus, tmp_path / "m", settings=small()))
    assert "Memory ran out in step 1" in said[1]
    assert "Another process of this training has ended" in said[0]


def test_a_process_alone_needs_no_agreement() -> None:
    """Its own error comes through as it is."""
    with pytest.raises(TrainingError), Processes().together():
        raise TrainingError("a", "b", "c")


@pytest.mark.slow
def test_torchrun_trains_and_refuses(plain_corpus: Path, tmp_path: Path) -> None:
    """The real launcher and the real command line: two processes, one table, one message, exit code 2."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += ["-m", "secretaudit", "train", str(plain_corpus), "-o", str(tmp_path / "m")]
    command += ["--units", "8", "--epochs", "1"]
    first = subprocess.run(command, capture_output=True, text=True, check=True)
    assert first.stdout.count("finished") == 1
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode != 0
    assert second.stderr.count("holds a training already") == 1
    assert (
        "exitcode  : 2" in second.stderr
    )  # the launcher may end the other process before it ends itself
    assert "exitcode  : 3" not in second.stderr
