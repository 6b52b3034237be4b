"""Uniform indices below a bound of any size.

Below 2**63 NumPy draws them. Above, enough random bits are drawn for an index and those that reach
the bound are dropped, which leaves the rest exactly uniform.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_INT64_END = 2**63
_DENSE_CHOICE = 50_000_000


def indices(size: int, n: int, rng: np.random.Generator) -> NDArray[Any]:
    """``n`` independent uniform indices."""
    if size < _INT64_END:
        return rng.integers(0, size, n)
    bits = (size - 1).bit_length()
    shifts = np.array(range(0, bits, 64), dtype=object)
    mask = (1 << bits) - 1
    drawn: list[int] = []
    while len(drawn) < n:
        limbs = rng.integers(0, 2**64, (n, len(shifts)), dtype=np.uint64).astype(object)
        numbers: list[int] = (limbs << shifts).sum(axis=1).tolist()
        cut = ((number & mask) for number in numbers)
        drawn.extend(number for number in cut if number < size)
    return np.array(drawn[:n], dtype=object)


def distinct_indices(size: int, n: int, rng: np.random.Generator) -> NDArray[Any]:
    """``n`` distinct uniform indices in random order.

    NumPy's choice lists the whole population when ``n`` is more than 2 % of it; where that list
    would be large, and in spaces of 2**63 and more, independent draws are taken instead and
    repeats are dropped in the order of drawing, which leaves every sequence of distinct indices
    equally likely.
    """
    if size < _INT64_END and (size <= _DENSE_CHOICE or n * 50 < size or n * 2 > size):
        return rng.choice(size, n, replace=False)
    kept: dict[int, None] = {}
    while len(kept) < n:
        kept.update(dict.fromkeys(indices(size, n - len(kept), rng).tolist()))
    return np.array(list(kept), dtype=np.int64 if size < _INT64_END else object)
