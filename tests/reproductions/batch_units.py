"""Batch size × units (The Secret Sharer v1, table of batch sizes and LSTM units).

Every cell trains to the minimum of its validation loss, which is what a practitioner would keep, and measures the same canaries. The paper: exposure rises with
the number of units, and with the batch size up to a peak that comes earlier for larger models. What the paper held fixed (epochs,
steps or loss) is not known to us.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from secretaudit.training.settings import TrainingSettings
from tests.reproductions.outcome import Ordering, Outcome
from tests.reproductions.study import Cell, Mean, Study


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the experiment is."""

    share: float
    layers: int
    units: tuple[int, ...]
    batch_sizes: tuple[int, ...]
    epochs: int
    patience: int
    canaries: int
    insertions: int
    controls: int = 20
    validation: float = 0.1


TINY = Sizes(
    share=0.5,
    layers=1,
    units=(8, 16),
    batch_sizes=(4, 8),
    epochs=1,
    patience=1,
    canaries=2,
    insertions=1,
    controls=2,
)
SMALL = Sizes(
    share=0.02,
    layers=1,
    units=(50, 200),
    batch_sizes=(8, 32, 128),
    epochs=20,
    patience=2,
    canaries=8,
    insertions=2,
)
FULL = Sizes(
    share=1.0,
    layers=2,
    units=(50, 100, 150, 200, 250),
    batch_sizes=(16, 32, 64, 128, 256, 512, 1024),
    epochs=40,
    patience=3,
    canaries=1,
    insertions=1,
)


def run(study: Study, sizes: Sizes) -> Outcome:
    """One training a cell, all on the same canaried corpus."""
    corpus = study.canaried(
        sizes.share,
        ["random-number"],
        count=sizes.canaries,
        repeats=(sizes.insertions,),
        controls=sizes.controls,
    )
    cells = {
        (batch, units): study.cell(
            corpus,
            TrainingSettings(
                layers=sizes.layers,
                units=units,
                batch_size=batch,
                layout="records",
                epochs=sizes.epochs,
                patience=sizes.patience,
                keep="best",
                validation=sizes.validation,
            ),
        )
        for batch in sizes.batch_sizes
        for units in sizes.units
    }
    return Outcome(
        title=f"Exposure in bits of {sizes.canaries} canaries inserted {sizes.insertions} time(s), and held-out loss in bits a character",
        columns=["batch", *(f"{units} units" for units in sizes.units)],
        rows=[
            [str(batch), *(_told(cells[batch, units]) for units in sizes.units)]
            for batch in sizes.batch_sizes
        ],
        orderings=orderings(cells, sizes),
        values=[
            {
                "batch": batch,
                "units": units,
                "exposures": cell.exposures[sizes.insertions],
                "controls": cell.exposures.get(0, []),
                "loss": cell.loss,
                "best_step": cell.training["best_step"],
                "steps": cell.training["steps"],
                "seconds": cell.training["training_seconds"],
            }
            for (batch, units), cell in cells.items()
        ],
    )


def _told(cell: Cell) -> str:
    return f"{Mean.of(cell.inserted)} ({cell.loss:.2f})"


def orderings(cells: dict[tuple[int, int], Cell], sizes: Sizes) -> list[Ordering]:
    """The paper's claims about rows, columns and peaks."""
    mean = {key: Mean.of(cell.inserted).value for key, cell in cells.items()}
    batches, units = sizes.batch_sizes, sizes.units
    small = [mean[batches[0], u] for u in units]
    large = [max(mean[b, u] for b in batches[1:]) for u in units]
    least = [mean[b, units[0]] for b in batches]
    most = [mean[b, units[-1]] for b in batches]
    peak = {u: max(batches, key=lambda b, u=u: mean[b, u]) for u in units}
    return [
        Ordering(
            claim="The smallest batch memorizes less than the best larger one, for every number of units",
            seen="; ".join(f"{a:.1f} and {b:.1f}" for a, b in zip(small, large, strict=True)),
            holds=all(a < b for a, b in zip(small, large, strict=True)),
        ),
        Ordering(
            claim="The most units memorize more than the fewest, at every batch size",
            seen="; ".join(f"{b:.1f} and {a:.1f}" for a, b in zip(least, most, strict=True)),
            holds=all(a < b for a, b in zip(least, most, strict=True)),
        ),
        Ordering(
            claim="The batch size of the peak does not grow with the units",
            seen=", ".join(f"{u} units: {peak[u]}" for u in units),
            holds=all(peak[a] >= peak[b] for a, b in itertools.pairwise(units)),
        ),
    ]
