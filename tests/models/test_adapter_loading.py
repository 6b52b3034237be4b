"""PEFT adapters: the merged model gives the numbers of the model with its adapter, and what does not fit is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from secretaudit.errors import ModelError
from secretaudit.models.loading import load_model
from secretaudit.models.model_options import ModelOptions

from .transformer_directories import byte_tokenizer, edit, save_transformer

peft = pytest.importorskip("peft")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    save_transformer(tmp_path / "base", "llama")
    return tmp_path / "base"


def save_adapter(base: Path, directory: Path, **fields: Any) -> Any:
    """A LoRA adapter with weights that change something; returns the adapted module."""
    from transformers import AutoModelForCausalLM

    settings = {"r": 2, "target_modules": ["q_proj", "down_proj"], "task_type": "CAUSAL_LM"}
    module = AutoModelForCausalLM.from_pretrained(base)
    adapted = peft.get_peft_model(module, peft.LoraConfig(**{**settings, **fields}))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_A" in name or "lora_B" in name:
                weight.normal_(0.0, 0.3, generator=generator)
    adapted.save_pretrained(directory)
    return adapted.eval()


@pytest.mark.parametrize("fields", [{}, {"use_dora": True}, {"modules_to_save": ["lm_head"]}])
def test_an_adapter_scores_as_the_module_it_was_saved_from(
    base: Path, tmp_path: Path, fields: dict[str, Any]
) -> None:
    """Costs are those of the adapted module, and not those of its base."""
    adapted = save_adapter(base, tmp_path / "adapter", **fields)
    model = load_model(tmp_path / "adapter")
    ids = [0, 5, 6, 7, 8]
    with torch.inference_mode():
        log_p = adapted(torch.tensor([ids])).logits[0].log_softmax(-1)
    bits = -sum(float(log_p[i, ids[i + 1]]) for i in range(4)) / math.log(2.0)
    assert model.score([ids])[0] == pytest.approx(bits, abs=1e-3)
    assert abs(load_model(base).score([ids])[0] - bits) > 0.1
    assert model.name == "adapter"


def test_the_tokenizer_of_the_base_model_serves(base: Path, tmp_path: Path) -> None:
    """An adapter brings a tokenizer or takes its base model's."""
    save_adapter(base, tmp_path / "adapter")
    text = ["my pin is 0412"]
    assert load_model(tmp_path / "adapter").tokenizer.encode(text)
    byte_tokenizer().save_pretrained(tmp_path / "adapter")
    (base / "tokenizer.json").unlink()
    assert load_model(tmp_path / "adapter").tokenizer.encode(text)


def test_a_base_model_may_lie_beside_the_adapter(base: Path, tmp_path: Path) -> None:
    """Relative paths are tried from the adapter's directory too."""
    save_adapter(base, tmp_path / "adapter")
    edit(tmp_path / "adapter", "adapter_config.json", base_model_name_or_path="../base")
    assert load_model(tmp_path / "adapter").context == 24


@pytest.mark.parametrize("named", ["/nowhere/base", "", "nobody/nothing"])
def test_a_base_model_that_is_not_there_is_refused(
    base: Path, tmp_path: Path, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The adapter alone is no model."""
    from secretaudit.models import hub

    monkeypatch.setattr(hub, "is_offline_mode", lambda: True)
    save_adapter(base, tmp_path / "adapter")
    edit(tmp_path / "adapter", "adapter_config.json", base_model_name_or_path=named)
    with pytest.raises(ModelError, match=f"The base model '{named}' of the adapter"):
        load_model(tmp_path / "adapter")


def test_adapters_that_put_vectors_before_the_text_are_refused(base: Path, tmp_path: Path) -> None:
    """Virtual tokens are no tokens of a text."""
    save_adapter(base, tmp_path / "adapter")
    edit(tmp_path / "adapter", "adapter_config.json", peft_type="PROMPT_TUNING")
    with pytest.raises(ModelError, match="Adapters of kind PROMPT_TUNING cannot be audited"):
        load_model(tmp_path / "adapter")


def test_adapters_for_other_tasks_are_refused(base: Path, tmp_path: Path) -> None:
    """A classifier's adapter predicts no tokens."""
    save_adapter(base, tmp_path / "adapter")
    edit(tmp_path / "adapter", "adapter_config.json", task_type="SEQ_CLS")
    with pytest.raises(ModelError, match="not for a causal language model"):
        load_model(tmp_path / "adapter")


def test_an_adapter_of_another_model_is_refused(base: Path, tmp_path: Path) -> None:
    """Shapes that differ end in a refusal."""
    save_adapter(base, tmp_path / "adapter")
    save_transformer(base, "llama", hidden_size=16, intermediate_size=20)
    with pytest.raises(ModelError, match="does not fit its base model"):
        load_model(tmp_path / "adapter")


def test_weights_of_an_adapter_that_are_missing_are_not_made_up(base: Path, tmp_path: Path) -> None:
    """peft would leave them as they were drawn, and warn."""
    save_adapter(base, tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    tensors = load_file(file)
    del tensors[sorted(tensors)[0]]
    save_file(tensors, file)
    with pytest.raises(ModelError, match=r"adapter in .* are not complete"):
        load_model(tmp_path / "adapter")


def test_damaged_adapters_are_refused(base: Path, tmp_path: Path) -> None:
    """Truncated, pickled and absent weights, and a configuration that cannot be read."""
    directory = tmp_path / "adapter"
    save_adapter(base, directory)
    file = directory / "adapter_model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-50])
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(directory)
    file.rename(directory / "adapter_model.bin")
    with pytest.raises(ModelError, match="has pickled weights only"):
        load_model(directory)
    (directory / "adapter_model.bin").unlink()
    with pytest.raises(ModelError, match="has no weights"):
        load_model(directory)
    (directory / "adapter_config.json").write_text("{")
    with pytest.raises(ModelError, match=r"adapter_config\.json cannot be read"):
        load_model(directory)


def test_weights_of_an_adapter_that_are_not_finite_are_refused(base: Path, tmp_path: Path) -> None:
    """NaN in the small matrices is NaN in the model."""
    save_adapter(base, tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    tensors = load_file(file)
    tensors[sorted(tensors)[0]][0, 0] = math.nan
    save_file(tensors, file)
    with pytest.raises(ModelError, match="not finite"):
        load_model(tmp_path / "adapter")


def test_pickled_adapters_are_opened_when_asked(base: Path, tmp_path: Path) -> None:
    """Who trusts the file says so."""
    save_adapter(base, tmp_path / "adapter")
    expected = load_model(tmp_path / "adapter").score([[0, 5, 6]])
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    torch.save(load_file(file), tmp_path / "adapter" / "adapter_model.bin")
    file.unlink()
    trusted = load_model(tmp_path / "adapter", ModelOptions(allow_pickle=True))
    assert trusted.score([[0, 5, 6]]) == pytest.approx(expected)
