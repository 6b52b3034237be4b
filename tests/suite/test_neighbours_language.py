"""A language model beside the hidden states of its training text: votes, canaries, correlations, and a small model from end to end."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secretaudit.canary.ledger import Ledger
from secretaudit.errors import UsageError
from secretaudit.report.drawing import svg
from secretaudit.report.neighbours import figures, tables
from secretaudit.suite.cells import Cells
from secretaudit.suite.language.records import hidden_states, open_records
from secretaudit.suite.language.training import TrainedModel, exposures
from secretaudit.suite.neighbours.canaries import correlations, secret_places
from secretaudit.suite.neighbours.language import Text, look_at_text
from secretaudit.suite.neighbours.run import run
from secretaudit.suite.neighbours.settings import NeighboursSettings
from secretaudit.suite.subject import LanguageSubject, Run
from tests.suite.language_models import small_model, small_settings, small_task

SETTINGS = NeighboursSettings(k=5, text_models=1, text_positions=800, text_queries=200)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return small_model(tmp_path_factory.mktemp("neighbours") / "model", epochs=12)


@pytest.fixture(scope="module")
def looked(trained: TrainedModel) -> dict[str, Any]:
    ledger = Ledger.read(trained.ledger)
    task = small_task()
    copies = [canary.text for canary in ledger.canaries for _ in range(canary.insertions)]
    text = Text(
        directory=trained.directory,
        train=[*task.train, *copies],
        held_out=task.held_out,
        ledger=ledger,
        exposures=exposures(trained, 0),
    )
    return look_at_text(text, _everything(), 0)


def _everything() -> NeighboursSettings:
    """All positions are stored and asked, so that a twin needs no draw."""
    return NeighboursSettings(k=5, text_positions=10**6, text_queries=10**6)


def _naive(trained: TrainedModel) -> dict[str, float]:
    """P_SAME by plain sorting, position by position, for some positions of each part."""
    ledger = Ledger.read(trained.ledger)
    task = small_task()
    copies = [canary.text for canary in ledger.canaries for _ in range(canary.insertions)]
    records = open_records(trained.directory, [*task.train, *copies])
    store = hidden_states(records)
    held = hidden_states(records.of(list(task.held_out)))
    return {
        "train": _share(store, store, lambda i, j: i == j),
        "train_other_records": _share(
            store, store, lambda i, j: store.record[i] == store.record[j]
        ),
        "held_out": _share(held, store, lambda i, j: False),
    }


def _share(asked: Any, store: Any, left_out: Any) -> float:
    same = 0
    for i in range(len(asked.states)):
        gaps = np.abs(store.states.astype(float) - asked.states[i].astype(float)).sum(1)
        order = [j for j in np.argsort(gaps, kind="stable").tolist() if not left_out(i, j)][:5]
        counts = Counter(int(store.next_tokens[j]) for j in order)
        vote = min(counts, key=lambda token: (-counts[token], token))
        same += vote == int(asked.predicted[i])
    return same / len(asked.states)


def test_agreement_is_that_of_a_sort_over_all_positions(
    trained: TrainedModel, looked: dict[str, Any]
) -> None:
    """All three parts; copies of a canary lie at one point, so an order among equals may move a few votes."""
    naive = _naive(trained)
    for part, expected in naive.items():
        assert looked[part]["p_same"] == pytest.approx(expected, abs=0.01)


def test_excess_is_a_records_share_less_the_held_out_share(looked: dict[str, Any]) -> None:
    """Weighted by their tokens, the excesses of all records add up to the gap."""
    excess = looked["excess"]
    assert excess["records"] == looked["records"]
    assert looked["train_gap"]["difference"] == pytest.approx(
        looked["train"]["p_same"] - looked["held_out"]["p_same"]
    )
    assert excess["quartiles"] == sorted(excess["quartiles"])
    assert excess["largest"][0]["excess"] == excess["quartiles"][-1]


def test_canaries_with_copies_have_them_as_nearest_neighbours(looked: dict[str, Any]) -> None:
    """Six copies: the same text lies at the same point. One copy, or none: never."""
    rows = looked["canaries"]["rows"]
    many = [row["self_share"] for row in rows if row["insertions"] == 6]
    assert np.mean(many) > 0.5
    assert {row["self_share"] for row in rows if row["insertions"] < 2} == {0.0}


def test_shares_of_a_canary_add_up(looked: dict[str, Any]) -> None:
    """What the model says rightly is supported by other text or is not; three digits, three positions."""
    for row in looked["canaries"]["rows"]:
        assert row["positions"] == 3
        assert row["supported_share"] + row["unsupported_share"] == pytest.approx(
            row["right_share"]
        )


def test_the_record_holds_no_secret(trained: TrainedModel, looked: dict[str, Any]) -> None:
    """No canary's text stands in what is written."""
    written = json.dumps(looked)
    for canary in Ledger.read(trained.ledger).canaries:
        assert canary.text not in written


