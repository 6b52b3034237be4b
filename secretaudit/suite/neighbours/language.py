"""The same question for a language model: does it say the next token that the nearest hidden states of its training text would?

A language model is a classifier of the next token, and its embedding is what the output layer reads. Every position of the training text is a point with a
label, the token that came next; a k-nearest-neighbour rule over such points is what kNN-LM (Khandelwal et al. 2020) mixes into a model's prediction. Cohen et
al. looked at images; all of this view is ours.

*Agreement* (MC, ME, P_SAME with the model's likeliest token) on training positions, with the position itself left out, and with its whole record left
out; and on held-out positions. Where the agreement on training text exceeds that on held-out text, memorization sits: a record's *excess* is its own share
of agreement minus the share on held-out text. What the canaries show stands in ``canaries``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secretaudit.audited import open_audited
from secretaudit.canary.ledger import Ledger
from secretaudit.exposure.audit import expose
from secretaudit.suite.cells import Cell
from secretaudit.suite.language.records import HiddenStates, Records, hidden_states, open_records
from secretaudit.suite.language.task import LanguageTask
from secretaudit.suite.language.training import exposures, train_model
from secretaudit.suite.neighbours.canaries import canary_rows, correlations
from secretaudit.suite.neighbours.engine import votes
from secretaudit.suite.neighbours.grouped import gap_over_records, nearest_outside
from secretaudit.suite.neighbours.measures import agreement
from secretaudit.suite.neighbours.settings import NeighboursSettings
from secretaudit.suite.neighbours.text_findings import part_of_models, text_orderings
from secretaudit.suite.subject import LanguageSubject, Run

__all__ = ["language_part", "look_at_text", "text_cell"]

#: Records shown with the largest excess.
_SHOWN = 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Text:
    """What a language model is held against.

    Attributes:
        directory: The model.
        train: All that it was trained on, a record each, copies of canaries included.
        held_out: Records that it was not trained on.
        ledger: Its canaries, if it has any.
        exposures: Exposure of each canary, as ``suite.language.training.exposures`` gives it.
    """

    directory: Path
    train: Sequence[str]
    held_out: Sequence[str]
    ledger: Ledger | None
    exposures: Sequence[dict[str, Any]]


def language_part(
    subject: LanguageSubject, settings: NeighboursSettings, run: Run
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The part "language" and its orderings."""
    count = 1 if subject.given is not None else settings.text_models
    cells = []
    for number in range(count):
        seed = int(np.random.SeedSequence([run.seed, number, 1]).generate_state(1)[0]) % 2**31
        cells.append(Cell(name=f"language/{number}", work=text_cell, arguments={"seed": seed}))
    found = run.cells.run(
        cells, (subject, settings), identity=run.identity + repr(settings), stage="neighbours"
    )
    models = list(found.values())
    return part_of_models(models, settings), text_orderings(models)


def text_cell(shared: tuple[LanguageSubject, NeighboursSettings], *, seed: int) -> dict[str, Any]:
    """Train a model with canaries, or open the given one, and look at it."""
    subject, settings = shared
    if subject.given is not None:
        return look_at_text(_given(subject.given, subject.task, seed), settings, seed) | {
            "model": "given"
        }
    with tempfile.TemporaryDirectory(prefix="secretaudit-neighbours-") as place:
        trained = train_model(
            subject.task, subject.task.train, subject.settings, seed, Path(place) / "text"
        )
        ledger = Ledger.read(trained.ledger)
        text = Text(
            directory=trained.directory,
            train=[*subject.task.train, *_copies(ledger)],
            held_out=subject.task.held_out,
            ledger=ledger,
            exposures=exposures(trained, seed),
        )
        return look_at_text(text, settings, seed) | {"model": "trained"}


def look_at_text(text: Text, settings: NeighboursSettings, seed: int) -> dict[str, Any]:
    """Agreement on training and held-out positions, excess by record, canaries.

    Raises:
        UsageError: Fewer positions outside a record than neighbours.
    """
    rng = np.random.default_rng(seed)
    known = {canary.text for canary in text.ledger.canaries} if text.ledger else set()
    train = _stored(text.train, known, open_records(text.directory, text.train), settings, rng)
    lines, records = train
    store = hidden_states(records, settings.embedding or None)
    asked = _some_records(store.record, settings.text_queries, rng)
    held = hidden_states(records.of(list(text.held_out)), settings.embedding or None)
    held = _chosen(held, _some_records(held.record, settings.text_queries, rng))
    found = _agreements(store, asked, held, records.vocabulary_size, settings, seed)
    found |= {
        "seed": seed,
        "status": "measured",
        "positions": len(store.states),
        "records": len(records),
        "features": int(store.states.shape[1]),
    }
    rows = (
        canary_rows(text.ledger, text.exposures, lines, records, store, settings)
        if text.ledger is not None
        else []
    )
    return found | {
        "excess": _excess(found.pop("by_record"), lines, known),
        "canaries": {
            "status": "measured" if rows else "not applicable: the model has no ledger",
            "rows": rows,
            "spearman": correlations(rows),
        },
    }


