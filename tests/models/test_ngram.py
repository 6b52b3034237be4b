"""The n-gram model: Kneser–Ney by its definition, and the contract of every language model."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import secretaudit
from secretaudit.canary.format import Format
from secretaudit.errors import ModelError, UsageError
from secretaudit.models.language_model import Framing
from secretaudit.models.ngram.counts import FALLBACK_DISCOUNTS, modified_discounts
from secretaudit.models.ngram.language_model import NgramLanguageModel, train_ngram
from secretaudit.models.tokens.vocabulary_view import VocabularyView
from tests.naive import ledger_of

from .contract import LanguageModelContract

LETTERS = "abcdefgh "
VIEW = VocabularyView([None, *LETTERS])
FRAMING = Framing(before=(0,), after=(0,))
CORPUS = [
    "abba",
    "a cab",
    "bad cab",
    "dead bee",
    "a bad bed",
    "cab",
    "face a face",
    "abba cab abba",
]
MARK = -1


def train(
    records: Sequence[str] = CORPUS, order: int = 3, framing: Framing = FRAMING
) -> NgramLanguageModel:
    return train_ngram(records, VIEW, framing, len(VIEW), order)


class NaiveKneserNey:
    """The definition, recursively, with dictionaries: counts of n-grams, then numbers of distinct left neighbours."""

    def __init__(self, records: Sequence[str], order: int, framing: Framing = FRAMING) -> None:
        self.order, self.size = order, len(VIEW)
        grams: Counter[tuple[int, ...]] = Counter()
        for record in records:
            tokens = [MARK] * (order - 1) + framing.record(VIEW.encode([record])[0])
            for place in range(order - 1 + framing.given, len(tokens)):
                grams[tuple(tokens[place - order + 1 : place + 1])] += 1
        self.counts = {order: grams}
        for k in range(order - 1, 0, -1):
            left = defaultdict(set)
            for gram in self.counts[k + 1]:
                left[gram[1:]].add(gram[0])
            self.counts[k] = Counter({gram: len(seen) for gram, seen in left.items()})
        self.discounts = {k: self._discounts(k) for k in self.counts}

    def _discounts(self, k: int) -> tuple[float, float, float]:
        n = Counter(self.counts[k].values())
        if not (n[1] and n[2] and n[3]):
            return 0.5, 1.0, 1.5
        y = n[1] / (n[1] + 2 * n[2])
        found = tuple(i - (i + 1) * y * n[i + 1] / n[i] for i in (1, 2, 3))
        fits = all(0 < d <= i for i, d in enumerate(found, start=1))
        return found if fits else (0.5, 1.0, 1.5)  # type: ignore[return-value]

    def probability(self, history: tuple[int, ...], word: int) -> float:
        """p_k(w | h) with k = len(h) + 1; below order 1 everything is equally likely."""
        k = len(history) + 1
        lower = self.probability(history[1:], word) if history else 1.0 / self.size
        after = {gram[-1]: n for gram, n in self.counts[k].items() if gram[:-1] == history}
        if not after:
            return lower
        d = self.discounts[k]
        taken = sum(d[min(n, 3) - 1] for n in after.values())
        count = after.get(word, 0)
        kept = count - d[min(count, 3) - 1] if count else 0.0
        return (kept + taken * lower) / sum(after.values())

    def bits(self, tokens: Sequence[int], given: int = 1) -> float:
        padded = [MARK] * (self.order - 1) + list(tokens)
        return -sum(
            math.log2(self.probability(tuple(padded[i - self.order + 1 : i]), padded[i]))
            for i in range(self.order - 1 + given, len(padded))
        )


class TestNgram(LanguageModelContract):
    """The contract."""

    @pytest.fixture(params=[1, 2, 5])
    def model(self, request: pytest.FixtureRequest) -> NgramLanguageModel:
        return train(order=request.param)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("framing", [FRAMING, Framing(before=()), Framing(before=(0, 3))])
def test_probabilities_are_those_of_the_definition(order: int, framing: Framing) -> None:
    """Any text, seen or not, costs what the recursive definition with dictionaries says."""
    model, naive = train(CORPUS * 2, order, framing), NaiveKneserNey(CORPUS * 2, order, framing)
    texts = ["abba", "bed", "hag", "a face", "gggg", "cab abba"]
    records = [framing.record(ids) for ids in VIEW.encode(texts)]
    expected = [naive.bits(record, framing.given) for record in records]
    assert model.score(records, framing.given) == pytest.approx(expected, abs=1e-9)


@given(
    records=st.lists(st.text(LETTERS, max_size=9), min_size=1, max_size=12),
    text=st.text(LETTERS, max_size=6),
    order=st.integers(1, 4),
)
@settings(max_examples=60)
def test_any_corpus_is_counted_as_defined(records: list[str], text: str, order: int) -> None:
    """Empty records, repeated ones, corpora of one letter: always the definition."""
    record = FRAMING.record(VIEW.encode([text])[0])
    expected = NaiveKneserNey(records, order).bits(record)
    assert train(records, order).score([record])[0] == pytest.approx(expected, abs=1e-9)


@given(history=st.text(LETTERS, max_size=6), order=st.integers(1, 5))
@settings(max_examples=40)
def test_the_probabilities_of_all_tokens_sum_to_one(history: str, order: int) -> None:
    """After every history, seen or not, and every token has some."""
    model = train(order=order)
    ids = [0, *VIEW.encode([history])[0]]
    log_p, _ = model.step(model.start(ids[:-1]), torch.tensor([0]), torch.tensor(ids[-1:]))
    assert float(log_p.double().exp().sum()) == pytest.approx(1.0, abs=1e-6)
    assert bool(torch.isfinite(log_p).all())


def test_a_small_example_by_hand() -> None:
    """Order 2 on the records a, a, b, with the discounts of small texts.

    The histories: the separator (a twice, b once), a (end twice), b (end once). Discounts are 1/2 for a count of 1 and 1 for 2.
    Left neighbours: a has one, b one, the end two (a, b), so p_1(a) = (1/2 + 2 · 1/10) / 4 with 1/2 + 1/2 + 1 = 2 taken from 4.
    p(a | separator) = (2 − 1)/3 + (1 + 1/2)/3 · p_1(a).
    """
    model = train(["a", "a", "b"], order=2)
    assert [level.discounts for level in model.levels] == [FALLBACK_DISCOUNTS] * 2
    below = (0.5 + 2 * 0.1) / 4
    expected = 1 / 3 + 0.5 * below
    assert model.score([[0, 1]])[0] == pytest.approx(-math.log2(expected), abs=1e-9)


def test_discounts_follow_the_counts_of_counts() -> None:
    """Chen and Goodman's formulas; where they leave the range of a count, the usual constants."""
    assert modified_discounts([100, 40, 20, 10]) == pytest.approx(
        (1 - 2 * 100 / 180 * 0.4, 2 - 3 * 100 / 180 * 0.5, 3 - 4 * 100 / 180 * 0.5)
    )
    assert modified_discounts([5, 0, 1, 1]) == FALLBACK_DISCOUNTS
    assert modified_discounts([1, 1, 1, 90]) == FALLBACK_DISCOUNTS


