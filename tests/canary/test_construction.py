"""Sequences, alternatives, layers and differences, against sets made by itertools."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secretaudit.canary import construction
from secretaudit.canary.automaton import Automaton
from secretaudit.canary.construction import (
    Layer,
    alternatives,
    characters,
    concatenate,
    difference,
    grouped,
    intersect,
    layered,
    literal,
    minimize,
    words,
)
from secretaudit.errors import FormatError

LANGUAGE = st.sets(st.text(alphabet="ab-", max_size=4), min_size=1, max_size=8)


def strings(automaton: Automaton) -> list[str]:
    return automaton.unrank_many(range(automaton.size))


@given(st.lists(LANGUAGE, min_size=1, max_size=3))
def test_a_sequence_counts_each_string_once(parts: list[set[str]]) -> None:
    """However many ways there are to split it."""
    expected = {"".join(choice) for choice in itertools.product(*parts)}
    assert strings(concatenate(*map(words, parts))) == sorted(expected)


@given(st.lists(LANGUAGE, min_size=1, max_size=3))
def test_alternatives_are_the_union(parts: list[set[str]]) -> None:
    """A string that two alternatives have counts once."""
    assert strings(alternatives(*map(words, parts))) == sorted(set().union(*parts))


@given(LANGUAGE, LANGUAGE)
def test_intersection_is_what_both_accept(left: set[str], right: set[str]) -> None:
    """An empty intersection is refused, any other is exact."""
    if left & right:
        assert strings(intersect(words(left), words(right))) == sorted(left & right)
    else:
        with pytest.raises(FormatError, match="no text at all"):
            intersect(words(left), words(right))


@given(LANGUAGE, LANGUAGE)
def test_difference_is_what_only_the_first_accepts(left: set[str], right: set[str]) -> None:
    """An empty difference is refused, any other is exact."""
    if left - right:
        assert strings(difference(words(left), words(right))) == sorted(left - right)
    else:
        with pytest.raises(FormatError, match="no text at all"):
            difference(words(left), words(right))


@pytest.mark.parametrize(("low", "high"), [(0, 2), (1, 1), (2, 3)])
def test_characters_are_all_strings_of_the_lengths(low: int, high: int) -> None:
    """Repeated characters in the set do not count twice."""
    expected = [
        "".join(c) for n in range(low, high + 1) for c in itertools.product("xyz", repeat=n)
    ]
    assert strings(characters("zxyx", low, high)) == sorted(expected)


def test_impossible_classes_are_refused() -> None:
    """No characters, or lengths in descending order."""
    for chars, low, high in (("", 1, 1), ("a", 3, 2), ("a", -1, 2)):
        with pytest.raises(FormatError, match="is not possible"):
            characters(chars, low, high)


def test_word_lists_share_their_endings() -> None:
    """Equal futures are one state: no two states accept the same continuations."""
    automaton = words(["walking", "talking", "stalking", "walked", "talked"])
    futures = set()
    for state in range(automaton.states):
        pending, found = [(state, "")], []
        while pending:
            here, text = pending.pop()
            if automaton.accepting[here]:
                found.append(text)
            pending.extend((t, text + chr(s)) for s, t in automaton.children(here))
        futures.add(frozenset(found))
    assert len(futures) == automaton.states
    assert minimize(automaton) is automaton


def test_words_with_separators_stay_deterministic_without_subsets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A word that begins another is no obstacle when a separator follows."""

    def refuse(*_: object) -> None:
        raise AssertionError("the subset construction was used")

    monkeypatch.setattr(construction, "_determinize", refuse)
    vocabulary = words(["a", "ab", "abc"])
    assert concatenate(vocabulary, literal(" "), vocabulary).size == 9


def test_too_many_readings_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The subset construction stops before memory is full, and says what to do."""
    monkeypatch.setattr(construction, "_MOST_SUBSETS", 10)
    with pytest.raises(FormatError, match="run into each other") as caught:
        concatenate(characters("ab", 1, 6), characters("abc", 1, 6))
    assert "separator" in caught.value.way_out


def test_layers_keep_a_running_state() -> None:
    """Three binary digits with an even number of ones."""
    step = np.array([[0, 1], [1, 0]])
    layers = [Layer(symbols="01", next_state=step[:1]), *[Layer(symbols="01", next_state=step)] * 2]
    assert strings(layered(layers, np.array([True, False]))) == ["000", "011", "101", "110"]


@given(st.sets(st.text(alphabet="012", min_size=5, max_size=5), min_size=1, max_size=12))
def test_grouping_inserts_separators_at_fixed_places(numbers: set[str]) -> None:
    """2-2-1, in the same order as before."""
    expected = [f"{number[:2]} {number[2:4]} {number[4:]}" for number in sorted(numbers)]
    assert strings(grouped(words(numbers), (2, 2, 1), " ")) == expected
    assert strings(grouped(words(numbers), (2, 2, 1), "")) == sorted(numbers)


def test_grouping_needs_one_length() -> None:
    """Strings of several lengths, or groups that do not add up."""
    for automaton, groups in ((words(["12", "123"]), (2, 1)), (words(["123"]), (2, 2))):
        with pytest.raises(ValueError, match="groups must add up"):
            grouped(automaton, groups, " ")


def test_a_sequence_of_nothing_is_the_empty_string() -> None:
    """The neutral element."""
    assert strings(concatenate()) == [""]
    assert strings(concatenate(literal(""), literal("ab"), literal(""))) == ["ab"]


def test_ten_thousand_words_eight_times_is_a_small_machine() -> None:
    """Scale: 10**32 secrets, states in proportion to the list."""
    rng = np.random.default_rng(0)
    letters = rng.integers(97, 123, (10_000, 9))
    vocabulary = {
        bytes(row[: 3 + number % 7].tolist()).decode() for number, row in enumerate(letters)
    }
    word = words(vocabulary)
    automaton = concatenate(*[word, literal(" ")] * 7, word)
    assert automaton.size == len(vocabulary) ** 8
    assert automaton.states <= 8 * (word.states + 1)
    drawn = automaton.sample(20, rng)
    assert all(set(text.split(" ")) <= vocabulary for text in drawn)
