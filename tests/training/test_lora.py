"""Low-rank adapters in training: what is trained, what is written, and what is refused."""

from __future__ import annotations

import json
import math
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from secretaudit.errors import ModelError, UsageError
from secretaudit.models.loading import load_model
from secretaudit.training.run import train
from secretaudit.training.settings import LoraSettings, TrainingSettings

from .bases import LINES, PLAIN, opening_tokenizer, record_nats, save_base, subject_of, tuning
from .conftest import assert_equal_weights, small

pytest.importorskip("peft")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny GPT-2."""
    return save_base(tmp_path_factory.mktemp("gpt2"), n_positions=64)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama, whose tokenizer opens texts with one token and ends them with another."""
    tokenizer = opening_tokenizer()
    fields = {"vocab_size": len(tokenizer), "max_position_embeddings": 64}
    directory = save_base(tmp_path_factory.mktemp("llama"), "llama", **fields)
    tokenizer.save_pretrained(directory)
    return directory


def adapting(base: Path, **dials: Any) -> TrainingSettings:
    """Settings of a short training of adapters."""
    return tuning(base, **{"lora": LoraSettings(rank=2), "learning_rate": 1e-2, **dials})


def test_only_the_adapters_are_trained(base: Path, canaried: Path, tmp_path: Path) -> None:
    """The base's file stays as it was, few parameters are counted as trained, and the record says so."""
    before = (base / "model.safetensors").read_bytes()
    found = train(canaried, tmp_path / "model", settings=adapting(base)).found
    assert (base / "model.safetensors").read_bytes() == before
    # c_attn of each of 2 layers maps 32 inputs to 96 outputs
    assert found["trained_parameters"] == 2 * 2 * (32 + 96)
    assert found["parameters"] > 10 * found["trained_parameters"]
    written = load_file(tmp_path / "model" / "adapter_model.safetensors")
    assert sum(t.numel() for t in written.values()) == found["trained_parameters"]
    assert all(bool(t.abs().max() > 0) for t in written.values())
    assert not (tmp_path / "model" / "model.safetensors").exists()


def test_fresh_adapters_change_nothing(base: Path) -> None:
    """B is zero at first, so the adapted model says what its base says; only A and B ask for gradients."""
    plain, adapted = subject_of(base=str(base)), subject_of(base=str(base), lora=LoraSettings())
    logits = [s.model.eval()(input_ids=PLAIN).logits for s in (plain, adapted)]
    assert torch.equal(*logits)
    assert {name.split(".")[-3] for name in adapted.trained} == {"lora_A", "lora_B"}


