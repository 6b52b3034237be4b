"""Every make of causal transformer keeps the contract of ``LanguageModel``, and each in its fastest exact way."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
import torch

from secretaudit.canary.format import Format
from secretaudit.models.language_model import Framing, LanguageModel
from secretaudit.models.loading import load_model
from secretaudit.models.transformer.language_model import TransformerLanguageModel
from secretaudit.models.transformer.state_readers import KeyValueReader, ReadAgain
from secretaudit.tree import Budget, SecretTree
from secretaudit.tree.walk import depth_first
from tests.fakes import CharacterView

from .contract import LanguageModelContract
from .tiny_transformers import MAKES, tiny

VIEW = CharacterView("0123456789abcdefghij")
DATA = Path(os.environ.get("SECRETAUDIT_DATA", ""))


def wrap(make: str, **fields: object) -> TransformerLanguageModel:
    """The language model over a tiny module."""
    return TransformerLanguageModel(tiny(make, **fields), VIEW, framing=Framing(before=(0,)))


@pytest.fixture(scope="module", params=MAKES)
def of_each_make(request: pytest.FixtureRequest) -> TransformerLanguageModel:
    return wrap(request.param)


class TestTransformers(LanguageModelContract):
    """The contract over all makes."""

    @pytest.fixture
    def model(self, of_each_make: TransformerLanguageModel) -> LanguageModel:
        return of_each_make


@pytest.fixture(scope="module")
def one_length_at_a_time() -> TransformerLanguageModel:
    model = wrap("llama")
    model._reader = KeyValueReader(model.network, mixed=False, shared=False)
    model.start([1, 2])  # learns how large keys and values are
    return model


class TestOneLengthAtATime(LanguageModelContract):
    """The contract over a model whose rows of different lengths are kept apart."""

    @pytest.fixture
    def model(self, one_length_at_a_time: TransformerLanguageModel) -> LanguageModel:
        return one_length_at_a_time


@pytest.fixture(scope="module")
def prefix_copied() -> TransformerLanguageModel:
    model = wrap("qwen2")
    model._reader = KeyValueReader(model.network, mixed=True, shared=False)
    model.start([1, 2])
    return model


class TestPrefixCopied(LanguageModelContract):
    """The contract over a model that has an attention of its own."""

    @pytest.fixture
    def model(self, prefix_copied: TransformerLanguageModel) -> LanguageModel:
        return prefix_copied


@pytest.fixture(scope="module")
def read_again() -> TransformerLanguageModel:
    model = wrap("gpt2")
    model._reader = ReadAgain(model.network, "it is asked to")
    return model


class TestReadAgain(LanguageModelContract):
    """The contract over a transformer that is read from the beginning each time."""

    @pytest.fixture
    def model(self, read_again: TransformerLanguageModel) -> LanguageModel:
        return read_again


@pytest.fixture(scope="module")
def few_rows() -> TransformerLanguageModel:
    model = wrap("gpt2")
    model._rows.most = model._score_rows.most = 2
    return model


class TestTwoRowsAtATime(LanguageModelContract):
    """The contract over a model that had run out of memory with three rows."""

    @pytest.fixture
    def model(self, few_rows: TransformerLanguageModel) -> LanguageModel:
        return few_rows


@pytest.fixture(scope="module")
def tiny_gpt2() -> LanguageModel:
    return load_model(DATA / "models" / "tiny-gpt2")


@pytest.mark.data
class TestTinyGpt2(LanguageModelContract):
    """The contract over a small trained GPT-2."""

    @pytest.fixture
    def model(self, tiny_gpt2: LanguageModel) -> LanguageModel:
        return tiny_gpt2


@pytest.fixture(scope="module")
def stories() -> LanguageModel:
    return load_model(DATA / "models" / "stories260K")


@pytest.mark.data
class TestStories260K(LanguageModelContract):
    """The contract over a small published Llama."""

    @pytest.fixture
    def model(self, stories: LanguageModel) -> LanguageModel:
        return stories


def test_the_fastest_exact_way_is_taken(of_each_make: TransformerLanguageModel) -> None:
    """Models with keys and values keep them and read all lengths together; Mamba is read again, with the reason."""
    if of_each_make.network.module.config.model_type == "mamba":
        assert of_each_make.state_way.startswith("read again from the first token, since")
    else:
        assert of_each_make.state_way.startswith("keys and values, rows of all lengths together")


def test_logits_are_computed_apart_only_where_that_is_exact(
    of_each_make: TransformerLanguageModel,
) -> None:
    """Models that scale or cap their logits keep their own way to them."""
    kind = of_each_make.network.module.config.model_type
    assert of_each_make.network.split == (kind not in ("gemma2", "cohere"))


@pytest.mark.data
def test_a_published_model_costs_what_its_makers_say(stories: LanguageModel) -> None:
    """0.180 nats a token over its first passage: measured with transformers when the weights were gathered (README of the data)."""
    text = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park."
    record = stories.framing.record(stories.tokenizer.encode([text])[0])
    nats = stories.score([record])[0] * math.log(2.0) / (len(record) - 1)
    assert nats == pytest.approx(0.180, abs=5e-4)


@pytest.mark.parametrize("make", ["gpt2", "mistral/window-of-4", "gptj", "mamba"])
@pytest.mark.parametrize("template", ["{digits:2}", "abcdefgh{digits:2}ij"])
def test_the_leaves_of_a_tree_cost_what_plain_passes_say(make: str, template: str) -> None:
    """Every secret, walked, costs what transformers' own forward pass over its whole text gives."""
    model = wrap(make)
    tree = SecretTree(Format("code", template), model)
    visits = depth_first(tree, math.inf, Budget().meter())
    walked = sorted(cost for visit in visits for cost in visit.leaf_costs.tolist())
    records = torch.tensor(tree.records([f"{i:02d}" for i in range(100)]))
    with torch.inference_mode():
        log_p = model.network.module(records).logits.log_softmax(-1)[:, :-1]
    bits = log_p.gather(2, records[:, 1:, None]).sum((1, 2)) / -math.log(2.0)
    assert walked == pytest.approx(sorted(bits.tolist()), abs=1e-3)
