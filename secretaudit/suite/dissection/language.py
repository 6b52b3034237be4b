"""Language models: one way to learn text, N ways to memorize noise; and which records are memorized.

*Pairs.* M models each are trained on some lines of the text, on noise made of these lines (one and the same for all), and on noise of their own, all with the same
tokenizer and dials, until the mean loss of a training token is at most a target (``StopAtLoss``): like classifiers at zero training error, all of them fit what they
were given. A model that does not come there is left out. They are compared on the tokens of held-out *real* lines: the most likely next token (P_SAME, κ) and the hidden
states that the output layer reads (CKA, SVCCA). A model that knows nothing but frequencies says the most frequent token everywhere, so P_SAME rewards
ignorance: κ is what is judged. The coherence of their training lines' gradients (mean loss of a line, by all parameters) is measured after a few numbers of epochs, each in a
training of so many epochs from the same seed, and at the end.

*Records.* M models are trained on the whole text as their settings say, with the task's canaries. A record's coherence c_i = cos(g_i, Σ g_j), j over ordinary
training lines other than i, says whether what the record asks for is what the others ask for. A canary's secret follows from no other line: if it is reproduced, it was
memorized. Reported: the chance that a canary that was inserted most often is less coherent than an ordinary line (AUC), the same for canaries that were never inserted,
which are as odd and were not memorized, and the rank correlation of coherence and exposure. Low coherence says that a record can only be memorized; whether it was, its
loss says beside that of the never inserted ones.

The questions are Gu & Tresp's (2019, abstract); language models, canaries and all estimators are ours.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from secretaudit.canary.ledger import Ledger
from secretaudit.errors import UsageError
from secretaudit.suite.cells import Cell
from secretaudit.suite.dissection.coherence import Coherence, against, coherence
from secretaudit.suite.dissection.conditions import derived_seed
from secretaudit.suite.dissection.language_reading import (
    KINDS,
    REAL,
    SAME,
    given_part,
    part_of,
)
from secretaudit.suite.dissection.packed import packed
from secretaudit.suite.dissection.representation import principal_coordinates
from secretaudit.suite.dissection.settings import DissectionSettings
from secretaudit.suite.dissection.stop_at_loss import StopAtLoss
from secretaudit.suite.language.noise_text import noisy_lines
from secretaudit.suite.language.records import (
    Records,
    hidden_states,
    open_records,
    record_gradients,
    record_nats,
)
from secretaudit.suite.language.training import TrainedModel, exposures, train_model
from secretaudit.suite.subject import LanguageSubject, Run

__all__ = ["canary_coherence", "run", "train"]

#: Gradients held at a time.
_ROWS = 16
Shared = tuple[LanguageSubject, DissectionSettings, int]


def run(subject: LanguageSubject, settings: DissectionSettings, run: Run) -> dict[str, Any]:
    """Dissect language models.

    Args:
        subject: Text and how models are trained on it.
        settings: The dials.
        run: Seed and cells.

    Raises:
        UsageError: The part "language" is not among the settings' parts.
    """
    if "language" not in settings.parts:
        raise UsageError(
            "No part applies to a language model.",
            f"Of language models there is the part 'language'; asked for: {', '.join(settings.parts)}.",
            "Add the part, or give labelled examples.",
        )
    shared: Shared = (subject, settings, run.seed)
    cells = [
        Cell(name=f"{kind}/{index}", work=train, arguments={"kind": kind, "index": index})
        for kind in KINDS
        for index in range(settings.models)
    ]
    cells += [
        Cell(name=f"canaries/{index}", work=canaries, arguments={"index": index})
        for index in range(settings.models)
    ]
    if subject.given is not None:
        cells.append(Cell(name="given", work=given))
    found = run.cells.run(
        cells, shared, identity=run.identity + repr(settings), stage="language models"
    )
    brought = found.pop("given", None)
    records = [found.pop(f"canaries/{index}") for index in range(settings.models)]
    part = part_of(found, records, run.seed, settings)
    if brought is not None:
        part["given"] = given_part(brought, found)
    others = {
        name: {
            "status": "not applicable",
            "sentence": "For language models the part 'language' measures this.",
        }
        for name in settings.parts
        if name != "language"
    }
    told = ("epochs", "training_nats", "held_out_nats")
    return {
        "networks": [
            {"name": name, "condition": name.rsplit("/", 1)[0], "status": model["status"]}
            | {key: model[key] for key in told}
            for name, model in found.items()
        ],
        "parts": {"language": part} | others,
        "orderings": part.pop("orderings"),
    }


def train(shared: Shared, *, kind: str, index: int) -> dict[str, Any]:
    """Train one model until it fits its lines, and keep what it shows (a cell)."""
    subject, settings, seed = shared
    own = derived_seed(seed, 30, KINDS.index(kind), index) % 2**31
    lines = text_of(subject, settings, seed, kind, index)
    stop = StopAtLoss(lines=lines, nats=settings.language_nats)
    dials = replace(
        subject.settings, epochs=settings.language_epochs, batch_size=settings.language_batch
    )
    task = replace(subject.task, canaries=1, repeats=(1,), controls=0)
    looks = []
    with tempfile.TemporaryDirectory(prefix="secretaudit-dissection-") as place:
        for epochs in sorted(set(settings.language_looks)):
            brief = replace(dials, epochs=epochs)
            made = train_model(task, lines, brief, own, Path(place) / f"{epochs}")
            records = open_records(made.directory, lines[: settings.language_records])
            looks.append(
                {
                    "epoch": epochs,
                    "mean_cosine": coherence_of(records).mean_cosine,
                    "training_nats": record_nats(records).nats_per_token,
                }
            )
        trained = train_model(task, lines, dials, own, Path(place) / "run", stop)
        found = shown(subject, settings, trained.directory, lines)
    epochs = round(trained.found["watched"][-1]["epoch"])
    last = {key: found[key] for key in ("mean_cosine", "training_nats")}
    return found | {
        "status": "reached" if stop.reached else "not reached",
        "epochs": epochs,
        "looks": [*(look for look in looks if look["epoch"] < epochs), {"epoch": epochs, **last}],
    }


def canaries(shared: Shared, *, index: int) -> dict[str, Any]:
    """Train one model on the whole text with canaries, and hold its canaries against ordinary lines (a cell)."""
    subject, settings, seed = shared
    own = derived_seed(seed, 32, index) % 2**31
    with tempfile.TemporaryDirectory(prefix="secretaudit-dissection-") as place:
        trained = train_model(
            subject.task, subject.task.train, subject.settings, own, Path(place) / "run"
        )
        return canary_coherence(trained, subject.task.train, settings, own)


def given(shared: Shared) -> dict[str, Any]:
    """What the model that was brought shows, without training (a cell)."""
    subject, settings, _ = shared
    if subject.given is None:
        raise UsageError("There is no model to look at.", "None was given.", "Name its directory.")
    return shown(subject, settings, subject.given, subject.task.train)


def text_of(
    subject: LanguageSubject, settings: DissectionSettings, seed: int, kind: str, index: int
) -> tuple[str, ...]:
    """The lines that a model is to fit: the first of the text, or noise made of them."""
    lines = tuple(_readable(subject.task.train)[: settings.language_lines])
    if kind == REAL:
        return lines
    rng = np.random.default_rng([seed, 31, 0 if kind == SAME else index + 1])
    tokenizer = subject.settings.tokenizer or "char"
    unit = "character" if tokenizer == "char" and subject.settings.base is None else "word"
    return tuple(_readable(noisy_lines(lines, settings.language_noise, unit, 1.0, rng)))


def shown(
    subject: LanguageSubject,
    settings: DissectionSettings,
    directory: Path,
    lines: Sequence[str],
) -> dict[str, Any]:
    """What the comparisons of pairs need, and the coherence of training lines' gradients."""
    records = open_records(directory, _readable(subject.task.held_out))
    states = hidden_states(records)
    chosen = slice(0, settings.language_positions)
    own = records.of(_readable(lines)[: settings.language_records])
    found = coherence_of(own)
    return {
        "predicted": states.predicted[chosen].tolist(),
        "truth": states.next_tokens[chosen].tolist(),
        "states": packed(principal_coordinates(states.states[chosen])),
        "training_nats": record_nats(own).nats_per_token,
        "held_out_nats": record_nats(records).nats_per_token,
        "mean_cosine": found.mean_cosine,
    }


