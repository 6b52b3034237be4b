"""Similarities of all pairs of networks, and what they say of the conditions.

A *measure* is a symmetric matrix over networks, NaN where a pair has no value. ``compared`` gives its mean within each condition (jackknife interval over networks), across
conditions, and the permutation tests of true against random labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secretaudit.suite.dissection.conditions import TRUE, Shared
from secretaudit.suite.dissection.input_gradients import mean_cosine
from secretaudit.suite.dissection.packed import unpacked
from secretaudit.suite.dissection.permutation import between, jackknife, of_pairs
from secretaudit.suite.dissection.representation import (
    canonical,
    canonical_chance,
    debiased_cka,
    leading,
    linear_cka,
)

__all__ = ["compared", "layer_pairs", "matrix_of", "plain_matrix", "slope_pairs"]

Array = NDArray[np.float64]
Trained = dict[str, dict[str, Any]]


def matrix_of(things: Sequence[Any], similarity: Callable[[Any, Any], float | None]) -> Array:
    """Similarity of all pairs; 1 on the diagonal, NaN where a pair has none."""
    count = len(things)
    found = np.eye(count)
    for i in range(count):
        for j in range(i):
            value = similarity(things[i], things[j])
            found[i, j] = found[j, i] = np.nan if value is None else value
    return found


def plain_matrix(matrix: Array) -> list[list[float | None]]:
    """As JSON, ``None`` for NaN."""
    return [[None if np.isnan(v) else float(v) for v in row] for row in matrix]


def array_of(rows: Sequence[Sequence[float | None]]) -> Array:
    """The square matrix from JSON again, also of no networks."""
    filled = [[np.nan if v is None else v for v in row] for row in rows]
    return np.array(filled, dtype=float).reshape(len(rows), len(rows))


def layer_pairs(shared: tuple[Shared, Trained], *, layer: str) -> dict[str, Any]:
    """CKA and SVCCA of one layer for all pairs of networks (a cell)."""
    about, trained = shared
    things = [unpacked(network["layers"][layer]) for network in trained.values()]
    spaces = [leading(thing, about.settings.svcca_variance) for thing in things]
    chance = matrix_of(spaces, canonical_chance)
    off = chance[np.triu_indices(len(chance), 1)]
    known = off[~np.isnan(off)]
    return {
        "cka": plain_matrix(matrix_of(things, linear_cka)),
        "debiased_cka": plain_matrix(matrix_of(things, debiased_cka)),
        "svcca": plain_matrix(matrix_of(spaces, canonical)),
        "svcca_chance": float(known.mean()) if len(known) else None,
    }


def slope_pairs(shared: tuple[Shared, Trained]) -> dict[str, Any]:
    """Cosines of input gradients for all pairs of networks (a cell)."""
    things = [unpacked(network["directions"]) for network in shared[1].values()]
    return {"cosine": plain_matrix(matrix_of(things, mean_cosine))}


def compared(
    matrix: Array, groups: dict[str, list[int]], seed: int, splits: int, learned: str = TRUE
) -> dict[str, Any]:
    """What a measure says of the conditions.

    Args:
        matrix: The measure.
        groups: Networks of each condition.
        seed: Of permutations, where they are drawn.
        splits: Most divisions that are gone through one by one.
        learned: The condition that should be more alike than each of the others.

    Returns:
        ``within`` and ``across`` (means), ``tests`` of the learned condition against each of the others.
    """
    names = [name for name in groups if groups[name]]
    rng = np.random.default_rng([seed, 77])
    crossed = {
        f"{a} / {b}": between(matrix, groups[a], groups[b])
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    }
    return {
        "within": {name: jackknife(matrix, groups[name]) for name in names},
        "across": crossed,
        "tests": {
            other: of_pairs(matrix, groups[learned], groups[other], rng, splits)
            for other in groups
            if other != learned
        },
    }
