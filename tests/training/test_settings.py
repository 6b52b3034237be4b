"""Settings are checked when they are made."""

from __future__ import annotations

from typing import Any

import pytest

from secretaudit.errors import UsageError
from secretaudit.training.settings import (
    FINE_TUNING_RATES,
    LEARNING_RATES,
    LORA_RATE,
    OPTIMIZERS,
    LoraSettings,
    PrivacySettings,
    TrainingSettings,
)


def test_each_optimizer_has_its_usual_rate() -> None:
    """No rate given takes the optimizer's; a given one is kept."""
    for name in OPTIMIZERS:
        assert TrainingSettings(optimizer=name).rate == LEARNING_RATES[name]
        assert TrainingSettings(optimizer=name, base="gpt").rate == FINE_TUNING_RATES[name]
    assert TrainingSettings(learning_rate=0.5).rate == 0.5
    assert TrainingSettings(base="gpt", lora=LoraSettings()).rate == LORA_RATE
    assert TrainingSettings(base="gpt", lora=LoraSettings(), optimizer="sgd").rate == 0.01


def test_adapters_and_privacy_are_checked_when_they_are_made() -> None:
    """Each by its own message; exactly one of ε and σ says how private."""
    for make, message in (
        (lambda: LoraSettings(rank=0), "rank must be at least 1"),
        (lambda: LoraSettings(alpha=0.0), "alpha must be above 0"),
        (lambda: LoraSettings(dropout=1.0), r"dropout must be in \[0, 1\)"),
        (lambda: PrivacySettings(), "needs either epsilon or a noise multiplier"),
        (lambda: PrivacySettings(epsilon=1, noise_multiplier=1), "needs either"),
        (lambda: PrivacySettings(epsilon=0.0), "epsilon must be finite and above 0"),
        (lambda: PrivacySettings(epsilon=-2.0), "epsilon must be finite and above 0"),
        (lambda: PrivacySettings(epsilon=float("inf")), "epsilon must be finite and above 0"),
        (lambda: PrivacySettings(epsilon=float("nan")), "epsilon must be finite and above 0"),
        (lambda: PrivacySettings(noise_multiplier=-1.0), "noise_multiplier must be at least 0"),
        (lambda: PrivacySettings(epsilon=1.0, delta=0.0), r"delta must be in \(0, 1\)"),
        (lambda: PrivacySettings(epsilon=1.0, delta=1.0), r"delta must be in \(0, 1\)"),
        (lambda: PrivacySettings(epsilon=1.0, poisson=False), "without Poisson sampling"),
        (lambda: PrivacySettings(epsilon=1.0, max_grad_norm=0), "max_grad_norm must be above 0"),
        (lambda: PrivacySettings(epsilon=1.0, accountant="gdp"), "accountant must be one of"),
        (lambda: PrivacySettings(epsilon=1.0, gradients="fast"), "gradients must be one of"),
    ):
        with pytest.raises(UsageError, match=message):
            make()
    assert PrivacySettings(noise_multiplier=0.0).epsilon is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"arch": "lsmt"}, "arch must be one of lstm, gru, .*, got 'lsmt'"),
        ({"schedule": "step"}, "schedule must be one of"),
        ({"layout": "rows"}, "layout must be one of"),
        ({"precision": "float16"}, "precision must be one of"),
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
        ({"label_smoothing": 1.0}, r"label_smoothing must be in \[0, 1\)"),
        ({"momentum": -0.1}, r"momentum must be in \[0, 1\)"),
        ({"momentum": 0.9}, "optimizer adam takes no momentum"),
        ({"momentum": 0.9, "optimizer": "adamw"}, "optimizer adamw takes no momentum"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0"),
        ({"warmup_steps": -1}, "warmup_steps must be at least 0"),
        ({"physical_batch_size": 0}, "physical_batch_size must be at least 1"),
        ({"validate_every": 0}, "validate_every must be at least 1"),
        ({"quantize": 4}, "cannot be quantized to 4 bits"),
        ({"lora": LoraSettings()}, "Adapters need a model to stand on"),
        ({"base": "a", "config": "b"}, "either fine-tuned or made from a configuration"),
        ({"base": "a", "lora": LoraSettings(), "quantize": 8}, "Adapters are not quantized"),
        (
            {"layout": "packed", "privacy": PrivacySettings(epsilon=1.0)},
            "cannot read the corpus as packed",
        ),
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
