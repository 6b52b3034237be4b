"""International bank account numbers (ISO 13616) with their ISO 7064 mod 97-10 check digits.

An IBAN is country CC, two check digits, and the national account number (BBAN) with a fixed shape
per country. Read as a decimal number N with letters written as 10 … 35, BBAN ‖ CC ‖ check ≡ 1 (mod
97). The check digits stand before the BBAN in the text, so the machine first learns the remainder t
that the BBAN must reach,

    BBAN · 10⁶ ≡ 1 − CC · 100 − check  (mod 97),

then subtracts each character's contribution. Where a place may hold a digit or a letter, the weight
of earlier characters depends on later ones; there the state is the pair (BBAN so far mod 97, t).
Check digits are 02 … 98 as the standard generates them, so every BBAN has exactly one IBAN. Spain's
two national check digits, which python-stdnum checks too, are intersected; other national check
digits are not checked, as in python-stdnum.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from secretaudit.canary.automaton import Automaton
from secretaudit.canary.construction import (
    Layer,
    characters,
    concatenate,
    intersect,
    layered,
    literal,
)

BBAN_SHAPES = {
    "AT": "5n11n",
    "CH": "5n12c",
    "DE": "8n10n",
    "ES": "4n4n1n1n10n",
    "FR": "5n5n11c2n",
    "GB": "4a6n8n",
    "IT": "1a5n5n12c",
    "NL": "4a10n",
    "PL": "8n16n",
}
"""Country → shape of its BBAN as in the IBAN registry: n digits, a capital letters, c digits or
capital letters."""

_DIGITS = "0123456789"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CLASSES = {"n": _DIGITS, "a": _LETTERS, "c": _DIGITS + _LETTERS}


def iban(country: str) -> Automaton:
    """All IBANs of one country of :data:`BBAN_SHAPES`, without spaces."""
    places = [
        _CLASSES[kind]
        for count, kind in re.findall(r"(\d+)([nac])", BBAN_SHAPES[country])
        for _ in range(int(count))
    ]
    mixed = any(len(place) == 36 for place in places)
    machine = _mixed_widths(country, places) if mixed else _fixed_widths(country, places)
    if country == "ES":
        machine = intersect(
            machine, concatenate(literal("ES"), characters(_DIGITS, 2), _spanish_account())
        )
    return machine


def _number(text: str) -> int:
    """The decimal number of a text, letters written as 10 … 35."""
    return int("".join(str(int(character, 36)) for character in text))


def _opening(country: str) -> list[Layer]:
    """Country and check digits; the state after them is t·10⁶ mod 97."""
    one = np.zeros((1, 1), dtype=np.int64)
    check = 10 * np.arange(10)[:, None] + np.arange(10)
    needed = np.where((check >= 2) & (check <= 98), (1 - _number(country) * 100 - check) % 97, -1)
    return [
        Layer(symbols=country[0], next_state=one),
        Layer(symbols=country[1], next_state=one),
        Layer(symbols=_DIGITS, next_state=np.arange(10)[None, :]),
        Layer(symbols=_DIGITS, next_state=needed),
    ]


def _values(symbols: str) -> NDArray[np.int64]:
    return np.array([int(symbol, 36) for symbol in symbols])


def _fixed_widths(country: str, places: list[str]) -> Automaton:
    """The state is what the remaining characters must still contribute, mod 97."""
    widths = [2 if place == _LETTERS else 1 for place in places]
    layers = _opening(country)
    for number, place in enumerate(places):
        weight = pow(10, 6 + sum(widths[number + 1 :]), 97)
        owed = (np.arange(97)[:, None] - weight * _values(place)) % 97
        layers.append(Layer(symbols=place, next_state=owed))
    return layered(layers, np.arange(97) == 0)


def _mixed_widths(country: str, places: list[str]) -> Automaton:
    """The state is 97·t + (BBAN so far mod 97)."""
    layers = _opening(country)
    inverse = pow(pow(10, 6, 97), -1, 97)
    check = layers[-1]
    remainder = np.where(check.next_state >= 0, 97 * (check.next_state * inverse % 97), -1)
    layers[-1] = Layer(symbols=check.symbols, next_state=remainder)
    pair = np.arange(97 * 97)[:, None]
    for place in places:
        values = _values(place)
        shifted = (pair % 97) * np.where(values > 9, 100, 10) + values
        layers.append(Layer(symbols=place, next_state=pair // 97 * 97 + shifted % 97))
    return layered(layers, np.arange(97 * 97) % 97 == np.arange(97 * 97) // 97)


def _spanish_account() -> Automaton:
    """Código Cuenta Cliente: bank 4, branch 4, their check digit, the account's, account 10 digits.

    A check digit c belongs to the weighted sums s (mod 11) with s = c for c < 2 and s = 11 − c
    otherwise, and c = 1 to s = 10 as well. After the second check digit the state is the sum still
    owed (+ 11 when c = 1).
    """
    digit = np.arange(10)
    check = np.array([0, 1, 9, 8, 7, 6, 5, 4, 3, 2, 1])
    sums = np.arange(11)[:, None]
    layers = []
    for place in range(8):
        state = sums if place else sums[:1]
        layers.append(Layer(symbols=_DIGITS, next_state=(state + 2 ** (place + 2) * digit) % 11))
    layers.append(Layer(symbols=_DIGITS, next_state=np.where(check[:, None] == digit, 0, -1)))
    owed = np.where(digit < 2, digit, 11 - digit) + 11 * (digit == 1)
    layers.append(Layer(symbols=_DIGITS, next_state=owed[None, :]))
    state = np.arange(22)[:, None]
    for place in range(10):
        layers.append(
            Layer(
                symbols=_DIGITS, next_state=state // 11 * 11 + (state % 11 - 2**place * digit) % 11
            )
        )
    accepting = np.zeros(22, dtype=np.bool_)
    accepting[[0, 11, 13]] = True
    return layered(layers, accepting)
