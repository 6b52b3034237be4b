"""A watcher looks while a model trains: at the right moments, without changing it, and what it saw is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from secretaudit.canary.ledger import Ledger
from secretaudit.errors import CouldNotMeasure, UsageError
from secretaudit.records import Record
from secretaudit.training.loop import Training
from secretaudit.training.run import train
from secretaudit.training.watching import Moment, Sight

from .conftest import TRANSFORMER, Listener, assert_equal_weights, small
from .forks import trained_together

Weights = Callable[[Path], dict[str, torch.Tensor]]


class Bystander:
    """A watcher that notes all it is told, draws random numbers, and scores a text with the model it is given."""

    def __init__(self, every: int = 4, stop_at: int | None = None) -> None:
        self.every = every
        self.stop_at = stop_at
        self.moments: list[Moment] = []
        self.looked: list[int] = []
        self.modes: list[tuple[bool, bool]] = []
        self.ledger: Ledger | None = None
        self.earlier: list[dict[str, Any]] | None = None

    def begin(
        self,
        ledger: Ledger | None,
        language_model: Callable[[], Any],
        earlier: list[dict[str, Any]],
    ) -> None:
        self.ledger, self.earlier = ledger, [*earlier]
        self.language_model = language_model

    def wants(self, moment: Moment) -> bool:
        self.moments.append(moment)
        return moment.step % self.every == 0 or moment.ends_epoch or moment.ends_training

    def look(self, moment: Moment) -> Sight:
        torch.rand(100)
        model = self.language_model()
        self.modes += [(torch.is_grad_enabled(), m.training) for m in modules(model)]
        ids = model.tokenizer.encode(["the order"])
        bits = float(model.score([model.framing.record(ids[0])])[0])
        self.looked.append(moment.step)
        stop = "exposure" if self.stop_at is not None and moment.step >= self.stop_at else ""
        return Sight(entry={"bits": bits}, figures={"exposure_bits": bits}, stop=stop)

    def asked(self) -> dict[str, Any]:
        return {"every": self.every}


def modules(holder: Any, depth: int = 3) -> list[torch.nn.Module]:
    """All torch modules that a language model holds, or that what it holds does."""
    if isinstance(holder, torch.nn.Module):
        return list(holder.modules())
    inner = vars(holder).values() if depth and hasattr(holder, "__dict__") else ()
    return [module for value in inner for module in modules(value, depth - 1)]


@pytest.mark.parametrize("fields", [{}, {"layout": "records", "arch": "gru"}, TRANSFORMER], ids=str)
def test_being_watched_changes_no_weight(
    canaried: Path, tmp_path: Path, weights: Weights, fields: dict[str, Any]
) -> None:
    """Bit for bit, dropout included, whatever the watcher draws; it sees a model without dropout and without gradients."""
    settings = small(**fields, dropout=0.3, validation=0.2)
    watcher = Bystander(every=1)
    watched = train(canaried, tmp_path / "watched", settings=settings, watcher=watcher).found
    alone = train(canaried, tmp_path / "alone", settings=settings).found
    assert_equal_weights(weights(tmp_path / "watched"), weights(tmp_path / "alone"))
    assert watched["losses"] == alone["losses"]
    assert set(watcher.modes) == {(False, False)}
    assert watcher.ledger is not None
    assert watcher.ledger.identity == alone["ledger"]["identity"]


def test_the_watcher_is_asked_after_every_step(canaried: Path, tmp_path: Path) -> None:
    """Each moment says where the training stands; looks are those that were wanted, and the record has them all."""
    watcher = Bystander()
    settings = small(validation=0.2, dropout=0.3)
    record = train(canaried, tmp_path / "m", settings=settings, watcher=watcher)
    found = record.found
    steps, epoch = found["steps"], found["steps"] // 2
    assert [m.step for m in watcher.moments] == list(range(1, steps + 1))
    assert [m.step for m in watcher.moments if m.ends_epoch] == [epoch, steps]
    assert [m.step for m in watcher.moments if m.ends_training] == [steps]
    assert [m.epoch for m in watcher.moments] == [step / epoch for step in range(1, steps + 1)]
    wanted = [s for s in range(1, steps + 1) if s % 4 == 0 or s in (epoch, steps)]
    assert watcher.looked == wanted == [entry["step"] for entry in found["watched"]]
    assert [entry["epoch"] for entry in found["watched"]] == [step / epoch for step in wanted]
    assert len({entry["bits"] for entry in found["watched"]}) == len(wanted)
    assert record.asked["watcher"] == {"every": 4}
    seconds = [(m.training_seconds, m.watching_seconds) for m in watcher.moments]
    assert seconds == sorted(seconds, key=lambda pair: pair[0])
    assert seconds == sorted(seconds, key=lambda pair: pair[1])
    assert 0 < seconds[-1][1] <= found["watching_seconds"]


def test_what_it_saw_is_shown(canaried: Path, tmp_path: Path) -> None:
    """From the first look on, progress has its figures."""
    listener = Listener()
    found = train(
        canaried, tmp_path / "m", settings=small(), watcher=Bystander(), progress=listener
    ).found
    assert listener.reports[-1]["exposure_bits"] == found["watched"][-1]["bits"]


def test_the_watcher_may_stop_the_training(canaried: Path, tmp_path: Path) -> None:
    """The reason stands in the record, the model of that step is written, and resuming has nothing left to do."""
    settings = small()
    found = train(canaried, tmp_path / "m", settings=settings, watcher=Bystander(stop_at=6)).found
    assert (found["stopped"], found["steps"]) == ("exposure", 8)
    assert found["watched"][-1]["step"] == 8
    again = train(
        canaried, tmp_path / "m", settings=settings, watcher=Bystander(stop_at=6), resume=True
    ).found
    assert (again["stopped"], again["steps"]) == ("exposure", 8)
    assert again["watched"] == found["watched"]


class Killed(BaseException):
    """Stands for a kill."""


@pytest.mark.parametrize("seconds", [1e-9, 1e9], ids=["each step", "each epoch"])
def test_what_was_seen_outlives_a_kill(
    canaried: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """Entries up to the checkpoint are handed to the next watcher; in the end they are those of an undisturbed training."""
    settings = small(dropout=0.3)
    whole = train(canaried, tmp_path / "whole", settings=settings, watcher=Bystander()).found
    plain = Training._step

    def step_or_die(self: Training) -> None:
        if self.position.step == whole["steps"] // 2 + 5:
            raise Killed
        plain(self)

    options: dict[str, Any] = {"settings": settings, "checkpoint_seconds": seconds}
    with monkeypatch.context() as patch:
        patch.setattr(Training, "_step", step_or_die)
        with pytest.raises(Killed):
            train(canaried, tmp_path / "cut", watcher=Bystander(), **options)
    second = Bystander()
    found = train(canaried, tmp_path / "cut", watcher=second, resume=True, **options).found
    assert second.earlier
    assert second.earlier == whole["watched"][: len(second.earlier)]
    assert found["watched"] == whole["watched"]


def test_a_training_may_be_resumed_without_its_watcher(canaried: Path, tmp_path: Path) -> None:
    """Watching is no part of what a training is; what was seen before stays."""
    settings = small(steps=12)
    first = train(
        canaried, tmp_path / "m", settings=settings, watcher=Bystander(), max_seconds=1e-9
    ).found
    assert first["stopped"] == "time"
    found = train(canaried, tmp_path / "m", settings=settings, resume=True).found
    assert found["stopped"] == "finished"
    assert found["watched"] == first["watched"]


def test_a_refusing_watcher_lets_nothing_begin(plain_corpus: Path, tmp_path: Path) -> None:
    """Nothing to watch is found before anything is written."""

    class Refusing(Bystander):
        def begin(self, ledger: Ledger | None, *_: object) -> None:
            assert ledger is None
            raise UsageError("There is nothing to watch.", "The corpus has no canaries.", "c")

    with pytest.raises(UsageError, match="nothing to watch"):
        train(plain_corpus, tmp_path / "m", settings=small(), watcher=Refusing())
    assert not (tmp_path / "m").exists()


def test_a_look_that_fails_loses_no_step(canaried: Path, tmp_path: Path, weights: Weights) -> None:
    """The error comes through; without the watcher the training goes on to the same weights."""

    class Failing(Bystander):
        def look(self, moment: Moment) -> Sight:
            raise CouldNotMeasure("It could not be measured.", "b", "c")

    settings = small(dropout=0.3)
    with pytest.raises(CouldNotMeasure, match="could not be measured"):
        train(canaried, tmp_path / "m", settings=settings, watcher=Failing())
    train(canaried, tmp_path / "m", settings=settings, resume=True)
    train(canaried, tmp_path / "whole", settings=settings)
    assert_equal_weights(weights(tmp_path / "m"), weights(tmp_path / "whole"))


def test_one_of_two_processes_watches(canaried: Path, tmp_path: Path) -> None:
    """The first looks for both, and both stop when it says so."""
    said = trained_together(
        lambda: train(
            canaried, tmp_path / "m", settings=small(), watcher=Bystander(stop_at=6)
        ).found["steps"]
    )
    assert said == ["done", "done"]
    found = Record.read(tmp_path / "m" / "training.json").found
    assert (found["stopped"], found["steps"]) == ("exposure", 8)
    assert [entry["step"] for entry in found["watched"]] == [4, 8]
