"""Loading causal transformers, and every reason to refuse one."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from secretaudit.errors import ModelError, UsageError
from secretaudit.models.language_model import Framing
from secretaudit.models.loading import load_model
from secretaudit.models.model_options import ModelOptions

from .tiny_transformers import tiny
from .transformer_directories import byte_tokenizer, edit, save_transformer

TEXT = "my pin is 0412"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A tiny GPT-2 with a byte-level tokenizer."""
    save_transformer(tmp_path / "model")
    return tmp_path / "model"


def weights(directory: Path) -> dict[str, torch.Tensor]:
    return load_file(directory / "model.safetensors")


def write(directory: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("make", ["gpt2", "llama", "mistral", "bloom", "mamba"])
def test_a_loaded_model_scores_as_transformers_own_loss(tmp_path: Path, make: str) -> None:
    """The score of a record equals the loss of the module that was saved, summed, in bits."""
    module = save_transformer(tmp_path / "model", make)
    model = load_model(tmp_path / "model")
    ids = model.framing.record(model.tokenizer.encode([TEXT])[0])
    batch = torch.tensor([ids])
    bits = module(batch, labels=batch).loss.item() * (len(ids) - 1) / math.log(2.0)
    assert model.score([ids])[0] == pytest.approx(bits, rel=1e-4)
    assert (model.name, model.dtype) == ("model", "float32")


def test_weights_in_several_files_are_read(directory: Path) -> None:
    """Shards with an index are one model."""
    module = save_transformer(directory)
    expected = load_model(directory).score([[0, 5, 6]])
    (directory / "model.safetensors").unlink()
    module.save_pretrained(directory, max_shard_size="20KB")
    assert len(list(directory.glob("model-*.safetensors"))) > 1
    assert load_model(directory).score([[0, 5, 6]]) == pytest.approx(expected)
    next(iter(directory.glob("model-*.safetensors"))).unlink()
    with pytest.raises(ModelError, match="lacks a part of its weights"):
        load_model(directory)


def test_bfloat16_weights_are_computed_in_float32_unless_asked(directory: Path) -> None:
    """The number format of the file decides nothing; the one that was asked for is recorded."""
    write(directory, {k: v.to(torch.bfloat16) for k, v in weights(directory).items()})
    edit(directory, dtype="bfloat16")
    exact, rough = load_model(directory), load_model(directory, ModelOptions(dtype="bfloat16"))
    assert (exact.dtype, rough.dtype) == ("float32", "bfloat16")
    costs = [model.score([[0, 5, 6, 7]])[0] for model in (exact, rough)]
    assert costs[0] != costs[1]
    assert costs[0] == pytest.approx(costs[1], rel=0.05)
    log_p, _ = rough.step(rough.start([0]), torch.tensor([0]), torch.tensor([5]))
    assert log_p.dtype == torch.float32
    assert float(log_p.double().exp().sum()) == pytest.approx(1.0, abs=1e-5)


def test_loading_leaves_the_global_generator_alone(directory: Path) -> None:
    """A program's own random numbers do not depend on what it audits."""
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    load_model(directory)
    assert torch.equal(torch.rand(1), expected)


def test_a_model_that_closed_its_texts_in_training_is_charged_for_it(directory: Path) -> None:
    """Our trainer ends each record; of other models it is not known."""
    assert load_model(directory).framing == Framing(before=(0,), after=())
    (directory / "training.json").write_text("{}")
    assert load_model(directory).framing == Framing(before=(0,), after=(0,))
    assert load_model(directory, ModelOptions(close="off")).framing.after == ()


def test_weights_that_are_missing_are_not_made_up(directory: Path) -> None:
    """transformers would draw them at random and warn."""
    tensors = weights(directory)
    del tensors["transformer.h.1.mlp.c_fc.weight"]
    write(directory, tensors)
    with pytest.raises(ModelError, match="not complete") as caught:
        load_model(directory)
    assert "h.1.mlp.c_fc.weight would be drawn at random" in caught.value.why


def test_weights_that_have_no_place_are_not_ignored(directory: Path) -> None:
    """A configuration with fewer layers than the weights is another model's."""
    edit(directory, n_layer=1)
    with pytest.raises(ModelError, match=r"do not fit config\.json") as caught:
        load_model(directory)
    assert "have no place in the model" in caught.value.why


def test_heads_of_other_tasks_beside_the_model_are_no_harm(directory: Path) -> None:
    """A value head of reinforcement learning changes no probability."""
    expected = load_model(directory).score([[0, 5, 6]])
    write(directory, {**weights(directory), "v_head.summary.weight": torch.zeros(1, 32)})
    assert load_model(directory).score([[0, 5, 6]]) == pytest.approx(expected)


def test_weights_of_another_shape_are_refused(directory: Path) -> None:
    """A configuration and weights of different trainings do not go together."""
    edit(directory, n_embd=16)
    with pytest.raises(ModelError, match=r"do not fit config\.json"):
        load_model(directory)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_refused(directory: Path, value: float) -> None:
    """One NaN or infinity anywhere is enough."""
    tensors = weights(directory)
    tensors["transformer.h.1.mlp.c_fc.weight"][3, 3] = value
    write(directory, tensors)
    with pytest.raises(ModelError, match="not finite"):
        load_model(directory)


def test_truncated_weights_are_refused(directory: Path) -> None:
    """Half a file is not read as a smaller model."""
    file = directory / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"model\.safetensors cannot be read") as caught:
        load_model(directory)
    assert "truncated" in caught.value.why


