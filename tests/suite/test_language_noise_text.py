"""Noise made of text."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from secretaudit.errors import CorpusError, UsageError
from secretaudit.suite.language.noise_text import noisy_lines, unigram_bits, unit_entropy_bits

LINES = tuple(f"line {i} of some text with the words a{i % 7} and b{i % 3}" for i in range(200))


@pytest.mark.parametrize("unit", ["character", "word"])
def test_shuffled_lines_keep_their_own_units(unit: str) -> None:
    """Each line is an anagram of itself, and hardly any stays as it was."""
    made = noisy_lines(LINES, "shuffled", unit, 1.0, np.random.default_rng(0))
    parts = list if unit == "character" else str.split
    assert [Counter(parts(a)) for a in made] == [Counter(parts(b)) for b in LINES]
    assert sum(a == b for a, b in zip(made, LINES, strict=True)) < 5


@pytest.mark.parametrize("unit", ["character", "word"])
def test_drawn_tokens_keep_lengths_and_follow_the_unigram_distribution(unit: str) -> None:
    """Frequencies of units stay within four standard errors of those of the text."""
    made = noisy_lines(LINES, "tokens", unit, 1.0, np.random.default_rng(1))
    parts = list if unit == "character" else str.split
    assert [len(parts(a)) for a in made] == [len(parts(b)) for b in LINES]
    before = Counter(u for line in LINES for u in parts(line))
    after = Counter(u for line in made for u in parts(line))
    total = sum(before.values())
    for unit_, count in before.most_common(8):
        p = count / total
        assert abs(after[unit_] / total - p) < 4 * (p * (1 - p) / total) ** 0.5


def test_drawn_tokens_do_not_depend_on_what_stood_before() -> None:
    """Pairs of neighbours are as frequent as chance says, which those of the text are not."""
    made = noisy_lines(LINES, "tokens", "character", 1.0, np.random.default_rng(2))
    text = "".join(made)
    pairs = Counter(a + b for line in made for a, b in pairwise(line))
    p = text.count("e") / len(text) * text.count("x") / len(text)
    n = sum(pairs.values())
    assert abs(pairs["ex"] / n - p) < 4 * (p / n) ** 0.5
    assert sum(line.count("ex") for line in LINES) == 200


def test_a_share_of_the_lines_is_noise_and_the_rest_stays() -> None:
    """A quarter of 200 lines is 50."""
    made = noisy_lines(LINES, "tokens", "character", 0.25, np.random.default_rng(3))
    assert sum(a != b for a, b in zip(made, LINES, strict=True)) == 50
    assert noisy_lines(LINES, "tokens", "word", 0.0, np.random.default_rng(3)) == LINES


def test_the_same_seed_gives_the_same_noise() -> None:
    """And another seed another."""
    first, again, other = (
        noisy_lines(LINES, "tokens", "word", 0.5, np.random.default_rng(s)) for s in (4, 4, 5)
    )
    assert first == again
    assert first != other


def test_white_space_stays_where_words_are_noise() -> None:
    """Only the words change."""
    made = noisy_lines(["a  b\tc ", " dd e"], "tokens", "word", 1.0, np.random.default_rng(0))
    assert [len(line.split()) for line in made] == [3, 2]
    assert made[0].endswith(" ")
    assert "\t" in made[0]
    assert made[1].startswith(" ")


def test_entropy_of_units() -> None:
    """Four equally frequent words have two bits; the entropy of 3/4 and 1/4 is known."""
    assert unit_entropy_bits(["one two three four"], "word") == pytest.approx(2.0)
    assert unit_entropy_bits(["aaab"], "character") == pytest.approx(2 - 0.75 * np.log2(3))


@pytest.mark.parametrize(
    ("kind", "unit", "fraction", "said"),
    [
        ("noise", "word", 1.0, "kind must be one of tokens, shuffled"),
        ("tokens", "sentence", 1.0, "unit must be one of character, word"),
        ("tokens", "word", 1.5, "fraction must be above 0 and at most 1"),
    ],
)
def test_what_is_not_known_is_refused(kind: str, unit: str, fraction: float, said: str) -> None:
    """By name."""
    with pytest.raises(UsageError, match=said):
        noisy_lines(LINES, kind, unit, fraction, np.random.default_rng(0))


def test_units_without_a_price_are_refused() -> None:
    """A character that the other text lacks would cost infinitely much."""
    with pytest.raises(CorpusError, match="does not stand in the text it is priced by"):
        unigram_bits(["abz"], ["ab"], "character")


def test_text_without_words_is_refused() -> None:
    """There is nothing to draw from."""
    with pytest.raises(CorpusError, match="nothing to make noise of"):
        noisy_lines(["  ", " "], "tokens", "word", 1.0, np.random.default_rng(0))
