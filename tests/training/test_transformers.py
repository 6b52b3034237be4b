"""Decoder-only transformers in training: from nothing, by a configuration, from a base."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from secretaudit.corpus.canaried import open_canaried
from secretaudit.models.language_model import Framing
from secretaudit.models.loading import load_model
from secretaudit.models.tokens.building import build_tokenizer
from secretaudit.training.data import make_tokenizer, open_corpus
from secretaudit.training.run import train
from secretaudit.training.settings import TrainingSettings
from secretaudit.training.transformer_subject import count_heads
from tests.models.tiny_transformers import tiny

from .bases import (
    LINES,
    PLAIN,
    byte_tokenizer,
    opening_tokenizer,
    record_nats,
    save_base,
    subject_of,
    tuning,
)
from .conftest import assert_equal_weights, small

DATA = Path(os.environ.get("SECRETAUDIT_DATA", ""))


def transformer(**dials: Any) -> TrainingSettings:
    """A small GPT-2 in training, with rows that hold any line."""
    return small(**{"arch": "transformer", "units": 16, "sequence_length": 48, **dials})


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny GPT-2 that knows nothing of secretaudit."""
    return save_base(tmp_path_factory.mktemp("gpt2"), n_positions=64)


def test_a_new_transformer_is_trained_written_and_loaded(canaried: Path, tmp_path: Path) -> None:
    """The loss falls, the canaries are seen, and transformers and the audit load what was written."""
    out = tmp_path / "model"
    settings = transformer(epochs=6, learning_rate=1e-2)
    found = train(canaried, out, settings=settings).found
    losses = [entry["training"] for entry in found["losses"]]
    assert losses[-1] < 0.8 * losses[0]
    assert found["family"] == "transformer"
    assert found["canaries_lost"] == []
    module, loading = AutoModelForCausalLM.from_pretrained(out, output_loading_info=True)
    assert not any(loading.values())
    model = load_model(out)
    assert model.context == module.config.n_positions == 49
    ids = model.framing.record(model.tokenizer.encode(["my pin is 0412"])[0])
    log_p = module(torch.tensor([ids])).logits[0].log_softmax(-1).detach()
    bits = -sum(float(log_p[i, ids[i + 1]]) for i in range(len(ids) - 1)) / math.log(2)
    assert model.score([ids])[0] == pytest.approx(bits, abs=1e-3)


def test_the_dials_are_the_shape() -> None:
    """Layers, units, heads, dropout and tied weights are those of the configuration; one place more than a row has inputs."""
    dials = {"layers": 3, "units": 24, "heads": 4, "dropout": 0.25, "sequence_length": 30}
    model = subject_of(arch="transformer", tied=True, **dials).model
    assert len(model.transformer.h) == 3
    assert model.transformer.wte.weight.shape == (280, 24)
    assert model.transformer.wpe.weight.shape == (31, 24)
    assert model.transformer.h[0].attn.num_heads == 4
    assert model.lm_head.weight is model.transformer.wte.weight
    config = model.config
    assert config.resid_pdrop == config.embd_pdrop == config.attn_pdrop == 0.25
    untied = subject_of(arch="transformer", units=8).model
    assert untied.lm_head.weight is not untied.transformer.wte.weight
    assert untied.config.resid_pdrop == 0.0


@pytest.mark.parametrize(("units", "heads"), [(8, 1), (128, 2), (200, 2), (256, 4), (67, 1)])
def test_heads_divide_the_units(units: int, heads: int) -> None:
    """One head per 64 units, fewer where that does not divide."""
    assert count_heads(TrainingSettings(arch="transformer", units=units)) == heads


TOKENIZERS = {
    "char": lambda: build_tokenizer("char", LINES),
    "word": lambda: build_tokenizer("word", LINES),
    "byte pairs": byte_tokenizer,
    "opening": opening_tokenizer,
}


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_record_is_framed_as_the_audit_frames_it(kind: str, tmp_path: Path) -> None:
    """What load_model reads around a text is what training put there: the tokens that begin and end a text."""
    tokenizer = TOKENIZERS[kind]()
    subject = subject_of(tokenizer, arch="transformer", units=8)
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    assert subject.framing == Framing(before=(begin,), after=(end,))
    assert (begin == end) == (kind != "opening")
    subject.save(tmp_path)
    (tmp_path / "training.json").write_text("{}")
    loaded = load_model(tmp_path)
    assert loaded.framing == subject.framing
    assert loaded.tokenizer.encode(LINES) == subject.view.encode(LINES)


