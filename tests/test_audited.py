"""Which ledger belongs to a model, and what its training says of the copies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from secretaudit.audited import open_audited
from secretaudit.canary.format import parse_format
from secretaudit.canary.ledger import Ledger
from secretaudit.errors import LedgerError, ModelError, RecordError, UsageError
from secretaudit.exposure.audit import expose
from secretaudit.models.encoder_decoder.language_model import PairScorer
from secretaudit.models.model_options import ModelOptions
from secretaudit.models.recurrent.network import RecurrentConfig, RecurrentForCausalLM
from secretaudit.models.tokens.building import build_tokenizer
from secretaudit.records import Record
from tests.fakes import CharacterView, HistoryModel
from tests.models.tiny_encoder_decoders import save as save_pair_model
from tests.naive import ALPHABET, ledger_of

PIN = parse_format("pin {digits:2}")


def ledger(first: str = "12") -> Ledger:
    return ledger_of([PIN], [(PIN.name, first, 4), (PIN.name, "34", 1), (PIN.name, "56", 0)])


def write_model(directory: Path, **found: Any) -> Path:
    """A fresh model with a training record that says this."""
    tokenizer = build_tokenizer("char", ["pin 0123456789"])
    config = RecurrentConfig(
        vocab_size=len(tokenizer),
        units=4,
        layers=1,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    RecurrentForCausalLM(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    if found:
        Record(kind="training", asked={}, found=found, environment={}).write(
            directory / "training.json"
        )
    return directory


def recorded(path: Path, of: Ledger) -> dict[str, str]:
    return {"path": str(path), "identity": of.identity}


def copies(of: Ledger, lost: int = 0) -> dict[str, int]:
    """Copies seen: as inserted, but for some of the first canary."""
    return {c.id: c.insertions - (lost if i == 0 else 0) for i, c in enumerate(of.canaries)}


def test_a_model_knows_its_own_ledger(tmp_path: Path) -> None:
    """The training record names it; nothing else needs to be said."""
    ledger().write(tmp_path / "ledger.json")
    model = write_model(
        tmp_path / "model",
        ledger=recorded(tmp_path / "ledger.json", ledger()),
        copies_seen=copies(ledger()),
    )
    audited = open_audited(model)
    assert audited.ledger is not None and audited.ledger.identity == ledger().identity
    assert audited.ledger_path == str(tmp_path / "ledger.json")
    assert audited.copies_seen == copies(ledger())
    assert audited.name == str(model)


def test_the_same_ledger_elsewhere_is_the_same(tmp_path: Path) -> None:
    """A ledger that was moved is recognized by its identity, not by its path."""
    ledger().write(tmp_path / "moved.json")
    model = write_model(tmp_path / "model", ledger=recorded(tmp_path / "gone.json", ledger()))
    assert open_audited(model, tmp_path / "moved.json").ledger == ledger()
    assert open_audited(model, ledger()).ledger == ledger()


def test_a_ledger_that_is_not_where_it_was_is_said(tmp_path: Path) -> None:
    """Where it should be, and the option that says where it is."""
    model = write_model(tmp_path / "model", ledger=recorded(tmp_path / "gone.json", ledger()))
    with pytest.raises(LedgerError, match="not where it was") as refused:
        open_audited(model)
    assert str(tmp_path / "gone.json") in refused.value.why
    assert "--canaries" in refused.value.way_out


def test_another_ledger_is_refused(tmp_path: Path) -> None:
    """Canaries that this model never saw would all look like controls: a false all-clear."""
    ledger().write(tmp_path / "ledger.json")
    model = write_model(tmp_path / "model", ledger=recorded(tmp_path / "ledger.json", ledger()))
    with pytest.raises(LedgerError, match="does not belong to this model") as refused:
        open_audited(model, ledger("99"))
    assert "another ledger" in refused.value.why


def test_a_ledger_replaced_under_its_own_name_is_refused(tmp_path: Path) -> None:
    """The file that the record names holds other canaries now."""
    ledger("99").write(tmp_path / "ledger.json")
    model = write_model(tmp_path / "model", ledger=recorded(tmp_path / "ledger.json", ledger()))
    with pytest.raises(LedgerError, match="does not belong"):
        open_audited(model)


def test_a_model_trained_without_canaries_has_no_use_for_a_ledger(tmp_path: Path) -> None:
    """Its record says that there was none."""
    model = write_model(tmp_path / "model", ledger=None)
    assert open_audited(model).ledger is None
    with pytest.raises(LedgerError, match="does not belong") as refused:
        open_audited(model, ledger())
    assert "no ledger at all" in refused.value.why


def test_a_model_from_elsewhere_takes_any_ledger(tmp_path: Path) -> None:
    """Without a training record nothing is known of copies, and that is said."""
    audited = open_audited(write_model(tmp_path / "model"), ledger())
    assert audited.ledger == ledger() and audited.copies_seen is None


def test_a_model_object_is_taken_as_it_is() -> None:
    """Anything that follows the protocol, under its own name."""
    model = HistoryModel(CharacterView(ALPHABET))
    audited = open_audited(model, ledger())
    assert audited.model is model
    assert (audited.name, audited.ledger_path, audited.copies_seen) == ("history", None, None)


def test_a_ledger_that_is_missing_or_damaged_is_refused(tmp_path: Path) -> None:
    """By the ledger's own errors."""
    model = HistoryModel(CharacterView(ALPHABET))
    with pytest.raises(LedgerError, match="cannot be read"):
        open_audited(model, tmp_path / "nowhere.json")
    (tmp_path / "cut.json").write_text('{"schema": "secretaudit/led')
    with pytest.raises(LedgerError, match="is not a ledger"):
        open_audited(model, tmp_path / "cut.json")


