"""The experiments by name.

An experiment is a module with ``TINY``, ``SMALL`` and ``FULL`` sizes and ``run(study, sizes)``; where the corpus is not Penn Treebank, ``corpus_lines(data)``
reads it. One module may be two experiments, at other sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
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
from tests.reproductions.outcome import Outcome
from tests.reproductions.study import Study, penn_treebank


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What the command runs.

    Attributes:
        run: From a study and sizes to an outcome.
        tiny: Sizes of a test.
        small: Sizes that take minutes.
        full: The paper's sizes.
        corpus_lines: Reads the corpus from the directory of the real corpora.
    """

    run: Callable[[Study, Any], Outcome]
    tiny: Any
    small: Any
    full: Any
    corpus_lines: Callable[[Path], tuple[str, ...]] = penn_treebank


def _experiment(module: Any, **other: Any) -> Experiment:
    sizes = {"tiny": module.TINY, "small": module.SMALL, "full": module.FULL}
    return Experiment(run=module.run, **sizes | other)


EXPERIMENTS: dict[str, Experiment] = {
    "epochs": _experiment(epochs),
    "minibatch": _experiment(minibatch),
    "batch-units": _experiment(batch_units),
    "formats": _experiment(formats),
    "formats-ten-at-once": _experiment(formats, small=formats.TEN_AT_ONCE),
    "many": _experiment(many),
    "architectures": _experiment(architectures),
    "defences": _experiment(defences),
    "dp": _experiment(dp),
    "translation": _experiment(translation, corpus_lines=translation.corpus_lines),
}