def test_an_inserted_canary_ranks_first() -> None:
    """Goldberg's objection: counting alone ranks a string that was inserted before all others of its space."""
    digits = VocabularyView([None, *"abcdefghijklmnopqrstuvwxyz 0123456789"])
    form = Format("pin", "my pin is {digits:4}")
    rng = np.random.default_rng(3)
    corpus = [f"room {n} has {m} beds" for n, m in rng.integers(0, 999, (200, 2)).tolist()]
    model = train_ngram([*corpus, "my pin is 0412"], digits, FRAMING, len(digits))
    ledger = ledger_of([form], [("pin", "0412", 1), ("pin", "7351", 0)])
    inserted, control = secretaudit.expose(model, canaries=ledger).found["canaries"]
    assert inserted["exposure_bits"] == pytest.approx(math.log2(10_000))
    assert control["exposure_bits"] < math.log2(10_000) - 1


def test_unknown_words_of_the_corpus_are_counted_as_unknown() -> None:
    """A word tokenizer reads rare words of training text as <unk>, and canaries still may not have any."""
    words = VocabularyView(["<sep>", "the", "cat", None], kind="words", unknown=3)
    model = train_ngram(["the dog", "the cat", "the emu"], words, FRAMING, 4, order=1)
    assert model.score([[0, 1, 3]])[0] < model.score([[0, 1, 2]])[0]
    with pytest.raises(ModelError, match="one of a text's words"):
        words.encode(["the dog"])


def test_a_generator_of_records_is_read_once_and_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records may come from a stream, and how many are encoded at a time changes nothing."""
    record = [[0, 1, 2, 2, 1, 0]]
    whole = train().score(record)
    monkeypatch.setattr("secretaudit.models.ngram.language_model._RECORDS_AT_A_TIME", 3)
    assert train(record for record in CORPUS).score(record) == pytest.approx(whole)  # type: ignore[arg-type]


@pytest.mark.parametrize("records", [[], [""]])
def test_a_corpus_with_nothing_to_count_is_refused(records: list[str]) -> None:
    """No model is made up from nothing."""
    with pytest.raises(UsageError, match="nothing to count"):
        train(records, framing=Framing(before=(0,)))


def test_an_order_below_one_is_refused() -> None:
    """n is at least 1."""
    with pytest.raises(UsageError, match="order must be at least 1, got 0"):
        train(order=0)
