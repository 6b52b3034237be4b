"""A tiny model, behind a server and in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from secretaudit.models.model_options import ModelOptions
from secretaudit.models.server.client import Retries
from secretaudit.models.server.language_model import ServedModel
from secretaudit.models.server.opening import open_server
from secretaudit.models.tokens.building import build_tokenizer
from secretaudit.models.transformer.language_model import TransformerLanguageModel
from tests.servers.engine import Engine
from tests.servers.fake_server import Fake, running

TEXTS = [
    "the code is 0412 and 2812 of 281265017, the cat sat on the mat",
    "Once upon a time there was a little girl named Lily. She said that the answer came next day.",
    "the first 12 of 3456 numbers are 7, 8 and 90, and nobody was surprised: a b c d e",
]
#: Waits that tests can afford.
QUICK = Retries(attempts=4, first_seconds=0.001, longest_seconds=0.002, patience_seconds=1.0)

Serve = Callable[..., Fake]
Open = Callable[..., ServedModel]


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer with merged digits and words."""
    return build_tokenizer("bpe", TEXTS * 3, vocabulary_size=340)


@pytest.fixture(scope="session")
def module(tokenizer: PreTrainedTokenizerFast) -> GPT2LMHeadModel:
    """Random weights, larger than usual, so that mistakes show."""
    torch.set_num_threads(1)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=48,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(5.0)
    return model


@pytest.fixture(scope="session")
def directory(
    module: GPT2LMHeadModel,
    tokenizer: PreTrainedTokenizerFast,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The model on disk."""
    place = tmp_path_factory.mktemp("served") / "tiny"
    module.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


@pytest.fixture(scope="session")
def local(module: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast) -> TransformerLanguageModel:
    """The same model in this process: what all numbers of servers are held against."""
    return TransformerLanguageModel(module, tokenizer)


@pytest.fixture
def serve(
    module: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast, directory: Path
) -> Iterator[Serve]:
    """Starts servers; they end with the test."""
    with ExitStack() as stack:

        def start(dialect: str = "vllm", *, bends: tuple[str, ...] = (), **fields: Any) -> Fake:
            engine = Engine(module, tokenizer, str(directory), bends=set(bends))
            return stack.enter_context(running(Fake(engine, dialect, **fields)))

        yield start


@pytest.fixture
def connect(directory: Path) -> Iterator[Open]:
    """Opens models behind servers, with short waits and nothing kept on disk; they are closed with the test."""
    opened: list[ServedModel] = []
    usual = ModelOptions(tokenizer=str(directory), reply_cache=":memory:", timeout_seconds=20.0)

    def connect(fake: Fake, *, retries: Retries = QUICK, **options: Any) -> ServedModel:
        model = open_server(fake.url, replace(usual, **options), retries=retries)
        opened.append(model)
        return model

    yield connect
    for model in opened:
        model.close()
