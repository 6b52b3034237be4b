"""Causal convolutional models in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from secretaudit.errors import UsageError
from secretaudit.models.loading import load_model
from secretaudit.training.run import train
from secretaudit.training.settings import TrainingSettings

from .bases import LINES, opening_tokenizer, subject_of, tuning
from .conftest import assert_equal_weights, small


def convolution(**dials: Any) -> TrainingSettings:
    """A small convolutional model, with rows that hold any line."""
    return small(**{"arch": "convolution", "units": 16, "sequence_length": 48, **dials})


def test_a_convolutional_model_is_trained_written_and_loaded(
    canaried: Path, tmp_path: Path
) -> None:
    """The loss falls, the canaries are seen, and the audit closes texts as training did."""
    out = tmp_path / "model"
    found = train(canaried, out, settings=convolution(epochs=4, learning_rate=1e-2)).found
    losses = [entry["training"] for entry in found["losses"]]
    assert losses[-1] < 0.7 * losses[0]
    assert found["family"] == "convolution"
    assert found["canaries_lost"] == []
    model = load_model(out)
    assert model.context is None
    assert model.framing.before == model.framing.after == (found["separator"],)


def test_a_record_is_framed_as_the_audit_frames_it(tmp_path: Path) -> None:
    """Also with a tokenizer that opens texts with another token than the one that ends them."""
    subject = subject_of(opening_tokenizer(), arch="convolution", units=8)
    subject.save(tmp_path)
    (tmp_path / "training.json").write_text("{}")
    model = load_model(tmp_path)
    assert model.framing == subject.framing
    assert len({*model.framing.before, *model.framing.after}) == 2
    assert model.tokenizer.encode(LINES) == subject.view.encode(LINES)


def test_the_dials_are_the_shape() -> None:
    """Layers, units, dropout and tied weights are those of the configuration."""
    model = subject_of(arch="convolution", layers=3, units=12, dropout=0.25, tied=True).model
    assert len(model.layers) == 3
    assert model.embed.weight.shape == (280, 12)
    assert model.head.weight is model.embed.weight
    assert {m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)} == {0.25}


def test_a_base_is_fine_tuned(plain_corpus: Path, tmp_path: Path) -> None:
    """The second training begins with the weights of the first."""
    train(plain_corpus, tmp_path / "one", settings=convolution(steps=3))
    subject = subject_of(base=str(tmp_path / "one"))
    saved = load_file(tmp_path / "one" / "model.safetensors")
    assert_equal_weights(saved, {k: v.detach() for k, v in subject.model.named_parameters()})
    found = train(plain_corpus, tmp_path / "two", settings=tuning(tmp_path / "one")).found
    assert found["family"] == "convolution"


@pytest.mark.parametrize("apart", [False, True])
def test_a_stopped_training_goes_on_to_the_same_weights(
    canaried: Path, tmp_path: Path, weights: Any, apart: bool
) -> None:
    """With tied weights and dropout, in packed rows and in rows of one record."""
    layout = "records" if apart else "packed"
    settings = convolution(dropout=0.2, tied=True, batch_size=16, layout=layout)
    train(canaried, tmp_path / "whole", settings=settings)
    train(canaried, tmp_path / "parts", settings=settings, max_seconds=1e-6)
    train(canaried, tmp_path / "parts", settings=settings, resume=True)
    assert_equal_weights(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


@pytest.mark.parametrize(
    "dials", [{"heads": 2}, {"embedding": 8}, {"gradient_checkpointing": True}]
)
def test_dials_of_other_models_are_refused(dials: dict[str, Any]) -> None:
    """No heads, no other width of the embedding, and nothing to compute again."""
    name = next(iter(dials))
    with pytest.raises(UsageError, match=f"A convolution model has no use for {name}"):
        subject_of(arch="convolution", **dials)
