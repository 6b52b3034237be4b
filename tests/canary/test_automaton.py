"""Counting, ranking and drawing, against languages that are simply listed."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from secretaudit.canary.automaton import Automaton, from_edges
from secretaudit.canary.construction import alternatives, characters, concatenate, literal, words
from secretaudit.errors import FormatError

LANGUAGES = st.sets(st.text(alphabet="abé😀", max_size=5), min_size=1, max_size=25)


def listed(automaton: Automaton) -> list[str]:
    """All strings, by walking the edges only."""
    found: list[str] = []
    pending = [(0, "")]
    while pending:
        state, text = pending.pop()
        if automaton.accepting[state]:
            found.append(text)
        pending.extend((target, text + chr(symbol)) for symbol, target in automaton.children(state))
    return sorted(found)


@given(LANGUAGES)
def test_size_and_order_equal_the_sorted_list(language: set[str]) -> None:
    """Index i is the i-th string of the sorted language, and back."""
    automaton = words(language)
    expected = sorted(language)
    assert automaton.size == len(expected)
    assert automaton.unrank_many(range(automaton.size)) == expected
    assert [automaton.rank(text) for text in expected] == list(range(len(expected)))
    assert [automaton.unrank(index) for index in range(len(expected))] == expected


@given(LANGUAGES, st.text(alphabet="abé😀", max_size=6))
def test_membership_is_membership_in_the_list(language: set[str], text: str) -> None:
    """Nothing but the listed strings is accepted."""
    assert words(language).accepts(text) == (text in language)


@given(LANGUAGES)
def test_the_table_keeps_its_promises(language: set[str]) -> None:
    """Edges ascend within a state and point forwards; every state leads to an accepted string."""
    automaton = words(language)
    for state in range(automaton.states):
        symbols = [symbol for symbol, _ in automaton.children(state)]
        assert symbols == sorted(set(symbols))
        assert all(target > state for _, target in automaton.children(state))
    assert min(automaton.completions) >= 1
    assert automaton.completions[0] == len(language)
    assert automaton.longest == max(map(len, language))
    is_prefix_free = not any(a != b and b.startswith(a) for a in language for b in language)
    assert automaton.is_prefix_free == is_prefix_free


@given(LANGUAGES)
def test_bytes_spell_the_same_strings_in_utf8(language: set[str]) -> None:
    """The byte machine accepts exactly the UTF-8 encodings."""
    over_bytes = words(language).over_bytes()
    spelled = [text.encode("latin-1") for text in listed(over_bytes)]
    assert sorted(spelled) == sorted(text.encode("utf-8") for text in language)


def test_ascii_machines_are_their_own_byte_machines() -> None:
    """Nothing is copied when every character is one byte."""
    automaton = characters("0123456789", 9)
    assert automaton.over_bytes() is automaton


@pytest.mark.parametrize("digits", [9, 18, 19, 25, 60])
def test_places_in_large_spaces_are_exact(digits: int) -> None:
    """A string of digits has its own number as its place, on both sides of 2**63."""
    automaton = characters("0123456789", digits)
    assert automaton.size == 10**digits
    places = [0, 1, 10**digits // 3, 2**62 % 10**digits, 10**digits - 1]
    assert automaton.unrank_many(places) == [f"{place:0{digits}}" for place in places]
    assert [automaton.rank(f"{place:0{digits}}") for place in places] == places


def test_uneven_spaces_beyond_2_to_63_round_trip() -> None:
    """Words of unequal length in a row: place → string → place, with exact integers."""
    vocabulary = words([f"{number}" for number in range(1, 3000)])
    automaton = concatenate(*[vocabulary, literal(" ")] * 7, vocabulary)
    assert automaton.size == 2999**8
    places = [0, 12345, 2**63 - 1, 2**63, automaton.size // 7, automaton.size - 1]
    drawn = automaton.unrank_many(places)
    assert [automaton.rank(text) for text in drawn] == places
    assert all(all(1 <= int(word) < 3000 for word in text.split(" ")) for text in drawn)


@pytest.mark.parametrize("size", [5, 40, 625])
def test_a_full_draw_is_the_whole_language(size: int) -> None:
    """Drawing |R| distinct strings gives each once, not in sorted order."""
    automaton = words(f"{number}" for number in range(size))
    drawn = automaton.sample(size, np.random.default_rng(3))
    assert sorted(drawn) == sorted(f"{number}" for number in range(size))
    assert drawn != sorted(drawn)


def mixed_lengths() -> Automaton:
    """60 strings: uneven branches, strings that begin others, and one merged reading."""
    return alternatives(
        characters("ab", 0, 4), concatenate(words(["a", "ab"]), characters("xyz", 2))
    )


@pytest.mark.parametrize("distinct", [True, False])
def test_draws_are_uniform(distinct: bool) -> None:
    """Chi-square over all strings, 400 draws of 20."""
    automaton = mixed_lengths()
    rng = np.random.default_rng(7)
    counts = dict.fromkeys(listed(automaton), 0)
    for _ in range(400):
        for text in automaton.sample(20, rng, distinct):
            counts[text] += 1
    assert stats.chisquare(list(counts.values())).pvalue > 0.001


def test_the_first_draw_is_as_uniform_as_the_last() -> None:
    """No place of a distinct sample prefers any string (traps: sorted, then cut)."""
    automaton = words("abcdefgh")
    rng = np.random.default_rng(11)
    samples = [automaton.sample(6, rng) for _ in range(1600)]
    for place in (0, 5):
        counts = [sum(sample[place] == letter for sample in samples) for letter in "abcdefgh"]
        assert stats.chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize("letters", [5, 10])
def test_no_part_of_the_space_is_starved_by_a_large_draw(letters: int) -> None:
    """65,596 of 10**5 or 10**10 strings: every first letter has its tenth.

    Dropping repeats by a sorting unique and cutting to the number asked for starves the last
    letters.
    """
    automaton = characters("ABCDEFGHIJ", letters)
    drawn = automaton.sample(65_596, np.random.default_rng(1))
    assert len(set(drawn)) == 65_596
    counts = [sum(text[0] == letter for text in drawn) for letter in "ABCDEFGHIJ"]
    assert stats.chisquare(counts).pvalue > 0.001


def test_repeats_are_dropped_in_the_order_of_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The path for spaces that NumPy cannot list is as uniform as the other."""
    monkeypatch.setattr("secretaudit.canary._indices._DENSE_CHOICE", 0)
    automaton = characters("0123456789", 3)
    counts = np.zeros(1000)
    rng = np.random.default_rng(5)
    for _ in range(200):
        drawn = automaton.sample(450, rng)
        assert len(set(drawn)) == 450
        counts[[int(text) for text in drawn]] += 1
    spread = 200 * 0.45 * 0.55
    assert stats.kstest((counts - 90) / np.sqrt(spread), "norm").pvalue > 0.001
    assert abs(np.mean(counts[:500]) - np.mean(counts[500:])) < 1.5


