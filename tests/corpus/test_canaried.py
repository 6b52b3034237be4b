"""Finding the corpus and the ledger in what a user names."""

from __future__ import annotations

from pathlib import Path

import pytest

from secretaudit.corpus.canaried import CanariedCorpus, open_canaried
from secretaudit.errors import CorpusError, RecordError
from secretaudit.records import Record


def _directory(tmp_path: Path, **found: object) -> Path:
    facts = {"corpus": "corpus.txt", "ledger": "ledger.json", "ledger_identity": "abc"} | found
    (tmp_path / "corpus.txt").write_text("a\n")
    (tmp_path / "ledger.json").write_text("{}")
    record = Record(kind="insertion", asked={}, found=facts, environment={})
    record.write(tmp_path / "insertion.json")
    return tmp_path


def test_a_canaried_directory_names_its_parts(tmp_path: Path) -> None:
    """Corpus, ledger, its identity and the text column come from the record."""
    assert open_canaried(_directory(tmp_path, text_column="body")) == CanariedCorpus(
        corpus=tmp_path / "corpus.txt",
        ledger=tmp_path / "ledger.json",
        ledger_identity="abc",
        text_column="body",
    )


def test_a_plain_corpus_has_no_ledger(tmp_path: Path) -> None:
    """A file by itself can be trained on too."""
    path = tmp_path / "plain.txt"
    path.write_text("a\n")
    assert open_canaried(path) == CanariedCorpus(corpus=path)


def test_a_cleaned_directory_has_no_ledger(tmp_path: Path) -> None:
    """What ``remove`` made is a directory of ours without canaries."""
    opened = open_canaried(_directory(tmp_path, ledger=None, ledger_identity=None))
    assert (opened.ledger, opened.ledger_identity) == (None, None)


@pytest.mark.parametrize("name", ["corpus.txt", "ledger.json"])
def test_a_directory_that_lacks_a_part_is_refused(name: str, tmp_path: Path) -> None:
    """A lost ledger is not a plain corpus: its canaries would go unmeasured."""
    directory = _directory(tmp_path)
    (directory / name).unlink()
    with pytest.raises(CorpusError, match=f"{name} is missing from it"):
        open_canaried(directory)


def test_a_damaged_record_is_refused(tmp_path: Path) -> None:
    """A truncated insertion.json does not turn the directory into something else."""
    (_directory(tmp_path) / "insertion.json").write_text('{"schema": "secretaudit/ins')
    with pytest.raises(RecordError, match="is not a record"):
        open_canaried(tmp_path)


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    """As for reading."""
    with pytest.raises(CorpusError, match="There is no corpus at"):
        open_canaried(tmp_path / "nowhere")
