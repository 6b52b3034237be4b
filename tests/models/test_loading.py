"""Loading a model directory, and every reason to refuse one."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from secretaudit.errors import ModelError, UsageError
from secretaudit.models.language_model import Framing
from secretaudit.models.loading import load_model
from secretaudit.models.model_options import ModelOptions

Make = Callable[..., Path]


@pytest.mark.parametrize("kind", ["char", "word", "bpe"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("tied", [False, True])
def test_a_loaded_model_scores_as_the_saved_one(
    model_directory: Make, kind: str, cell: str, tied: bool
) -> None:
    """The score of a record equals transformers' own loss, summed, in bits."""
    from transformers import AutoModelForCausalLM

    directory = model_directory(kind, cell=cell, tie_word_embeddings=tied)
    model = load_model(directory)
    ids = model.framing.record(model.tokenizer.encode(["my pin is 0412"])[0])
    batch = torch.tensor([ids])
    loss = AutoModelForCausalLM.from_pretrained(directory)(batch, labels=batch).loss
    bits = loss.item() * (len(ids) - 1) / math.log(2.0)
    assert model.score([ids])[0] == pytest.approx(bits, rel=1e-5)
    assert model.name == "model"
    assert model.vocabulary_size == len(model.tokenizer.token_bytes)


def test_loading_leaves_the_global_generator_alone(model_directory: Make) -> None:
    """A program's own random numbers do not depend on what it audits."""
    directory = model_directory()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    load_model(directory)
    assert torch.equal(torch.rand(1), expected)


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """No directory, no model."""
    with pytest.raises(ModelError, match="There is no model directory"):
        load_model(tmp_path / "nowhere")


def test_a_file_is_refused_unopened(tmp_path: Path) -> None:
    """A pickled file given as the model is not read."""
    file = tmp_path / "model.pt"
    file.write_bytes(b"not even a pickle")
    with pytest.raises(ModelError, match="is a file"):
        load_model(file)


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    """A directory without a configuration holds no model."""
    with pytest.raises(ModelError, match=r"no config\.json"):
        load_model(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", "\x00\xff"])
def test_a_damaged_configuration_is_refused(model_directory: Make, text: str) -> None:
    """A configuration that is no JSON object with a model_type says so."""
    directory = model_directory()
    (directory / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(ModelError, match=r"config\.json cannot be read"):
        load_model(directory)


def test_a_shape_that_cannot_be_is_refused(model_directory: Make) -> None:
    """A field out of range is named."""
    directory = model_directory()
    edit_config(directory, cell="rnn")
    with pytest.raises(ModelError, match="cell must be one of lstm, gru"):
        load_model(directory)


def test_a_directory_without_weights_is_refused(model_directory: Make) -> None:
    """A configuration alone is no model."""
    directory = model_directory()
    (directory / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="has no weights"):
        load_model(directory)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl"])
def test_pickled_weights_are_refused(model_directory: Make, name: str) -> None:
    """Pickled weights are not opened, and the way out is given."""
    directory = model_directory()
    (directory / "model.safetensors").rename(directory / name)
    with pytest.raises(ModelError, match="pickled weights only") as caught:
        load_model(directory)
    assert "save_pretrained" in caught.value.way_out


def test_truncated_weights_are_refused(model_directory: Make) -> None:
    """Half a file is not read as a smaller model."""
    weights = model_directory() / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="truncated"):
        load_model(weights.parent)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(model_directory: Make, value: float) -> None:
    """One NaN or infinity anywhere is enough."""
    weights = model_directory() / "model.safetensors"
    tensors = load_file(weights)
    tensors["rnn.weight_hh_l1"][2, 3] = value
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="not finite"):
        load_model(weights.parent)


def test_weights_of_another_shape_are_refused(model_directory: Make) -> None:
    """A configuration and weights of different trainings do not go together."""
    directory = model_directory()
    edit_config(directory, units=9, embedding=9)
    with pytest.raises(ModelError, match=r"do not fit config\.json"):
        load_model(directory)


def test_weights_with_a_tensor_missing_are_refused(model_directory: Make) -> None:
    """No weight is ever made up."""
    weights = model_directory() / "model.safetensors"
    tensors = load_file(weights)
    del tensors["head.bias"]
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"do not fit config\.json"):
        load_model(weights.parent)


def test_a_missing_tokenizer_is_refused(model_directory: Make) -> None:
    """Weights without their tokenizer mean nothing."""
    directory = model_directory()
    (directory / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"has no tokenizer\.json"):
        load_model(directory)


def test_a_damaged_tokenizer_is_refused(model_directory: Make) -> None:
    """A truncated tokenizer says so."""
    directory = model_directory()
    file = directory / "tokenizer.json"
    file.write_text(file.read_text()[:100])
    with pytest.raises(ModelError, match=r"tokenizer in .* cannot be read"):
        load_model(directory)


def test_a_tokenizer_of_another_model_is_refused(model_directory: Make) -> None:
    """The number of tokens and the model's outputs must agree."""
    directory = model_directory()
    from secretaudit.models.tokens.building import build_tokenizer

    build_tokenizer("char", ["ab"]).save_pretrained(directory)
    with pytest.raises(ModelError, match="does not fit the model"):
        load_model(directory)


def test_a_device_that_is_not_there_is_refused(model_directory: Make) -> None:
    """Neither an unknown device nor a missing one ends in a traceback."""
    directory = model_directory()
    for name in ("quantum", "cuda:93"):
        with pytest.raises(ModelError, match=f"device '{name}' cannot be used"):
            load_model(directory, ModelOptions(device=name))


def test_what_stands_around_a_text_can_be_left_out(model_directory: Make) -> None:
    """Separators stand before and after a text, unless one of them is not wanted."""
    directory = model_directory()
    assert load_model(directory).framing == Framing(before=(0,), after=(0,))
    bare = load_model(directory, ModelOptions(bos="off", close="off")).framing
    assert bare == Framing(before=(), after=())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ModelOptions(dtype="bfloat16"), "not computed in bfloat16"),
        (ModelOptions(chat="hello"), "no chat template"),
        (ModelOptions(source="ein Text"), "reads no source text"),
        (ModelOptions(bos="maybe"), "no choice 'maybe' for bos"),
        (ModelOptions(server_model="tiny"), "is no server"),
        (ModelOptions(api="vllm"), "is no server"),
    ],
)
def test_options_that_mean_nothing_here_are_refused(
    model_directory: Make, options: ModelOptions, message: str
) -> None:
    """No option is ignored that would change a number for another kind of model."""
    directory = model_directory()
    with pytest.raises(UsageError, match=message):
        load_model(directory, options)


def edit_config(directory: Path, **fields: object) -> None:
    """Change fields of the configuration on disk."""
    file = directory / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


@pytest.mark.data
def test_another_tokenizer_than_the_models_own_is_refused() -> None:
    """Its tokens would be priced as if they were those of the training."""
    models = Path(os.environ["SECRETAUDIT_DATA"]) / "models"
    other = ModelOptions(tokenizer=str(models / "stories260K"))
    with pytest.raises(UsageError, match="tokenizer of its own"):
        load_model(models / "tiny-gpt2", other)
    same = ModelOptions(tokenizer=str(models / "tiny-gpt2"))
    assert load_model(models / "tiny-gpt2", same).vocabulary_size == 1500
