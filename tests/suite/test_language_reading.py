"""From corpora to language tasks."""

from __future__ import annotations

from pathlib import Path

import pytest

from secretaudit import insert
from secretaudit.errors import CorpusError, UsageError
from secretaudit.suite.language.reading import read_language_task
from tests.suite.language_models import some_lines


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A hundred lines."""
    path = tmp_path / "text.txt"
    path.write_text("\n".join(some_lines(100)) + "\n", "utf-8")
    return path


def test_a_plain_corpus(corpus: Path) -> None:
    """Ten of a hundred lines are held out; together they are the corpus, in its order."""
    task = read_language_task(corpus)
    assert (len(task.train), len(task.held_out)) == (90, 10)
    assert sorted(task.train + task.held_out) == sorted(some_lines(100))
    order = {line: number for number, line in enumerate(some_lines(100))}
    assert sorted(task.train, key=order.__getitem__) == list(task.train)
    assert task.formats == ("random-number",)
    assert task.name == "text.txt"


def test_the_draw_depends_on_the_seed_alone(corpus: Path) -> None:
    """The same seed the same task."""
    first, again, other = (read_language_task(corpus, seed=s, limit=50) for s in (1, 1, 2))
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()
    assert (len(first.train), len(first.held_out)) == (45, 5)


def test_a_limit_takes_lines_from_the_whole_corpus(tmp_path: Path) -> None:
    """With 200 draws of 20 from 100 lines each is taken about 40 times: within five standard errors."""
    path = tmp_path / "numbers.txt"
    path.write_text("\n".join(map(str, range(100))) + "\n", "utf-8")
    counts = dict.fromkeys(map(str, range(100)), 0)
    for seed in range(200):
        task = read_language_task(path, seed=seed, limit=20)
        for line in task.train + task.held_out:
            counts[line] += 1
    assert sum(counts.values()) == 4000
    assert max(abs(n - 40) for n in counts.values()) < 5 * (200 * 0.2 * 0.8) ** 0.5


def test_no_held_out_line_is_trained_on(tmp_path: Path) -> None:
    """A line that stands there twice is trained on."""
    path = tmp_path / "twice.txt"
    path.write_text("\n".join(some_lines(30) * 2 + ("end one", "end two", "end three")), "utf-8")
    for seed in range(5):
        task = read_language_task(path, held_out_share=0.3, seed=seed)
        assert not set(task.train) & set(task.held_out)
        assert len(task.train) + len(task.held_out) == 63


def test_a_canaried_directory_brings_its_formats_and_loses_its_canaries(
    corpus: Path, tmp_path: Path
) -> None:
    """The plain lines come back, and the numbers of canaries are those of the ledger."""
    insert(
        corpus,
        tmp_path / "canaried",
        formats=["pin", "my code is {digits:6}"],
        count=3,
        repeats=[2, 5],
        controls=7,
        seed=1,
    )
    task = read_language_task(tmp_path / "canaried")
    assert sorted(task.train + task.held_out) == sorted(some_lines(100))
    assert task.formats == ("pin", "my code is {digits:6}")
    assert (task.canaries, task.repeats, task.controls) == (3, (2, 5), 7)
    other = read_language_task(tmp_path / "canaried", formats=["pin"], canaries=1, controls=2)
    assert (other.formats, other.canaries, other.controls) == (("pin",), 1, 2)


def test_a_canaried_corpus_that_was_changed_is_refused(corpus: Path, tmp_path: Path) -> None:
    """One copy less than the ledger names."""
    insert(corpus, tmp_path / "canaried", formats=["pin"], count=2, seed=1)
    text = tmp_path / "canaried" / "corpus.txt"
    lines = text.read_text("utf-8").splitlines()
    lines.remove(next(line for line in lines if line.startswith("my pin is")))
    text.write_text("\n".join(lines) + "\n", "utf-8")
    with pytest.raises(CorpusError, match="holds 1 copies of canaries, and the ledger names 2"):
        read_language_task(tmp_path / "canaried")


def test_a_format_with_a_list_of_its_own_must_be_named(corpus: Path, tmp_path: Path) -> None:
    """The template alone does not say which words there were."""
    words = tmp_path / "words.txt"
    words.write_text("\n".join(f"w{i}" for i in range(50)) + "\n", "utf-8")
    insert(
        corpus,
        tmp_path / "canaried",
        formats=[f"word {{choice:{words}}}"],
        count=1,
        controls=2,
        seed=1,
    )
    words.unlink()
    with pytest.raises(UsageError, match="cannot be made again"):
        read_language_task(tmp_path / "canaried")


def test_too_little_text_is_refused(tmp_path: Path) -> None:
    """Too few lines, lines that are all the same, and no corpus at all."""
    path = tmp_path / "short.txt"
    path.write_text("one\ntwo\nthree\n", "utf-8")
    with pytest.raises(CorpusError, match="has 3 lines"):
        read_language_task(path)
    path.write_text("same\n" * 50, "utf-8")
    with pytest.raises(CorpusError, match="Nearly all lines"):
        read_language_task(path)
    with pytest.raises(CorpusError, match="no corpus"):
        read_language_task(tmp_path / "nothing.txt")
    with pytest.raises(UsageError, match="held_out_share must be above 0"):
        read_language_task(path, held_out_share=0.0)


def test_a_corpus_of_its_own_is_held_out(tmp_path: Path) -> None:
    """All lines are then trained on, and none of the held-out ones come from the corpus."""
    corpus, other = tmp_path / "a.txt", tmp_path / "b.txt"
    corpus.write_text("".join(f"line {i}\n" for i in range(30)))
    other.write_text("".join(f"other {i}\n" for i in range(9)))
    task = read_language_task(corpus, held_out=other)
    assert sorted(task.train) == sorted(f"line {i}" for i in range(30))
    assert sorted(task.held_out) == [f"other {i}" for i in range(9)]