def _given(directory: Path, task: LanguageTask, seed: int) -> Text:
    """A model that was trained already, with the canaries of its own ledger put back into the text."""
    audited = open_audited(directory)
    measured = expose(directory, seed=seed).found["canaries"] if audited.ledger else []
    return Text(
        directory=directory,
        train=[*task.train, *(_copies(audited.ledger) if audited.ledger else [])],
        held_out=task.held_out,
        ledger=audited.ledger,
        exposures=measured,
    )


def _copies(ledger: Ledger) -> list[str]:
    return [canary.text for canary in ledger.canaries for _ in range(canary.insertions)]


def _stored(
    lines: Sequence[str],
    known: set[str],
    records: Records,
    settings: NeighboursSettings,
    rng: np.random.Generator,
) -> tuple[list[str], Records]:
    """All canaries and, in an order drawn by chance, as many other records as there is room for; in the order of the text."""
    sizes = records.counted.sum(1).numpy()
    first = [row for row, line in enumerate(lines) if line in known]
    others = [row for row in rng.permutation(len(lines)).tolist() if lines[row] not in known]
    order = np.array([*first, *others], dtype=np.int64)
    room = np.cumsum(sizes[order]) <= settings.text_positions
    room[: len(first) + 1] = True
    kept = np.sort(order[room])
    return [lines[row] for row in kept.tolist()], records.rows(kept)


def _some_records(
    record: NDArray[np.int64], most: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Positions of whole records, drawn by chance until there are enough."""
    sizes = np.bincount(record)
    order = rng.permutation(len(sizes))
    chosen = order[np.cumsum(sizes[order]) <= max(most, int(sizes[order[0]]))]
    return np.flatnonzero(np.isin(record, chosen))


def _chosen(states: HiddenStates, rows: NDArray[np.int64]) -> HiddenStates:
    """Some of the positions."""
    return HiddenStates(
        states=states.states[rows],
        next_tokens=states.next_tokens[rows],
        record=states.record[rows],
        place=states.place[rows],
        predicted=states.predicted[rows],
    )


def _agreements(
    store: HiddenStates,
    asked: NDArray[np.int64],
    held: HiddenStates,
    vocabulary: int,
    settings: NeighboursSettings,
    seed: int,
) -> dict[str, Any]:
    """Agreement by what is left out, the gap to held-out text, and shares by record."""
    own = {
        "train": np.arange(len(store.states)),
        "train_other_records": store.record,
    }
    found: dict[str, Any] = {}
    same: dict[str, NDArray[np.bool_]] = {}
    for name, groups in own.items():
        vote = _vote(store, groups, store.states[asked], groups[asked], vocabulary, settings)
        found[name] = agreement(store.predicted[asked], vote, store.next_tokens[asked])
        same[name] = store.predicted[asked] == vote
    nobody = np.full(len(held.states), -1)
    vote = _vote(store, store.record, held.states, nobody, vocabulary, settings)
    found["held_out"] = agreement(held.predicted, vote, held.next_tokens)
    alike = held.predicted == vote
    for name, hits in same.items():
        found[f"{name}_gap"] = gap_over_records(hits, store.record[asked], alike, held.record, seed)
    rows, index = np.unique(store.record[asked], return_inverse=True)
    shares = np.bincount(index, weights=same["train"]) / np.bincount(index)
    found["by_record"] = {
        "rows": rows,
        "excess": shares - float(alike.mean()),
        "tokens": np.bincount(index),
    }
    return found


def _vote(
    store: HiddenStates,
    groups: NDArray[np.int64],
    queries: NDArray[np.float32],
    own: NDArray[np.int64],
    vocabulary: int,
    settings: NeighboursSettings,
) -> NDArray[np.int64]:
    """The token that most of the k nearest positions outside a group were followed by."""
    near = nearest_outside(
        store.states,
        groups,
        queries,
        own,
        settings.k,
        metric=settings.metric,
        engine=settings.engine,
    )
    found: NDArray[np.int64] = votes(store.next_tokens, near, vocabulary).argmax(1)
    return found


def _excess(by_record: dict[str, Any], lines: Sequence[str], known: set[str]) -> dict[str, Any]:
    """Excess of training records over held-out text: quartiles, canaries beside other text, and the records with most."""
    rows, excess, tokens = by_record["rows"], by_record["excess"], by_record["tokens"]
    planted = np.array([lines[row] in known for row in rows.tolist()])
    order = np.argsort(-excess, kind="stable")[:_SHOWN]
    return {
        "records": len(rows),
        "quartiles": np.quantile(excess, [0.0, 0.25, 0.5, 0.75, 1.0]).tolist(),
        "mean_canaries": float(excess[planted].mean()) if planted.any() else None,
        "mean_others": float(excess[~planted].mean()) if (~planted).any() else None,
        "largest": [
            {
                "record": int(rows[i]),
                "canary": bool(planted[i]),
                "tokens": int(tokens[i]),
                "excess": float(excess[i]),
            }
            for i in order.tolist()
        ],
    }
