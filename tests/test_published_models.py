"""Published models, opened as their users would: a Llama by its directory, home-made ones through the doors for callables.

The expected figures are those that were published with the models or measured with other programs: they are written beside each test.
Longer runs are in ``tests/benchmarks/bench_published.py``; its tables stand in ``docs/reproductions.md``.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import secretaudit
from secretaudit.models.callable.language_model import CallableLanguageModel
from secretaudit.models.language_model import LanguageModel
from secretaudit.models.loading import load_model
from tests.published import (
    ledger,
    number_canary,
    perplexity,
    sentences_of,
    textgenrnn,
    titles,
    word_canaries,
    word_ids,
    word_model,
    words_of,
)

pytestmark = pytest.mark.data

#: The start of what stories260K generates greedily from its begin-of-text token, in llama2.c's own test.
STORY = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park."
)
TRAINED = ("hacker_news", "reddit_apple_android")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def greedy(model: LanguageModel, tokens: list[int], count: int) -> list[int]:
    """The likeliest token, again and again."""
    state, row, found = model.start(tokens[:-1]), torch.zeros(1, dtype=torch.int64), tokens[-1:]
    for _ in range(count):
        log_p, state = model.step(state, row, torch.tensor(found[-1:]))
        found.append(int(log_p[0].argmax()))
    return found[1:]


def nats_a_character(model: CallableLanguageModel, texts: list[str]) -> float:
    """Mean over texts of the loss per character, the closing mark included."""
    records = [model.framing.record(ids) for ids in model.tokenizer.encode(texts)]
    bits = model.score(records)
    return float(
        np.mean([b * math.log(2) / (len(r) - 1) for b, r in zip(bits, records, strict=True)])
    )


def exposures(
    model: LanguageModel, pairs: list, method: str = "auto"
) -> tuple[np.ndarray, np.ndarray]:
    rows = secretaudit.expose(model, canaries=ledger(pairs), method=method).found["canaries"]
    assert {row["status"] for row in rows} == {"measured"}
    return (
        np.array([row["exposure_bits"] for row in rows]),
        np.array([row["max_exposure_bits"] for row in rows]),
    )


def test_a_published_llama_tells_its_story(data_directory: Path) -> None:
    """stories260K opens by its directory, says what its own test expects, and finds it likely: 0.180 nats a token."""
    model = load_model(data_directory / "models" / "stories260K")
    ids = model.tokenizer.encode([STORY])[0]
    assert greedy(model, list(model.framing.before), len(ids)) == ids
    bits = model.score([model.framing.record(ids)], model.framing.given)[0]
    assert bits * math.log(2) / len(ids) == pytest.approx(0.180, abs=0.001)


def test_textgenrnn_scores_titles_as_published(data_directory: Path) -> None:
    """Mean nats a character of twenty titles: 1.90 under the base model and 0.27 after fine-tuning on them, with their spread."""
    some = titles(data_directory, "hacker_news")[::100]
    assert nats_a_character(textgenrnn(data_directory, "base"), some) == pytest.approx(
        1.898, abs=0.3
    )
    assert nats_a_character(textgenrnn(data_directory, "hacker_news"), some) == pytest.approx(
        0.273, abs=0.2
    )


def test_textgenrnn_completes_its_training_titles(data_directory: Path) -> None:
    """From 20 characters, greedily and to the closing mark: 98 % of titles after fine-tuning, none before."""
    some = [t for t in titles(data_directory, "hacker_news") if len(t) >= 30][::200]
    for name, least, most in (("hacker_news", 0.8, 1.0), ("base", 0.0, 0.0)):
        model = textgenrnn(data_directory, name)
        records = [model.framing.record(ids) for ids in model.tokenizer.encode(some)]
        whole = [greedy(model, r[:21], len(r) - 21) == r[21:] for r in records]
        assert least <= np.mean(whole) <= most


@pytest.mark.parametrize("name", TRAINED)
def test_numbers_in_training_titles_are_memorized(name: str, data_directory: Path) -> None:
    """Among all titles with another number of two digits the true one comes first after fine-tuning, and not before."""
    every = list(dict.fromkeys(titles(data_directory, name)))
    found = [number_canary(title, n, range(2, 3)) for n, title in enumerate(every)]
    fitting = [p for p in found if p and len(p[0].suffix) <= 20]
    pairs = fitting[:: len(fitting) // 6][:6]  # from all over the set
    after, ceiling = exposures(textgenrnn(data_directory, name), pairs, "exact")
    before, _ = exposures(textgenrnn(data_directory, "base"), pairs)
    assert np.sum(after > ceiling - 0.01) >= 5
    assert np.sum(before > ceiling - 0.01) <= 2
    assert after.mean() > before.mean() + 1


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_most_numbers_are_memorized(name: str, data_directory: Path) -> None:
    """The same for 40 titles with numbers of two to four digits, by the exact method, which is fast when they are memorized."""
    every = list(dict.fromkeys(titles(data_directory, name)))
    found = [number_canary(title, n, range(2, 5)) for n, title in enumerate(every)]
    pairs = [p for p in found if p][:40]
    bits, ceiling = exposures(textgenrnn(data_directory, name), pairs, "exact")
    assert np.mean(bits > ceiling - 0.01) >= 0.8


def test_the_word_model_reads_penn_treebank_as_published(data_directory: Path) -> None:
    """Published: perplexity 140.23 on the validation text with the state carried along ten streams. Here the first tenth of each stream."""
    model = word_model(data_directory)
    measured = perplexity(model, word_ids(data_directory, "valid"), steps=700)
    # The loss of 7,000 words has a standard deviation near 2.3 nats a word: three standard errors are 8 %.
    assert measured == pytest.approx(140.23, rel=0.1)


@pytest.mark.slow
def test_the_word_model_reads_all_of_it(data_directory: Path) -> None:
    """All of the validation text, to a tenth; the words that do not fill ten streams are left out."""
    model = word_model(data_directory)
    assert perplexity(model, word_ids(data_directory, "valid")) == pytest.approx(140.23, abs=0.1)


def test_words_are_ranked_among_others(data_directory: Path) -> None:
    """The true word of a sentence stands far above the middle of a list: what language alone explains, trained on or not."""
    model, rng = word_model(data_directory), np.random.default_rng(0)
    known = [w for w in dict.fromkeys(words_of(data_directory, "train")) if w.isalpha()]
    near = [known[i] for i in rng.choice(len(known), 64, replace=False).tolist()]
    pairs = word_canaries(sentences_of(data_directory, "valid"), near, rng)[:8]
    bits, ceiling = exposures(model, pairs)
    assert ceiling == pytest.approx(6.0)
    assert bits.mean() > 1 / math.log(2) + 1
