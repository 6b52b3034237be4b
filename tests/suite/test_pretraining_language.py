"""Random continuations before real text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from secretaudit.errors import UsageError
from secretaudit.report.pretraining import figures, tables
from secretaudit.suite.cells import Cells
from secretaudit.suite.pretraining.language import (
    continuations_part,
    noise_settings,
    tuned_settings,
)
from secretaudit.suite.pretraining.run import run
from secretaudit.suite.pretraining.settings import PretrainingSettings
from secretaudit.suite.subject import LanguageSubject, Run
from secretaudit.training.settings import LoraSettings, PrivacySettings, TrainingSettings
from tests.suite.language_models import small_settings, small_task


def test_a_language_model_is_pretrained_and_compared(tmp_path: Path) -> None:
    """Paired by seed, plain JSON, drawn, and found again without training."""
    subject = LanguageSubject(task=small_task(), settings=small_settings(epochs=2))
    settings = PretrainingSettings(seeds=2, noise_epochs=3)
    here = Run(seed=1, cells=Cells(place=tmp_path / "cells"), place=tmp_path)
    found = run(subject, settings, here)
    part = found["parts"]["continuations"]
    assert part["status"] == "measured"
    assert found["parts"]["rounds"]["status"] == "not applicable"
    assert list(part["by_insertions"]) == ["0", "1", "6"]
    assert len(part["noise_bits"]) == 3 and len(part["curves"]["scratch"]) == 2
    assert part["noise_bits"][-1] < part["noise_bits"][0]
    assert [p.name for p in tmp_path.iterdir()] == ["cells"]
    assert figures(found)[0].name == "pretraining-continuations"
    assert [row[0] for row in tables(found)[0][2]][:2] == [
        "exposure, controls", "exposure, 1 insertion",
    ]  # fmt: skip
    assert run(subject, settings, here) == found


def seed(
    scratch: list[float], pretrained: list[float], held: tuple[float, float]
) -> dict[str, Any]:
    """One seed with a control and two inserted canaries."""

    def one(bits: list[float], cost: float) -> dict[str, Any]:
        rows = [
            {"id": str(i), "insertions": times, "bits": b, "is_bound": i == 2}
            for i, (times, b) in enumerate(zip((0, 1, 8), bits, strict=True))
        ]
        return {"held_out_bits": cost, "training_bits": 1.0, "curve": [2.0, 1.0], "exposures": rows}

    return {
        "noise_bits": [4.0],
        "scratch": one(scratch, held[0]),
        "pre-trained": one(pretrained, held[1]),
    }


def test_exposures_are_averaged_over_inserted_canaries_and_paired_by_seed() -> None:
    """Differences of 2 and 4 bits, controls apart, bounds counted."""
    part = continuations_part(
        [
            seed([1.0, 2.0, 6.0], [5.0, 4.0, 8.0], (3.0, 2.5)),
            seed([1.0, 1.0, 7.0], [1.0, 5.0, 11.0], (3.0, 3.5)),
        ]
    )
    assert part["exposure_bits"]["scratch"]["mean"] == 4.0
    assert part["exposure_difference"]["mean"] == 3.0
    assert part["by_insertions"]["0"]["difference"]["mean"] == 2.0
    assert part["held_out_difference"]["mean"] == 0.0
    assert part["bounds"] == 4
    assert "no difference is shown" in part["sentence"]


def test_a_difference_is_claimed_only_beyond_its_interval() -> None:
    """Three seeds that agree, upwards and downwards."""
    up = [seed([1.0, 1.0, 1.0], [1.0, 3.0 + i / 10, 3.0], (3.0, 3.0)) for i in range(3)]
    down = [seed([1.0, 3.0 + i / 10, 3.0], [1.0, 1.0, 1.0], (3.0, 3.0)) for i in range(3)]
    assert "it raises exposure" in continuations_part(up)["sentence"]
    assert "it lowers exposure" in continuations_part(down)["sentence"]
    assert "no interval" in continuations_part(up[:1])["sentence"]


def test_random_text_is_trained_on_like_the_real_one_but_never_privately() -> None:
    """Tokenizer, layout and seed of the control; length of its own."""
    asked = TrainingSettings(
        epochs=4, privacy=PrivacySettings(epsilon=8.0), validation=0.1, patience=2
    )
    control = TrainingSettings(tokenizer="somewhere", layout="records", seed=9)
    found = noise_settings(asked, control, None)
    assert (found.tokenizer, found.layout, found.seed, found.epochs) == (
        "somewhere", "records", 9, 4,
    )  # fmt: skip
    assert found.privacy is None and found.patience is None and found.validation == 0.0
    assert noise_settings(asked, control, 7).epochs == 7


def test_real_text_is_trained_on_at_the_rate_of_the_control() -> None:
    """A base would take a smaller one by itself; the shape is the base's."""
    found = tuned_settings(TrainingSettings(units=24, tokenizer="word"), Path("base"))
    assert found.rate == TrainingSettings().rate != TrainingSettings(base="base").rate
    assert found.units == TrainingSettings().units and found.tokenizer is None


@pytest.mark.parametrize(
    "dials", [{"base": "somewhere", "lora": LoraSettings()}, {"quantize": 8}], ids=["lora", "int8"]
)
def test_weights_that_cannot_be_trained_on_are_refused(dials: dict[str, Any]) -> None:
    """Adapters and quantized weights."""
    subject = LanguageSubject(task=small_task(), settings=TrainingSettings(**dials))
    with pytest.raises(UsageError, match="cannot be pre-trained on random text"):
        run(subject, PretrainingSettings(), Run())
