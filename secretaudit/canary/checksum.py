"""Numbers with check digits as layered automata: the state is the running checksum.

| number | rule | state |
|---|---|---|
| payment card | Luhn: every second digit from the right is doubled (9 is subtracted above 9), sum ≡ 0 mod 10 | sum mod 10 |
| NHS number | weights 10 … 1, sum ≡ 0 mod 11 (a check digit of 10 does not exist) | sum mod 11 |
| US routing number | weights 3 7 1 3 7 1 3 7 1, sum ≡ 0 mod 10 | sum mod 10 |
| Aadhaar | Verhoeff: product of permuted digits in the dihedral group D5 is the identity; first digit 2-9; no palindromes | element of D5 |

All digits are read from the left. Which numbers are valid follows python-stdnum, which the tests
compare with.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secretaudit.canary.automaton import Automaton, from_edges
from secretaudit.canary.construction import (
    Layer,
    alternatives,
    characters,
    concatenate,
    intersect,
    layered,
    words,
)

DIGITS = "0123456789"
_DIGIT = np.arange(10)

CARDS: dict[str, tuple[tuple[str, ...], int, tuple[int, ...]]] = {
    "visa": (("4",), 16, (4, 4, 4, 4)),
    "mastercard": (
        (*(str(iin) for iin in range(51, 56)), *(str(iin) for iin in range(2221, 2721))),
        16,
        (4, 4, 4, 4),
    ),
    "amex": (("34", "37"), 15, (4, 6, 5)),
    "discover": (("6011", *(str(iin) for iin in range(644, 660))), 16, (4, 4, 4, 4)),
}
"""Brand → (issuer prefixes, number of digits, groups in which the number is written)."""


def weighted_sum(weights: tuple[int, ...], modulus: int) -> Automaton:
    """Digit strings with weighted sum 0 modulo ``modulus``; one weight per digit from the left."""
    state = np.arange(modulus)[:, None]
    layers = [
        Layer(
            symbols=DIGITS, next_state=((state if place else state[:1]) + weight * _DIGIT) % modulus
        )
        for place, weight in enumerate(weights)
    ]
    return layered(layers, np.arange(modulus) == 0)


def luhn(length: int) -> Automaton:
    """Digit strings of ``length`` digits that pass the Luhn check."""
    state = np.arange(10)[:, None]
    doubled = _DIGIT * 2 - 9 * (_DIGIT > 4)
    layers = []
    for place in range(length):
        worth = doubled if (length - 1 - place) % 2 else _DIGIT
        layers.append(
            Layer(symbols=DIGITS, next_state=((state if place else state[:1]) + worth) % 10)
        )
    return layered(layers, np.arange(10) == 0)


def passing_luhn(machine: Automaton) -> Automaton:
    """The strings of ``machine`` whose digits, whatever stands between them, pass the Luhn check.

    Read from the left it is not known yet which digits will be doubled, so both sums are carried: with the last digit as it
    is, and with it doubled. Another digit d turns (a, b) into (b + d, a + doubled d). A string without digits does not pass.
    """
    doubled = (_DIGIT * 2 - 9 * (_DIGIT > 4)).tolist()
    first = (0, 0, 0, False)
    numbers = {first: 0}
    states = [first]
    table: list[tuple[int, int, int]] = []
    for number, (at, plain, twice, digits) in enumerate(states):
        for point, target in machine.children(at):
            there = (target, plain, twice, digits)
            if chr(point) in DIGITS:
                digit = point - ord("0")
                there = (target, (twice + digit) % 10, (plain + doubled[digit]) % 10, True)
            if there not in numbers:
                numbers[there] = len(states)
                states.append(there)
            table.append((number, point, numbers[there]))
    columns = np.array(table, dtype=np.int64).reshape(-1, 3)
    ends = [
        bool(machine.accepting[at]) and digits and plain == 0 for at, plain, _, digits in states
    ]
    return from_edges(columns[:, 0], columns[:, 1], columns[:, 2], ends)


def payment_card(brand: str) -> Automaton:
    """Card numbers of one brand of :data:`CARDS`, without spaces."""
    prefixes, length, _ = CARDS[brand]
    shapes = [
        concatenate(
            words(prefix for prefix in prefixes if len(prefix) == size),
            characters(DIGITS, length - size),
        )
        for size in sorted({len(prefix) for prefix in prefixes})
    ]
    return intersect(alternatives(*shapes), luhn(length))


def nhs_number() -> Automaton:
    """NHS numbers of England, Wales and the Isle of Man, ten digits."""
    return weighted_sum(tuple(range(10, 0, -1)), 11)


def routing_number() -> Automaton:
    """US bank routing numbers (ABA), nine digits."""
    return weighted_sum((3, 7, 1) * 3, 10)


def _dihedral() -> NDArray[np.int64]:
    """Multiplication table of D5: 0-4 are rotations, 5-9 reflections."""
    table = np.empty((10, 10), dtype=np.int64)
    for a in range(10):
        for b in range(10):
            turn = (a + b) % 5 if a < 5 else (a - b) % 5
            table[a, b] = turn + 5 * ((a < 5) != (b < 5))
    return table


def _permutations() -> NDArray[np.int64]:
    """Verhoeff's digit permutation and its powers 0 … 7, shape ``(8, 10)``."""
    once = np.array([1, 5, 7, 6, 2, 8, 3, 0, 9, 4])
    powers = [np.arange(10)]
    for _ in range(7):
        powers.append(once[powers[-1]])
    return np.stack(powers)