def test_the_places_of_a_secret_are_those_of_its_digits(trained: TrainedModel) -> None:
    """Read back from the targets, they spell the secret."""
    ledger = Ledger.read(trained.ledger)
    canary = ledger.canaries[0]
    records = open_records(trained.directory, [canary.text])
    form = ledger.formats[canary.format]
    places = secret_places(records, canary, form.prefix, form.suffix)
    ids = records.targets[0, places].tolist()
    assert ids == records.encoder.encode([canary.secret])[0]


def test_correlation_is_spearmans_rank_correlation() -> None:
    """Ranks by hand: the same order is 1, and lower bounds stand in where no more is known."""
    rows = [
        {"exposure_bits": bits, "exposure_low_bits": low, "self_share": 0.0, "unsupported_share": u}
        for bits, low, u in ((1.0, 0.9, 0.1), (5.0, 4.9, 0.2), (None, 20.0, 0.9), (2.0, 2.0, 0.15))
    ]
    found = correlations(rows)
    assert found["unsupported_share"]["rho"] == pytest.approx(1.0)
    assert found["self_share"] == {
        "rho": None, "p_value": None, "n": 4, "status": "too few different values",
    }  # fmt: skip


def test_a_language_subject_from_end_to_end(tmp_path: Path) -> None:
    """The part, its orderings, figures and tables; resumed, the same."""
    subject = LanguageSubject(task=small_task(), settings=small_settings(epochs=2))
    cells = Cells(place=tmp_path / "cells")
    found = run(subject, SETTINGS, Run(cells=cells, identity="t"))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["parts"]["language"]["status"] == "measured"
    assert found["parts"]["agreement"]["status"] == "not applicable"
    assert len(found["orderings"]) == 2
    assert [figure.name for figure in figures(found)] == ["neighbours-language"]
    assert svg(figures(found)[0]).startswith(b"<?xml")
    assert all(len(row) == len(head) for _, head, rows in tables(found) for row in rows)
    assert run(subject, SETTINGS, Run(cells=cells, identity="t")) == found


def test_a_given_model_is_looked_at_with_its_own_canaries(trained: TrainedModel) -> None:
    """Nothing is trained; the ledger that the model's record names is used, and the sentence says what is not known."""
    subject = LanguageSubject(task=small_task(), settings=small_settings(), given=trained.directory)
    found = run(subject, SETTINGS, Run())
    (model,) = found["parts"]["language"]["models"]
    ids = [canary.id for canary in Ledger.read(trained.ledger).canaries]
    assert [row["id"] for row in model["canaries"]["rows"]] == ids
    assert "whether it has seen the held-out lines" in found["parts"]["language"]["sentence"]


def test_less_text_than_neighbours_is_refused(trained: TrainedModel) -> None:
    """More neighbours than positions."""
    subject = LanguageSubject(task=small_task(), settings=small_settings(), given=trained.directory)
    with pytest.raises(UsageError, match="5000 neighbours were asked for"):
        run(subject, NeighboursSettings(k=5000), Run())
