"""Stopping on request: by a person, by a scheduler, or when the time is over; nothing is lost."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from secretaudit.errors import UsageError
from secretaudit.models.loading import load_model
from secretaudit.training.interruption import interruption
from secretaudit.training.run import train

from .conftest import TRANSFORMER, Listener, assert_equal_weights, small

Weights = Callable[[Path], dict[str, torch.Tensor]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("fields", [{}, TRANSFORMER])
def test_a_signal_leaves_a_usable_model(
    plain_corpus: Path,
    tmp_path: Path,
    weights: Weights,
    number: signal.Signals,
    fields: dict[str, object],
) -> None:
    """The step is finished, the model is written, and resuming ends where nothing had happened."""
    stop = Listener(lambda: os.kill(os.getpid(), number))
    settings = small(epochs=4, dropout=0.2, **fields)
    before = signal.getsignal(number)
    record = train(plain_corpus, tmp_path / "model", settings=settings, progress=stop)
    assert signal.getsignal(number) is before
    assert record.found["stopped"] == "interrupted"
    assert 0 < record.found["epochs"] < 4
    load_model(tmp_path / "model").score([[0, 1, 0]])
    resumed = train(plain_corpus, tmp_path / "model", settings=settings, resume=True)
    assert resumed.found["stopped"] == "finished"
    train(plain_corpus, tmp_path / "whole", settings=settings)
    assert_equal_weights(weights(tmp_path / "model"), weights(tmp_path / "whole"))


@pytest.fixture
def heeding_ctrl_c() -> Iterator[None]:
    """Python's own handler, also where the tests were started in the background of a shell, which tells its children to ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_second_ctrl_c_ends_at_once(heeding_ctrl_c: None) -> None:
    """The first one is remembered, the second one is Python's own; afterwards all is as before."""
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interruption() as interrupted:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupted.is_set()
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_training_in_a_thread_takes_no_signals(plain_corpus: Path, tmp_path: Path) -> None:
    """Python hands signals to the main thread only; a training elsewhere runs all the same."""
    found = []
    thread = threading.Thread(
        target=lambda: found.append(train(plain_corpus, tmp_path / "m", settings=small()).found)
    )
    thread.start()
    thread.join()
    assert found[0]["stopped"] == "finished"


def test_a_training_ends_when_its_time_is_over(
    plain_corpus: Path, tmp_path: Path, weights: Weights
) -> None:
    """Each run gets one step done, says "time", and leaves a model; going on again and again ends at the same weights."""
    settings = small(steps=4, dropout=0.3, validation=0.2, keep="best")
    options = {"settings": settings, "max_seconds": 1e-9}
    found = train(plain_corpus, tmp_path / "m", **options).found
    for step in (1, 2, 3):
        assert (found["stopped"], found["steps"]) == ("time", step)
        load_model(tmp_path / "m")
        found = train(plain_corpus, tmp_path / "m", **options, resume=True).found
    assert (found["stopped"], found["steps"]) == ("finished", 4)
    train(plain_corpus, tmp_path / "whole", settings=settings)
    assert_equal_weights(weights(tmp_path / "m"), weights(tmp_path / "whole"))


def test_the_time_of_a_run_must_be_above_zero(plain_corpus: Path, tmp_path: Path) -> None:
    """Nothing is written."""
    with pytest.raises(UsageError, match="max_seconds must be above 0"):
        train(plain_corpus, tmp_path / "m", settings=small(), max_seconds=0.0)
    assert not (tmp_path / "m").exists()
