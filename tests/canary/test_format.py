"""Formats: the secret space of a template, and every refusal."""

import calendar
import datetime
import ipaddress
import itertools
import json
import math
import re
import uuid
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secretaudit.canary.format import Format, parse_format
from secretaudit.errors import FormatError

HOLES = st.sampled_from(
    [
        "{digits:1}",
        "{one-of:a|ab|b}",
        "{regex:[ab]{1,2}}",
        "{digits:0-1}",
        "{choice:pets}",
        "-",
        "{{",
        "a",
        "é",
    ]
)
PETS = ("cat", "dog", "a")


def secrets(found: Format) -> list[str]:
    return found.automaton.unrank_many(range(found.size))


@settings(max_examples=60)
@given(st.lists(HOLES, min_size=1, max_size=4))
def test_the_space_is_every_way_to_fill_the_holes_once(parts: list[str]) -> None:
    """Against a product of lists, from the first hole to the last."""
    digits = list("0123456789")
    fills = {
        "{digits:1}": digits,
        "{one-of:a|ab|b}": ["a", "ab", "b"],
        "{regex:[ab]{1,2}}": ["a", "b", "aa", "ab", "ba", "bb"],
        "{digits:0-1}": ["", *digits],
        "{choice:pets}": list(PETS),
        "{{": ["{"],
    }
    places = [number for number, part in enumerate(parts) if part in fills and part != "{{"]
    if not places:
        with pytest.raises(FormatError, match="has no hole"):
            Format("test", "".join(parts))
        return
    found = Format("test", "x " + "".join(parts) + " y", lists={"pets": PETS})
    inner = parts[places[0] : places[-1] + 1]
    expected = {"".join(fill) for fill in itertools.product(*(fills.get(p, [p]) for p in inner))}
    assert secrets(found) == sorted(expected)
    assert found.bits == pytest.approx(math.log2(len(expected)))
    texts = found.text_automaton().unrank_many(range(found.size))
    assert sorted(texts) == sorted(found.prefix + secret + found.suffix for secret in expected)
    for secret in expected:
        assert found.render(secret) in texts
        assert found.parse(found.render(secret)) == secret


def test_prefix_and_suffix_are_the_text_around_the_holes() -> None:
    """Literals between holes belong to the secret."""
    found = parse_format("id {digits:2}-{digits:2}!")
    assert (found.prefix, found.suffix, found.size) == ("id ", "!", 10_000)
    assert found.contains("12-34")
    assert parse_format("{digits:2}").prefix == parse_format("{digits:2}").suffix == ""


@pytest.mark.parametrize(
    "text", ["", "pin 12", "pin 1234 ", "PIN 1234", "pin 12345", "pin 12a4", "pin "]
)
def test_texts_of_another_format_have_no_secret(text: str) -> None:
    """None, never a part of the text."""
    assert parse_format("pin {digits:4}").parse(text) is None


def test_overlapping_prefix_and_suffix_are_not_counted_twice() -> None:
    """A text shorter than both together is not of the format."""
    found = parse_format("aa{regex:b?c?}aa")
    assert found.parse("aaa") is None
    assert found.parse("aaaa") == ""


def test_refusing_a_secret_does_not_show_it() -> None:
    """Error messages end up in logs."""
    with pytest.raises(FormatError, match="A secret of 7 characters does not belong") as caught:
        parse_format("pin {digits:4}").render("hunter2")
    assert "hunter2" not in str(caught.value)


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(["{digits:5}", "{ssn}", "{uuid4}", "{words:3}", "x{date}y"]), st.data())
def test_a_place_leads_to_a_text_and_back(template: str, data: st.DataObject) -> None:
    """Place → secret → text → secret → place."""
    found = parse_format(template)
    place = data.draw(st.integers(0, found.size - 1))
    text = found.render(found.automaton.unrank(place))
    secret = found.parse(text)
    assert secret is not None
    assert found.automaton.rank(secret) == place


def test_the_document_of_a_format_needs_no_other_file(tmp_path: Path) -> None:
    """Word lists travel with it; JSON gives it back."""
    (tmp_path / "pets.txt").write_text("cat\ndog\n\n cat \nméduse\n", encoding="utf-8")
    found = parse_format("my pet is {choice:pets.txt}", directory=tmp_path)
    assert secrets(found) == ["cat", "dog", "méduse"]
    document = json.loads(json.dumps(found.to_dict()))
    (tmp_path / "pets.txt").unlink()
    again = Format.from_dict(document)
    assert again == found
    assert secrets(again) == secrets(found)


