"""The language part of the noise module."""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secretaudit.models.loading import load_model
from secretaudit.report import noise_language
from secretaudit.suite.cells import Cells
from secretaudit.suite.language.noise_text import unigram_bits
from secretaudit.suite.language.records import open_records
from secretaudit.suite.language.training import train_model
from secretaudit.suite.noise import language_cells as cells
from secretaudit.suite.noise.language import measure, unit_of
from secretaudit.suite.noise.language_cells import Shared, noise_of, one_training, regularized
from secretaudit.suite.noise.language_summary import (
    capacity,
    epochs_to,
    exposure,
    judged_regularizers,
    orderings,
)
from secretaudit.suite.noise.settings import NoiseSettings
from secretaudit.suite.subject import LanguageSubject, Run
from tests.suite.language_models import small_settings, small_task

SMALL = NoiseSettings(
    language_seeds=2,
    language_epochs=2,
    language_dropout=(0.5,),
    language_weight_decay=(),
    language_patience=(1,),
    language_noise_multipliers=(1.0,),
    language_target=0.35,
)


def curve(*accuracies: float) -> list[dict[str, Any]]:
    """A training that was looked at after every epoch."""
    return [
        {"epoch": float(i + 1), "training": {"accuracy": a, "bits": 4.0 - i}}
        for i, a in enumerate(accuracies)
    ]


def row(held_out: float, exposed: float, memorized: float = 100.0) -> dict[str, Any]:
    """What is looked at of one training."""
    exposures = [
        {"insertions": n, "exposure_bits": bits, "exposure_low_bits": bits}
        for n, bits in ((0, 1.0), (1, exposed - 1), (4, exposed + 1))
    ]
    final = {kind: {"bits": held_out, "accuracy": 0.5} for kind in ("training", "fresh")}
    return {
        "exposures": exposures,
        "final": final,
        "memorized": {"bits": memorized, "entropy_bits": 400.0, "lines": 9},
        "fresh_excess": {"bits": -40.0, "entropy_bits": 400.0, "lines": 4},
        "parameters": 50,
        "epochs": 3.0,
        "epsilon": None,
        "curve": curve(0.5, 0.6),
        "lines_cut": 0,
    }


def test_epochs_to_a_target_are_counted_or_told_to_be_missing() -> None:
    """The first epoch at the target; with none, the best that was reached."""
    assert epochs_to(curve(0.1, 0.4, 0.3, 0.6), 0.4) == {
        "status": "reached",
        "epochs": 2.0,
        "best": 0.6,
    }
    assert epochs_to(curve(0.1, 0.4), 0.5) == {
        "status": "not reached",
        "epochs": None,
        "best": 0.4,
    }


def test_noise_keeps_what_is_not_chosen_and_shares_are_nested() -> None:
    """A quarter of the lines that are random is among the half that is."""
    task = small_task()
    half, quarter = (noise_of(task, "tokens", share, "word", 3) for share in (0.5, 0.25))
    assert (len(half.random), len(quarter.random)) == (30, 15)
    assert set(quarter.random) < set(half.random)
    assert all(half.train[i] == quarter.train[i] for i in quarter.random)
    assert all(half.train[i] == line for i, line in enumerate(task.train) if i not in half.random)
    assert noise_of(task, "real", 1.0, "word", 3).train is task.train
    assert noise_of(task, "shuffled", 1.0, "word", 3).random == ()


def test_bits_under_the_unigram_distribution() -> None:
    """By counting: −Σ log2 of relative frequencies."""
    of = ["a a b c", "a b"]
    counts = Counter(["a", "a", "b", "c", "a", "b"])
    expected = [-sum(math.log2(counts[w] / 6) for w in line.split()) for line in ("c b", "a")]
    assert unigram_bits(["c b", "a"], of, "word") == pytest.approx(expected)


