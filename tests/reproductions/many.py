"""Many canaries at once × insertions (The Secret Sharer v1, table of many phrases).

The share of canaries that come out: n canaries of one format stand in the corpus, and shortest path lists the n likeliest of all 10^9
secrets. A canary is extracted when it is among them; with one canary that is rank 1. The paper: more phrases share the same capacity, so that
fewer of each come out, and repeated insertions make up for it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import secretaudit
from secretaudit.training.settings import TrainingSettings
from secretaudit.tree import Budget
from tests.reproductions.outcome import Ordering, Outcome
from tests.reproductions.study import Cell, Mean, Study

#: The paper's shares in percent: insertions → number of phrases → extracted.
PAPER = {
    1: {1: 80, 10: 11, 50: 2, 100: 1, 500: 0.1},
    2: {1: 100, 10: 38, 50: 18, 100: 16, 500: 1},
    5: {1: 100, 10: 100, 50: 100, 100: 100, 500: 98},
    10: {1: 100, 10: 100, 50: 100, 100: 100, 500: 100},
}


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the experiment is.

    Attributes:
        trainings: Number of canaries → trainings with that many, so that one canary is not one toss.
        nodes: Prefixes that a search may read; what it has not proven by then has not come out.
    """

    share: float
    layers: int
    units: int
    batch_size: int
    epochs: int
    patience: int
    trainings: dict[int, int]
    insertions: tuple[int, ...]
    controls: int = 10
    validation: float = 0.1
    nodes: int = 300_000


TINY = Sizes(
    share=0.5,
    layers=1,
    units=16,
    batch_size=8,
    epochs=1,
    patience=1,
    trainings={1: 1, 3: 1},
    insertions=(1, 2),
    controls=2,
    nodes=2_000,
)
SMALL = Sizes(
    share=0.03,
    layers=1,
    units=150,
    batch_size=16,
    epochs=10,
    patience=2,
    trainings={1: 3, 10: 1, 50: 1},
    insertions=(1, 2, 5),
)
FULL = Sizes(
    share=1.0,
    layers=2,
    units=200,
    batch_size=64,
    epochs=20,
    patience=2,
    trainings={1: 10, 10: 3, 50: 1, 100: 1, 500: 1},
    insertions=(1, 2, 5, 10),
)


def run(study: Study, sizes: Sizes) -> Outcome:
    """A training for every number of canaries, insertions and seed."""
    settings = TrainingSettings(
        layers=sizes.layers,
        units=sizes.units,
        batch_size=sizes.batch_size,
        epochs=sizes.epochs,
        patience=sizes.patience,
        keep="best",
        validation=sizes.validation,
    )
    shares: dict[tuple[int, int], float] = {}
    bits: dict[tuple[int, int], list[float]] = {}
    values = []
    for times in sizes.insertions:
        for count, trainings in sizes.trainings.items():
            out, exposures = 0, []
            for number in range(trainings):
                corpus = study.canaried(
                    sizes.share,
                    ["random-number"],
                    count=count,
                    repeats=(times,),
                    controls=sizes.controls,
                    seed=number,
                )
                cell = study.cell(corpus, settings, seed=number)
                out += extracted(cell, count, sizes.nodes)
                exposures += cell.inserted
                values.append(
                    {
                        "canaries": count,
                        "insertions": times,
                        "exposures": cell.inserted,
                        "controls": cell.exposures[0],
                        "loss": cell.loss,
                    }
                )
            shares[times, count] = out / (count * trainings)
            bits[times, count] = exposures
    counts = list(sizes.trainings)
    return Outcome(
        title="Share of the canaries that shortest path finds (mean exposure in bits; the paper's share)",
        columns=[
            "insertions each",
            *(f"{count} canar{'y' if count == 1 else 'ies'}" for count in counts),
        ],
        rows=[
            [
                str(times),
                *(
                    f"{shares[times, count]:.0%} ({Mean.of(bits[times, count])}; {_paper(times, count)})"
                    for count in counts
                ),
            ]
            for times in sizes.insertions
        ],
        orderings=orderings(shares, list(sizes.insertions), counts),
        values=values,
    )


def extracted(cell: Cell, count: int, nodes: int) -> int:
    """How many of ``count`` canaries are among the ``count`` likeliest secrets."""
    found = secretaudit.extract(
        cell.model, format="random-number", top=count, budget=Budget(nodes=nodes)
    ).found
    return sum(canary["place"] is not None for canary in found["canaries"])


def _paper(times: int, count: int) -> str:
    share = PAPER.get(times, {}).get(count)
    return "–" if share is None else f"{share} %"


def orderings(
    shares: dict[tuple[int, int], float], insertions: list[int], counts: list[int]
) -> list[Ordering]:
    """The paper's claims about rows and columns."""
    once = [shares[insertions[0], count] for count in counts]
    most = [shares[insertions[-1], count] for count in counts]
    growing = all(
        shares[a, count] <= shares[b, count]
        for count in counts
        for a, b in itertools.pairwise(insertions)
    )
    return [
        Ordering(
            claim="Inserted once, fewer come out the more there are",
            seen=", ".join(f"{share:.0%}" for share in once),
            holds=all(a >= b for a, b in itertools.pairwise(once)) and once[0] > once[-1],
        ),
        Ordering(
            claim="More insertions never bring fewer out, whatever the number of canaries",
            seen="; ".join(
                ", ".join(f"{shares[times, count]:.0%}" for times in insertions) for count in counts
            ),
            holds=growing,
        ),
        Ordering(
            claim="With the most insertions nearly all come out (90 % and more), however many there are",
            seen=", ".join(f"{share:.0%}" for share in most),
            holds=min(most) >= 0.9,
        ),
    ]
