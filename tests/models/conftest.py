"""Small models and their directories."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from secretaudit.models.recurrent.network import RecurrentConfig, RecurrentForCausalLM, initialize
from secretaudit.models.tokens.building import build_tokenizer

#: Records that the tokenizers of these tests are made from.
RECORDS = ["the cat sat on the mat", "my pin is 0412", "a  b", "naïve café <sep>"]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """The machine is shared; small matrices gain nothing from more."""
    torch.set_num_threads(1)


def make_model(**fields: object) -> RecurrentForCausalLM:
    """A small model with fresh weights, larger than usual so that differences show."""
    config = RecurrentConfig(**{"vocab_size": 23, "units": 8, "layers": 2, **fields})
    model = RecurrentForCausalLM(config)
    initialize(model, torch.Generator().manual_seed(5))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)
    return model.eval()


@pytest.fixture
def model_directory(tmp_path: Path) -> Callable[..., Path]:
    """Makes a directory with a model and its tokenizer, as training leaves it."""

    def make(kind: str = "char", **fields: object) -> Path:
        tokenizer = build_tokenizer(kind, RECORDS)
        directory = tmp_path / "model"
        make_model(vocab_size=len(tokenizer), **fields).save_pretrained(directory)
        tokenizer.save_pretrained(directory)
        return directory

    return make
