"""Templates: literals, holes, braces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secretaudit.canary.template import Hole, parse_template
from secretaudit.errors import FormatError


def holes(template: str) -> list[Hole]:
    return [part for part in parse_template(template) if isinstance(part, Hole)]


def test_a_regex_hole_may_contain_braces() -> None:
    """Counts are balanced braces; an escaped brace does not count."""
    parts = parse_template(r"id {regex:[A-Z]{2}\d{6}} and {regex:\{\d\}}.")
    assert [part if isinstance(part, str) else part.argument for part in parts] == [
        "id ", r"[A-Z]{2}\d{6}", " and ", r"\{\d\}", "."
    ]  # fmt: skip


def test_doubled_braces_are_literal() -> None:
    """At either side of a hole too."""
    assert parse_template("{{a}} {{{digits:2}}}")[0] == "{a} {"
    assert parse_template("{{a}} {{{digits:2}}}")[2] == "}"
    assert parse_template("{{digits:2}}") == ("{digits:2}",)


def test_arguments_are_values_and_options() -> None:
    """Commas divide; a space in an option's value is kept; a regex is taken whole."""
    (hole,) = holes("{words:4,list=names.txt,separator= }")
    assert (hole.kind, hole.values) == ("words", ("4",))
    assert hole.options == {"list": "names.txt", "separator": " "}
    (pattern,) = holes("{regex:a{1,2}=b,c}")
    assert (pattern.values, pattern.options) == (("a{1,2}=b,c",), {})


@given(st.text(max_size=30))
def test_escaped_text_comes_back_as_one_literal(text: str) -> None:
    """Doubling every brace makes any text a literal."""
    escaped = text.replace("{", "{{").replace("}", "}}")
    assert "".join(map(str, parse_template(escaped))) == text


@given(st.text(alphabet="{}ab:", max_size=12))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """Never another exception; what was parsed can be written again."""
    try:
        parts = parse_template(text)
    except FormatError:
        return
    again = [
        p.written if isinstance(p, Hole) else p.replace("{", "{{").replace("}", "}}") for p in parts
    ]
    assert [p if isinstance(p, str) else p.written for p in parse_template("".join(again))] == [
        p if isinstance(p, str) else p.written for p in parts
    ]


@pytest.mark.parametrize(("template", "place"), [("pin {digits:4", 5), ("pin }", 5), ("{a}}b", 4)])
def test_lonely_braces_are_refused_with_their_place(template: str, place: int) -> None:
    """The template itself is not repeated."""
    with pytest.raises(FormatError, match=f"unbalanced brace at character {place} of"):
        parse_template(template)


def test_a_hole_shows_as_it_was_written() -> None:
    """For error messages."""
    assert [hole.written for hole in holes("{digits:4-8}{ipv4}")] == ["{digits:4-8}", "{ipv4}"]
