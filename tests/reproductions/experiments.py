"""The experiments by name.

Each is a module with ``TINY``, ``SMALL`` and ``FULL`` sizes and ``run(study, sizes)``; where the corpus is not Penn Treebank, ``corpus_lines(data)`` reads it.
"""

from __future__ import annotations

from typing import Any

from tests.reproductions import (
    architectures,
    batch_units,
    defences,
    dp,
    epochs,
    formats,
    many,
    minibatch,
    translation,
)

EXPERIMENTS: dict[str, Any] = {
    "epochs": epochs,
    "minibatch": minibatch,
    "batch-units": batch_units,
    "formats": formats,
    "many": many,
    "architectures": architectures,
    "defences": defences,
    "dp": dp,
    "translation": translation,
}