def test_a_damaged_index_is_refused(directory: Path) -> None:
    """An index that names no files says so."""
    (directory / "model.safetensors").unlink()
    (directory / "model.safetensors.index.json").write_text("[")
    with pytest.raises(ModelError, match=r"index\.json cannot be read"):
        load_model(directory)


def test_pickled_weights_are_opened_only_when_asked(directory: Path) -> None:
    """Unpickling may run code; who trusts the file says so."""
    expected = load_model(directory).score([[0, 5, 6]])
    torch.save(weights(directory), directory / "pytorch_model.bin")
    (directory / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="pickled weights only") as caught:
        load_model(directory)
    assert "--allow-pickle" in caught.value.way_out
    trusted = load_model(directory, ModelOptions(allow_pickle=True))
    assert trusted.score([[0, 5, 6]]) == pytest.approx(expected)


def test_a_directory_without_weights_is_refused(directory: Path) -> None:
    """A configuration alone is no model."""
    (directory / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="has no weights"):
        load_model(directory)


def test_code_that_comes_with_a_model_is_not_run(directory: Path, tmp_path: Path) -> None:
    """A model of an unknown type with Python files is refused before they are read."""
    proof = tmp_path / "ran"
    (directory / "evil.py").write_text(f"open({str(proof)!r}, 'w').close()\n")
    edit(
        directory,
        model_type="evil",
        auto_map={"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"},
    )
    with pytest.raises(ModelError, match="needs program code of its own"):
        load_model(directory)
    assert not proof.exists()


def test_a_type_that_transformers_does_not_know_is_refused(directory: Path) -> None:
    """The message names the file and what transformers says."""
    edit(directory, model_type="nonesuch")
    with pytest.raises(ModelError, match="does not describe a model that transformers knows"):
        load_model(directory)


def test_a_type_without_next_token_probabilities_is_refused(tmp_path: Path) -> None:
    """An image model predicts no tokens."""
    from transformers import ViTConfig

    ViTConfig().save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="Models of type 'vit' do not predict the next token"):
        load_model(tmp_path)


def test_a_classifier_is_refused(directory: Path) -> None:
    """A GPT-2 that was trained to classify has the body of a language model and is none."""
    edit(directory, architectures=["GPT2ForSequenceClassification"])
    with pytest.raises(ModelError, match="does not predict the next token"):
        load_model(directory)


def test_quantized_weights_are_refused(directory: Path) -> None:
    """They would be computed by code that was not compared with plain weights."""
    edit(directory, quantization_config={"quant_method": "gptq", "bits": 4})
    with pytest.raises(ModelError, match="are quantized"):
        load_model(directory)


def test_a_model_that_reads_ahead_is_refused(tmp_path: Path) -> None:
    """BERT loads as a causal model and looks at what follows."""
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = byte_tokenizer()
    config = AutoConfig.for_model(
        "bert", vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1,
        num_attention_heads=4, intermediate_size=48,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="reads ahead"):
        load_model(tmp_path)


def test_a_device_that_is_not_there_is_refused(directory: Path) -> None:
    """Neither an unknown device nor a missing one ends in a traceback."""
    for name in ("quantum", "cuda:93"):
        with pytest.raises(ModelError, match=f"device '{name}' cannot be used"):
            load_model(directory, ModelOptions(device=name))


def test_an_unknown_number_format_is_refused(directory: Path) -> None:
    """The known ones are listed."""
    with pytest.raises(UsageError, match="no number format 'float8'") as caught:
        load_model(directory, ModelOptions(dtype="float8"))
    assert "float32, bfloat16, float16" in caught.value.why


def test_a_source_text_is_refused_where_there_is_no_encoder(directory: Path) -> None:
    """--source would change nothing."""
    with pytest.raises(UsageError, match="reads no source text"):
        load_model(directory, ModelOptions(source="Guten Tag"))


def test_the_context_of_stretched_positions_is_the_one_they_were_made_for(tmp_path: Path) -> None:
    """Frequencies that change with the length of a text would price one text in two ways."""
    scheme = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
    save_transformer(tmp_path / "dynamic", "llama", rope_parameters=scheme)
    assert load_model(tmp_path / "dynamic").context == 24
    long = {
        "rope_type": "longrope", "rope_theta": 10000.0,
        "short_factor": [1.0] * 4, "long_factor": [2.0] * 4, "factor": 2.0,
    }  # fmt: skip
    save_transformer(
        tmp_path / "long", "phi3", rope_parameters=long, original_max_position_embeddings=12
    )
    assert load_model(tmp_path / "long").context == 12


def test_fields_of_the_configuration_are_left_as_they_are(directory: Path) -> None:
    """Loading writes nothing into the directory."""
    before = {file.name: file.read_bytes() for file in directory.iterdir()}
    load_model(directory)
    assert {file.name: file.read_bytes() for file in directory.iterdir()} == before
    assert json.loads(before["config.json"])["model_type"] == "gpt2"


def test_a_module_in_memory_is_a_model_too() -> None:
    """Who has a module and its tokenizer needs no directory."""
    from secretaudit.models.transformer.language_model import TransformerLanguageModel

    tokenizer = byte_tokenizer()
    model = TransformerLanguageModel(tiny("gpt2", vocab_size=len(tokenizer)), tokenizer)
    assert model.framing == Framing(before=(0,))
    assert model.tokenizer.encode([TEXT])[0]
    with pytest.raises(ValueError, match="framing must be given"):
        TransformerLanguageModel(tiny("gpt2", vocab_size=len(tokenizer)), model.tokenizer)
