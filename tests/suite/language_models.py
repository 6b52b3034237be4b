"""A little text and small models trained on it, for the tests of the suite's language part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from secretaudit.suite.language.task import LanguageTask
from secretaudit.suite.language.training import TrainedModel, train_model
from secretaudit.training.settings import TrainingSettings

_WORDS = ("the", "cat", "sat", "on", "a", "mat", "and", "saw", "old", "dogs", "run", "home")


def some_lines(count: int) -> tuple[str, ...]:
    """Lines of three to seven words, all different, the same each time."""
    drawn = torch.Generator().manual_seed(0)
    lines: dict[str, None] = {}
    while len(lines) < count:
        length = int(torch.randint(3, 8, (1,), generator=drawn))
        chosen = torch.randint(len(_WORDS), (length,), generator=drawn).tolist()
        lines[" ".join(_WORDS[i] for i in chosen)] = None
    return tuple(lines)


def small_task(**dials: Any) -> LanguageTask:
    """Sixty lines to train on, twenty held out, three-digit canaries."""
    lines = some_lines(80)
    usual: dict[str, Any] = {
        "formats": ("pin {digits:3}",),
        "canaries": 2,
        "repeats": (1, 6),
        "controls": 4,
    }
    return LanguageTask(name="toy", train=lines[:60], held_out=lines[60:], **usual | dials)


def small_settings(**dials: Any) -> TrainingSettings:
    """One layer of 24 units, ten lines a step."""
    usual: dict[str, Any] = {
        "layers": 1,
        "units": 24,
        "batch_size": 10,
        "epochs": 1,
        "learning_rate": 0.01,
    }
    return TrainingSettings(**usual | dials)


def small_model(place: Path, seed: int = 0, **dials: Any) -> TrainedModel:
    """A model of a second."""
    task = small_task()
    return train_model(task, task.train, small_settings(**dials), seed, place)