@pytest.mark.parametrize(
    "document",
    [{}, {"name": "a"}, {"name": 1, "template": "{digits:2}"}, {"name": "a", "template": "{digits:2}", "lists": []},
     {"name": "a", "template": "{digits:2}", "lists": {"x": [1]}}],
)  # fmt: skip
def test_damaged_documents_are_refused(document: dict[str, object]) -> None:
    """Missing parts and wrong types."""
    with pytest.raises(FormatError, match="damaged"):
        Format.from_dict(document)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("my pin", "no format named"),
        ("{{digits:4}}", "has no hole"),
        ("pin {digits:4", "unbalanced brace"),
        ("pin {digit:4}", "no kind of hole named 'digit'"),
        ("{digits:0}", "is not possible"),
        ("{digits:9-3}", "is not possible"),
        ("{digits:four}", "is not possible"),
        ("{digits:4,5}", "is not possible"),
        ("{digits:4,color=red}", "is not possible"),
        ("{regex:}", "is not possible"),
        ("{regex:ab}", "has 1 secret"),
        ("{one-of:red}", "has 1 secret"),
        ("{one-of:}", "is not possible"),
        ("{regex:[ab]*}", "infinitely many"),
        ("{regex:(}", "cannot be read"),
        ("{choice}", "is not possible"),
        ("{choice:missing.txt}", "cannot be read"),
        ("{words:4,list=missing.txt}", "cannot be read"),
        ("{words:2-3}", "is not possible"),
        ("{luhn:1}", "is not possible"),
        ("{iban:XX}", "is not possible"),
        ("{credit-card:bank}", "is not possible"),
        ("{ssn:spaced,plain}", "is not possible"),
        ("{ssn:pretty}", "is not possible"),
        ("{date:2000}", "is not possible"),
        ("{date:2000-1990}", "is not possible"),
        ("{date:1000-3000}", "is not possible"),
        ("{date:1990-2000,pattern=YYYY-MM}", "is not possible"),
        ("{email:domains=|}", "is not possible"),
        ("{regex:a\\sb|c}", "line break"),
        ("a\nb {digits:2}", "line break"),
    ],
)
def test_impossible_formats_are_refused(template: str, message: str) -> None:
    """Each with what, why and a way out."""
    with pytest.raises(FormatError, match=message) as caught:
        parse_format(template)
    assert all(
        line and "\n" not in line
        for line in (caught.value.what, caught.value.why, caught.value.way_out)
    )


def test_unknown_names_get_the_nearest_suggestion() -> None:
    """For formats and for holes."""
    with pytest.raises(FormatError) as caught:
        parse_format("credit-crad")
    assert "credit-card" in caught.value.way_out
    with pytest.raises(FormatError) as caught:
        parse_format("{digts:4}")
    assert "digits" in caught.value.way_out


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe\x00"])
def test_unusable_word_lists_are_refused(tmp_path: Path, content: bytes) -> None:
    """Empty, blank, and not UTF-8."""
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(FormatError, match=r"is empty|is not UTF-8"):
        parse_format("{choice:list.txt}", directory=tmp_path)


def test_asking_for_more_secrets_than_there_are_is_refused() -> None:
    """|R| distinct secrets can be drawn, one more cannot."""
    found = parse_format("{digits:1}")
    assert sorted(found.sample(10, np.random.default_rng(0))) == list("0123456789")
    with pytest.raises(FormatError, match=r"11 distinct secrets .*") as caught:
        found.sample(11, np.random.default_rng(0))
    assert "only 10" in caught.value.why


@pytest.mark.parametrize("name", ["", "a b", "../x", "x" * 65, "-x"])
def test_names_that_cannot_be_ids_are_refused(name: str) -> None:
    """They become parts of ids and file names."""
    with pytest.raises(FormatError, match="name must be"):
        Format(name, "{digits:4}")


def test_inline_templates_have_stable_distinct_names() -> None:
    """The same template has the same name, a slightly different one another."""
    names = [
        parse_format(t).name
        for t in ("pin {digits:4}", "pin {digits:4}", "PIN {digits:4}", "é{digits:4}")
    ]
    assert names[0] == names[1]
    assert len(set(names)) == 3


def test_a_toml_file_is_a_format(tmp_path: Path) -> None:
    """Named after the file; its word lists lie beside it."""
    (tmp_path / "badge.toml").write_text('template = "badge {choice:colours.txt}-{digits:2}"\n')
    (tmp_path / "colours.txt").write_text("red\nblue\n")
    found = parse_format(str(tmp_path / "badge.toml"))
    assert (found.name, found.size) == ("badge", 200)
    assert parse_format("badge.toml", directory=tmp_path) == found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("template = ", "is not TOML"),
        ('description = "x"', "is not a format"),
        ('template = "{digits:4}"\ncolour = "red"', "is not a format"),
        ("template = 4", "is not a format"),
        ('template = "no hole"', "has no hole"),
    ],
)
def test_toml_files_that_are_no_format_are_refused(
    tmp_path: Path, content: str, message: str
) -> None:
    """With the file's name."""
    (tmp_path / "mine.toml").write_text(content)
    with pytest.raises(FormatError, match=message) as caught:
        parse_format("mine.toml", directory=tmp_path)
    assert "mine" in caught.value.what