_D5 = _dihedral()
_POWERS = _permutations()


def verhoeff(length: int) -> Automaton:
    """Digit strings of ``length`` digits that pass the Verhoeff check.

    The check multiplies the permuted digits from the right to the left. The product is associative,
    so the digits can be read from the left, each multiplied on the left of the running element.
    """
    layers = [
        Layer(
            symbols=DIGITS,
            next_state=_verhoeff_steps(length, place)[slice(None) if place else slice(1)],
        )
        for place in range(length)
    ]
    return layered(layers, np.arange(10) == 0)


def _verhoeff_steps(length: int, place: int) -> NDArray[np.int64]:
    """Running element after each digit at ``place`` from the left, shape ``(elements, digits)``."""
    factor = _POWERS[(length - 1 - place) % 8]
    steps: NDArray[np.int64] = _D5[factor[None, :], np.arange(10)[:, None]]
    return steps


def aadhaar() -> Automaton:
    """Aadhaar numbers: twelve digits, the first 2-9, Verhoeff, not a palindrome.

    States of a layer are the ten running elements, then one state per prefix that can still become
    a valid
    palindrome: up to the middle the prefix itself, after it the digits that must follow (in
    reverse).
    """
    half = _palindrome_halves()
    tracks = [np.unique(half // 10 ** (6 - min(place, 12 - place))) for place in range(13)]
    tracks[0] = tracks[12] = np.zeros(1, dtype=np.int64)
    layers = []
    for place in range(12):
        layer = _aadhaar_layer(place, tracks[place], tracks[place + 1])
        layers.append(Layer(symbols=DIGITS, next_state=layer))
    accepting = np.zeros(11, dtype=np.bool_)
    accepting[0] = True
    return layered([_only_start(layers[0]), *layers[1:]], accepting)


def _only_start(first: Layer) -> Layer:
    """The first layer with only the state in which nothing was read, and only the digits 2-9."""
    allowed = first.next_state[10:].copy()
    allowed[:, :2] = -1
    return Layer(symbols=first.symbols, next_state=allowed)


def _palindrome_halves() -> NDArray[np.int64]:
    """First halves (200000 … 999999) of all valid twelve-digit palindromes."""
    half = np.arange(200_000, 1_000_000)
    element = np.zeros(len(half), dtype=np.int64)
    for place in range(12):
        element = _verhoeff_steps(12, place)[
            element, half // 10 ** (5 - min(place, 11 - place)) % 10
        ]
    valid: NDArray[np.int64] = half[element == 0]
    return valid


def _aadhaar_layer(
    place: int, track: NDArray[np.int64], next_track: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Next states of one place: the ten elements off the palindromes, then one state per track."""
    steps = _verhoeff_steps(12, place)
    leaving = steps[_element_on_track(place, track)]
    grown = (
        track[:, None] * 10 + _DIGIT
        if place < 6
        else np.broadcast_to(track[:, None] // 10, (len(track), 10))
    )
    position = np.minimum(np.searchsorted(next_track, grown), len(next_track) - 1)
    stays = next_track[position] == grown
    if place >= 6:
        stays &= (track % 10)[:, None] == _DIGIT
    return np.concatenate([steps, np.where(stays, 10 + position, leaving)])


def _element_on_track(place: int, track: NDArray[np.int64]) -> NDArray[np.int64]:
    """Running element of each track after ``place`` digits.

    Past the middle it is the one element from which the digits still owed lead to the identity.
    """
    if place <= 6:
        element = np.zeros(len(track), dtype=np.int64)
        for before in range(place):
            element = _verhoeff_steps(12, before)[element, track // 10 ** (place - 1 - before) % 10]
        return element
    ends = np.tile(np.arange(10)[:, None], (1, len(track)))
    for after in range(place, 12):
        ends = _verhoeff_steps(12, after)[ends, track // 10 ** (after - place) % 10]
    leading: NDArray[np.int64] = np.argmin(ends, axis=0)
    return leading
