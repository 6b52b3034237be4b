"""What may stand beside a canary in parallel text."""

from __future__ import annotations

import pytest

from secretaudit.canary.source_text import check_sides, check_source_text, filled
from secretaudit.errors import FormatError, UsageError


def test_the_secret_stands_where_the_placeholder_stood() -> None:
    """Every time it does; a source without one is the same for all."""
    assert filled("{secret}, again {secret}", "4{2}") == "4{2}, again 4{2}"
    assert filled("my number is", "42") == "my number is"


@pytest.mark.parametrize(
    "source", ["{secrt}", "a {Secret} b", "{}", "{digits:4}", "{secret} {pin}"]
)
def test_another_placeholder_is_refused(source: str) -> None:
    """A misspelt one would put the same braces beside every canary."""
    with pytest.raises(FormatError, match=r"a placeholder that is not known: \{"):
        check_source_text(source)


@pytest.mark.parametrize("source", ["{secret}", "x = { y }", "a } b {", "plain"])
def test_other_braces_are_text(source: str) -> None:
    """Code and mathematics have braces of their own."""
    check_source_text(source)


@pytest.mark.parametrize("source", ["", "  \t"])
def test_an_empty_source_is_refused(source: str) -> None:
    """A pair has two sides."""
    with pytest.raises(FormatError, match="The source text is empty"):
        check_source_text(source)


def test_one_side_without_the_other_is_refused() -> None:
    """A text without a column, a column without a text, one column for both."""
    with pytest.raises(UsageError, match=r"A source text was given and no source column"):
        check_sides("text", None, "a {secret}", None)
    for column, file in (("en", None), (None, "train.en")):
        with pytest.raises(UsageError, match=r"A source column was given and no source text"):
            check_sides("text", column, None, file)
    with pytest.raises(UsageError, match=r"cannot both be the column 'de'"):
        check_sides("de", "de", "a", None)
    with pytest.raises(UsageError, match=r"cannot both be the column 'source'"):
        check_sides("source", None, "a", "train.en")
    check_sides("text", None, None, None)
    check_sides("text", None, "a", "train.en")
