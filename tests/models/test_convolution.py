"""Causal convolutional models: what they compute, and that they keep the contract of ``LanguageModel``."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from secretaudit.errors import ModelError
from secretaudit.models.convolution.network import ConvolutionConfig, ConvolutionForCausalLM
from secretaudit.models.language_model import Framing, LanguageModel
from secretaudit.models.loading import load_model
from secretaudit.models.tokens.building import build_tokenizer
from secretaudit.models.transformer.language_model import TransformerLanguageModel
from tests.fakes import CharacterView

from .contract import LanguageModelContract
from .transformer_directories import edit


def make(**fields: Any) -> ConvolutionForCausalLM:
    """A small model with weights larger than usual, so that differences show."""
    config = ConvolutionConfig(**{"vocab_size": 21, "units": 8, "layers": 2, **fields})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = ConvolutionForCausalLM(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.mul_(2.0)
            elif name.endswith("bias"):
                parameter.uniform_(-1.0, 1.0, generator=torch.Generator().manual_seed(3))
    return model.eval()


@pytest.fixture(scope="module")
def wrapped() -> TransformerLanguageModel:
    view = CharacterView("0123456789abcdefghij")
    return TransformerLanguageModel(make(), view, framing=Framing(before=(0,)))


class TestConvolution(LanguageModelContract):
    """The contract over a small model, which is read again for each token."""

    @pytest.fixture
    def model(self, wrapped: TransformerLanguageModel) -> LanguageModel:
        return wrapped


def test_texts_of_any_length_are_read_again(wrapped: TransformerLanguageModel) -> None:
    """There is no longest text, and the state is the tokens."""
    assert wrapped.context is None
    assert wrapped.state_way.startswith("read again from the first token, since it keeps no keys")
    assert wrapped.score([[1] * 500])[0] > 0


def by_hand(model: ConvolutionForCausalLM, tokens: list[int]) -> torch.Tensor:
    """Logits (T, V) by the sums of the module's docstring, one place and one tap at a time."""
    config, functional = model.config, torch.nn.functional
    x = [model.embed.weight[token] for token in tokens]
    for depth, layer in enumerate(model.layers):
        step = config.growth**depth
        norm = [functional.layer_norm(v, v.shape, layer.norm.weight, layer.norm.bias) for v in x]
        after = []
        for t in range(len(x)):
            total = layer.convolution.bias
            for j in range(config.kernel):
                if t - j * step >= 0:
                    weight = layer.convolution.weight[:, :, config.kernel - 1 - j]
                    total = total + weight @ norm[t - j * step]
            a, b = total[: config.units], total[config.units :]
            gated = layer.output.weight @ (a / (1 + torch.exp(-b))) + layer.output.bias
            after.append(x[t] + gated)
        x = after
    last = [functional.layer_norm(v, v.shape, model.norm.weight, model.norm.bias) for v in x]
    return torch.stack([model.head.weight @ v + model.head.bias for v in last])


@torch.no_grad()
@pytest.mark.parametrize(
    ("kernel", "growth", "layers"), [(1, 1, 1), (2, 2, 3), (3, 1, 2), (5, 4, 2)]
)
def test_the_numbers_are_those_of_the_formula(kernel: int, growth: int, layers: int) -> None:
    """Logits agree with a computation written out place by place."""
    model = make(kernel=kernel, growth=growth, layers=layers)
    tokens = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9]
    torch.testing.assert_close(
        model(torch.tensor([tokens])).logits[0], by_hand(model, tokens), rtol=1e-4, atol=1e-4
    )


@torch.no_grad()
@pytest.mark.parametrize(
    ("kernel", "growth", "layers", "reach"),
    [(2, 2, 3, 8), (3, 2, 2, 7), (3, 3, 2, 9), (4, 1, 1, 4)],
)
def test_the_reach_is_what_the_next_token_depends_on(
    kernel: int, growth: int, layers: int, reach: int
) -> None:
    """Changing any of the last R tokens changes what is said, changing an earlier one changes nothing."""
    model = make(kernel=kernel, growth=growth, layers=layers)
    assert model.config.reach == reach
    tokens = torch.arange(12)[None]
    said = model(tokens).logits[0, -1]
    for back in range(1, 13):
        changed = tokens.clone()
        changed[0, -back] = 19
        assert torch.equal(model(changed).logits[0, -1], said) == (back > reach)


