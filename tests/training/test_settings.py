"""Settings are checked when they are made."""

from __future__ import annotations

from typing import Any

import pytest

from secretaudit.errors import UsageError
from secretaudit.training.settings import LEARNING_RATES, OPTIMIZERS, TrainingSettings


def test_each_optimizer_has_its_usual_rate() -> None:
    """No rate given takes the optimizer's; a given one is kept."""
    for name in OPTIMIZERS:
        assert TrainingSettings(optimizer=name).rate == LEARNING_RATES[name]
    assert TrainingSettings(learning_rate=0.5).rate == 0.5


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"arch": "lsmt"}, "arch must be one of lstm, gru, got 'lsmt'"),
        ({"tokenizer": "words"}, "tokenizer must be one of"),
        ({"optimizer": "adan"}, "optimizer must be one of"),
        ({"keep": "first"}, "keep must be one of"),
        ({"units": 0}, "units must be at least 1"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"embedding": 0}, "embedding must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0"),
        ({"gradient_clip": -1.0}, "gradient_clip must be at least 0"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\)"),
        ({"validation": 1.0}, r"validation must be in \[0, 1\)"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"tied": True, "embedding": 9}, "Tied weights cannot have embedding 9"),
        ({"validation": 0.0, "keep": "best"}, "need validation records"),
        ({"validation": 0.0, "patience": 2}, "need validation records"),
    ],
)
def test_a_setting_out_of_range_is_refused(fields: dict[str, Any], message: str) -> None:
    """Each refusal names the setting and what it must be."""
    with pytest.raises(UsageError, match=message):
        TrainingSettings(**fields)
