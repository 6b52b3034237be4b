"""Patterns whose digits must pass the Luhn check, held against python-stdnum and plain listing."""

from __future__ import annotations

import re

import numpy as np
import pytest
from stdnum import luhn

from secretaudit.canary.format import Format, parse_format, searched_format
from secretaudit.errors import FormatError


def listed(pattern: str, alphabet: str, longest: int) -> set[str]:
    """Every string over the alphabet that matches and whose digits pass, by trying all."""
    found, layer = set(), [""]
    for _ in range(longest + 1):
        for text in layer:
            digits = re.sub(r"\D", "", text)
            if digits and luhn.is_valid(digits) and re.fullmatch(pattern, text):
                found.add(text)
        layer = [text + symbol for text in layer for symbol in alphabet]
    return found


@pytest.mark.parametrize(
    ("pattern", "alphabet", "longest"),
    [
        (r"\d{1,4}", "0123456789", 4),
        (r"\d{2}-?\d{1,2}", "0123456789-", 5),
        (r"a?\d{2}b?", "0123456789ab", 4),
    ],
)
def test_secrets_are_those_that_match_and_pass(pattern: str, alphabet: str, longest: int) -> None:
    """Whatever stands between the digits, and whatever their number."""
    form = searched_format("x ", pattern, luhn=True)
    found = form.automaton.unrank_many(np.arange(form.size))
    assert len(found) == form.size
    assert set(found) == listed(pattern, alphabet, longest)


def test_a_card_pattern_has_a_tenth_of_all_numbers() -> None:
    """The check digit is determined by the others: 10^16 / 10, each draw valid."""
    form = searched_format("my card number is ", r"(\d{4} ){3}\d{4}", luhn=True)
    assert form.size == 10**15
    drawn = form.sample(500, np.random.default_rng(0))
    assert all(luhn.is_valid(secret.replace(" ", "")) for secret in drawn)


def test_it_is_a_hole_like_any_other() -> None:
    """It may stand in a template, and survives the way through a ledger."""
    form = parse_format("id {regex-luhn:\\d{3},\\d{2}} of {digits:1}")
    assert form.size == 10**4 * 10
    again = Format.from_dict(form.to_dict())
    assert again.size == form.size
    assert again.contains(form.sample(1, np.random.default_rng(1))[0])


def test_braces_in_the_prefix_are_text() -> None:
    """A prefix is literal, whatever it holds."""
    form = searched_format("{card}: ", "[ab]{2}")
    assert form.prefix == "{card}: "
    assert form.render("ab") == "{card}: ab"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [(r"\d+", "infinitely many"), ("[a-f]{4}", "matches no text"), ("", "holds no pattern")],
)
def test_what_cannot_be_searched_is_refused(pattern: str, message: str) -> None:
    """No digits, no end, no pattern."""
    with pytest.raises(FormatError, match=message):
        searched_format("x ", pattern, luhn=True)


@pytest.mark.parametrize("pattern", [r"\d{5000}", r"(\d{50}){50}x"])
def test_patterns_that_would_take_minutes_are_refused_at_once(pattern: str) -> None:
    """What can be told from the counts alone is told before anything is built."""
    with pytest.raises(FormatError, match="too long"):
        searched_format("x ", pattern)
