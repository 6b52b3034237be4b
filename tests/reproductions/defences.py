"""Defences that are not differential privacy (The Secret Sharer, section 8).

The plain training beside the same training with one defence: early stopping, dropout, weight decay, 8-bit weights, deduplication. Every training has
the same canaries, some inserted once and some repeatedly. The paper: none of the first four brings exposure to chance. Deduplication is not in the
paper; it can only help canaries that are repeated, and makes of them canaries inserted once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from secretaudit.training.settings import TrainingSettings
from tests.reproductions.outcome import Ordering, Outcome
from tests.reproductions.study import CHANCE, Cell, Mean, Study

PLAIN = "none"
#: Name → the settings that differ from the plain training's.
DEFENCES: dict[str, dict[str, Any]] = {
    PLAIN: {},
    "early stopping": {"patience": 1, "keep": "best"},
    "dropout 0.2": {"dropout": 0.2},
    "dropout 0.5": {"dropout": 0.5},
    "weight decay 1e-5": {"weight_decay": 1e-5},
    "weight decay 1e-4": {"weight_decay": 1e-4},
    "8-bit weights": {"quantize": 8},
    "deduplication": {"deduplicate": True},
}


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the experiment is; ``insertions`` are few and many."""

    share: float
    layers: int
    units: int
    batch_size: int
    epochs: int
    canaries: int
    insertions: tuple[int, int]
    controls: int = 20
    validation: float = 0.1


TINY = Sizes(
    share=0.5,
    layers=2,
    units=12,
    batch_size=8,
    epochs=1,
    canaries=2,
    insertions=(1, 2),
    controls=2,
)
SMALL = Sizes(
    share=0.03,
    layers=1,
    units=150,
    batch_size=16,
    epochs=10,
    canaries=6,
    insertions=(1, 8),
)
FULL = Sizes(
    share=1.0,
    layers=2,
    units=200,
    batch_size=64,
    epochs=20,
    canaries=10,
    insertions=(1, 8),
)


def run(study: Study, sizes: Sizes) -> Outcome:
    """A training for every defence."""
    corpus = study.canaried(
        sizes.share,
        ["random-number"],
        count=sizes.canaries,
        repeats=sizes.insertions,
        controls=sizes.controls,
    )
    plain: dict[str, Any] = {
        "layers": sizes.layers,
        "units": sizes.units,
        "batch_size": sizes.batch_size,
        "epochs": sizes.epochs,
        "validation": sizes.validation,
    }
    cells = {
        name: study.cell(corpus, TrainingSettings(**plain | dials))
        for name, dials in DEFENCES.items()
    }
    few, many = sizes.insertions
    return Outcome(
        title=f"Exposure in bits of {sizes.canaries} canaries a column",
        columns=[
            "defence",
            "epochs",
            "held-out loss, bits",
            f"{few} insertion(s)",
            f"{many} insertions",
            "controls",
        ],
        rows=[
            [
                name,
                f"{cell.training['epochs']:.0f}",
                f"{cell.loss:.3f}",
                str(Mean.of(cell.exposures[few])),
                str(Mean.of(cell.exposures[many])),
                f"{Mean.of(cell.exposures[0]).value:.1f}",
            ]
            for name, cell in cells.items()
        ],
        orderings=orderings(cells, few, many),
        values=[
            {
                "defence": name,
                "epochs": cell.training["epochs"],
                "loss": cell.loss,
                "training": cell.training["train_loss_bits_per_token"],
                "exposures": {str(times): bits for times, bits in cell.exposures.items()},
            }
            for name, cell in cells.items()
        ],
    )


def orderings(cells: dict[str, Cell], few: int, many: int) -> list[Ordering]:
    """That regularization does not help, and what deduplication does."""
    often = {name: Mean.of(cell.exposures[many]) for name, cell in cells.items()}
    once = {name: Mean.of(cell.exposures[few]) for name, cell in cells.items()}
    paper = [name for name in cells if name not in (PLAIN, "deduplication")]
    halved = [name for name in paper if often[name].value < 0.5 * often[PLAIN].value]
    return [
        *(
            Ordering(
                claim=f"{name} does not bring repeated canaries to chance (the interval stays above {CHANCE:.2f})",
                seen=f"{often[name]} bits",
                holds=often[name].value - often[name].half > CHANCE,
            )
            for name in paper
        ),
        Ordering(
            claim="None of these even halves the exposure of repeated canaries",
            seen=f"plain {often[PLAIN]}; " + (", ".join(halved) or "none"),
            holds=not halved,
        ),
        Ordering(
            claim="Deduplication brings repeated canaries down to those inserted once (intervals overlap)",
            seen=f"{often['deduplication']} and {once['deduplication']}, plain {often[PLAIN]}",
            holds=abs(often["deduplication"].value - once["deduplication"].value)
            <= often["deduplication"].half + once["deduplication"].half,
        ),
    ]
