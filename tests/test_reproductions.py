"""The experiments of ``docs/reproductions.md`` run from end to end at their smallest, on a corpus made by a grammar.

What they show at these sizes is nothing; the orderings are the business of the commands themselves.
"""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from secretaudit.corpus.canaried import open_canaried
from secretaudit.demo_corpus import demo_records
from tests.reproductions.__main__ import main
from tests.reproductions.experiments import EXPERIMENTS
from tests.reproductions.minibatch import aligned
from tests.reproductions.outcome import Ordering, Outcome, printed, write_outcome
from tests.reproductions.study import Mean, Study


@pytest.fixture
def study(tmp_path: Path) -> Study:
    lines = demo_records(60, np.random.default_rng(0))
    return Study(lines=tuple(lines), place=tmp_path, seed=1)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.data] if experiment.needs_data else [])
        for name, experiment in EXPERIMENTS.items()
        if name != "formats-ten-at-once"
    ],
)
def test_an_experiment_runs_to_its_table(name: str, study: Study, tmp_path: Path) -> None:
    """Every row has as many cells as the table has columns, every ordering a verdict, and the document reads back."""
    experiment = EXPERIMENTS[name]
    if experiment.needs_data:
        study = replace(study, data=Path(os.environ["SECRETAUDIT_DATA"]))
    if name == "translation":
        study = replace(study, lines=tuple(f"{line}\t{line}" for line in study.lines))
    outcome = experiment.run(study, experiment.tiny)
    assert outcome.rows and outcome.orderings
    assert all(len(row) == len(outcome.columns) for row in outcome.rows)
    path = write_outcome(
        tmp_path / "out",
        name,
        outcome,
        sizes=experiment.tiny,
        full=False,
        seed=1,
        started=time.time(),
    )
    document = json.loads(path.read_text("utf-8"))
    assert document["asked"]["seed"] == 1
    assert len(document["found"]["rows"]) == len(outcome.rows)
    assert {o["verdict"] for o in document["found"]["orderings"]} <= {
        "holds",
        "does not hold",
        "could not be judged",
    }


def test_a_mean_has_the_interval_of_student() -> None:
    """Three values 1, 2, 3: s = 1 and t = 4.3027 with two degrees of freedom, from any table."""
    mean = Mean.of([1.0, 2.0, 3.0])
    assert (mean.value, mean.count) == (2.0, 3)
    assert mean.half == pytest.approx(4.3027 / math.sqrt(3), abs=1e-4)
    assert str(Mean.of([5.0])) == "5.0"


def test_readings_are_laid_over_one_another() -> None:
    """A canary read at the first step of an epoch of two has no step before its first reading."""
    curve = np.array([10.0, 11.0, 12.0, 13.0, 14.0, 15.0])
    assert aligned(curve, 0, 2).tolist() == [[11.0, 12.0, 13.0], [13.0, 14.0, 15.0]]
    assert aligned(curve, 1, 2).tolist() == [[10.0, 11.0, 12.0], [12.0, 13.0, 14.0]]


def test_a_share_of_the_corpus_is_the_same_for_the_same_seed(study: Study) -> None:
    """Same lines, canaries and places; other ones with another seed; held-out lines are none of the share's."""

    def canaried(seed: int) -> tuple[str, str]:
        corpus = study.canaried(
            0.5, ["random-number"], count=1, repeats=(1,), controls=1, seed=seed
        )
        held = (corpus.parent / "held-out.txt").read_text("utf-8").splitlines()
        plain = (corpus.parent / "plain.txt").read_text("utf-8").splitlines()
        assert len(plain) == 30
        assert not set(held) & set(plain)
        return (corpus.parent / "plain.txt").read_text("utf-8"), open_canaried(
            corpus
        ).corpus.read_text("utf-8")

    assert canaried(3) == canaried(3)
    assert canaried(3)[0] != canaried(4)[0]


def test_verdicts_stand_beside_the_claims() -> None:
    """The printed table is Markdown, with a word for each ordering."""
    outcome = Outcome(
        title="T",
        columns=["a", "b"],
        rows=[["1", "2"]],
        orderings=[
            Ordering(claim="more is more", seen="1 and 2", holds=True),
            Ordering(claim="less is more", seen="2 and 1", holds=False),
        ],
    )
    text = printed(outcome)
    assert "| a | b |\n| --- | --- |\n| 1 | 2 |" in text
    assert "| more is more | 1 and 2 | holds |" in text
    assert "| less is more | 2 and 1 | does not hold |" in text


def test_the_command_asks_for_the_real_corpora(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without them there is nothing to reproduce, and it says which variable names them."""
    monkeypatch.delenv("SECRETAUDIT_DATA", raising=False)
    monkeypatch.setattr("sys.argv", ["reproductions", "epochs"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "give --data, or set SECRETAUDIT_DATA" in capsys.readouterr().err
