"""How many copies of each canary the model really saw.

A corpus may be cleaned, deduplicated, tokenized, cut and sampled between insertion and training, and each of these can
silently remove a canary; an audit of a canary that was never seen is a false all-clear. So the copies are counted where
they matter: on the token ids of the records that were read, as long as the layout left them whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from secretaudit.training.encoded import EncodedRecords


def count_copies(
    records: EncodedRecords,
    canaries: Mapping[str, Sequence[int]],
    *,
    read: NDArray[np.bool_],
    longest: int | None = None,
) -> dict[str, int]:
    """Copies of each canary among the records that were read at least once.

    Args:
        records: What was trained on.
        canaries: Token ids of each canary by its id.
        read: bool, shape (n,): whether each record was read.
        longest: Longer records were cut; ``None``: none was.

    Returns:
        The number of copies for every canary id, in the order given.
    """
    wanted: dict[int, dict[bytes, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, ids in canaries.items():
        wanted[len(ids)][np.asarray(ids, dtype=np.int32).tobytes()].append(name)
    copies = dict.fromkeys(canaries, 0)
    lengths = records.lengths
    for length, texts in wanted.items():
        if longest is not None and length > longest:
            continue
        for index in np.flatnonzero(read & (lengths == length)).tolist():
            for name in texts.get(records[index].tobytes(), ()):
                copies[name] += 1
    return copies
