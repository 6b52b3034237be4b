"""The tokenizer that a model directory brings: what fits, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from secretaudit.errors import ModelError
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


def test_more_outputs_than_tokens_are_normal(tmp_path: Path) -> None:
    """Padded embeddings give the model more outputs than the tokenizer has tokens."""
    save_transformer(tmp_path / "model", vocab_size=320)
    model = load_model(tmp_path / "model")
    assert model.vocabulary_size == 320
    assert len(model.tokenizer.token_bytes) == len(byte_tokenizer())


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(tmp_path: Path) -> None:
    """Such a tokenizer is another model's."""
    save_transformer(tmp_path / "model", vocab_size=270)
    with pytest.raises(ModelError, match="does not fit the model 'model'") as caught:
        load_model(tmp_path / "model")
    assert caught.value.why == "It has 280 tokens and the model predicts 270."


def test_a_missing_tokenizer_is_refused(directory: Path) -> None:
    """transformers would make up an empty one."""
    (directory / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"has no tokenizer\.json"):
        load_model(directory)


def test_a_tokenizer_that_can_be_read_in_two_ways_is_refused(tmp_path: Path) -> None:
    """For some types of model transformers builds a tokenizer of its own from the file's words, which splits otherwise."""
    save_transformer(tmp_path / "model", "qwen2")
    with pytest.raises(ModelError, match="can be read in two ways") as caught:
        load_model(tmp_path / "model")
    assert "Qwen2Tokenizer" in caught.value.why
    byte_tokenizer().save_pretrained(tmp_path / "tokenizer")
    model = load_model(tmp_path / "model", ModelOptions(tokenizer=str(tmp_path / "tokenizer")))
    assert model.tokenizer.encode([TEXT]) == [
        byte_tokenizer().encode(TEXT, add_special_tokens=False)
    ]


def test_special_tokens_beyond_the_vocabulary_are_no_harm(directory: Path) -> None:
    """A padding token that was added for training is in no text; as a begin-of-text token it is refused."""
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    tokenizer.save_pretrained(directory)
    assert load_model(directory).framing.before == (0,)
    tokenizer.add_special_tokens({"bos_token": "<pad>"})
    tokenizer.save_pretrained(directory)
    with pytest.raises(ModelError, match="does not fit the model"):
        load_model(directory)


def test_a_tokenizer_can_be_taken_from_another_directory(directory: Path, tmp_path: Path) -> None:
    """Where the model brings none, it is named."""
    (directory / "tokenizer.json").unlink()
    byte_tokenizer().save_pretrained(tmp_path / "tokenizer")
    options = ModelOptions(tokenizer=str(tmp_path / "tokenizer"))
    assert load_model(directory, options).framing.before == (0,)
    with pytest.raises(ModelError, match="no tokenizer directory"):
        load_model(directory, ModelOptions(tokenizer=str(tmp_path / "nowhere")))


def test_a_tokenizer_with_code_of_its_own_is_refused(directory: Path) -> None:
    """The tokenizer's code is not run either."""
    edit(
        directory,
        "tokenizer_config.json",
        auto_map={"AutoTokenizer": ["evil.Tokenizer", None]},
        tokenizer_class="EvilTokenizer",
    )
    (directory / "evil.py").write_text("raise SystemExit('ran')\n")
    with pytest.raises(ModelError, match="needs program code of its own"):
        load_model(directory)


@pytest.mark.data
def test_a_sentencepiece_model_is_a_tokenizer(data_directory: Path, tmp_path: Path) -> None:
    """Older checkpoints bring tokenizer.model and nothing else; its begin-of-text token is read first."""
    tiny("llama", vocab_size=32_000).save_pretrained(tmp_path)
    shutil.copy(data_directory / "tokenizers" / "mistral-sp" / "tokenizer.model", tmp_path)
    model = load_model(tmp_path)
    assert model.framing.before == (1,)
    assert model.score([model.framing.record(model.tokenizer.encode([TEXT])[0])])[0] > 0