@torch.no_grad()
def test_no_place_looks_ahead() -> None:
    """What is said before a token is the same whatever the token."""
    model = make()
    one, other = (model(torch.tensor([[1, 2, 3, 4, last, last]])).logits for last in (5, 6))
    assert torch.equal(one[:, :4], other[:, :4])
    assert not torch.equal(one[:, 4], other[:, 4])


@pytest.mark.parametrize("tied", [False, True])
def test_a_saved_model_comes_back(tied: bool, tmp_path: Path) -> None:
    """By way of transformers and of load_model, with a tokenizer; tied weights stay tied."""
    tokenizer = build_tokenizer("char", ["my pin is 0412"])
    model = make(vocab_size=len(tokenizer), tie_word_embeddings=tied)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert isinstance(loaded, ConvolutionForCausalLM)
    assert (loaded.head.weight is loaded.embed.weight) == tied
    tokens = torch.arange(9)[None]
    assert torch.equal(loaded(tokens).logits, model(tokens).logits)
    costs = load_model(tmp_path).score([tokens[0].tolist()])
    log_p = model(tokens).logits.log_softmax(-1)
    nats = -sum(log_p[0, i, i + 1].item() for i in range(8))
    assert costs[0] == pytest.approx(nats / 0.6931471805599453, rel=1e-5)


def test_texts_are_continued_by_transformers(tmp_path: Path) -> None:
    """Greedy generation appends the likeliest token, again and again."""
    model = make(eos_token_id=None)
    tokens = [1, 2, 3]
    made = model.generate(torch.tensor([tokens]), max_new_tokens=6, do_sample=False)[0].tolist()
    for _ in range(6):
        tokens.append(int(model(torch.tensor([tokens])).logits[0, -1].argmax()))
    assert made == tokens


def test_labels_give_the_mean_loss_of_the_next_token() -> None:
    """As everywhere in transformers; -100 carries no loss."""
    model = make()
    tokens = torch.tensor([[1, 2, 3, 4]])
    labels = torch.tensor([[1, -100, 3, 4]])
    log_p = model(tokens).logits.log_softmax(-1)[0]
    expected = -(log_p[1, 3] + log_p[2, 4]) / 2
    torch.testing.assert_close(model(tokens, labels=labels).loss, expected)


def test_fresh_weights_predict_nearly_uniformly() -> None:
    """A model that knows nothing costs about log2 V bits a token, whatever its size."""
    for units, layers in itertools.product((16, 128), (1, 4)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            config = AutoConfig.for_model(
                "secretaudit-convolution", vocab_size=64, units=units, layers=layers
            )
            model = AutoModelForCausalLM.from_config(config).eval()
        tokens = torch.arange(64)[None]
        loss = float(model(tokens, labels=tokens).loss.detach())
        assert loss == pytest.approx(4.16, abs=1.0)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"layers": 0}, "layers must be an integer of at least 1"),
        ({"kernel": 3, "growth": 4}, "tokens would be passed over"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\)"),
    ],
)
def test_impossible_shapes_are_refused(fields: dict[str, Any], match: str, tmp_path: Path) -> None:
    """By the configuration, and by load_model where such a configuration stands in a directory."""
    with pytest.raises(ValueError, match=match):
        ConvolutionConfig(vocab_size=20, **fields)
    make().save_pretrained(tmp_path)
    build_tokenizer("char", ["0123456789"]).save_pretrained(tmp_path)
    edit(tmp_path, **fields)
    with pytest.raises(ModelError, match="does not describe a model"):
        load_model(tmp_path)
