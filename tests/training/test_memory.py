"""Running out of memory in a step: said with a way out that works, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from secretaudit.errors import TrainingError
from secretaudit.training.memory import is_memory_error
from secretaudit.training.run import train
from secretaudit.training.update import Forward

from .conftest import TRANSFORMER, assert_equal_weights, small

Weights = Callable[[Path], dict[str, torch.Tensor]]

SAID = (
    "[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 400000000000000 bytes. Error code 12 (Cannot allocate memory)"
)


def test_what_torch_says_is_recognized() -> None:
    """An allocation that no machine can satisfy, for real, and what a GPU would say; other errors are not taken for it."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)
    assert is_memory_error(caught.value)
    assert is_memory_error(MemoryError())
    assert is_memory_error(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert not is_memory_error(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_memory_error(ValueError("out of memory"))


def fail_above(monkeypatch: pytest.MonkeyPatch, rows: int, step: int) -> None:
    """Let the forward pass fail for more rows than there is memory for, from some call on."""
    plain, calls = Forward.__call__, []

    def forward(self: Forward, batch: Any) -> torch.Tensor:
        calls.append(batch)
        if len(batch.targets) > rows and len(calls) > step:
            raise RuntimeError(SAID)
        return plain(self, batch)

    monkeypatch.setattr(Forward, "__call__", forward)


@pytest.mark.parametrize("fields", [{}, {"layout": "records"}, TRANSFORMER])
@pytest.mark.parametrize("step", [0, 9])
def test_memory_that_runs_out_loses_nothing(
    plain_corpus: Path,
    tmp_path: Path,
    weights: Weights,
    monkeypatch: pytest.MonkeyPatch,
    fields: dict[str, Any],
    step: int,
) -> None:
    """The error names the step and the way out; the way out, smaller parts and resuming, ends at the same weights."""
    train(plain_corpus, tmp_path / "whole", settings=small(**fields))
    with monkeypatch.context() as patch:
        fail_above(patch, 2, step)
        with pytest.raises(TrainingError, match=f"Memory ran out in step {step + 1}") as caught:
            train(plain_corpus, tmp_path / "m", settings=small(**fields), checkpoint_seconds=1e-9)
        assert "can't allocate memory" in caught.value.why
        assert "--physical-batch-size" in caught.value.way_out
        assert "--resume" in caught.value.way_out
        assert not (tmp_path / "m" / "model.safetensors").exists()
        smaller = small(**fields, physical_batch_size=2)
        found = train(plain_corpus, tmp_path / "m", settings=smaller, resume=True).found
    assert found["stopped"] == "finished"
    for name, tensor in weights(tmp_path / "m").items():
        expected = weights(tmp_path / "whole")[name]
        torch.testing.assert_close(tensor, expected, rtol=1e-3, atol=2e-4)


def test_a_model_that_does_not_fit_replaces_nothing(plain_corpus: Path, tmp_path: Path) -> None:
    """2**62 bytes and more are refused by every machine, and the earlier model stays."""
    train(plain_corpus, tmp_path / "model", settings=small(epochs=1))
    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    with pytest.raises(TrainingError, match=r"before the first step(.|\n)*smaller model"):
        train(plain_corpus, tmp_path / "model", settings=small(units=2**29), force=True)
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == before


def test_other_errors_of_a_step_come_through(
    plain_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: Weights
) -> None:
    """A fault in the model is shown as it is, and the training can be gone on with when it is mended."""
    with monkeypatch.context() as patch:
        plain, calls = Forward.__call__, []

        def forward(self: Forward, batch: Any) -> torch.Tensor:
            calls.append(batch)
            if len(calls) == 12:
                raise RuntimeError("shapes cannot be multiplied")
            return plain(self, batch)

        patch.setattr(Forward, "__call__", forward)
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            train(plain_corpus, tmp_path / "m", settings=small())
    train(plain_corpus, tmp_path / "m", settings=small(), resume=True)
    train(plain_corpus, tmp_path / "whole", settings=small())
    assert_equal_weights(weights(tmp_path / "m"), weights(tmp_path / "whole"))