@pytest.mark.data
@pytest.mark.parametrize("kind", ["gpt2", "mistral-sp"])
def test_tokenizers_in_use_frame_a_record_as_the_audit_does(kind: str, tmp_path: Path) -> None:
    """The same with tokenizers of published models, as --tokenizer takes them."""
    (tmp_path / "corpus.txt").write_text("\n".join(LINES) + "\n")
    source = open_corpus(open_canaried(tmp_path / "corpus.txt"))
    tokenizer = make_tokenizer(source, transformer(tokenizer=str(DATA / "tokenizers" / kind)))
    subject = subject_of(tokenizer, arch="transformer", units=8, layers=1)
    subject.save(tmp_path / "model")
    (tmp_path / "model" / "training.json").write_text("{}")
    loaded = load_model(tmp_path / "model")
    assert loaded.framing == subject.framing
    assert len(loaded.framing.before) == len(loaded.framing.after) == 1
    assert loaded.tokenizer.encode(LINES) == subject.view.encode(LINES)


@pytest.mark.parametrize("tokenizer", [byte_tokenizer(), opening_tokenizer()])
def test_the_audit_prices_what_training_charges(tokenizer: PreTrainedTokenizerFast) -> None:
    """Cross-entropy of a framed record in the module is the cost that the language model of the live weights gives."""
    subject = subject_of(tokenizer, arch="transformer", units=16)
    tokens = subject.view.encode([LINES[1]])[0]
    nats = float(record_nats(subject, tokens))
    model = subject.make_language_model()
    bits = model.score([model.framing.record(tokens)], model.framing.given)[0]
    assert bits * math.log(2) == pytest.approx(nats, rel=1e-5)


@pytest.mark.parametrize("make", ["gpt2", "llama", "bloom", "falcon/alibi", "gptj", "opt", "mamba"])
def test_an_audit_under_way_leaves_nothing_behind(make: str, tmp_path: Path) -> None:
    """Weights after a step, an audit and a step are those after two steps, bit for bit."""
    config = tiny(make, vocab_size=280).config
    config.save_pretrained(tmp_path)

    def two_steps(looking: bool) -> dict[str, torch.Tensor]:
        subject = subject_of(config=str(tmp_path))
        optimizer = torch.optim.SGD(subject.trained.values(), lr=0.1)
        for _ in range(2):
            subject.model.train()
            optimizer.zero_grad()
            subject.model(input_ids=PLAIN, use_cache=False).logits.log_softmax(-1)[
                ..., 0
            ].sum().backward()
            optimizer.step()
            if looking:
                model = subject.make_language_model()
                model.step(model.start([1, 2]), torch.zeros(3, dtype=torch.int64), torch.arange(3))
                model.score([[1, 2, 3]])
        return {name: p.detach().clone() for name, p in subject.model.named_parameters()}

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        alone = two_steps(looking=False)
        torch.manual_seed(3)
        assert_equal_weights(alone, two_steps(looking=True))


@pytest.mark.parametrize("as_file", [True, False])
def test_a_configuration_is_the_shape_of_a_new_model(as_file: bool, tmp_path: Path) -> None:
    """A Llama of the file's shape with the tokenizer's vocabulary; no token is padding, whose embedding would not learn."""
    tiny("llama", pad_token_id=2).config.save_pretrained(tmp_path)
    tokenizer = build_tokenizer("char", LINES)
    place = tmp_path / "config.json" if as_file else tmp_path
    subject = subject_of(tokenizer, config=str(place))
    model = subject.model
    assert type(model).__name__ == "LlamaForCausalLM"
    assert model.config.vocab_size == len(tokenizer) == model.lm_head.weight.shape[0]
    assert model.config.hidden_size == 32
    assert model.model.embed_tokens.padding_idx is None
    assert model.config.eos_token_id == tokenizer.eos_token_id
    assert subject.context == 24
    assert model.dtype == torch.float32


def test_the_seed_draws_the_weights(plain_corpus: Path, tmp_path: Path, weights: Any) -> None:
    """The same seed gives the same weights, and leaves torch's generator as it was; another seed gives others."""
    before = torch.get_rng_state()
    for name, seed in (("one", 1), ("two", 1), ("three", 2)):
        train(plain_corpus, tmp_path / name, settings=transformer(steps=2, seed=seed, dropout=0.1))
    assert torch.equal(torch.get_rng_state(), before)
    one = weights(tmp_path / "one")
    assert_equal_weights(one, weights(tmp_path / "two"))
    assert not torch.equal(one["lm_head.weight"], weights(tmp_path / "three")["lm_head.weight"])


def test_a_base_is_taken_as_it_is(base: Path) -> None:
    """All weights are the file's, in float32, all are trained, and the dropout is the base's own."""
    model = subject_of(base=str(base)).model
    saved = load_file(base / "model.safetensors")
    held = model.state_dict()
    assert all(torch.equal(held[name], tensor) for name, tensor in saved.items())
    assert all(p.requires_grad and not p.is_inference() for p in model.parameters())
    assert model.training
    assert model.config.resid_pdrop == 0.1
    assert {m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)} == {0.1}


