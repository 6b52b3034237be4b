"""The experiments of ``docs/reproductions.md`` run from end to end at their smallest, on a corpus made by a grammar.

What they show at these sizes is nothing; the orderings are the business of the commands themselves.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import numpy as np
import pytest

from secretaudit.demo_corpus import demo_records
from tests.reproductions.experiments import EXPERIMENTS
from tests.reproductions.minibatch import aligned
from tests.reproductions.outcome import Ordering, Outcome, printed, write_outcome
from tests.reproductions.study import Mean, Study


@pytest.fixture
def study(tmp_path: Path) -> Study:
    lines = demo_records(60, np.random.default_rng(0))
    return Study(lines=tuple(lines), place=tmp_path, seed=1)


@pytest.mark.parametrize("name", sorted(EXPERIMENTS))
def test_an_experiment_runs_to_its_table(name: str, study: Study, tmp_path: Path) -> None:
    """Every row has as many cells as the table has columns, every ordering a verdict, and the document reads back."""
    experiment = EXPERIMENTS[name]
    outcome = experiment.run(study, experiment.TINY)
    assert outcome.rows and outcome.orderings
    assert all(len(row) == len(outcome.columns) for row in outcome.rows)
    path = write_outcome(
        tmp_path / "out",
        name,
        outcome,
        sizes=experiment.TINY,
        full=False,
        seed=1,
        started=time.time(),
    )
    document = json.loads(path.read_text("utf-8"))
    assert document["asked"]["seed"] == 1
    assert len(document["found"]["rows"]) == len(outcome.rows)
    assert {o["verdict"] for o in document["found"]["orderings"]} <= {"holds", "does not hold"}