def test_a_missing_toml_file_is_refused(tmp_path: Path) -> None:
    """With its path."""
    with pytest.raises(FormatError, match=r"none\.toml' cannot be read"):
        parse_format("none.toml", directory=tmp_path)


def test_dates_are_the_days_of_the_calendar() -> None:
    """Every day from 1896 to 1904, with and without a leap day in 1900."""
    days = [datetime.date(1896, 1, 1) + datetime.timedelta(days=n) for n in range(3287)]
    assert days[-1] == datetime.date(1904, 12, 31)
    assert secrets(parse_format("{date:1896-1904}")) == [day.isoformat() for day in days]
    american = parse_format("{date:1896-1904,pattern=MM/DD/YYYY}")
    assert set(secrets(american)) == {day.strftime("%m/%d/%Y") for day in days}
    assert not calendar.isleap(1900)


def test_addresses_are_valid_and_written_in_one_way() -> None:
    """2**32 IPv4 addresses; the standard library reads each."""
    found = parse_format("{ipv4}")
    assert found.size == 2**32
    drawn = found.sample(300, np.random.default_rng(0))
    assert all(str(ipaddress.IPv4Address(secret)) == secret for secret in drawn)
    for wrong in ("256.0.0.1", "01.2.3.4", "1.2.3", "1.2.3.4.5"):
        assert not found.contains(wrong)


def test_uuids_carry_version_and_variant() -> None:
    """122 free bits."""
    found = parse_format("{uuid4}")
    assert found.size == 2**122
    for secret in found.sample(200, np.random.default_rng(0)):
        read = uuid.UUID(secret)
        assert (read.version, read.variant, str(read)) == (4, uuid.RFC_4122, secret)


@pytest.mark.parametrize(
    ("template", "pattern"),
    [
        ("{aws-access-key}", r"AKIA[A-Z2-7]{16}"),
        ("{hex:32}", r"[0-9a-f]{32}"),
        ("{hex-upper:4}", r"[0-9A-F]{4}"),
        ("{upper:3}", r"[A-Z]{3}"),
        ("{lower:3}", r"[a-z]{3}"),
        ("{letters:3}", r"[A-Za-z]{3}"),
        ("{alnum:3}", r"[A-Za-z0-9]{3}"),
        ("{lower-alnum:3}", r"[a-z0-9]{3}"),
        ("{upper-alnum:3}", r"[A-Z0-9]{3}"),
        ("{printable:3}", r"[!-~]{3}"),
        ("{digits:2-4}", r"[0-9]{2,4}"),
        ("{email}", r"[a-z]{3,8}\.[a-z]{3,8}@example\.(com|net|org)"),
        ("{email:domains=a.de|b.fr}", r"[a-z]{3,8}\.[a-z]{3,8}@(a\.de|b\.fr)"),
        ("{words:2,separator=-}", r"[a-z]+-[a-z]+"),
        ("{words:9,list=english-digits}", r"([a-z]+ ){8}[a-z]+"),
        ("{nhs:spaced}", r"\d{3} \d{3} \d{4}"),
        ("{aadhaar:spaced}", r"[2-9]\d{3} \d{4} \d{4}"),
        ("{us-phone}", r"[2-9]\d\d-[2-9]\d\d-\d{4}"),
        ("{iban:GB,spaced}", r"GB\d\d [A-Z]{4} \d{4} \d{4} \d{4} \d\d"),
    ],
)
def test_holes_have_the_shape_that_their_names_say(template: str, pattern: str) -> None:
    """200 draws each against a regular expression."""
    for secret in parse_format(template).sample(200, np.random.default_rng(1)):
        assert re.fullmatch(pattern, secret), secret


def test_repeated_entries_of_a_list_count_once() -> None:
    """|R| is the number of different secrets, not of lines (trap: a drifting denominator)."""
    assert Format("pets", "{choice:p}", lists={"p": ("cat", "dog", "cat")}).size == 2
    assert parse_format("{one-of:a|b|a}").size == 2
    assert parse_format("{one-of:a|ab}{one-of:bc|c}").size == 3  # abc twice


def test_a_space_beyond_all_use_is_refused() -> None:
    """Five thousand digits: the refusal is a sentence, not an overflow somewhere later."""
    with pytest.raises(FormatError, match="too many secrets"):
        parse_format("code {digits:5000}")