def test_large_spaces_are_drawn_over_their_whole_width() -> None:
    """40 hexadecimal digits (2**160): each digit of each place comes up evenly."""
    automaton = characters("0123456789abcdef", 40)
    drawn = automaton.sample(2000, np.random.default_rng(9))
    for place in (0, 1, 17, 39):
        counts = [sum(text[place] == digit for text in drawn) for digit in "0123456789abcdef"]
        assert stats.chisquare(counts).pvalue > 0.001


def test_draws_depend_on_the_generator_only() -> None:
    """The same seed gives the same strings, another seed others, and global state plays no part."""
    automaton = characters("0123456789", 9)
    np.random.seed(0)  # noqa: NPY002  to show that the global generator has no influence
    first = automaton.sample(5, np.random.default_rng(1))
    np.random.seed(1)  # noqa: NPY002  as above
    assert automaton.sample(5, np.random.default_rng(1)) == first
    assert automaton.sample(5, np.random.default_rng(2)) != first


def test_batches_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unranking in batches gives what unranking at once gives."""
    monkeypatch.setattr("secretaudit.canary.automaton._BATCH", 7)
    automaton = mixed_lengths()
    assert automaton.unrank_many(np.arange(automaton.size)) == listed(automaton)


def test_impossible_requests_are_refused() -> None:
    """Too many distinct strings, indices outside, strings that are not accepted."""
    automaton = words(["a", "b"])
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"n must lie in 0 … 2 .*, got 3"):
        automaton.sample(3, rng)
    for index in (-1, 2):
        with pytest.raises(ValueError, match=r"indices must lie in 0 … 1"):
            automaton.unrank(index)
    with pytest.raises(ValueError, match="text must be one of") as caught:
        automaton.rank("hunter2")
    assert "hunter2" not in str(caught.value)
    assert automaton.sample(0, rng) == []
    assert automaton.unrank_many([]) == []


def test_states_on_no_accepted_path_are_dropped() -> None:
    """A dead end, a loop that leads nowhere and an unreachable state do not count."""
    automaton = from_edges(
        [0, 0, 0, 2, 3, 5], [97, 98, 99, 120, 120, 97], [1, 2, 3, 2, 4, 1], [0, 1, 0, 0, 0, 0]
    )
    assert (automaton.states, listed(automaton)) == (2, ["a"])


def test_infinite_empty_and_ambiguous_tables_are_refused() -> None:
    """A loop on an accepted path, no accepted path, two edges with one symbol."""
    with pytest.raises(FormatError, match="infinitely many"):
        from_edges([0, 1], [97, 98], [1, 0], [False, True])
    with pytest.raises(FormatError, match="no text at all"):
        from_edges([0], [97], [1], [False, False])
    with pytest.raises(ValueError, match="two edges of one state"):
        from_edges([0, 0, 1], [97, 97, 98], [1, 2, 2], [False, True, True])


@settings(max_examples=40)
@given(
    st.lists(
        st.sets(st.text(alphabet="ab", max_size=3), min_size=1, max_size=4), min_size=1, max_size=3
    )
)
def test_completions_count_what_follows(parts: list[set[str]]) -> None:
    """N(s) of every state equals the number of strings found by walking from it."""
    automaton = concatenate(*map(words, parts))
    language = {"".join(choice) for choice in itertools.product(*parts)}
    assert listed(automaton) == sorted(language)
    walked = [0] * automaton.states
    for state in range(automaton.states - 1, -1, -1):
        below = sum(walked[target] for _, target in automaton.children(state))
        walked[state] = int(automaton.accepting[state]) + below
    assert automaton.completions == walked
