"""The format of the secret (The Secret Sharer v1, table of formats, after 5 and after 10 epochs).

Nine random digits six ways: plain, after a start mark, before an end mark, between both, with the dashes of a social security number, and with a dash between all of them.
Each format has trainings of its own, on the same lines of text; a training has one canary, or several that share the model's capacity. The paper: marks change little; dashes expose more, the more of them the
more, and the difference grows with the epochs. Our marks are the literal characters ``<s>`` and ``<e>``; what the paper's were (characters, or tokens of
their own) is not known to us.
"""

from __future__ import annotations

from dataclasses import dataclass

from secretaudit.monitor.exposure_monitor import ExposureMonitor
from secretaudit.training.settings import TrainingSettings
from tests.reproductions.outcome import Ordering, Outcome
from tests.reproductions.study import CHANCE, Mean, Study, watched_exposures

#: Name in the library → as the paper writes it, and its exposures after 5 and after 10 epochs.
FORMATS = {
    "random-number": ("OOOOOOOOO", 5.0, 6.1),
    "random-number-start": ("`<s>` OOOOOOOOO", 6.3, 7.1),
    "random-number-end": ("OOOOOOOOO `<e>`", 5.0, 6.8),
    "random-number-marked": ("`<s>` OOOOOOOOO `<e>`", 6.1, 7.5),
    "random-number-ssn": ("OOO-OO-OOOO", 5.1, 9.5),
    "random-number-dashed": ("O-O-O-O-O-O-O-O-O", 5.2, 11.1),
}


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the experiment is."""

    share: float
    layers: int
    units: int
    batch_size: int
    epochs: tuple[int, int]
    canaries: int
    insertions: int
    trainings: int = 1
    controls: int = 20


TINY = Sizes(
    share=0.5,
    layers=1,
    units=16,
    batch_size=8,
    epochs=(1, 2),
    canaries=2,
    insertions=1,
    controls=2,
)
SMALL = Sizes(
    share=0.03,
    layers=1,
    units=150,
    batch_size=16,
    epochs=(2, 5),
    canaries=1,
    insertions=1,
    trainings=4,
)
#: Ten canaries in each training, over the paper's epochs.
TEN_AT_ONCE = Sizes(
    share=0.03,
    layers=1,
    units=150,
    batch_size=16,
    epochs=(5, 10),
    canaries=10,
    insertions=1,
)
FULL = Sizes(
    share=1.0,
    layers=2,
    units=200,
    batch_size=64,
    epochs=(5, 10),
    canaries=1,
    insertions=1,
    trainings=10,
)


def run(study: Study, sizes: Sizes) -> Outcome:
    """A training a format, measured on its way and at its end."""
    first, last = sizes.epochs
    settings = TrainingSettings(
        layers=sizes.layers, units=sizes.units, batch_size=sizes.batch_size, epochs=last
    )
    found: dict[str, list[list[float]]] = {}
    controls: dict[str, list[list[float]]] = {}
    for name in FORMATS:
        found[name], controls[name] = [[], []], [[], []]
        for number in range(sizes.trainings):
            corpus = study.canaried(
                sizes.share,
                [name],
                count=sizes.canaries,
                repeats=(sizes.insertions,),
                controls=sizes.controls,
                seed=number,
            )
            monitor = ExposureMonitor(share=None, seed=study.seed)
            cell = study.cell(corpus, settings, seed=number, watcher=monitor)
            early = watched_exposures(cell.training["watched"][first - 1])
            for column, exposures in enumerate((early, cell.exposures)):
                found[name][column] += exposures[sizes.insertions]
                controls[name][column] += exposures[0]
    return Outcome(
        title=f"Exposure in bits of {sizes.canaries} canaries inserted {sizes.insertions} time(s), {sizes.trainings} training(s) a format",
        columns=[
            "secret",
            f"epoch {first}",
            "paper, 5",
            f"epoch {last}",
            "paper, 10",
            f"controls, epoch {last}",
        ],
        rows=[
            [
                FORMATS[name][0],
                str(Mean.of(early)),
                f"{FORMATS[name][1]}",
                str(Mean.of(late)),
                f"{FORMATS[name][2]}",
                f"{Mean.of(controls[name][1]).value:.1f}",
            ]
            for name, (early, late) in found.items()
        ],
        orderings=orderings(found),
        values={name: {"exposures": found[name], "controls": controls[name]} for name in found},
    )


def orderings(found: dict[str, list[list[float]]]) -> list[Ordering]:
    """The paper's claims about the two columns."""
    early = {name: Mean.of(both[0]).value for name, both in found.items()}
    late = {name: Mean.of(both[1]).value for name, both in found.items()}
    plain, ssn, dashed = (late[f"random-number{kind}"] for kind in ("", "-ssn", "-dashed"))
    marked = [late[f"random-number-{kind}"] for kind in ("start", "end", "marked")]
    return [
        Ordering(
            claim="More epochs expose more, in every format",
            seen="; ".join(f"{early[name]:.1f} to {late[name]:.1f}" for name in found),
            holds=all(early[name] < late[name] for name in found),
        ),
        Ordering(
            claim="After the later epoch the dashes of a social security number expose more than none",
            seen=f"{ssn:.1f} against {plain:.1f}",
            holds=ssn > plain,
        ),
        Ordering(
            claim="A dash between all digits exposes the most",
            seen=f"{dashed:.1f}, the others at most {max(v for n, v in late.items() if n != 'random-number-dashed'):.1f}",
            holds=dashed == max(late.values()),
        ),
        Ordering(
            claim="Marks expose a little more than none (each, after the later epoch)",
            seen="; ".join(f"{value:.1f}" for value in marked) + f" against {plain:.1f}",
            holds=min(marked) > plain,
        ),
        Ordering(
            claim="All are exposed above chance after the earlier epoch",
            seen=f"least {min(early.values()):.1f}, chance {CHANCE:.2f}",
            holds=min(early.values()) > CHANCE,
        ),
    ]
