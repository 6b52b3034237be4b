"""Regular expressions against Python's own, on everything up to a length."""

import itertools
import re
import subprocess
import sys

import pytest

from secretaudit.canary.regex import PRINTABLE, regular_expression
from secretaudit.errors import FormatError


@pytest.mark.parametrize(
    "pattern",
    [
        "[ab]{2}c?",
        "a|bc|ca",
        "(ab|a)(b|c){0,2}",
        "[^abc]",
        "(a{1,2}){2}",
        "a?b?c?",
        "\\x61b",
        "[a-b]c|ab",
    ],
)
def test_the_language_is_what_python_matches(pattern: str) -> None:
    """All strings of up to four characters over a, b, c and d."""
    automaton = regular_expression(pattern)
    for length in range(5):
        for letters in itertools.product("abcd", repeat=length):
            text = "".join(letters)
            assert automaton.accepts(text) == bool(re.fullmatch(pattern, text)), text


@pytest.mark.parametrize(
    "pattern",
    [r"[a\-^]", r"[$.]", r"[-a]", r"[a-]", r"[^-a]", r"[^^]", r"[]a]x|[+-/]", r"\.", r"\[\]", r"[\]\[]", r"\\", r"[\\]", r"a\{1\}",
     r"[(|)*+?{}]", r"#|@|~|\/|,|:|-", r"[\d_]", r"\w", r"[!-/]", r"\^\$", r"[\]$^]"],
)  # fmt: skip
def test_punctuation_means_what_it_means_in_python(pattern: str) -> None:
    """Escapes and classes, on all printable strings of one and two characters."""
    automaton = regular_expression(pattern)
    singles = [*PRINTABLE, *("".join(pair) for pair in itertools.product(PRINTABLE, repeat=2))]
    expected = [text for text in singles if re.fullmatch(pattern, text)]
    assert sorted(expected) == [
        text for text in automaton.unrank_many(range(automaton.size)) if len(text) < 3
    ]


def test_open_classes_range_over_printable_ascii() -> None:
    """The dot and negated classes have a finite meaning."""
    assert "".join(regular_expression(".").unrank_many(range(95))) == PRINTABLE
    assert regular_expression("[^0-9]").size == 95 - 10
    assert regular_expression("[é-ê]").unrank_many([0, 1]) == ["é", "ê"]


@pytest.mark.parametrize("pattern", ["a*", "a+b", "[0-9]{3,}", "(ab)*c"])
def test_unbounded_patterns_are_refused(pattern: str) -> None:
    """There is no rank in an infinite set."""
    with pytest.raises(FormatError, match="infinitely many") as caught:
        regular_expression(pattern)
    assert "bounded" in caught.value.way_out


@pytest.mark.parametrize(
    "pattern", ["(", "a)", "[b-a]", "[", "a{3,1}", "*", "(?<=a)b", "\\1", "\\bx"]
)
def test_malformed_patterns_are_refused(pattern: str) -> None:
    """Whatever the parser raises becomes one kind of error, with what is supported."""
    with pytest.raises(FormatError, match="cannot be read") as caught:
        regular_expression(pattern)
    assert "no look-around" in caught.value.why


def test_a_pattern_without_texts_is_refused() -> None:
    """It excludes every character."""
    with pytest.raises(FormatError, match="no text at all"):
        regular_expression("a[^ -~]")


@pytest.mark.parametrize("pattern", ["^[ab]$", "[ab]$", "a|^b"])
def test_anchors_are_refused_instead_of_read_as_characters(pattern: str) -> None:
    """The parser would take them for ordinary characters, which nobody means."""
    with pytest.raises(FormatError, match="has an anchor"):
        regular_expression(pattern)


def test_the_parser_is_loaded_only_when_a_pattern_is_read() -> None:
    """Formats without regular expressions do not pay for it."""
    code = (
        "import sys; from secretaudit.canary.format import parse_format; parse_format('{digits:3}'); "
        "print('greenery' in sys.modules, 'torch' in sys.modules, 'stdnum' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "False"]