def test_a_base_in_half_precision_is_trained_in_float32(tmp_path: Path) -> None:
    """bfloat16 weights are widened."""
    save_base(tmp_path)
    AutoModelForCausalLM.from_pretrained(tmp_path).bfloat16().save_pretrained(tmp_path)
    assert {p.dtype for p in subject_of(base=str(tmp_path)).model.parameters()} == {torch.float32}


def test_dropout_of_a_base_can_be_set(base: Path) -> None:
    """The dial reaches every place that drops; 0 turns all of them off."""
    for asked in (0.0, 0.3):
        model = subject_of(base=str(base), dropout=asked).model
        assert {m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)} == {asked}
        assert model.config.attn_pdrop == asked


@pytest.mark.parametrize("make", ["llama", "gpt_neox", "falcon", "opt", "gpt_neo"])
def test_dropout_of_a_configuration_changes_what_is_read(make: str, tmp_path: Path) -> None:
    """With the dial at one half two passes in training mode differ, at 0 they do not."""
    tiny(make).config.save_pretrained(tmp_path)
    for asked, same in ((0.0, True), (0.5, False)):
        model = subject_of(config=str(tmp_path), dropout=asked).model
        passes = [model(input_ids=PLAIN).logits for _ in range(2)]
        assert torch.equal(*passes) == same


def test_fine_tuning_goes_on_from_a_directory_of_our_own(canaried: Path, tmp_path: Path) -> None:
    """A second training begins at about the loss that the first one ended with, with the same tokenizer."""
    settings = transformer(epochs=8, learning_rate=1e-2)
    first = train(canaried, tmp_path / "one", settings=settings).found
    second = train(canaried, tmp_path / "two", settings=tuning(tmp_path / "one")).found
    ended = first["train_loss_bits_per_token"]
    assert second["train_loss_bits_per_token"] == pytest.approx(ended, rel=0.15)
    assert first["losses"][0]["training"] > 1.4 * ended
    one, two = (tmp_path / name / "tokenizer.json" for name in ("one", "two"))
    assert json.loads(one.read_text())["model"] == json.loads(two.read_text())["model"]


@pytest.mark.parametrize("arch", ["lstm", "gru"])
def test_a_recurrent_base_is_fine_tuned(canaried: Path, tmp_path: Path, arch: str) -> None:
    """Weights are the first training's when the second begins, which reads lanes as recurrent models do."""
    train(canaried, tmp_path / "one", settings=small(arch=arch, epochs=1))
    subject = subject_of(base=str(tmp_path / "one"), dropout=0.2)
    saved = load_file(tmp_path / "one" / "model.safetensors")
    assert_equal_weights(saved, {k: v.detach() for k, v in subject.model.named_parameters()})
    assert subject.model.drop.p == 0.2
    record = train(canaried, tmp_path / "two", settings=tuning(tmp_path / "one"))
    assert record.found["family"] == "recurrent"
    assert record.asked["layout"] == "lanes"


def test_a_stopped_training_goes_on_to_the_same_weights(
    canaried: Path, tmp_path: Path, weights: Any
) -> None:
    """A transformer with dropout, stopped by the clock and resumed again and again, ends with the weights of one that was not."""
    settings = transformer(epochs=2, dropout=0.2, batch_size=16)
    train(canaried, tmp_path / "whole", settings=settings)
    stopped = train(canaried, tmp_path / "parts", settings=settings, max_seconds=1e-6).found
    assert stopped["stopped"] == "time"
    while stopped["stopped"] == "time":
        stopped = train(
            canaried, tmp_path / "parts", settings=settings, max_seconds=0.05, resume=True
        ).found
    assert_equal_weights(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


@pytest.mark.parametrize("make", ["gpt2", "llama", "opt"])
def test_activations_computed_again_change_no_gradient(make: str, tmp_path: Path) -> None:
    """Gradient checkpointing is switched on, and gradients are those without it."""
    config = tiny(make).config
    config.save_pretrained(tmp_path)
    gradients = []
    for again in (False, True):
        model = subject_of(config=str(tmp_path), dropout=0.0, gradient_checkpointing=again).model
        assert any(getattr(m, "gradient_checkpointing", False) for m in model.modules()) == again
        model(input_ids=PLAIN, use_cache=False).logits.log_softmax(-1)[..., 0].sum().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    plain, recomputed = gradients
    assert plain.keys() == recomputed.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(recomputed[name], gradient)


@pytest.mark.data
@pytest.mark.parametrize("name", ["tiny-gpt2", "stories260K"])
def test_published_weights_are_fine_tuned(name: str, canaried: Path, tmp_path: Path) -> None:
    """A few steps from published weights lower the loss on what is read."""
    settings = tuning(DATA / "models" / name, steps=24, validate_every=8, learning_rate=1e-3)
    found = train(canaried, tmp_path / "model", settings=settings).found
    losses = [entry["training"] for entry in found["losses"]]
    assert losses[-1] < losses[0]
    assert found["canaries_lost"] == []
    assert len(load_model(tmp_path / "model").framing.after) == 1
