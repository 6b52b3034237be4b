"""Exposure within an epoch, step by step, with shuffling off (The Secret Sharer, section 7.1).

Records are read in the order of the corpus, so each canary is read at the same step of every epoch, and the exposures of all canaries are
measured after every step. The paper: exposure jumps when the canary is read and decays slightly until it is read again, and this
is visible in the first epochs already.

Canaries stand at many places, so the curves are laid over one another by *steps since the canary was read*: the change at k is

    Δ_k = mean over canaries and epochs of  exposure(k steps after the step that reads it) − exposure(before that step)

with the general rise of exposure in it. The control for that rise is the same mean over the steps that read no canary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secretaudit.corpus.canaried import open_canaried
from secretaudit.monitor.exposure_monitor import ExposureMonitor
from secretaudit.training.settings import TrainingSettings
from tests.reproductions.outcome import Ordering, Outcome
from tests.reproductions.study import Mean, Study, ledger_texts

#: Steps after the reading of a canary at which the curve is shown.
SINCE = (1, 2, 3, 5, 10, 20, 30)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the experiment is."""

    share: float
    layers: int
    units: int
    batch_size: int
    epochs: int
    trainings: int
    canaries: int
    optimizer: str = "rmsprop"
    draws: int = 1_200
    controls: int = 20


TINY = Sizes(
    share=0.5,
    layers=1,
    units=16,
    batch_size=8,
    epochs=2,
    trainings=1,
    canaries=2,
    draws=600,
    controls=2,
)
SMALL = Sizes(share=0.03, layers=1, units=200, batch_size=32, epochs=7, trainings=3, canaries=3)
FULL = Sizes(share=1.0, layers=2, units=200, batch_size=64, epochs=10, trainings=5, canaries=1)


def run(study: Study, sizes: Sizes) -> Outcome:
    """Train without shuffling and look after every step."""
    settings = TrainingSettings(
        layers=sizes.layers,
        units=sizes.units,
        batch_size=sizes.batch_size,
        epochs=sizes.epochs,
        optimizer=sizes.optimizer,
        layout="records",
        shuffle=False,
        validation=0.0,
    )
    curves: list[NDArray[np.float64]] = []
    for number in range(sizes.trainings):
        corpus = study.canaried(
            sizes.share,
            ["random-number"],
            count=sizes.canaries,
            repeats=(1,),
            controls=sizes.controls,
            seed=number,
        )
        monitor = ExposureMonitor(every=1, share=None, draws=sizes.draws, seed=study.seed)
        cell = study.cell(corpus, settings, seed=number, watcher=monitor)
        readings = reading_steps(corpus, sizes.batch_size)
        per_epoch = round(cell.training["steps"] / cell.training["epochs"])
        for name, step in readings.items():
            curve = np.array([_bits(look, name) for look in cell.training["watched"]])
            curves.append(aligned(curve, step, per_epoch))
    since = [k for k in SINCE if k < curves[0].shape[1]]
    return _outcome(np.stack(curves), since, sizes)


def reading_steps(corpus: Path, batch_size: int) -> dict[str, int]:
    """For each inserted canary, the step within an epoch (from 0) that reads it."""
    lines = open_canaried(corpus).corpus.read_text("utf-8").splitlines()
    place = {line: number for number, line in enumerate(lines)}
    return {
        name: place[text] // batch_size
        for name, text in ledger_texts(corpus).items()
        if text in place
    }


def _bits(look: Mapping[str, Any], name: str) -> float:
    """A canary's exposure at a look, or what it is at least."""
    row = next(row for row in look["exposures"] if row["id"] == name)
    known = row["exposure_bits"]
    return float(row["low_bits"] if known is None else known)


def aligned(curve: NDArray[np.float64], step: int, per_epoch: int) -> NDArray[np.float64]:
    """A canary's exposure from the step before each reading to the step before the next one.

    Args:
        curve: Exposure after each step, shape (epochs × per_epoch,).
        step: The step of an epoch that reads the canary.
        per_epoch: Steps per epoch.

    Returns:
        Shape (epochs − 1, per_epoch + 1): in column k the exposure after k of the steps that begin with the one that reads it. The last epoch is
        left out, since it ends before the next reading; so is the first where no step comes before the reading.

    >>> aligned(np.arange(9.0), 1, 3)
    array([[0., 1., 2., 3.],
           [3., 4., 5., 6.]])
    """
    begins = np.arange(step, len(curve) - per_epoch + 1, per_epoch)
    padded = np.concatenate([[np.nan], curve])
    rows = [padded[begin : begin + per_epoch + 1] for begin in begins]
    found = np.stack([row for row in rows if len(row) == per_epoch + 1])
    return found[~np.isnan(found).any(axis=1)]


def _outcome(curves: NDArray[np.float64], since: list[int], sizes: Sizes) -> Outcome:
    """The table by epoch, and the paper's claims.

    Args:
        curves: Exposure, shape (canaries, readings, 1 + steps per epoch): column 0 before the reading.
        since: Which columns to show.
        sizes: What was run.
    """
    changes = np.diff(curves, axis=2)
    jump, others = changes[:, :, 0], changes[:, :, 1:]
    last = curves[:, :, -1]
    rows = [
        [
            str(number + 1),
            *(str(Mean.of(curves[:, number, k])) for k in (0, *since)),
            str(Mean.of(last[:, number])),
        ]
        for number in range(curves.shape[1])
    ]
    heads = ["before"] + [f"{k} step{'s' * (k > 1)} on" for k in since]
    return Outcome(
        title=f"Exposure in bits around the step that reads a canary, mean of {len(curves)} canaries",
        columns=["reading", *heads, "before the next"],
        rows=rows,
        orderings=[
            Ordering(
                claim="Exposure jumps when the canary is read (mean change of that step against the mean change of the others)",
                seen=f"{Mean.of(jump.mean(axis=1))} bits against {others.mean():.3f}",
                holds=bool(jump.mean() > 0 and jump.mean() > 10 * abs(others.mean())),
            ),
            Ordering(
                claim="It decays until the canary is read again (before the next reading against just after this one)",
                seen=f"{Mean.of((last - curves[:, :, 1]).mean(axis=1))} bits",
                holds=bool((last - curves[:, :, 1]).mean() < 0),
            ),
            Ordering(
                claim="It decays less than it jumped: some of every reading stays",
                seen=f"{Mean.of((last - curves[:, :, 0]).mean(axis=1))} bits an epoch",
                holds=bool((last - curves[:, :, 0]).mean() > 0),
            ),
            Ordering(
                claim="The jump is there in the first reading that has a step before it",
                seen=f"{Mean.of(jump[:, 0])} bits",
                holds=bool(jump[:, 0].mean() > 0),
            ),
        ],
        values={"exposure": np.round(curves, 3).tolist(), "batch_size": sizes.batch_size},
    )
