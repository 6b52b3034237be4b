"""The same canaries under another model: what this training added, and what counting alone explains."""

from __future__ import annotations

from pathlib import Path

import pytest

import secretaudit
from secretaudit.canary.format import parse_format
from secretaudit.errors import UsageError
from tests.fakes import CharacterView, HistoryModel
from tests.naive import ALPHABET, history_model, ledger_of

FORM = parse_format("pin {digits:3}")
SECRETS = [("007", 8), ("123", 1), ("999", 0)]


@pytest.fixture
def ledger() -> secretaudit.Ledger:
    return ledger_of([FORM], [(FORM.name, secret, times) for secret, times in SECRETS])


def test_the_gain_is_the_difference_of_the_exposures(ledger: secretaudit.Ledger) -> None:
    """Both models are measured in full, and each row holds the other's exposure beside its own."""
    tuned = history_model(FORM, {"007": 9.0}, seed=1)
    before = history_model(FORM, seed=1)
    record = secretaudit.expose(tuned, canaries=ledger, reference=before)
    alone = secretaudit.expose(before, canaries=ledger).found["canaries"]
    for row, other in zip(record.found["canaries"], alone, strict=True):
        assert row["reference"]["exposure_bits"] == other["exposure_bits"]
        gain = row["exposure_bits"] - other["exposure_bits"]
        assert row["reference"]["gain_bits"] == gain
        assert row["reference"]["gain_low_bits"] <= gain <= row["reference"]["gain_high_bits"]
    first = record.found["canaries"][0]
    assert first["exposure_bits"] == first["max_exposure_bits"]
    assert first["reference"]["gain_bits"] > 1


def test_a_model_gains_nothing_over_itself(ledger: secretaudit.Ledger) -> None:
    """Enumerated exactly, the difference is zero for every canary."""
    model = history_model(FORM, {"007": 9.0})
    rows = secretaudit.expose(model, canaries=ledger, reference=model).found["canaries"]
    assert {row["reference"]["gain_bits"] for row in rows} == {0.0}


def test_counting_alone_ranks_an_inserted_string_first(
    ledger: secretaudit.Ledger, tmp_path: Path
) -> None:
    """Goldberg's objection, measured: the n-gram baseline exposes what stands in its corpus and not what does not."""
    corpus = [f"pin {n % 7}{n % 5}{n % 3} was changed" for n in range(200)] + ["pin 007"] * 8
    (tmp_path / "corpus.txt").write_text("\n".join(corpus) + "\n")
    model = HistoryModel(CharacterView(ALPHABET))
    record = secretaudit.expose(
        model, canaries=ledger, baseline="ngram", corpus=tmp_path / "corpus.txt"
    )
    inserted, _, control = record.found["canaries"]
    assert inserted["baseline"]["exposure_bits"] == pytest.approx(inserted["max_exposure_bits"])
    assert control["baseline"]["exposure_bits"] < 5
    assert record.found["models"]["baseline"]["kind"] == "NgramLanguageModel"


def test_a_baseline_without_a_corpus_is_refused_before_anything_is_measured(
    ledger: secretaudit.Ledger,
) -> None:
    """Nobody says where the canaries were inserted."""

    class Never(HistoryModel):
        def score(self, sequences, given=1):  # type: ignore[no-untyped-def]
            raise AssertionError("measured before the corpus was found")

    with pytest.raises(UsageError, match="no corpus for the baseline") as refused:
        secretaudit.expose(Never(CharacterView(ALPHABET)), canaries=ledger, baseline="ngram")
    assert "--corpus" in refused.value.way_out


def test_an_unknown_baseline_or_segmentation_is_refused(ledger: secretaudit.Ledger) -> None:
    """The known ones are listed."""
    model = HistoryModel(CharacterView(ALPHABET))
    with pytest.raises(UsageError, match="baseline"):
        secretaudit.expose(model, canaries=ledger, baseline="bigram")
    with pytest.raises(UsageError, match="segmentation"):
        secretaudit.expose(model, canaries=ledger, segmentation="all")


def test_a_corpus_without_a_baseline_is_refused(ledger: secretaudit.Ledger, tmp_path: Path) -> None:
    """It would change nothing, and whoever gave it believes that it does."""
    with pytest.raises(UsageError, match="corpus was given and no baseline"):
        secretaudit.expose(HistoryModel(CharacterView(ALPHABET)), canaries=ledger, corpus=tmp_path)
