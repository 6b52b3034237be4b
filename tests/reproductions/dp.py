"""Differentially private training (The Secret Sharer, section 8 and its table of ε).

The same training with gradients clipped per record and noise for ε from below 1 to 10^9, beside the same training without. The paper: private
training brings exposure to chance, at some cost in loss, and even an ε that promises nothing does; only training without privacy
exposes. At ε = 10^9 there is hardly any noise, so that what is left of the defence is the clipping. The paper's numbers are known to us at second hand.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from secretaudit.training.settings import PrivacySettings, TrainingSettings
from tests.reproductions.outcome import Ordering, Outcome
from tests.reproductions.study import CHANCE, Cell, Mean, Study

#: (optimizer, ε or None) → the paper's exposure.
PAPER = {
    ("rmsprop", 0.65): 1.1,
    ("rmsprop", 1.21): 2.3,
    ("rmsprop", 5.26): 1.8,
    ("rmsprop", 89.0): 2.1,
    ("rmsprop", 2e8): 3.2,
    ("rmsprop", 1e9): 2.8,
    ("sgd", None): 9.5,
    ("rmsprop", None): 31.0,
}


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the experiment is.

    Attributes:
        levels: (optimizer, ε); ``None``: without privacy.
        clip: Norm to which the gradient of each record is clipped.
    """

    share: float
    layers: int
    units: int
    batch_size: int
    epochs: int
    canaries: int
    insertions: int
    levels: tuple[tuple[str, float | None], ...]
    clip: float = 1.0
    rmsprop_rate: float = 2e-3
    sgd_rate: float = 1.0
    controls: int = 20


TINY = Sizes(
    share=0.5,
    layers=1,
    units=12,
    batch_size=8,
    epochs=1,
    canaries=2,
    insertions=1,
    levels=(("rmsprop", 1.0), ("rmsprop", 1e9), ("rmsprop", None)),
    controls=2,
)
SMALL = Sizes(
    share=0.03,
    layers=1,
    units=100,
    batch_size=32,
    epochs=16,
    canaries=10,
    insertions=4,
    levels=tuple(PAPER),
)
FULL = Sizes(
    share=1.0,
    layers=2,
    units=200,
    batch_size=256,
    epochs=30,
    canaries=1,
    insertions=1,
    levels=tuple(PAPER),
)


def settings_of(optimizer: str, epsilon: float | None, sizes: Sizes) -> TrainingSettings:
    """One level; all read the corpus as records."""
    privacy = None
    if epsilon is not None:
        privacy = PrivacySettings(epsilon=epsilon, max_grad_norm=sizes.clip)
    return TrainingSettings(
        layers=sizes.layers,
        units=sizes.units,
        batch_size=sizes.batch_size,
        layout="records",
        epochs=sizes.epochs,
        optimizer=optimizer,
        learning_rate=sizes.rmsprop_rate if optimizer == "rmsprop" else sizes.sgd_rate,
        privacy=privacy,
    )


def run(study: Study, sizes: Sizes) -> Outcome:
    """One training a level, all on the same canaried corpus."""
    corpus = study.canaried(
        sizes.share,
        ["random-number"],
        count=sizes.canaries,
        repeats=(sizes.insertions,),
        controls=sizes.controls,
    )
    cells = {level: study.cell(corpus, settings_of(*level, sizes)) for level in sizes.levels}
    return Outcome(
        title=f"Exposure in bits of {sizes.canaries} canaries inserted {sizes.insertions} time(s), by privacy",
        columns=["optimizer", "ε", "σ", "held-out loss, bits", "exposure", "controls", "paper"],
        rows=[
            [
                optimizer,
                _epsilon(epsilon),
                _noise(cell),
                f"{cell.loss:.2f}",
                str(Mean.of(cell.inserted)),
                f"{Mean.of(cell.exposures[0]).value:.1f}",
                str(PAPER.get((optimizer, epsilon), "–")),
            ]
            for (optimizer, epsilon), cell in cells.items()
        ],
        orderings=orderings(cells),
        values=[
            {
                "optimizer": optimizer,
                "epsilon_asked": epsilon,
                "privacy": cell.training.get("privacy"),
                "loss": cell.loss,
                "exposures": cell.inserted,
                "controls": cell.exposures[0],
                "seconds": cell.training["training_seconds"],
            }
            for (optimizer, epsilon), cell in cells.items()
        ],
    )


def _epsilon(epsilon: float | None) -> str:
    return "no privacy" if epsilon is None else f"{epsilon:g}"


def _noise(cell: Cell) -> str:
    privacy = cell.training.get("privacy")
    return f"{privacy['noise_multiplier']:.3g}" if privacy else "–"


def orderings(cells: dict[tuple[str, float | None], Cell]) -> list[Ordering]:
    """The paper's claims about private and plain training."""
    bits = {level: Mean.of(cell.inserted) for level, cell in cells.items()}
    private = [level for level in cells if level[1] is not None]
    meaningful = [level for level in private if (level[1] or 0.0) < 100.0]
    huge = [level for level in private if level not in meaningful]
    plain = bits["rmsprop", None]
    loss = {level: cell.loss for level, cell in cells.items()}
    losses = [loss[level] for level in private]
    found = [
        Ordering(
            claim=f"With an ε below 100, exposure is at chance (the interval holds {CHANCE:.2f})",
            seen="; ".join(str(bits[level]) for level in meaningful),
            holds=all(abs(bits[level].value - CHANCE) <= bits[level].half for level in meaningful),
        ),
        Ordering(
            claim="Even with a meaningless ε, exposure is near chance (mean below 4 bits)",
            seen="; ".join(str(bits[level]) for level in huge),
            holds=all(bits[level].value < 4.0 for level in huge),
        ),
        Ordering(
            claim="Training without privacy exposes far more than any private one (at least three times)",
            seen=f"{plain} against at most {max(bits[level].value for level in private):.1f}",
            holds=plain.value > 3 * max(bits[level].value for level in private),
        ),
        Ordering(
            claim="Less privacy costs less loss (falling with ε)",
            seen=", ".join(f"{value:.2f}" for value in losses),
            holds=all(a >= b for a, b in itertools.pairwise(losses)),
        ),
        Ordering(
            claim="Private training costs loss at every ε",
            seen=f"at least {min(losses):.2f}, without {loss['rmsprop', None]:.2f}",
            holds=min(losses) > loss["rmsprop", None],
        ),
    ]
    sgd = ("sgd", None)
    if sgd in cells:
        found.append(
            Ordering(
                claim="Plain SGD learns less and exposes less than plain RMSProp",
                seen=f"{bits[sgd]} bits at a loss of {loss[sgd]:.2f}, against {plain} at {loss['rmsprop', None]:.2f}",
                holds=bits[sgd].value < plain.value and loss[sgd] > loss["rmsprop", None],
            )
        )
    return found
