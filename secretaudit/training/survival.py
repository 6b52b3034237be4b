"""How many copies of each canary the model really saw.

A corpus may be cleaned, deduplicated, tokenized, packed and cut between insertion and training, and each of these can
silently remove a canary; an audit of a canary that was never seen is a false all-clear. So the copies are counted where
they matter, on the token ids inside the lanes that were trained on:  separator, tokens of the canary, separator.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from secretaudit.training.stream import Lanes


def count_copies(
    lanes: Lanes,
    separator: int,
    canaries: Mapping[str, Sequence[int]],
    *,
    columns: int | None = None,
) -> dict[str, int]:
    """Copies of each canary as a whole record inside the lanes.

    Args:
        lanes: The training part.
        separator: Id that stands before and after a record; no record contains it.
        canaries: Token ids of each canary by its id.
        columns: Columns of the lanes that were read, when training ended within its first epoch.

    Returns:
        The number of copies for every canary id, in the order given.
    """
    wanted: dict[int, dict[bytes, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, ids in canaries.items():
        wanted[len(ids)][np.asarray(ids, dtype=np.int32).tobytes()].append(name)
    copies = dict.fromkeys(canaries, 0)
    for row, length in zip(lanes.tokens, lanes.lengths, strict=True):
        lane = row[: length if columns is None else min(int(length), columns)]
        for name in _canaries_in(lane, separator, wanted):
            copies[name] += 1
    return copies


def _canaries_in(
    lane: NDArray[np.int32], separator: int, wanted: Mapping[int, Mapping[bytes, list[str]]]
) -> list[str]:
    """Ids of the canaries in one lane, as often as they occur."""
    ends = np.flatnonzero(lane == separator)
    lengths = np.diff(ends) - 1
    found: list[str] = []
    for length, texts in wanted.items():
        for place in ends[:-1][lengths == length]:
            found += texts.get(lane[place + 1 : place + 1 + length].tobytes(), [])
    return found
