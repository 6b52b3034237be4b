"""Check digits against python-stdnum: small spaces exhaustively, large ones by samples."""

import functools
import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn, verhoeff
from stdnum.gb import nhs
from stdnum.in_ import aadhaar
from stdnum.us import rtn, ssn

from secretaudit.canary import checksum
from secretaudit.canary.automaton import Automaton
from secretaudit.canary.format import Format

Check = Callable[[str], bool]


@functools.cache
def hole(kind: str) -> Automaton:
    return Format("test", f"{{{kind}}}").automaton


SPACES: dict[str, Check] = {
    "aadhaar": aadhaar.is_valid,
    "nhs": nhs.is_valid,
    "routing-number": rtn.is_valid,
    "ssn": ssn.is_valid,
    "ssn:plain": ssn.is_valid,
    "luhn:16": luhn.is_valid,
    "credit-card": luhn.is_valid,
}


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    ("build", "is_valid"), [(checksum.luhn, luhn.is_valid), (checksum.verhoeff, verhoeff.is_valid)]
)
def test_short_numbers_are_exactly_the_valid_ones(
    build: Callable[[int], Automaton], is_valid: Check, length: int
) -> None:
    """All numbers of one to five digits."""
    numbers = ("".join(digits) for digits in itertools.product("0123456789", repeat=length))
    automaton = build(length)
    assert automaton.unrank_many(range(automaton.size)) == [n for n in numbers if is_valid(n)]


@pytest.mark.parametrize("kind", SPACES)
def test_every_drawn_number_is_valid(kind: str) -> None:
    """2,000 draws."""
    drawn = hole(kind).sample(2000, np.random.default_rng(4))
    assert all(SPACES[kind](number) for number in drawn)


@pytest.mark.parametrize("kind", [kind for kind in SPACES if kind != "credit-card"])
def test_membership_is_validity_for_numbers_of_the_same_shape(kind: str) -> None:
    """Valid numbers with one digit changed, or two exchanged: python-stdnum decides."""
    automaton, is_valid = hole(kind), SPACES[kind]
    rng = np.random.default_rng(8)
    outcomes = set()
    for number in automaton.sample(300, rng):
        places = [place for place, character in enumerate(number) if character.isdigit()]
        changed = list(number)
        first, second = rng.choice(places, 2)
        changed[first], changed[second] = changed[second], str(rng.integers(10))
        text = "".join(changed)
        assert automaton.accepts(text) == is_valid(text)
        outcomes.add(is_valid(text))
    assert outcomes == {True, False}


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("aadhaar", (12,)),
        ("nhs", (10,)),
        ("routing-number", (9,)),
        ("ssn", (3, 2, 4)),
        ("luhn:16", (16,)),
    ],
)
def test_membership_is_validity_for_any_digits(kind: str, shape: tuple[int, ...]) -> None:
    """Digits at random, mostly invalid."""

    @given(st.tuples(*(st.text("0123456789", min_size=size, max_size=size) for size in shape)))
    def check(groups: tuple[str, ...]) -> None:
        number = "-".join(groups)
        assert hole(kind).accepts(number) == SPACES[kind](number)

    check()


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        ("nhs", 909_090_910),  # one of eleven remainders has no digit: ceil(10**10 / 11)
        ("routing-number", 10**8),
        ("luhn:16", 10**15),
        ("ssn", 898 * 99 * 9999 - 3),
        ("credit-card", 10**14 + 10**14 + 2 * 10**12 + 10**11 + 16 * 10**12),
        ("us-phone", (800 - 8) ** 2 * 10**4),
    ],
)
def test_sizes_are_what_counting_by_hand_gives(kind: str, size: int) -> None:
    """Closed forms."""
    assert hole(kind).size == size


def test_the_nhs_space_matches_a_count_by_remainders() -> None:
    """The number of ten-digit strings with weighted sum 0 mod 11, by adding one digit at a time."""
    counts = [1] + [0] * 10
    for weight in range(10, 0, -1):
        new = [0] * 11
        for remainder, digit in itertools.product(range(11), range(10)):
            new[(remainder + weight * digit) % 11] += counts[remainder]
        counts = new
    assert hole("nhs").size == counts[0]


def test_aadhaar_numbers_are_never_palindromes() -> None:
    """Every valid palindrome is excluded and all its valid neighbours are kept."""
    halves = np.random.default_rng(2).integers(200_000, 1_000_000, 600)
    palindromes = [f"{half}{str(half)[::-1]}" for half in halves]
    valid = [number for number in palindromes if verhoeff.is_valid(number)]
    assert len(valid) > 20
    for number in valid:
        assert not hole("aadhaar").accepts(number)
        for place in range(12):
            near = number[:place] + str((int(number[place]) + 3) % 10) + number[place + 1 :]
            for last in "0123456789":
                assert hole("aadhaar").accepts(near[:11] + last) == aadhaar.is_valid(
                    near[:11] + last
                )


def test_the_aadhaar_space_is_all_check_digits_less_the_palindromes() -> None:
    """8·10**10 numbers less the valid palindromes, counted with python-stdnum's tables."""
    half = np.arange(200_000, 1_000_000)
    table = np.array(verhoeff._multiplication_table)
    powers = np.array(verhoeff._permutation_table)
    element = np.zeros(len(half), dtype=int)
    for place in range(12):  # from the right, as the definition does
        digit = half // 10 ** (5 - min(place, 11 - place)) % 10
        element = table[element, powers[place % 8, digit]]
    assert hole("aadhaar").size == 8 * 10**10 - int((element == 0).sum())


@pytest.mark.parametrize(
    "number",
    ["078-05-1120", "457-55-5462", "219-09-9999", "000-12-3456", "666-12-3456", "900-12-3456"],
)
def test_published_and_unassigned_ssns_are_excluded(number: str) -> None:
    """As python-stdnum excludes them."""
    assert not ssn.is_valid(number)
    assert not hole("ssn").accepts(number)


@pytest.mark.parametrize(
    ("number", "belongs"),
    [
        ("4111111111111111", True),  # test numbers that card networks publish
        ("5555555555554444", True),
        ("2223003122003222", True),
        ("378282246310005", True),
        ("6011111111111117", True),
        ("4111111111111112", False),  # wrong check digit
        ("30569309025904", False),  # another network
        ("2220990000000008", False),  # just below Mastercard's 2221
    ],
)
def test_published_card_numbers(number: str, belongs: bool) -> None:
    """Issuer prefix, length and check digit together."""
    assert hole("credit-card").accepts(number) == belongs


def test_cards_are_grouped_as_they_are_embossed() -> None:
    """4-4-4-4, and 4-6-5 for American Express."""
    assert hole("credit-card:spaced").accepts("4111 1111 1111 1111")
    assert hole("credit-card:spaced").accepts("3782 822463 10005")
    assert hole("credit-card:amex,dashed").accepts("3782-822463-10005")
    assert not hole("credit-card:amex").accepts("4111111111111111")
    assert hole("credit-card:spaced").size == hole("credit-card").size


@pytest.mark.parametrize("code", ["211", "911", "111", "011"])
def test_telephone_numbers_avoid_service_codes(code: str) -> None:
    """Neither area code nor exchange is N11, and neither begins with 0 or 1."""
    assert hole("us-phone").accepts("212-555-0100")
    assert not hole("us-phone").accepts(f"{code}-555-0100")
    assert not hole("us-phone").accepts(f"212-{code}-0100")
