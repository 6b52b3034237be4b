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
    suite_dissection,
    suite_neighbours,
    suite_noise,
    suite_noise_capped,
    suite_noise_language,
    suite_pretraining,
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
        needs_data: Whether it reads ``study.data`` itself.
    """

    run: Callable[[Study, Any], Outcome]
    tiny: Any
    small: Any
    full: Any
    corpus_lines: Callable[[Path], tuple[str, ...]] = penn_treebank
    needs_data: bool = False


def _none(_data: Path) -> tuple[str, ...]:
    """No corpus."""
    return ()


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
    # the suite reads real data of its own
    "suite-noise": _experiment(suite_noise, corpus_lines=_none, needs_data=True),
    "suite-noise-capped": _experiment(suite_noise_capped, corpus_lines=_none, needs_data=True),
    "suite-noise-language": _experiment(suite_noise_language),
    "suite-neighbours": _experiment(suite_neighbours, corpus_lines=_none, needs_data=True),
    "suite-pretraining": _experiment(suite_pretraining, corpus_lines=_none, needs_data=True),
    "suite-dissection": _experiment(suite_dissection, corpus_lines=_none, needs_data=True),
    "translation": _experiment(translation, corpus_lines=translation.corpus_lines),
}
