"""Killed with SIGKILL at any moment, and again and again: the weights at the end are those of a training that was left alone.

The moments are drawn, with a seed, over the time that the whole training takes: they fall into the reading of the corpus, into steps, looks and the
writing of checkpoints and of the model.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from secretaudit.records import Record
from secretaudit.training import output
from secretaudit.training.run import train
from secretaudit.training.settings import PrivacySettings, TrainingSettings

from .conftest import TRANSFORMER, assert_equal_weights, small
from .forks import killed

Weights = Callable[[Path], dict[str, torch.Tensor]]

LOOKING = {"keep": "best", "validation": 0.2, "validate_every": 7, "dropout": 0.3}
TRAININGS = {
    "lanes": small(epochs=3, **LOOKING, schedule="cosine", warmup_steps=5),
    "records": small(
        layout="records",
        epochs=3,
        **LOOKING,
        optimizer="sgd",
        momentum=0.9,
        learning_rate=0.3,
        physical_batch_size=3,
    ),
    "packed": small(**TRANSFORMER, epochs=3, **LOOKING, schedule="linear", weight_decay=0.1),
    "private": small(
        layout="records",
        epochs=2,
        **LOOKING,
        privacy=PrivacySettings(noise_multiplier=1.0),
    ),
    "private with momentum": small(
        epochs=2,
        arch="gru",
        optimizer="sgd",
        momentum=0.9,
        learning_rate=0.1,
        privacy=PrivacySettings(epsilon=8.0, accountant="rdp", gradients="hooks"),
    ),
}
#: Figures of the record that say how a training went, and must not depend on kills.
FIGURES = ("losses", "steps", "tokens_seen", "best_step", "stopped", "kept")


def moments(seconds: float, seed: int) -> Iterator[float]:
    """Drawn moments between the start of a training and its end, without end."""
    rng = np.random.default_rng(seed)
    while True:
        yield float(rng.uniform(0.0, seconds))


def killed_and_resumed(
    corpus: Path, folder: Path, settings: TrainingSettings, *, kills: int, seed: int
) -> list[Path]:
    """Kill trainings so many times in all, each time going on with what there is; when one is done before, another begins.

    Returns:
        The directories of all that were begun; all of them are done.
    """
    work = partial(train, corpus, settings=settings, checkpoint_seconds=1e-9)
    started = time.monotonic()
    work(folder / "timed")
    drawn = moments(time.monotonic() - started, seed)
    outputs = [folder / "cut0"]
    killings = 0
    while killings < kills:
        if killed(partial(begin_or_resume, work, outputs[-1]), next(drawn)):
            killings += 1
        else:
            outputs.append(folder / f"cut{len(outputs)}")
    begin_or_resume(work, outputs[-1])
    return outputs


def begin_or_resume(work: Callable[..., Record], output: Path) -> None:
    """What a user does after a crash."""
    begun = (output / "checkpoint" / "checkpoint.safetensors").is_file()
    work(output, resume=begun, force=not begun)


@pytest.mark.parametrize("name", TRAININGS)
def test_kills_change_no_weight(
    plain_corpus: Path, tmp_path: Path, weights: Weights, name: str
) -> None:
    """Thirty moments in all, with dropout, a schedule, the best model kept, looks within an epoch, and an accountant."""
    check(plain_corpus, tmp_path, weights, TRAININGS[name], kills=6, seed=11)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", TRAININGS)
def test_many_kills_change_no_weight(
    plain_corpus: Path, tmp_path: Path, weights: Weights, name: str, seed: int
) -> None:
    """Twenty moments, three times."""
    check(plain_corpus, tmp_path, weights, TRAININGS[name], kills=20, seed=seed)


def check(
    corpus: Path,
    folder: Path,
    weights: Weights,
    settings: TrainingSettings,
    *,
    kills: int,
    seed: int,
    figures: tuple[str, ...] = FIGURES,
) -> None:
    """Kill and resume; weights and figures are those of a training that nobody disturbed."""
    whole = train(corpus, folder / "whole", settings=settings).found
    for directory in killed_and_resumed(corpus, folder, settings, kills=kills, seed=seed):
        assert_equal_weights(weights(directory), weights(folder / "whole"))
        found = Record.read(directory / "training.json").found
        for figure in figures:
            assert found[figure] == whole[figure], figure
        assert spent(found) == spent(whole)
        assert bool(spent(found)) == (settings.privacy is not None)


def spent(found: dict[str, Any]) -> dict[str, Any]:
    """Privacy spent, and how; how the gradients were had is known only to who had some."""
    privacy = found.get("privacy") or {}
    return {name: value for name, value in privacy.items() if not name.startswith("gradients")}


@pytest.mark.parametrize("files", [0, 1, 3, 4])
def test_a_kill_while_the_model_is_written_leaves_a_whole_one_or_none(
    plain_corpus: Path,
    tmp_path: Path,
    weights: Weights,
    monkeypatch: pytest.MonkeyPatch,
    files: int,
) -> None:
    """Killed after some of its files: the weights come last, and what was begun is cleared away by resuming."""
    settings = small(epochs=1)
    train(plain_corpus, tmp_path / "whole", settings=settings)
    written: list[str] = []
    plain = output._flush

    def flush_or_die(file: Path) -> None:
        if len(written) == files:
            os.kill(os.getpid(), signal.SIGKILL)
        written.append(file.name)
        plain(file)

    with monkeypatch.context() as patch:
        patch.setattr(output, "_flush", flush_or_die)
        assert killed(lambda: train(plain_corpus, tmp_path / "m", settings=settings), after=30.0)
    assert not (tmp_path / "m" / "model.safetensors").exists()
    train(plain_corpus, tmp_path / "m", settings=settings, resume=True)
    assert not list((tmp_path / "m").glob("**/.*"))
    assert_equal_weights(weights(tmp_path / "m"), weights(tmp_path / "whole"))


def test_a_kill_at_the_very_start_leaves_nothing_in_the_way(
    plain_corpus: Path, tmp_path: Path
) -> None:
    """Half a record under its temporary name, in a new directory, is cleared away; what others put there is not."""
    left_over = tmp_path / "m" / ".training.json.0123456789ab.partial"
    left_over.parent.mkdir()
    left_over.write_text("{")
    assert train(plain_corpus, tmp_path / "m", settings=small(epochs=1)).found["stopped"]
    assert not left_over.exists()


def test_a_kill_while_an_old_training_is_removed_leaves_it_replaceable(
    plain_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was removed so far, the record still says whose directory it is."""
    settings = small(epochs=1)
    train(plain_corpus, tmp_path / "m", settings=settings)
    plain = Path.unlink

    def unlink_or_die(self: Path, missing_ok: bool = False) -> None:
        if self == tmp_path / "m" / "training.json":
            os.kill(os.getpid(), signal.SIGKILL)
        plain(self, missing_ok)

    again = partial(train, plain_corpus, tmp_path / "m", settings=settings, force=True)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", unlink_or_die)
        assert killed(again, after=30.0)
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["training.json"]
    assert again().found["stopped"] == "finished"
