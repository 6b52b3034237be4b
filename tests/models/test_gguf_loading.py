"""GGUF files: what is loaded equals the model that was written, and what the loader gets wrong is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from secretaudit.errors import ModelError
from secretaudit.models.loading import load_model
from secretaudit.models.model_options import ModelOptions

from .tiny_transformers import tiny
from .transformer_directories import byte_tokenizer, save_gguf, save_transformer

pytest.importorskip("gguf")


def llama() -> object:
    return tiny("llama", vocab_size=len(byte_tokenizer()), rms_norm_eps=1e-5)


def test_a_gguf_file_scores_as_the_model_it_was_made_from(tmp_path: Path) -> None:
    """Settings, tensors and tokenizer of a file in llama.cpp's order give the original's costs."""
    module = save_transformer(tmp_path / "model", "llama", rms_norm_eps=1e-5)
    save_gguf(tmp_path / "tiny.gguf", module)
    original, loaded = load_model(tmp_path / "model"), load_model(tmp_path / "tiny.gguf")
    records = [loaded.framing.record(ids) for ids in loaded.tokenizer.encode(["my pin is 0412"])]
    assert records == [original.framing.record(original.tokenizer.encode(["my pin is 0412"])[0])]
    assert loaded.score(records) == pytest.approx(original.score(records), abs=1e-3)
    assert loaded.name == "tiny"


def test_a_file_whose_rows_the_loader_leaves_in_the_wrong_order_is_refused(tmp_path: Path) -> None:
    """Without the number of key heads the loader does not reorder the rows, and the model would look right."""
    module = tiny("llama", vocab_size=len(byte_tokenizer()), num_key_value_heads=4)
    save_gguf(tmp_path / "tiny.gguf", module, **{"attention.head_count_kv": None})
    with pytest.raises(ModelError, match="not the model in") as caught:
        load_model(tmp_path / "tiny.gguf")
    assert "attn_" in caught.value.why


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("rope.scaling.type", "yarn"),
        ("attention.logit_scale", 0.5),
        ("final_logit_softcapping", 30.0),
        ("expert_count", 8),
        ("rope.dimension_count", 4),
    ],
)
def test_a_setting_that_the_loader_does_not_apply_is_refused(
    tmp_path: Path, setting: str, value: object
) -> None:
    """All weights would be right and the numbers wrong."""
    save_gguf(tmp_path / "tiny.gguf", llama(), **{setting: value})
    with pytest.raises(ModelError) as caught:
        load_model(tmp_path / "tiny.gguf")
    assert setting.split(".")[-1].split("_")[0] in str(caught.value) or "cannot be loaded" in str(
        caught.value
    )


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    """The tokens of a tokenizer that is given must be the tokens of the file."""
    from secretaudit.models.tokens.building import build_tokenizer

    save_gguf(tmp_path / "tiny.gguf", llama())
    build_tokenizer("bpe", ["zz yy xx zz yy xx"] * 3, vocabulary_size=262).save_pretrained(
        tmp_path / "other"
    )
    with pytest.raises(ModelError, match="not the model in") as caught:
        load_model(tmp_path / "tiny.gguf", ModelOptions(tokenizer=str(tmp_path / "other")))
    assert "Token " in caught.value.why


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    """A truncated file, another kind of file and no file each say what they are."""
    whole = tmp_path / "tiny.gguf"
    save_gguf(whole, llama())
    (tmp_path / "half.gguf").write_bytes(whole.read_bytes()[:3000])
    (tmp_path / "text.gguf").write_text("hello")
    with pytest.raises(ModelError, match="cannot be read") as caught:
        load_model(tmp_path / "half.gguf")
    assert "truncated" in caught.value.why
    with pytest.raises(ModelError, match="is no GGUF file"):
        load_model(tmp_path / "text.gguf")
    with pytest.raises(ModelError, match="There is no file"):
        load_model(tmp_path / "none.gguf")


def test_gguf_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says what to install."""
    from secretaudit.models.transformer import gguf as gguf_loading

    save_gguf(tmp_path / "tiny.gguf", llama())
    monkeypatch.setattr(gguf_loading, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="gguf is not installed") as caught:
        load_model(tmp_path / "tiny.gguf")
    assert "pip install gguf" in caught.value.way_out
