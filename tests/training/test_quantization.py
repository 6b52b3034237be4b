"""Weights of eight bits: on a grid of 255 points a row, written and nothing else."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from torch import nn

from secretaudit.models.loading import load_model
from secretaudit.training.quantization import quantize_weights
from secretaudit.training.run import train

from .conftest import TRANSFORMER, Listener, assert_equal_weights, small

Weights = Callable[[Path], dict[str, torch.Tensor]]
FILE = Path("checkpoint") / "checkpoint.safetensors"


def off_grid(rows: torch.Tensor) -> float:
    """How far the weights are from whole multiples of 1/127 of their row's largest, in such multiples."""
    scale = rows.abs().amax(1, keepdim=True).double().clamp_min(1e-30) / 127
    steps = rows.double() / scale
    return float((steps - steps.round()).abs().max())


@given(
    rows=st.lists(
        st.lists(st.floats(-1e3, 1e3, width=32), min_size=6, max_size=6), min_size=1, max_size=5
    )
)
def test_weights_move_by_half_a_step_at_most(rows: list[list[float]]) -> None:
    """Each row lies on its own grid afterwards, its largest weight stays, and a row of zeros stays zero."""
    model = nn.Linear(6, len(rows))
    with torch.no_grad():
        model.weight.copy_(torch.tensor(rows))
    bias = model.bias.detach().clone()
    before = model.weight.detach().clone()
    assert quantize_weights(model) == before.numel()
    after = model.weight.detach()
    largest = before.abs().amax(1, keepdim=True)
    assert off_grid(after) < 1e-3
    assert bool(((after - before).abs() <= largest / 127 * 0.501 + 1e-37).all())
    assert torch.allclose(after.abs().amax(1, keepdim=True), largest, rtol=1e-5)
    assert torch.equal(model.bias, bias)


def test_rounding_again_changes_nothing_that_counts() -> None:
    """The grid of rounded weights is the same grid."""
    model = nn.Linear(50, 20)
    quantize_weights(model)
    once = model.weight.detach().clone()
    quantize_weights(model)
    assert torch.allclose(model.weight, once, rtol=1e-5)


@pytest.mark.parametrize(
    "fields", [{}, {"arch": "gru", "tied": True}, TRANSFORMER, {**TRANSFORMER, "tied": True}]
)
def test_the_model_written_has_eight_bits(
    plain_corpus: Path, tmp_path: Path, weights: Weights, fields: dict[str, Any]
) -> None:
    """Every matrix lies on its grid, near the one of the unrounded training, and the checkpoint stays whole."""
    train(plain_corpus, tmp_path / "whole", settings=small(**fields))
    settings = small(**fields, quantize=8)
    train(plain_corpus, tmp_path / "m", settings=settings)
    whole, rounded = weights(tmp_path / "whole"), weights(tmp_path / "m")
    assert rounded.keys() == whole.keys()
    for name, tensor in rounded.items():
        if tensor.ndim >= 2:
            assert off_grid(tensor.flatten(1)) < 1e-3, name
            assert len(tensor[0].unique()) <= 255
            assert not torch.equal(tensor, whole[name])
            torch.testing.assert_close(
                tensor, whole[name], rtol=0, atol=float(whole[name].abs().max()) / 250
            )
        else:
            assert torch.equal(tensor, whole[name]), name
    with safe_open(tmp_path / "m" / FILE, framework="pt") as file:
        for name in whole:
            if f"model.{name}" in file.keys():  # noqa: SIM118 # not a dict
                assert torch.equal(file.get_tensor(f"model.{name}"), whole[name])
    load_model(tmp_path / "m").score([[0, 1, 0]])


def test_resuming_goes_on_from_unrounded_weights(
    plain_corpus: Path, tmp_path: Path, weights: Weights
) -> None:
    """An interrupted training wrote rounded weights; its end is that of one that was not interrupted."""
    settings = small(epochs=4, quantize=8)
    stop = Listener(lambda: os.kill(os.getpid(), signal.SIGINT))
    found = train(plain_corpus, tmp_path / "m", settings=settings, progress=stop).found
    assert found["stopped"] == "interrupted"
    train(plain_corpus, tmp_path / "m", settings=settings, resume=True)
    train(plain_corpus, tmp_path / "whole", settings=settings)
    assert_equal_weights(weights(tmp_path / "m"), weights(tmp_path / "whole"))


def test_the_best_weights_are_rounded_when_they_are_kept(
    noise_corpus: Path, tmp_path: Path, weights: Weights
) -> None:
    """Rounding comes last."""
    settings = small(
        units=48, layers=1, learning_rate=0.02, validation=0.3, epochs=8, keep="best", quantize=8
    )
    found = train(noise_corpus, tmp_path / "best", settings=settings).found
    assert found["best_step"] < found["steps"]
    settings = replace(settings, steps=found["best_step"], keep="last")
    train(noise_corpus, tmp_path / "ended", settings=settings)
    assert_equal_weights(weights(tmp_path / "best"), weights(tmp_path / "ended"))