def canary_coherence(
    trained: TrainedModel, lines: Sequence[str], settings: DissectionSettings, seed: int
) -> dict[str, Any]:
    """Coherence of canaries and of ordinary training lines with ordinary training lines.

    Args:
        trained: A model with canaries.
        lines: The ordinary lines.
        settings: Says how many of them are used.
        seed: Of the exposures' draws.

    Returns:
        ``ordinary`` (their c_i), and ``canaries``: id, format, insertions, exposure_bits, coherence, nats per token. No text.
    """
    ledger = Ledger.read(trained.ledger)
    records = open_records(trained.directory, _readable(lines)[: settings.language_records])
    ordinary = coherence_of(records)
    canaries = records.of([canary.text for canary in ledger.canaries])
    values = against(ordinary.total, gradients(canaries))
    nats = record_nats(canaries).means
    bits = {row["id"]: row for row in exposures(trained, seed)}
    return {
        "ordinary": _plain(ordinary.of_examples),
        "ordinary_nats": [float(v) for v in record_nats(records).means],
        "canaries": [
            {
                "id": canary.id,
                "format": bits[canary.id]["format"],
                "insertions": bits[canary.id]["insertions"],
                "exposure_bits": bits[canary.id]["exposure_bits"],
                "coherence": None if np.isnan(value) else float(value),
                "nats_per_token": float(own),
            }
            for canary, value, own in zip(ledger.canaries, values, nats, strict=True)
        ],
    }


def gradients(records: Records) -> Iterator[Tensor]:
    """Gradients of records, some at a time."""
    for begin in range(0, len(records), _ROWS):
        yield record_gradients(records.rows(range(begin, min(begin + _ROWS, len(records)))))


def coherence_of(records: Records) -> Coherence:
    """Coherence of records' gradients."""
    return coherence(lambda: gradients(records))


def _readable(lines: Sequence[str]) -> list[str]:
    """Lines with something in them."""
    return [line for line in lines if line.strip()]


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(v) else float(v) for v in values]
