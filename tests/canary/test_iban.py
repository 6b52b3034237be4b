"""IBANs against python-stdnum."""

import functools

import numpy as np
import pytest
from stdnum import iban as reference

from secretaudit.canary.automaton import Automaton
from secretaudit.canary.iban import BBAN_SHAPES, iban

build = functools.cache(iban)


@pytest.mark.parametrize("country", BBAN_SHAPES)
def test_every_drawn_iban_is_valid(country: str) -> None:
    """National check digits included where python-stdnum knows them."""
    drawn = build(country).sample(300, np.random.default_rng(0))
    assert all(reference.is_valid(number) for number in drawn)


@pytest.mark.parametrize("country", BBAN_SHAPES)
def test_membership_is_validity_for_changed_ibans(country: str) -> None:
    """One character changed and two exchanged; check digits stay digits in 02 … 98."""
    automaton = build(country)
    rng = np.random.default_rng(1)
    tried = 0
    for number in automaton.sample(300, rng):
        changed = list(number)
        place, other = rng.integers(4, len(number), 2)
        changed[place] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[
            rng.integers(36 if rng.random() < 0.3 else 10)
        ]
        changed[2], changed[3] = (
            f"{rng.integers(2, 99):02}" if rng.random() < 0.3 else (changed[2], changed[3])
        )
        if rng.random() < 0.3:
            changed[place], changed[other] = changed[other], changed[place]
        text = "".join(changed)
        assert automaton.accepts(text) == reference.is_valid(text)
        tried += text != number
    assert tried > 200


@pytest.mark.parametrize(
    ("country", "size"),
    [
        ("DE", 10**18),
        ("GB", 26**4 * 10**14),
        ("NL", 26**4 * 10**10),
        ("FR", 10**12 * 36**11),
        ("CH", 10**5 * 36**12),
        ("ES", 10**18),  # two of the twenty digits follow from the others
    ],
)
def test_every_account_number_has_exactly_one_iban(country: str, size: int) -> None:
    """|R| is the number of account numbers."""
    assert build(country).size == size


def test_known_ibans_belong() -> None:
    """The examples of the IBAN registry."""
    examples = {
        "DE": "DE89370400440532013000",
        "GB": "GB29NWBK60161331926819",
        "FR": "FR1420041010050500013M02606",
        "NL": "NL91ABNA0417164300",
        "ES": "ES9121000418450200051332",
        "IT": "IT60X0542811101000000123456",
        "CH": "CH9300762011623852957",
        "AT": "AT611904300234573201",
        "PL": "PL61109010140000071219812874",
    }
    assert examples.keys() == BBAN_SHAPES.keys()
    for country, number in examples.items():
        assert build(country).accepts(number)


def test_check_digits_outside_the_standard_are_excluded() -> None:
    """00, 01 and 99 pass the division by 97 like 97, 98 and 02, but are never issued."""
    automaton: Automaton = build("NL")
    for issued, alias in (("97", "00"), ("98", "01"), ("02", "99")):
        found = next(
            n for n in automaton.sample(5000, np.random.default_rng(3)) if n[2:4] == issued
        )
        assert not automaton.accepts(f"NL{alias}{found[4:]}")
