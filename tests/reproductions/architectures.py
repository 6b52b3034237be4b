"""Architectures of about equal size (The Secret Sharer v1, table of architectures).

Recurrent, attention and convolution models with about as many parameters each, in different depths, train to the minimum of their validation loss on the same
canaried corpus. The paper compared recurrent models with convolutions (WaveNet among them): the recurrent ones had a lower loss *and* a
higher exposure. A transformer was not among its models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from secretaudit.training.settings import TrainingSettings
from tests.reproductions.outcome import Ordering, Outcome
from tests.reproductions.study import CHANCE, Cell, Mean, Study

#: (architecture, layers, units); and, where the paper has the same row, its exposure.
Shape = tuple[str, int, int]
PAPER = {
    ("gru", 1): 36,
    ("gru", 2): 37,
    ("lstm", 1): 38,
    ("lstm", 2): 35,
    ("convolution", 2): 19,
    ("convolution", 4): 22,
}


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the experiment is."""

    share: float
    shapes: tuple[Shape, ...]
    batch_size: int
    epochs: int
    patience: int
    canaries: int
    insertions: int
    trainings: int
    controls: int = 20
    validation: float = 0.1


TINY = Sizes(
    share=0.5,
    shapes=(("lstm", 1, 12), ("gru", 1, 12), ("transformer", 1, 16), ("convolution", 1, 16)),
    batch_size=8,
    epochs=1,
    patience=1,
    canaries=2,
    insertions=1,
    trainings=1,
    controls=2,
)
#: About 170,000 parameters each, embedding and output included.
SMALL = Sizes(
    share=0.03,
    shapes=(
        ("lstm", 1, 135),
        ("lstm", 2, 98),
        ("gru", 1, 155),
        ("gru", 2, 112),
        ("transformer", 2, 80),
        ("convolution", 2, 84),
        ("convolution", 4, 60),
    ),
    batch_size=16,
    epochs=12,
    patience=2,
    canaries=10,
    insertions=2,
    trainings=1,
)
#: About 530,000 each, as in the paper; our convolutions are gated, so they are narrower than its.
FULL = Sizes(
    share=1.0,
    shapes=(
        ("gru", 1, 370),
        ("gru", 2, 235),
        ("lstm", 1, 320),
        ("lstm", 2, 200),
        ("convolution", 2, 152),
        ("convolution", 4, 108),
        ("transformer", 4, 104),
    ),
    batch_size=64,
    epochs=40,
    patience=3,
    canaries=1,
    insertions=1,
    trainings=5,
)


def settings_of(shape: Shape, sizes: Sizes) -> TrainingSettings:
    """The training of one architecture; rows are records for all, so that all read the same."""
    arch, layers, units = shape
    attention: dict[str, Any] = {"heads": 4, "learning_rate": 1e-3} if arch == "transformer" else {}
    return TrainingSettings(
        arch=arch,
        layers=layers,
        units=units,
        batch_size=sizes.batch_size,
        layout="records",
        epochs=sizes.epochs,
        patience=sizes.patience,
        keep="best",
        validation=sizes.validation,
        **attention,
    )


def run(study: Study, sizes: Sizes) -> Outcome:
    """A training for every shape and seed."""
    corpora = [
        study.canaried(
            sizes.share,
            ["random-number"],
            count=sizes.canaries,
            repeats=(sizes.insertions,),
            controls=sizes.controls,
            seed=number,
        )
        for number in range(sizes.trainings)
    ]
    cells = {
        shape: [
            study.cell(corpus, settings_of(shape, sizes), seed=number)
            for number, corpus in enumerate(corpora)
        ]
        for shape in sizes.shapes
    }
    return Outcome(
        title=f"Exposure in bits of {sizes.canaries} canaries inserted {sizes.insertions} time(s), {sizes.trainings} training(s) each",
        columns=[
            "architecture",
            "layers",
            "units",
            "parameters",
            "held-out loss, bits",
            "exposure",
            "controls",
            "paper",
        ],
        rows=[
            [
                *map(str, shape),
                f"{found[0].training['parameters']:,}",
                f"{_loss(found):.3f}",
                str(Mean.of(_exposures(found))),
                f"{Mean.of(b for c in found for b in c.exposures[0]).value:.1f}",
                str(PAPER.get(shape[:2], "–")),
            ]
            for shape, found in cells.items()
        ],
        orderings=orderings(cells),
        values=[
            {
                "shape": shape,
                "parameters": found[0].training["parameters"],
                "loss": [cell.loss for cell in found],
                "steps": [cell.training["steps"] for cell in found],
                "seconds": [cell.training["training_seconds"] for cell in found],
                "exposures": [cell.inserted for cell in found],
                "controls": [cell.exposures[0] for cell in found],
            }
            for shape, found in cells.items()
        ],
    )


def _exposures(cells: list[Cell]) -> list[float]:
    return [bits for cell in cells for bits in cell.inserted]


def _loss(cells: list[Cell]) -> float:
    return Mean.of(cell.loss for cell in cells).value


def orderings(cells: dict[Shape, list[Cell]]) -> list[Ordering]:
    """The paper's claims about recurrent models and convolutions."""
    bits = {shape: Mean.of(_exposures(found)).value for shape, found in cells.items()}
    loss = {shape: _loss(found) for shape, found in cells.items()}
    recurrent = [shape for shape in cells if shape[0] in ("lstm", "gru")]
    convolutions = [shape for shape in cells if shape[0] == "convolution"]
    lstm = [bits[s] for s in recurrent if s[0] == "lstm"]
    gru = [bits[s] for s in recurrent if s[0] == "gru"]
    least, most = min(bits[s] for s in recurrent), max(bits[s] for s in convolutions)
    worst, best = max(loss[s] for s in recurrent), min(loss[s] for s in convolutions)
    return [
        Ordering(
            claim="Every recurrent model has a higher exposure than every convolution",
            seen=f"recurrent at least {least:.1f}, convolutions at most {most:.1f}",
            holds=least > most,
        ),
        Ordering(
            claim="Every recurrent model has a lower held-out loss than every convolution",
            seen=f"recurrent at most {worst:.3f}, convolutions at least {best:.3f}",
            holds=worst < best,
        ),
        Ordering(
            claim="LSTM and GRU differ little (means within 20 %)",
            seen=f"{Mean.of(lstm).value:.1f} and {Mean.of(gru).value:.1f}",
            holds=abs(Mean.of(lstm).value / Mean.of(gru).value - 1) <= 0.2,
        ),
        Ordering(
            claim="All of them memorize (over twice chance)",
            seen=f"least {min(bits.values()):.1f}",
            holds=min(bits.values()) > 2 * CHANCE,
        ),
    ]
