"""Language models on text and on noise (after Arpit et al. 2017, figures 6 to 8, 10 and 11; the paper has classifiers only).

Character LSTMs on lines of Penn Treebank, on random text of the same unigram distribution, on shuffled lines and on a mixture; then the same recipe with one
regularizer at a time. Real and random text have the same entropy per character to a model that only counts. Every training holds canaries, so that
what a regularizer takes away of memorized noise can be held against what it takes away of their exposure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from secretaudit.suite.cells import Cells
from secretaudit.suite.language.task import LanguageTask
from secretaudit.suite.noise.language import measure
from secretaudit.suite.noise.settings import NoiseSettings
from secretaudit.suite.subject import LanguageSubject, Run
from secretaudit.training.settings import TrainingSettings
from tests.reproductions.outcome import Ordering, Outcome
from tests.reproductions.study import Study


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the experiment is."""

    lines: int
    held_out: int
    longest: int
    layers: int
    units: int
    batch_size: int
    learning_rate: float
    epochs: int
    seeds: int
    target: float = 0.5
    shares: tuple[float, ...] = (0.5,)
    dropout: tuple[float, ...] = (0.2, 0.5)
    weight_decay: tuple[float, ...] = (1e-3,)
    patience: tuple[int, ...] = (1,)
    noise: tuple[float, ...] = (0.5,)
    canaries: int = 4
    repeats: tuple[int, ...] = (1, 4)
    workers: int = 1


TINY = Sizes(
    lines=40,
    held_out=10,
    longest=120,
    layers=1,
    units=16,
    batch_size=8,
    learning_rate=1e-2,
    epochs=2,
    seeds=2,
    dropout=(0.5,),
    weight_decay=(),
    noise=(),
    canaries=1,
)
SMALL = Sizes(
    lines=200,
    held_out=60,
    longest=80,
    layers=1,
    units=96,
    batch_size=16,
    learning_rate=1e-2,
    epochs=24,
    seeds=3,
)
FULL = Sizes(
    lines=2_000,
    held_out=500,
    longest=200,
    layers=2,
    units=200,
    batch_size=32,
    learning_rate=3e-3,
    epochs=80,
    seeds=5,
    target=0.9,
    shares=(0.2, 0.5, 0.8),
    dropout=(0.1, 0.3, 0.5, 0.7),
    weight_decay=(1e-5, 1e-4, 1e-3),
    noise=(0.3, 0.6, 1.0),
    workers=0,
)


def run(study: Study, sizes: Sizes) -> Outcome:
    """The part of ``suite noise`` that is for language models, on lines of the corpus."""
    settings = NoiseSettings(
        parts=("language",),
        language_lines=sizes.lines,
        language_epochs=sizes.epochs,
        language_seeds=sizes.seeds,
        language_target=sizes.target,
        language_shares=sizes.shares,
        language_dropout=sizes.dropout,
        language_weight_decay=sizes.weight_decay,
        language_patience=sizes.patience,
        language_noise_multipliers=sizes.noise,
    )
    training = TrainingSettings(
        layers=sizes.layers,
        units=sizes.units,
        batch_size=sizes.batch_size,
        learning_rate=sizes.learning_rate,
    )
    part, judged = measure(
        LanguageSubject(task=_task(study, sizes), settings=training),
        settings,
        Run(
            seed=study.seed,
            cells=Cells(place=study.place / "cells", workers=sizes.workers),
            place=study.place,
        ),
    )
    return Outcome(
        title=f"{sizes.lines} lines: fit of text and of noise after {sizes.epochs} epochs, {sizes.seeds} seeds. {part['sentence']}",
        columns=[
            "recipe",
            "text",
            "bits per token",
            "accuracy",
            "clean held out",
            "memorized",
            "exposure",
        ],
        rows=[*_fit_rows(part), *_regularizer_rows(part)],
        orderings=[_ordering(found) for found in judged],
        values={"part": part, "orderings": judged},
    )


def _task(study: Study, sizes: Sizes) -> LanguageTask:
    """Lines of the corpus that are neither very short nor very long, drawn by the seed."""
    rng = np.random.default_rng([study.seed, 23])
    usual = [
        line
        for line in dict.fromkeys(study.lines)
        if sizes.longest // 4 <= len(line) <= sizes.longest
    ]
    chosen = rng.permutation(len(usual))[: sizes.lines + sizes.held_out].tolist()
    return LanguageTask(
        name="ptb",
        train=tuple(usual[i] for i in chosen[: sizes.lines]),
        held_out=tuple(usual[i] for i in chosen[sizes.lines :]),
        canaries=sizes.canaries,
        repeats=sizes.repeats,
    )


def _fit_rows(part: dict[str, Any]) -> list[list[str]]:
    rows = []
    for text, fit in part["fit"].items():
        final = fit["final"]
        memorized = _shown(part["capacity"]["memorized_bits"], 0) if text == "tokens" else ""
        rows.append(
            [
                "plain",
                text,
                _shown(final["training"]["bits"]),
                _shown(final["training"]["accuracy"]),
                _shown(final.get("clean", final["fresh"])["bits"]),
                memorized,
                "",
            ]
        )
    return rows


def _regularizer_rows(part: dict[str, Any]) -> list[list[str]]:
    return [
        [
            row["name"] if row["name"] == "none" else f"{row['name']} {row['value']:g}",
            f"both ({row['verdict']})",
            "",
            "",
            _shown(row["held_out_bits"]),
            _shown(row["memorized_bits"], 0),
            _shown(row["exposure_bits"], 1),
        ]
        for row in part["regularizers"]
    ]


def _shown(mean: dict[str, Any], digits: int = 2) -> str:
    if mean["low"] is None:
        return f"{mean['mean']:,.{digits}f}"
    return f"{mean['mean']:,.{digits}f} ± {(mean['high'] - mean['low']) / 2:,.{digits}f}"


def _ordering(found: dict[str, Any]) -> Ordering:
    seen = ", ".join(f"{name} {_plain(value)}" for name, value in found["seen"].items())
    return Ordering(claim=found["claim"], seen=seen, holds=found["holds"])


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
