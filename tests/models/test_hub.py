"""Models named as on the Hugging Face Hub: from the cache, offline, and when nothing can be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from secretaudit.errors import ModelError
from secretaudit.models.loading import load_model

from .transformer_directories import save_transformer


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A tiny GPT-2 with a byte-level tokenizer."""
    save_transformer(tmp_path / "model")
    return tmp_path / "model"


def test_names_on_the_hub_are_read_from_the_cache(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cached model needs no network; its name is the one that was given."""
    cache_model(directory, tmp_path / "cache", "somebody/tiny", monkeypatch)
    model = load_model("somebody/tiny")
    assert model.name == "somebody/tiny"
    assert model.score([[0, 5, 6]]) == pytest.approx(load_model(directory).score([[0, 5, 6]]))


def test_names_that_are_not_cached_are_refused_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HF_HUB_OFFLINE is respected, and named."""
    cache_model(tmp_path, tmp_path / "cache", "somebody/tiny", monkeypatch)
    with pytest.raises(ModelError, match="the Hub gives no model of that name") as caught:
        load_model("somebody/else")
    assert "HF_HUB_OFFLINE" in caught.value.why
    with pytest.raises(ModelError, match="There is no model directory nowhere"):
        load_model("nowhere")


def test_a_hub_that_cannot_be_reached_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the network says is passed on."""
    from secretaudit.models import hub

    cache_model(tmp_path, tmp_path / "cache", "somebody/tiny", monkeypatch)
    monkeypatch.setattr(hub, "is_offline_mode", lambda: False)

    def fail(name: str, **asked: object) -> str:
        raise OSError("connection refused")

    monkeypatch.setattr(hub, "snapshot_download", fail)
    with pytest.raises(ModelError, match="the Hub gives no model") as caught:
        load_model("somebody/else")
    assert caught.value.why == "connection refused."


def cache_model(directory: Path, cache: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a model into a cache of the Hub's layout, and let that cache be used offline."""
    from secretaudit.models import hub

    home = cache / f"models--{name.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0" * 40)
    snapshot = home / "snapshots" / ("0" * 40)
    snapshot.parent.mkdir()
    snapshot.symlink_to(directory)
    real = hub.snapshot_download
    monkeypatch.setattr(hub, "is_offline_mode", lambda: True)
    monkeypatch.setattr(
        hub, "snapshot_download", lambda repo, **asked: real(repo, cache_dir=cache, **asked)
    )