@pytest.mark.parametrize("tokenizer", ["char", "word"])
def test_bits_memorized_are_those_of_the_audited_model(tmp_path: Path, tokenizer: str) -> None:
    """Unigram bits counted here, minus the bits that ``load_model(…).score`` gives the lines without their ends."""
    words = "pin {one-of:the|cat|sat|on|a|mat|and|saw} {one-of:old|dogs|run|home}"
    task = small_task(formats=(words,))
    training = small_settings(tokenizer=tokenizer, epochs=4)
    unit = unit_of(training, SMALL)
    shared = Shared(task=task, training=training, settings=SMALL, unit=unit, place=tmp_path)
    found = _kept(shared, tmp_path)
    text = noise_of(task, "tokens", 1.0, unit, 5)
    parts = list if unit == "character" else str.split
    counts = Counter(u for line in (*task.train, *task.held_out) for u in parts(line))
    total = sum(counts.values())
    known = -sum(math.log2(counts[u] / total) for line in text.train for u in parts(line))
    records, model = open_records(tmp_path / "kept", text.train), load_model(tmp_path / "kept")
    open_ended = [
        records.tokens[i, : int(n) - 1].tolist() for i, n in enumerate(records.lengths.tolist())
    ]
    costs = model.score(open_ended, 1)  # type: ignore[union-attr]  # a causal model
    assert found["memorized"]["entropy_bits"] == pytest.approx(known)
    assert found["memorized"]["bits"] == pytest.approx(known - costs.sum(), rel=1e-4, abs=0.1)


def test_what_was_memorized_is_not_there_on_fresh_lines(tmp_path: Path) -> None:
    """After many epochs the lines trained on are cheaper than their entropy, and fresh ones are not."""
    shared = Shared(
        task=small_task(),
        training=small_settings(epochs=25, learning_rate=0.03),
        settings=SMALL,
        unit="character",
        place=tmp_path,
    )
    found = one_training(
        shared,
        kind="tokens",
        share=1.0,
        regularizer="none",
        value=0.0,
        seed=0,
        looks=False,
    )
    assert found["memorized"]["bits"] > 0.05 * found["memorized"]["entropy_bits"]
    assert found["fresh_excess"]["bits"] < 0
    assert list(tmp_path.iterdir()) == []


def test_regularizers_change_one_thing() -> None:
    """And the recipe keeps the rest."""
    plain = small_settings()
    assert regularized(plain, "none", 0.0, SMALL) is plain
    assert regularized(plain, "dropout", 0.3, SMALL).dropout == 0.3
    assert regularized(plain, "weight decay", 0.01, SMALL).weight_decay == 0.01
    early = regularized(plain, "early stopping", 2.0, SMALL)
    assert (early.patience, early.keep, early.validation) == (2, "best", 0.1)
    private = regularized(plain, "privacy", 0.7, SMALL)
    assert private.privacy is not None
    assert (private.privacy.noise_multiplier, private.privacy.max_grad_norm) == (0.7, 1.0)


@pytest.mark.parametrize(
    ("held_out", "exposed", "verdict"),
    [
        ((3.1, 3.1, 3.1), (6.0, 6.5, 7.0), "at no cost"),
        ((3.9, 4.0, 4.1), (6.0, 6.5, 7.0), "at a cost"),
        ((2.0, 2.0, 2.0), (6.0, 11.5, 12.0), "no privacy shown"),
    ],
)
def test_verdicts(held_out: tuple[float, ...], exposed: tuple[float, ...], verdict: str) -> None:
    """Three seeds of the plain recipe: held-out bits 3 ± 0.25 (t = 4.303), exposure 10, 10.5, 11."""
    plain = [row(b, e) for b, e in ((2.9, 10.0), (3.0, 10.5), (3.1, 11.0))]
    other = [row(b, e) for b, e in zip(held_out, exposed, strict=True)]
    noise, less = [row(4.0, 9.0, 120.0)] * 3, [row(4.0, 9.0, m) for m in (60.0, 70.0, 80.0)]
    found = judged_regularizers(
        {
            ("real", "none", 0.0): plain,
            ("tokens", "none", 0.0): noise,
            ("real", "dropout", 0.5): other,
            ("tokens", "dropout", 0.5): less,
        }
    )
    assert [r["verdict"] for r in found] == ["plain recipe", verdict]
    assert found[0]["held_out_bits"]["high"] == pytest.approx(3.0 + 4.3027 * 0.1 / 3**0.5, abs=1e-3)
    assert found[1]["memorized_difference"]["mean"] == pytest.approx(-50.0)
    assert found[1]["exposure_by_insertions"]["0"]["mean"] == 1.0


def test_one_seed_gives_no_verdict() -> None:
    """There is no interval."""
    both = {("real", "none", 0.0): [row(3.0, 9.0)], ("tokens", "none", 0.0): [row(4.0, 9.0)]}
    changed = {("real", "dropout", 0.1): [row(3.0, 1.0)], ("tokens", "dropout", 0.1): [row(4, 1)]}
    assert judged_regularizers(both | changed)[1]["verdict"] == "one seed says nothing"


