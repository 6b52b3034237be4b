"""Which layout a training reads its corpus in, and what a corpus of any shape does to it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from secretaudit.errors import CorpusError, UsageError
from secretaudit.models.loading import load_model
from secretaudit.training.run import train
from secretaudit.training.settings import PrivacySettings, TrainingSettings

from .conftest import TRANSFORMER, Listener, small

LAYOUTS: dict[str, dict[str, Any]] = {
    "lanes": {},
    "records": {"layout": "records"},
    "packed": TRANSFORMER,
    "packed recurrent": {"layout": "packed", "arch": "gru"},
}


@pytest.mark.parametrize(
    ("fields", "layout", "shuffle"),
    [
        ({}, "lanes", False),
        ({"arch": "gru", "layout": "records"}, "records", True),
        ({"arch": "gru", "layout": "records", "shuffle": False}, "records", False),
        (TRANSFORMER, "packed", True),
        ({**TRANSFORMER, "layout": "records"}, "records", True),
    ],
)
def test_each_family_has_its_usual_layout(
    plain_corpus: Path, tmp_path: Path, fields: dict[str, Any], layout: str, shuffle: bool
) -> None:
    """Recurrent models read lanes, transformers packed rows; the record says what was chosen."""
    asked = train(plain_corpus, tmp_path / "m", settings=small(**fields, steps=1)).asked
    assert (asked["layout"], asked["shuffle"]) == (layout, shuffle)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({**TRANSFORMER, "layout": "lanes"}, "transformer model cannot be trained on lanes"),
        ({"shuffle": True}, "Lanes cannot be shuffled"),
        (
            {"privacy": PrivacySettings(noise_multiplier=1.0), "batch_size": 1000},
            "batch of 1000 records cannot be drawn from",
        ),
    ],
)
def test_a_layout_that_cannot_be_read_is_refused(
    plain_corpus: Path, tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    """Before anything is written."""
    settings = replace(small(), **fields)
    with pytest.raises(UsageError, match=message):
        train(plain_corpus, tmp_path / "m", settings=settings)
    assert not (tmp_path / "m").exists()


def test_rows_longer_than_the_model_can_read_are_refused(
    plain_corpus: Path, tmp_path: Path
) -> None:
    """A model that was made for sixteen tokens is not fine-tuned on more."""
    train(plain_corpus, tmp_path / "base", settings=small(**TRANSFORMER, steps=1))
    context = json.loads((tmp_path / "base" / "config.json").read_text())["n_positions"]
    settings = TrainingSettings(base=str(tmp_path / "base"), sequence_length=context + 1)
    with pytest.raises(UsageError, match=f"Rows of {context + 1} tokens are too long") as caught:
        train(plain_corpus, tmp_path / "m", settings=settings)
    assert str(context) in caught.value.why
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_batch_larger_than_the_data_reads_all_of_it(
    plain_corpus: Path, tmp_path: Path, name: str
) -> None:
    """Every step reads all rows, a pass is as long as its longest, and it is said beforehand."""

    class Hearing(Listener):
        said = ""

        def announce(self, sentence: str) -> None:
            self.said += sentence

    hearing = Hearing()
    settings = small(**LAYOUTS[name], batch_size=10_000, validation=0.0)
    found = train(plain_corpus, tmp_path / "m", settings=settings, progress=hearing).found
    assert "fewer than the batch size 10000: every step reads all of them" in hearing.said
    assert found["tokens_seen"] == 2 * found["tokens"]
    if name != "lanes":
        assert found["steps"] == 2
    hearing.said = ""
    train(plain_corpus, tmp_path / "n", settings=small(**LAYOUTS[name]), progress=hearing)
    assert not hearing.said


CORPORA = {
    "one record": "just one line\n",
    "one letter": "a\n",
    "empty lines between": "one\n\n\ntwo\n\nthree\n",
    "many alphabets": "größe ß\nпривет мир\n日本語のテキスト\n🙂🙃 e\u0301\n" * 3,
    "a very long line": "abc " * 500 + "\nshort\n",
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("corpus", CORPORA)
def test_odd_corpora_are_trained_on(tmp_path: Path, name: str, corpus: str) -> None:
    """Every token of what the corpus reader gives is predicted once an epoch, and the model can be measured."""
    file = tmp_path / "corpus.txt"
    file.write_text(CORPORA[corpus])
    settings = small(**LAYOUTS[name], validation=0.0)
    found = train(file, tmp_path / "m", settings=settings).found
    lines = [line for line in CORPORA[corpus].splitlines() if line]
    assert found["records"] in (len(lines), CORPORA[corpus].count("\n"))
    if not found["records_cut"]:
        characters = sum(len(line) for line in lines)
        assert found["tokens"] == characters + found["records"]
    else:
        assert corpus == "a very long line"
        assert name != "lanes"
    assert found["tokens_seen"] == 2 * found["tokens"]
    model = load_model(tmp_path / "m")
    ids = model.tokenizer.encode([lines[0][:10]])[0]
    assert float(model.score([model.framing.record(ids)])[0]) > 0


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_a_corpus_without_text_is_refused(tmp_path: Path, text: str) -> None:
    """Nothing is written."""
    file = tmp_path / "corpus.txt"
    file.write_text(text)
    with pytest.raises(CorpusError):
        train(file, tmp_path / "m", settings=small())
    assert not (tmp_path / "m").exists()
