"""What a training of transformers refuses: bases, configurations, tokenizers and dials that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import BertConfig

from secretaudit.errors import ModelError, SecretauditError, UsageError
from secretaudit.training.run import train
from secretaudit.training.settings import TrainingSettings
from tests.models.tiny_transformers import tiny

from .bases import byte_tokenizer, endless_tokenizer, save_base, subject_of, tuning
from .conftest import small


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny GPT-2 that knows nothing of secretaudit."""
    return save_base(tmp_path_factory.mktemp("gpt2"), n_positions=64)


def _refused(match: str, error: type[SecretauditError], **dials: Any) -> None:
    with pytest.raises(error) as caught:
        subject_of(**dials)
    assert match in str(caught.value), str(caught.value)


@pytest.mark.parametrize(
    ("dials", "match"),
    [
        ({"units": 64}, "A base has its shape"),
        ({"layers": 1}, "layers = 1 asks for a shape of its own"),
        ({"arch": "transformer"}, "Leave --arch out"),
        ({"tied": True}, "Leave --tied out"),
    ],
)
def test_a_base_has_a_shape(base: Path, dials: dict[str, Any], match: str) -> None:
    """Dials of shape beside a base are refused and never ignored."""
    _refused(match, UsageError, base=str(base), **dials)


@pytest.mark.parametrize(
    ("dials", "match"),
    [
        (
            {"arch": "transformer", "units": 10, "heads": 3},
            "10 units cannot be divided among 3 heads",
        ),
        ({"arch": "transformer", "embedding": 8}, "A transformer model has no use for embedding"),
        ({"arch": "lstm", "heads": 2}, "A recurrent model has no use for heads"),
        ({"arch": "gru", "gradient_checkpointing": True}, "Leave --gradient-checkpointing out"),
    ],
)
def test_dials_that_do_not_fit_a_family_are_refused(dials: dict[str, Any], match: str) -> None:
    """The refusal names the family and the dial."""
    _refused(match, UsageError, **dials)


@pytest.mark.parametrize(
    ("dials", "match"),
    [
        ({"tokenizer": "char"}, "tokenizer = 'char' asks for a tokenizer of its own"),
        ({"vocabulary_size": 100}, "Leave --vocabulary-size out"),
        ({"minimum_frequency": 2}, "Leave --minimum-frequency out"),
    ],
)
def test_a_base_has_a_tokenizer(
    base: Path, plain_corpus: Path, tmp_path: Path, dials: dict[str, Any], match: str
) -> None:
    """Another tokenizer beside a base is refused before anything is read or written."""
    with pytest.raises(UsageError, match="own tokenizer") as caught:
        train(plain_corpus, tmp_path / "out", settings=tuning(base, **dials))
    assert match in str(caught.value)
    assert not (tmp_path / "out" / "checkpoint").exists()


@pytest.mark.parametrize(
    ("dials", "match"),
    [
        ({"tokenizer": "nowhere"}, "There is no tokenizer 'nowhere'"),
        ({"vocabulary_size": 100}, "is made already"),
        ({"minimum_frequency": 2}, "is made already"),
    ],
)
def test_tokenizers_that_cannot_be_had_are_refused(
    plain_corpus: Path, tmp_path: Path, dials: dict[str, Any], match: str
) -> None:
    """A word that is no tokenizer and no directory, and dials that a made tokenizer cannot follow."""
    byte_tokenizer().save_pretrained(tmp_path / "tokenizer")
    asked = {"tokenizer": str(tmp_path / "tokenizer"), **dials}
    settings = small(arch="transformer", **asked)
    with pytest.raises(UsageError, match=match):
        train(plain_corpus, tmp_path / "out", settings=settings)


def test_bases_that_are_no_model_are_refused(base: Path, tmp_path: Path) -> None:
    """A server, a file, nothing, an adapter, pickled weights, a broken configuration: each by its own message."""
    _refused("A model server cannot be trained", UsageError, base="http://localhost:8000")
    _refused("is a file", ModelError, base=str(base / "config.json"))
    _refused("There is no model directory", ModelError, base=str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    _refused("holds no model", ModelError, base=str(tmp_path / "empty"))
    (tmp_path / "empty" / "adapter_config.json").write_text("{}")
    _refused("holds an adapter", UsageError, base=str(tmp_path / "empty"))
    pickled = save_base(tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    _refused("has pickled weights only (pytorch_model.bin)", ModelError, base=str(pickled))
    (pickled / "pytorch_model.bin").unlink()
    _refused("has no weights", ModelError, base=str(pickled))
    (pickled / "tokenizer.json").unlink()
    _refused("has no tokenizer", ModelError, base=str(pickled))


@pytest.mark.parametrize("name", ["base", "config", "tokenizer"])
def test_what_a_training_starts_from_is_not_replaced_by_it(
    name: str, plain_corpus: Path, tmp_path: Path
) -> None:
    """The output may neither be nor hold the base, the configuration or the tokenizer, even with force."""
    place = save_base(tmp_path / "out" / "inside")
    settings = TrainingSettings(**{name: str(place)}, steps=1)
    for out in (place, place.parent):
        with pytest.raises(UsageError, match=f"The {name} of the training lies in it"):
            train(plain_corpus, out, settings=settings, force=True)
    assert (place / "model.safetensors").is_file()


def test_a_base_that_was_not_given_does_not_lie_where_one_stands(
    plain_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The current directory is refused as an output for its own reason, and no base is named that nobody gave."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UsageError, match="The current directory is in it"):
        train(plain_corpus, ".", settings=TrainingSettings(units=4, layers=1, steps=1))


def test_models_that_cannot_be_trained_to_predict_are_refused(tmp_path: Path) -> None:
    """A model that looks ahead, one of another kind, a shape that contradicts itself, no file at all, one of ours."""
    small_bert = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertConfig(**small_bert, intermediate_size=16).save_pretrained(tmp_path)
    _refused("reads ahead", ModelError, config=str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    _refused("no causal language model of this type", ModelError, config=str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "n_embd": 10, "n_head": 3}')
    _refused("No model can be made", ModelError, config=str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "secretaudit-recurrent"}')
    _refused("describes a recurrent model of secretaudit", UsageError, config=str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "nothing-known"}')
    _refused("does not describe a model that transformers knows", ModelError, config=str(tmp_path))
    _refused("There is no configuration", ModelError, config=str(tmp_path / "other.json"))


def test_a_model_without_dropout_is_not_said_to_have_some(tmp_path: Path) -> None:
    """Mamba drops nothing."""
    tiny("mamba").config.save_pretrained(tmp_path)
    _refused("have no dropout", UsageError, config=str(tmp_path), dropout=0.1)


def test_a_tokenizer_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """More tokens than the base has outputs, and no token to end a text with."""
    save_base(tmp_path, vocab_size=100)
    _refused("does not fit the model", ModelError, base=str(tmp_path))
    _refused(
        "no token that ends a text", ModelError, arch="transformer", tokenizer=endless_tokenizer()
    )


def test_rows_longer_than_the_base_reads_are_refused(
    base: Path, plain_corpus: Path, tmp_path: Path
) -> None:
    """The base has 64 places; by default rows are no longer."""
    with pytest.raises(UsageError, match="The model reads at most 64"):
        train(plain_corpus, tmp_path / "a", settings=tuning(base, sequence_length=65))
    usual = tuning(base, sequence_length=None, steps=1)
    assert train(plain_corpus, tmp_path / "b", settings=usual).asked["sequence_length"] == 64
