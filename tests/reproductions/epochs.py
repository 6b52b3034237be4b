"""Exposure against epochs beside training and validation loss (The Secret Sharer, sections 4 and 7.2, figure 8 of v3).

One canary is inserted once into a small share of Penn Treebank, and a character LSTM is trained long past the epoch at which its validation loss is
least. After every epoch the exposure is measured. The paper: exposure rises from the first epochs on, is at its height when the validation
loss is at its minimum, and does not grow in the over-fitting that follows; memorization is not over-fitting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secretaudit.monitor.exposure_monitor import ExposureMonitor
from secretaudit.training.settings import TrainingSettings
from tests.reproductions.outcome import Ordering, Outcome
from tests.reproductions.study import Mean, Study

#: The share of its largest value at which exposure counts as saturated.
SATURATED = 0.9


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the experiment is."""

    share: float
    layers: int
    units: int
    batch_size: int
    epochs: int
    trainings: int
    insertions: int = 1
    validation: float = 0.1
    draws: int = 6_000
    controls: int = 20


TINY = Sizes(
    share=0.5, layers=1, units=16, batch_size=8, epochs=2, trainings=2, draws=600, controls=3
)
SMALL = Sizes(share=0.03, layers=1, units=200, batch_size=16, epochs=18, trainings=4)
FULL = Sizes(share=0.05, layers=2, units=200, batch_size=64, epochs=39, trainings=10)


def run(study: Study, sizes: Sizes) -> Outcome:
    """Train a few models with one canary each, and average over them epoch by epoch."""
    settings = TrainingSettings(
        layers=sizes.layers,
        units=sizes.units,
        batch_size=sizes.batch_size,
        epochs=sizes.epochs,
        validation=sizes.validation,
    )
    histories, watched = [], []
    for number in range(sizes.trainings):
        corpus = study.canaried(
            sizes.share,
            ["random-number"],
            count=1,
            repeats=(sizes.insertions,),
            controls=sizes.controls,
            seed=number,
        )
        monitor = ExposureMonitor(share=None, draws=sizes.draws, seed=study.seed)
        found = study.cell(corpus, settings, seed=number, watcher=monitor).training
        histories.append(found["losses"])
        watched.append(found["watched"])
    training = np.array([[look["training"] for look in h] for h in histories])
    validation = np.array([[look["validation"] for look in h] for h in histories])
    exposure = np.array([[look["largest_bits"] for look in w] for w in watched])
    controls = np.array([[look["control_mean_bits"] for look in w] for w in watched])
    rows = [
        [
            str(epoch + 1),
            f"{training[:, epoch].mean():.3f}",
            f"{validation[:, epoch].mean():.3f}",
            str(Mean.of(exposure[:, epoch])),
            f"{controls[:, epoch].mean():.1f}",
        ]
        for epoch in range(sizes.epochs)
    ]
    return Outcome(
        title=f"Exposure of one canary inserted {sizes.insertions} time(s), mean of {sizes.trainings} trainings, by epoch",
        columns=[
            "epoch",
            "training loss, bits",
            "validation loss, bits",
            "exposure, bits",
            "controls",
        ],
        rows=rows,
        orderings=orderings(validation.mean(axis=0), exposure.mean(axis=0)),
        values={"losses": histories, "watched": [_plain(w) for w in watched]},
    )


def _plain(looks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    keys = ("step", "epoch", "largest_bits", "control_mean_bits")
    return [{key: look[key] for key in keys} for look in looks]


def orderings(validation: NDArray[np.float64], exposure: NDArray[np.float64]) -> list[Ordering]:
    """The paper's claims about the two curves, shape (epochs,) each."""
    least = int(validation.argmin())
    top = float(exposure.max())
    saturated = int(np.argmax(exposure >= SATURATED * top))
    quarter = max(0, round((least + 1) / 2) - 1)
    return [
        Ordering(
            claim=f"Exposure saturates no later than the validation minimum ({SATURATED:.0%} of its largest mean value)",
            seen=f"saturated after epoch {saturated + 1}, validation minimum after epoch {least + 1}",
            holds=saturated <= least,
        ),
        Ordering(
            claim="Memorization begins before over-fitting (over 3 bits half-way to the validation minimum)",
            seen=f"{exposure[quarter]:.1f} bits after epoch {quarter + 1}",
            holds=bool(exposure[quarter] > 3.0),
        ),
        Ordering(
            claim="Over-training adds little (the last epoch at most 10 % above the validation minimum)",
            seen=f"{exposure[least]:.1f} bits at the minimum, {exposure[-1]:.1f} at the end, largest {top:.1f}",
            holds=bool(exposure[-1] <= 1.1 * exposure[least]),
        ),
    ]
