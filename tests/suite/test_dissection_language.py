"""Language models: pairs of models that fit real and random text, and canaries against ordinary lines."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from secretaudit.errors import UsageError
from secretaudit.report.dissection import figures, tables
from secretaudit.suite.cells import Cells
from secretaudit.suite.dissection.language import canary_coherence, text_of
from secretaudit.suite.dissection.language_reading import INDEPENDENT, KINDS, REAL, SAME
from secretaudit.suite.dissection.run import run
from secretaudit.suite.dissection.settings import DissectionSettings
from secretaudit.suite.dissection.stop_at_loss import StopAtLoss
from secretaudit.suite.language.records import open_records, record_gradients, record_nats
from secretaudit.suite.language.training import train_model
from secretaudit.suite.subject import LanguageSubject, Run
from tests.suite.language_models import small_settings, small_task

SMALL = DissectionSettings(
    models=2,
    parts=("language",),
    language_lines=8,
    language_nats=2.3,
    language_epochs=40,
    language_looks=(1, 3),
    language_positions=100,
    language_records=12,
)


def subject() -> LanguageSubject:
    return LanguageSubject(task=small_task(), settings=small_settings(epochs=2))


def test_the_part_runs_resumes_and_can_be_drawn(tmp_path):
    """Plain JSON without any text, the same after cells were lost, figures and tables of it."""
    found = run(subject(), SMALL, Run(seed=2, cells=Cells(place=tmp_path)))
    told = json.dumps(found, allow_nan=False)
    assert json.loads(told) == found
    part = found["parts"]["language"]
    assert part["status"] == "measured" and part["positions"] == 100
    assert {network["condition"] for network in found["networks"]} == set(KINDS)
    for kept in sorted(tmp_path.glob("*.json"))[::4]:
        kept.unlink()
    assert run(subject(), SMALL, Run(seed=2, cells=Cells(place=tmp_path))) == found
    assert [f.name for f in figures(found)] == [
        "dissection-language",
        "dissection-language-canaries",
    ]
    assert all(len(row) == len(head) for _, head, rows in tables(found) for row in rows)
    assert not any(line in told for line in small_task().train)


def test_models_stop_when_they_fit_their_lines(tmp_path):
    """The training ends at the first look below the loss, and the written model has it."""
    task = small_task(canaries=1, repeats=(1,), controls=0)
    stop = StopAtLoss(lines=task.train[:8], nats=2.0)
    trained = train_model(
        task, task.train[:8], small_settings(epochs=60), 0, tmp_path / "run", stop
    )
    looks = [look["nats_per_token"] for look in trained.found["watched"]]
    assert stop.reached and looks[-1] <= 2.0 < min(looks[:-1])
    assert trained.found["stopped"] == "loss reached"
    nats = record_nats(open_records(trained.directory, task.train[:8])).nats_per_token
    assert nats == pytest.approx(looks[-1], abs=1e-4)


def test_a_canarys_coherence_is_its_cosine_with_the_sum_of_ordinary_lines(tmp_path):
    """A loop over all gradients gives the same, for ordinary lines without themselves."""
    task = small_task()
    trained = train_model(task, task.train, small_settings(), 3, tmp_path / "run")
    found = canary_coherence(trained, task.train, SMALL, 0)
    rows = record_gradients(open_records(trained.directory, task.train[:12])).double().numpy()
    total = rows.sum(0)
    expected = [
        row @ (total - row) / math.sqrt((row @ row) * ((total - row) @ (total - row)))
        for row in rows
    ]
    np.testing.assert_allclose(found["ordinary"], expected, atol=1e-4)
    ledger = json.loads(trained.ledger.read_text("utf-8"))["canaries"]
    texts = [canary["text"] for canary in ledger]
    own = record_gradients(open_records(trained.directory, texts)).double().numpy()
    expected = own @ total / np.linalg.norm(own, axis=1) / np.linalg.norm(total)
    np.testing.assert_allclose([row["coherence"] for row in found["canaries"]], expected, atol=1e-4)
    assert [row["id"] for row in found["canaries"]] == [canary["id"] for canary in ledger]
    assert {row["insertions"] for row in found["canaries"]} == {0, 1, 6}


def test_texts_of_the_conditions():
    """Real lines; one noise for all models; a noise of each model's own; no line longer than before."""
    real = text_of(subject(), SMALL, 0, REAL, 0)
    assert real == small_task().train[:8]
    assert text_of(subject(), SMALL, 0, SAME, 0) == text_of(subject(), SMALL, 0, SAME, 1)
    one, two = (text_of(subject(), SMALL, 0, INDEPENDENT, i) for i in range(2))
    assert one != two and [len(line) for line in one] == [len(line) for line in real]


def test_parts_of_classifiers_do_not_apply():
    """Without the part there is nothing to measure."""
    with pytest.raises(UsageError, match="No part applies to a language model"):
        run(subject(), DissectionSettings(parts=("agreement",)), Run())