@pytest.mark.parametrize("which", ["base", "llama"])
def test_what_is_written_is_what_was_trained(
    which: str, canaried: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The audit loads the adapter over its base, closes texts as training did, and gives the costs of the trained module."""
    place = request.getfixturevalue(which)
    out = tmp_path / "model"
    train(canaried, out, settings=adapting(place))
    subject = subject_of(base=str(place), lora=LoraSettings(rank=2))
    weights = load_file(out / "adapter_model.safetensors")
    with torch.no_grad():
        for name, parameter in subject.trained.items():
            parameter.copy_(weights[name.replace(".default", "")])
    model = load_model(out)
    assert model.framing == subject.framing
    assert len(model.framing.after) == 1
    for tokens in subject.view.encode(LINES):
        bits = model.score([model.framing.record(tokens)], model.framing.given)[0]
        nats = float(record_nats(subject, tokens))
        assert bits * math.log(2) == pytest.approx(nats, rel=1e-4)
        live = subject.make_language_model()
        assert live.score([live.framing.record(tokens)])[0] == pytest.approx(bits, rel=1e-4)


def test_the_base_is_found_by_its_whole_path(
    base: Path, canaried: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base named from the working directory is found from elsewhere, and missed when it has moved."""
    copy = save_base(tmp_path / "base", n_positions=64)
    monkeypatch.chdir(tmp_path)
    train(canaried, tmp_path / "model", settings=adapting(Path("base")))
    written = json.loads((tmp_path / "model" / "adapter_config.json").read_text())
    assert written["base_model_name_or_path"] == str(copy.resolve())
    monkeypatch.chdir(base)
    assert load_model(tmp_path / "model").context == 64
    copy.rename(tmp_path / "moved")
    with pytest.raises(ModelError, match=r"base model .* is not there"):
        load_model(tmp_path / "model")


def test_the_dials_are_peft_s(base: Path) -> None:
    """Rank, scale, layers and dropout stand in the adapter's configuration; the scale is twice the rank unless given."""
    usual = subject_of(base=str(base), lora=LoraSettings(rank=3)).model.peft_config["default"]
    assert (usual.r, usual.lora_alpha, set(usual.target_modules)) == (3, 6, {"c_attn"})
    lora = LoraSettings(rank=1, alpha=4.5, targets=("c_proj", "mlp.c_fc"), dropout=0.25)
    model = subject_of(base=str(base), lora=lora).model
    asked = model.peft_config["default"]
    assert (asked.lora_alpha, asked.lora_dropout) == (4.5, 0.25)
    layers = {name.split(".lora_A")[0] for name, _ in model.named_parameters() if "lora_A" in name}
    ends = {name.split("h.0.")[-1] for name in layers if "h.0." in name}
    assert ends == {"attn.c_proj", "mlp.c_proj", "mlp.c_fc"}


def test_adapters_go_on_to_the_same_weights(base: Path, canaried: Path, tmp_path: Path) -> None:
    """A training of adapters that was stopped and resumed ends with the weights of one that was not."""
    dropping = LoraSettings(rank=2, dropout=0.2)
    settings = adapting(base, lora=dropping, batch_size=16)
    train(canaried, tmp_path / "whole", settings=settings)
    stopped = train(canaried, tmp_path / "parts", settings=settings, max_seconds=1e-6).found
    assert stopped["stopped"] == "time"
    train(canaried, tmp_path / "parts", settings=settings, resume=True)
    assert_equal_weights(
        *(load_file(tmp_path / name / "adapter_model.safetensors") for name in ("whole", "parts"))
    )


def test_another_base_is_refused_on_resumption(base: Path, canaried: Path, tmp_path: Path) -> None:
    """The checkpoint holds adapters only, so they must not be put on weights that changed meanwhile."""
    moved = tmp_path / "base"
    shutil.copytree(base, moved)
    train(canaried, tmp_path / "model", settings=adapting(moved))
    weights = load_file(moved / "model.safetensors")
    weights["transformer.wpe.weight"] += 0.01
    save_file(weights, moved / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match="cannot be resumed") as caught:
        train(canaried, tmp_path / "model", settings=adapting(moved), resume=True)
    assert "the base has changed" in caught.value.why


def test_adapters_under_computed_activations_are_trained(base: Path) -> None:
    """With gradient checkpointing the adapters get the gradients that they get without it, also after an audit."""
    gradients = []
    for again in (False, True):
        dials = {"dropout": 0.0, "gradient_checkpointing": again}
        subject = subject_of(base=str(base), lora=LoraSettings(rank=2), **dials)
        subject.make_language_model().score([[1, 2, 3]])
        model = subject.model.train()
        model(input_ids=PLAIN, use_cache=False).logits.log_softmax(-1)[..., 0].sum().backward()
        gradients.append({name: p.grad for name, p in subject.trained.items()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)


def test_layers_that_are_not_there_are_refused(base: Path, tmp_path: Path) -> None:
    """A wrong name, and an architecture that peft has no names for: both list the linear layers."""
    wrong = LoraSettings(targets=("c_attn", "q_proj"))
    with pytest.raises(UsageError, match="no linear layer 'q_proj'") as caught:
        subject_of(base=str(base), lora=wrong)
    assert "c_attn, c_fc, c_proj" in str(caught.value)
    save_base(tmp_path, "phi3")
    with pytest.raises(UsageError, match=r"peft does not know .* phi3") as caught:
        subject_of(base=str(tmp_path), lora=LoraSettings())
    assert "qkv_proj" in str(caught.value)
    named = subject_of(base=str(tmp_path), lora=LoraSettings(targets=("qkv_proj",)))
    assert len(named.trained) == 4


@pytest.mark.parametrize("arch", ["lstm", "gru", "convolution"])
def test_models_without_adapters_are_refused(arch: str, plain_corpus: Path, tmp_path: Path) -> None:
    """LoRA on a recurrent or convolutional model is bad input."""
    train(plain_corpus, tmp_path / "one", settings=small(arch=arch, steps=1))
    with pytest.raises(UsageError, match="takes no low-rank adapters") as caught:
        train(plain_corpus, tmp_path / "two", settings=adapting(tmp_path / "one"))
    assert ("recurrent" if arch != "convolution" else arch) in str(caught.value)


def test_without_peft_the_way_to_it_is_said(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """peft is an extra."""
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ModelError, match=r"pip install 'secretaudit\[models\]'"):
        subject_of(base=str(base), lora=LoraSettings())
