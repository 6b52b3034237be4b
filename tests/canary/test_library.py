"""The shipped formats."""

import re
from pathlib import Path

import numpy as np
import pytest

from secretaudit.canary import shipped
from secretaudit.canary.format import Format, library, parse_format
from secretaudit.canary.holes import KINDS
from secretaudit.errors import FormatError

EXPECTED = {
    "random-number", "random-number-start", "random-number-end", "random-number-marked", "random-number-ssn",
    "random-number-dashed", "pin", "ssn", "credit-card", "iban", "us-phone", "nhs-number", "aadhaar",
    "date-of-birth", "password", "hex-key-32", "uuid4", "aws-access-key", "ipv4", "email", "passphrase",
    "random-words",
}  # fmt: skip


def test_the_library_holds_the_formats_that_the_manual_names() -> None:
    """And no file of it is broken."""
    assert library().keys() >= EXPECTED
    assert all(found.description.endswith((".", "own.")) for found in library().values())


@pytest.mark.parametrize("name", sorted(library()))
def test_every_format_draws_texts_that_it_reads_back(name: str) -> None:
    """Draw, render, parse; the document gives the same format back."""
    found = parse_format(name)
    drawn = found.sample(20, np.random.default_rng(0))
    assert len(set(drawn)) == 20
    assert [found.parse(found.render(secret)) for secret in drawn] == drawn
    assert found.parse(found.example) is not None
    assert found.example == parse_format(name).example
    assert Format.from_dict(found.to_dict()) == found


def test_the_variants_of_the_format_experiment_hold_nine_digits_each() -> None:
    """Start and end marks and dashes change the text, not the number of secrets."""
    variants = [name for name in library() if name.startswith("random-number")]
    assert len(variants) == 7
    assert {library()[name].size for name in variants} == {10**9}
    assert parse_format("random-number-marked").render("123456789").endswith("<s> 123456789 <e>")
    assert parse_format("random-number-ssn").contains("000-00-0000")
    assert parse_format("random-number-dashed").contains("1-2-3-4-5-6-7-8-9")


def test_the_word_list_is_the_2048_words_of_bip_39() -> None:
    """Its first four letters tell the words apart, as the standard promises."""
    words = shipped.read_list("bip39-english", Path())
    assert len(words) == 2048
    assert (words[0], words[-1]) == ("abandon", "zoo")
    assert len({word[:4] for word in words}) == 2048
    assert parse_format("passphrase").size == 2048**4
    assert parse_format("wallet-seed-12").size == 2048**12


def test_the_table_of_the_readme_is_true() -> None:
    """Names, templates, |R| and bits, one row per format."""
    text = (shipped.library_directory() / "README.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `([^`]+)` \| `([^`]+)` \| ([\d,]+) \| ([\d.]+) \|$", text, flags=re.MULTILINE
    )
    expected = [(f.name, f.template, f"{f.size:,}", f"{f.bits:.2f}") for f in library().values()]
    assert rows == expected


def test_every_kind_of_hole_is_in_the_readme() -> None:
    """Nobody finds what is not written down."""
    text = (shipped.library_directory() / "README.md").read_text(encoding="utf-8")
    missing = [kind for kind in KINDS if not re.search(rf"`\{{?{kind}[:`}}]", text)]
    assert missing == []


def test_an_installed_package_finds_the_library_inside_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a wheel the folder is secretaudit/_library; without either, the error says so."""
    monkeypatch.setattr(shipped, "files", lambda _: tmp_path / "secretaudit")
    with pytest.raises(FormatError, match="not part of this installation"):
        shipped.library_directory()
    inside = tmp_path / "secretaudit" / "_library"
    inside.mkdir(parents=True)
    assert shipped.library_directory() == inside


def test_a_list_beside_the_format_comes_before_a_shipped_one(tmp_path: Path) -> None:
    """A file of the same name is the user's own wish."""
    (tmp_path / "bip39-english").write_text("one\ntwo\n")
    assert parse_format("{words:1}", directory=tmp_path).size == 2
    assert parse_format("{words:1}").size == 2048


def test_unknown_lists_are_refused_with_the_shipped_names() -> None:
    """For formats that are made in Python."""
    with pytest.raises(FormatError, match="'nouns' is not known") as caught:
        Format("test", "{words:2,list=nouns}")
    assert "bip39-english" in caught.value.way_out