def test_a_truncated_training_record_is_refused(tmp_path: Path) -> None:
    """Going on without it would mean going on without knowing which canaries the model saw."""
    model = write_model(tmp_path / "model", ledger=None)
    (model / "training.json").write_text('{"schema": "secretaudit/tra')
    with pytest.raises(RecordError, match="is not a record"):
        open_audited(model, ledger())


def test_a_directory_without_a_model_is_refused(tmp_path: Path) -> None:
    """The ledger is not to blame."""
    with pytest.raises(ModelError):
        open_audited(tmp_path, ledger())


@pytest.mark.parametrize("lost", [0, 1, 4])
def test_lost_copies_make_a_canary_inconclusive(tmp_path: Path, lost: int) -> None:
    """The exposure of four insertions cannot be read from three: that canary only, with a sentence."""
    ledger().write(tmp_path / "ledger.json")
    model = write_model(
        tmp_path / "model",
        ledger=recorded(tmp_path / "ledger.json", ledger()),
        copies_seen=copies(ledger(), lost),
    )
    rows = expose(model).found["canaries"]
    assert [row["copies_seen"] for row in rows] == [4 - lost, 1, 0]
    expected = ["inconclusive" if lost else "measured", "measured", "measured"]
    assert [row["status"] for row in rows] == expected
    assert [f"saw {4 - lost} of 4 copies" in rows[0]["note"], rows[1]["note"]] == [lost > 0, ""]


@pytest.mark.parametrize(("seen", "status"), [(1, "measured"), (0, "inconclusive")])
def test_after_deduplication_one_copy_is_expected(tmp_path: Path, seen: int, status: str) -> None:
    """Four insertions that a training reads once, because it leaves out duplicates, are what was asked for."""
    ledger().write(tmp_path / "ledger.json")
    first = ledger().canaries[0].id
    counts = {name: min(count, 1) for name, count in copies(ledger()).items()}
    model = write_model(
        tmp_path / "model",
        ledger=recorded(tmp_path / "ledger.json", ledger()),
        copies_seen={**counts, first: seen},
        copies_expected=counts,
    )
    assert expose(model).found["canaries"][0]["status"] == status


def pair_ledger(source: str | None) -> Ledger:
    """A ledger of canaries that stood beside a source."""
    beside = {} if source is None else {"source": source, "source_column": "en"}
    return replace(ledger(), corpus=beside)


@pytest.mark.parametrize("source", ["my pin is {secret}", "my pin is"])
def test_a_ledger_of_pairs_names_the_source(source: str, tmp_path: Path) -> None:
    """An encoder–decoder model is asked given what its canaries stood beside, and the record says who said so."""
    model = save_pair_model("t5", tmp_path / "t5")
    audited = open_audited(model, pair_ledger(source))
    assert isinstance(audited.model, PairScorer) == ("{secret}" in source)
    described = audited.described()
    assert (described["source"], described["source_from"]) == (source, "ledger")


def test_a_source_that_is_named_goes_before_the_ledgers(tmp_path: Path) -> None:
    """What if the model is asked given something else?"""
    model = save_pair_model("t5", tmp_path / "t5")
    options = ModelOptions(source="the cat sat")
    described = open_audited(model, pair_ledger("my pin is"), options=options).described()
    assert (described["source"], described["source_from"]) == ("the cat sat", "options")


def test_without_any_source_an_encoder_decoder_is_refused(tmp_path: Path) -> None:
    """Neither the ledger nor the options name one."""
    model = save_pair_model("t5", tmp_path / "t5")
    with pytest.raises(UsageError, match="needs a source"):
        open_audited(model, pair_ledger(None))


def test_a_model_without_an_encoder_has_no_use_for_the_ledgers_source(tmp_path: Path) -> None:
    """It was trained on the texts alone; only a source that was asked for is refused."""
    model = write_model(tmp_path / "model")
    described = open_audited(model, pair_ledger("my pin is")).described()
    assert (described["source"], described["source_from"]) == (None, None)
    with pytest.raises(UsageError, match="reads no source text"):
        open_audited(model, pair_ledger(None), options=ModelOptions(source="a"))


def test_a_reference_is_asked_given_the_same_source(tmp_path: Path) -> None:
    """The comparison is of one question to two models."""
    one, other = save_pair_model("t5", tmp_path / "a"), save_pair_model("t5", tmp_path / "b")
    found = expose(one, canaries=pair_ledger("my pin is"), reference=other).found
    sources = {role: entry["source"] for role, entry in found["models"].items()}
    assert sources == {"audited": "my pin is", "reference": "my pin is"}
    assert found["models"]["reference"]["source_from"] == "ledger"