def test_exposure_is_that_of_inserted_canaries() -> None:
    """Controls do not count; where only an interval is known, its lower end does."""
    one = row(3.0, 5.0)
    assert (exposure(one), exposure(one, 0), exposure(one, 4)) == (5.0, 1.0, 6.0)
    one["exposures"][2] |= {"exposure_bits": None, "exposure_low_bits": 8.0}
    assert exposure(one) == 6.0


def test_capacity_divides_by_the_parameters() -> None:
    """A hundred bits in fifty parameters."""
    found = capacity([row(3.0, 1.0), row(3.0, 1.0)])
    assert found is not None
    assert found["bits_per_parameter"]["mean"] == 2.0
    assert found["share"]["mean"] == 0.25
    assert found["fresh_share"]["mean"] == -0.1
    assert capacity(None) is None


def test_orderings_follow_the_numbers() -> None:
    """Real text cheaper than noise in every seed holds; the other way round does not."""
    cheap, dear = [row(3.0, 1.0) for _ in range(3)], [row(3.0, 1.0) for _ in range(3)]
    for shift, one in enumerate(dear):
        for entry in one["curve"]:
            entry["training"]["bits"] += 1.0 + 0.1 * shift
    part: dict[str, Any] = {"regularizers": []}
    assert orderings(part, {"real": cheap, "tokens": dear})[0]["holds"] is True
    assert orderings(part, {"real": dear, "tokens": cheap})[0]["holds"] is False
    assert orderings(part, {"real": cheap[:1], "tokens": dear[:1]})[0]["holds"] is None


def test_from_text_to_figures_and_again(tmp_path: Path) -> None:
    """All conditions are there, numbers are plain, a second run trains nothing, and figures draw from the record."""
    subject = LanguageSubject(task=small_task(), settings=small_settings())
    run = Run(seed=1, cells=Cells(place=tmp_path / "cells"), identity="toy", place=tmp_path)
    part, judged = measure(subject, SMALL, run)
    assert part["status"] == "measured"
    assert list(part["fit"]) == ["real", "tokens", "shuffled", "tokens 0.5"]
    assert part["fit"]["real"]["epoch"] == [1.0, 2.0]
    assert [r["name"] for r in part["regularizers"]] == [
        "none",
        "dropout",
        "early stopping",
        "privacy",
    ]
    assert part["regularizers"][3]["epsilon"] > 0
    assert len(judged) == 5
    assert json.loads(json.dumps([part, judged], allow_nan=False)) == [part, judged]
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()}
    assert measure(subject, SMALL, run) == (part, judged)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()} == files
    names = [figure.name for figure in noise_language.figures(part)]
    assert names == [
        "noise-language-fit",
        "noise-language-mixtures",
        "noise-language-regularizers",
    ]
    (_, _, fit), (_, head, recipes) = noise_language.tables(part)
    assert len(fit) == 4
    assert [len(recipe) for recipe in recipes] == [len(head)] * 4


def test_a_training_that_fails_is_told_and_the_rest_is_kept(tmp_path: Path) -> None:
    """With a learning rate out of all measure every training diverges."""
    subject = LanguageSubject(
        task=small_task(), settings=small_settings(optimizer="sgd", learning_rate=1e6)
    )
    part, judged = measure(subject, SMALL, Run(place=tmp_path))
    assert part["status"] == "could not measure"
    assert "diverged" in part["sentence"]
    assert "tokens, dropout 0.5" in part["failed"]
    assert (judged, noise_language.figures(part)) == ([], [])


def test_encoder_decoders_are_not_measured() -> None:
    """They read pairs."""
    subject = LanguageSubject(task=small_task(), settings=small_settings(arch="encoder-decoder"))
    part, judged = measure(subject, SMALL, Run())
    assert (part["status"], judged) == ("not applicable", [])
    assert noise_language.figures(part) == []
    assert noise_language.tables(part) == []


def _kept(shared: Shared, place: Path) -> dict[str, Any]:
    """A training on random text whose model stays at ``place / "kept"``."""

    def keeping(*args: Any, **kwargs: Any) -> Any:
        trained = train_model(*args, **kwargs)
        shutil.copytree(trained.directory, place / "kept")
        return trained

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells, "train_model", keeping)
        found = one_training(
            shared,
            kind="tokens",
            share=1.0,
            regularizer="none",
            value=0.0,
            seed=5,
            looks=False,
        )
    assert np.isfinite(found["memorized"]["bits"])
    return found
