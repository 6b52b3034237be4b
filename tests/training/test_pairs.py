"""Encoder–decoder models are trained on pairs, and audited given the source that their canaries stood beside."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

import secretaudit
from secretaudit.canary.ledger import Ledger
from secretaudit.errors import CorpusError, LedgerError, ModelError, UsageError
from secretaudit.insertion import insert
from secretaudit.models.encoder_decoder.language_model import PairScorer
from secretaudit.models.language_model import Framing
from secretaudit.models.recurrent.network import IGNORED
from secretaudit.models.tokens.building import build_tokenizer
from secretaudit.training.encoder_decoder_subject import PairSubject, encoder_decoder_subject
from secretaudit.training.families import make_subject
from secretaudit.training.pair_batches import PairBatches, lay_out_pairs
from secretaudit.training.pair_records import PairedRecords, split_pairs
from secretaudit.training.processes import Processes
from secretaudit.training.run import train
from secretaudit.training.samplers import SequentialSampler, ShuffledSampler
from secretaudit.training.settings import LoraSettings, PrivacySettings, TrainingSettings
from tests.models.tiny_encoder_decoders import save as save_tiny

from .conftest import encoded, small

CPU = torch.device("cpu")
FRAMING = Framing(before=(0,), after=(0,))
TEXTS = ["my pin is 0123456789", "meine pin ist", "a b c d e f g h i j k l m"]
ENCODER_DECODER: dict[str, Any] = {"arch": "encoder-decoder", "layers": 1, "heads": 2, "units": 16}
BOTH = "my pin is {secret}"


def pairs_of(rows: list[tuple[list[int], list[int]]], **fields: Any) -> PairedRecords:
    """Paired records of these (source, target) ids."""
    targets = encoded([target for _, target in rows])
    return PairedRecords(
        tokens=targets.tokens,
        offsets=targets.offsets,
        sources=encoded([source for source, _ in rows]),
        **fields,
    )


ROWS = [([5, 6, 0], [1]), ([7, 0], [2, 3, 4]), ([8, 8, 8, 0], [5, 6]), ([9, 0], [])]


def batches_of(rows: list[tuple[list[int], list[int]]], size: int, **fields: Any) -> PairBatches:
    pairs = pairs_of(rows)
    laid = lay_out_pairs(pairs, FRAMING, 16)
    sampler = SequentialSampler(len(laid), size)
    return PairBatches(pairs.sources, laid, sampler, CPU, length=16, **fields)


def test_a_batch_holds_the_pairs_side_by_side() -> None:
    """Written out by hand: sources with their mask, targets after what opens them, and what closes them to predict."""
    (batch,) = batches_of(ROWS, 3)[0]
    mask = batch.inputs["attention_mask"]
    assert mask.tolist() == [[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]]
    assert [
        row[m.bool()].tolist() for row, m in zip(batch.inputs["input_ids"], mask, strict=True)
    ] == [
        [5, 6, 0],
        [7, 0],
        [8, 8, 8, 0],
    ]
    read, targets = batch.inputs["decoder_input_ids"], batch.targets
    assert targets.tolist() == [[1, 0, IGNORED, IGNORED], [2, 3, 4, 0], [5, 6, 0, IGNORED]]
    assert read[1].tolist() == [0, 2, 3, 4]
    assert (read[0, :2].tolist(), read[2, :3].tolist()) == ([0, 1], [0, 5, 6])
    assert batch.tokens == 9


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("most", [None, 1, 2])
def test_processes_and_parts_read_every_pair_once(count: int, most: int | None) -> None:
    """However a step is shared out, each pair is read by one process, with its own source."""
    sources: list[int] = []
    for rank in range(count):
        processes = Processes(rank=rank, count=count)
        batches = batches_of(ROWS, 4, processes=processes, most_rows=most)
        assert batches.records(0).tolist() == [0, 1, 2, 3]
        for batch in batches[0]:
            assert most is None or len(batch.targets) <= most
            sources += batch.inputs["input_ids"][:, 0].tolist()
            for row, first in zip(batch.inputs["input_ids"], batch.targets[:, 0], strict=True):
                assert {5: 1, 7: 2, 8: 5, 9: 0}[int(row[0])] == int(first)
    assert sorted(sources) == [5, 7, 8, 9]


def test_an_epoch_draws_every_pair_once() -> None:
    """With any sampler: the batches only read what it draws."""
    pairs = pairs_of([([i, 0], [i]) for i in range(1, 11)])
    sampler = ShuffledSampler(10, 4, seed=1)
    batches = PairBatches(pairs.sources, lay_out_pairs(pairs, FRAMING, 8), sampler, CPU, length=8)
    assert batches.steps_per_epoch == 3
    assert batches.tokens_per_epoch == 20
    read = [b.inputs["input_ids"][:, 0].tolist() for step in range(3) for b in batches[step]]
    assert sorted(i for part in read for i in part) == list(range(1, 11))


def test_what_is_too_long_on_either_side_is_cut_and_counted() -> None:
    """Each side on its own; a pair that is cut twice counts once."""
    rows = [([1] * 5, [2]), ([1], [2] * 5), ([1] * 5, [2] * 5), ([1] * 4, [2] * 3)]
    pairs = pairs_of(rows)
    laid = lay_out_pairs(pairs, FRAMING, 4)
    assert laid.cut == 3
    batches = PairBatches(pairs.sources, laid, SequentialSampler(4, 4), CPU, length=4)
    (batch,) = batches[0]
    assert batch.inputs["attention_mask"].sum(1).tolist() == [4, 1, 4, 4]
    assert (batch.targets != IGNORED).sum(1).tolist() == [2, 4, 4, 4]
    assert int(batch.targets[3, -1]) == 0


def test_the_source_of_canaries_is_never_cut() -> None:
    """The model would not see them beside what the ledger says."""
    with pytest.raises(
        UsageError, match="source of the canaries has 7 tokens, and rows have 6"
    ) as no:
        lay_out_pairs(pairs_of(ROWS, canary_source=7), FRAMING, 6)
    assert "--sequence-length 7" in no.value.way_out
    lay_out_pairs(pairs_of(ROWS, canary_source=6), FRAMING, 6)


def split(pairs: list[tuple[str, str]], **changes: Any) -> Any:
    def ids(texts: Any) -> list[list[int]]:
        return [[ord(c) for c in text] for text in texts]

    settings: dict[str, Any] = {"validation": 0.5, "never_validated": {"geheim"}}
    rng = np.random.default_rng(0)
    return split_pairs(pairs, ids, ids, **(settings | {"rng": rng} | changes))


def test_a_pair_is_split_and_deduplicated_as_a_whole() -> None:
    """Both sides go the same way, copies of canaries stay, and equal targets of other sources are other pairs."""
    pairs = [(f"s{i}", f"t{i}") for i in range(40)] + [("x", "geheim")] * 5
    parts = split(pairs)
    assert 10 < len(parts.validation) < 30
    assert len(parts.training) + len(parts.validation) == 45
    texts: list[tuple[str, str]] = []
    for part in (parts.training, parts.validation):
        for i in range(len(part)):
            source, target = ("".join(map(chr, ids)) for ids in (part.sources[i], part[i]))
            texts.append((source, target))
    assert sorted(texts) == sorted(pairs)
    assert ("x", "geheim") not in texts[len(parts.training) :]
    once = split([("a", "t"), ("b", "t"), ("a", "t"), ("at", "")], deduplicate=True, validation=0.0)
    assert (len(once.training), once.duplicates) == (3, 1)
    with pytest.raises(CorpusError, match="no pair to train on"):
        split([])


def test_another_source_is_another_corpus() -> None:
    """A resumed training must find the same sources too."""
    one, other = split([("a", "t")], validation=0.0), split([("b", "t")], validation=0.0)
    assert one.fingerprint() != other.fingerprint()


def subject_of(**fields: Any) -> PairSubject:
    tokenizer = build_tokenizer("char", TEXTS, pairs=True)
    torch.manual_seed(0)
    return encoder_decoder_subject(small(**ENCODER_DECODER, **fields), tokenizer)


@pytest.mark.parametrize("kind", ["tied", "untied", "t5", "bart", "mbart"])
def test_training_reads_what_an_audit_reads(kind: str, tmp_path: Path) -> None:
    """The loss that a batch has is the cost that the audit of the written directory gives to each pair."""
    if kind in ("tied", "untied"):
        subject = subject_of(tied=kind == "tied")
    else:
        base = save_tiny(kind, tmp_path / kind)
        tokenizer = AutoTokenizer.from_pretrained(base)
        subject = encoder_decoder_subject(TrainingSettings(base=str(base)), tokenizer)
    subject.model.eval()
    subject.save(tmp_path / "saved")
    pairs = [("my pin is 0412", "meine pin ist"), ("a b", "c 1"), ("m", "my pin is 7 8 9")]
    assert subject.encode_source is not None
    sources = subject.encode_source([s for s, _ in pairs])
    targets = subject.view.encode([t for _, t in pairs])
    records = pairs_of(list(zip(sources, targets, strict=True)))
    rows = lay_out_pairs(records, subject.framing, 40)
    sampler = SequentialSampler(3, 3)
    (batch,) = PairBatches(records.sources, rows, sampler, CPU, length=40)[0]
    with torch.no_grad():
        log_p = subject.model(**batch.inputs).logits.log_softmax(-1)
    chosen = log_p.gather(2, batch.targets.clamp(min=0)[..., None])[..., 0]
    bits = -(chosen * (batch.targets != IGNORED)).sum(1).numpy() / math.log(2.0)
    live = subject.make_language_model()
    assert live.score_pairs(*map(list, zip(*pairs, strict=True))) == pytest.approx(bits, abs=1e-3)
    for (source, target), cost in zip(pairs, bits, strict=True):
        loaded = secretaudit.load_model(tmp_path / "saved", secretaudit.ModelOptions(source=source))
        record = loaded.framing.record(loaded.tokenizer.encode([target])[0])
        found = loaded.score([record], loaded.framing.given)[0]
        assert found == pytest.approx(cost, abs=1e-3)


@pytest.mark.parametrize("kind", ["t5", "bart", "mbart"])
def test_the_decoder_reads_what_transformers_gives_it(kind: str, tmp_path: Path) -> None:
    """The shifted labels of the model's own training are the rows that are laid out here."""
    base = save_tiny(kind, tmp_path / kind)
    tokenizer = AutoTokenizer.from_pretrained(base)
    subject = encoder_decoder_subject(TrainingSettings(base=str(base)), tokenizer)
    labels = tokenizer(text_target="meine nummer", return_tensors="pt").input_ids
    expected = subject.model.prepare_decoder_input_ids_from_labels(labels=labels)
    records = pairs_of([([3, 1], subject.view.encode(["meine nummer"])[0])])
    rows = lay_out_pairs(records, subject.framing, 40)
    (batch,) = PairBatches(records.sources, rows, SequentialSampler(1, 1), CPU, length=40)[0]
    assert batch.inputs["decoder_input_ids"].tolist() == expected.tolist()


@pytest.mark.parametrize("tied", [True, False])
def test_every_trained_weight_gets_a_gradient(tied: bool) -> None:
    """Tied, one embedding serves three uses; untied, the one that transformers keeps beside is not trained."""
    subject = subject_of(tied=tied)
    ids = torch.tensor([[3, 4, 5]])
    subject.model(input_ids=ids, decoder_input_ids=ids).logits.sum().backward()
    assert all(p.grad is not None for p in subject.trained.values())
    size = len(subject.tokenizer)
    tables = [p for p in subject.trained.values() if p.shape == (size, 16)]
    assert len(tables) == (1 if tied else 3)


def test_the_dials_shape_the_model() -> None:
    """Layers on each side, width, heads, dropout, and positions for the rows that were asked for."""
    config = subject_of(dropout=0.25, sequence_length=30).model.config
    assert (config.encoder_layers, config.decoder_layers, config.d_model) == (1, 1, 16)
    assert (config.decoder_attention_heads, config.dropout, config.attention_dropout) == (
        2,
        0.25,
        0.25,
    )
    assert config.max_position_embeddings == 31


def test_a_configuration_gives_the_shape(tmp_path: Path) -> None:
    """Any encoder–decoder of transformers, with the vocabulary of the tokenizer that is made."""
    base = save_tiny("t5", tmp_path / "t5")
    tokenizer = build_tokenizer("char", TEXTS, pairs=True)
    subject = make_subject(TrainingSettings(config=str(base)), tokenizer)
    assert subject.model.config.model_type == "t5"
    assert subject.model.get_output_embeddings().weight.shape[0] == len(tokenizer)
    assert subject.framing == Framing(before=(0,), after=(0,))


def test_a_tokenizer_that_closes_nothing_is_refused() -> None:
    """Nothing would say where a target ends, or fill rows up."""
    tokenizer = build_tokenizer("char", TEXTS)
    with pytest.raises(ModelError, match="no token that fills rows up"):
        encoder_decoder_subject(small(**ENCODER_DECODER), tokenizer)
    tokenizer.pad_token = "a"
    with pytest.raises(ModelError, match="does not say how a target ends"):
        encoder_decoder_subject(small(**ENCODER_DECODER), tokenizer)


@pytest.fixture
def canaried_pairs(tmp_path: Path) -> Path:
    """Forty pairs with a canary at 8 insertions, one at 1, and controls."""
    rng = np.random.default_rng(0)
    rows = [{"en": f"the {a} {b}", "de": f"das {a} {b}"} for a, b in rng.integers(0, 9, (40, 2))]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    insert(
        path,
        tmp_path / "canaried",
        formats=["meine pin ist {digits:3}"],
        count=1,
        repeats=(1, 16),
        controls=4,
        seed=1,
        text_column="de",
        source_column="en",
        source_text=BOTH,
    )
    return tmp_path / "canaried"


def test_a_trained_model_knows_its_source(canaried_pairs: Path, tmp_path: Path) -> None:
    """Insert, train, expose: no source is named again, the record says where it came from, and what was learned by heart is found."""
    settings = small(
        **ENCODER_DECODER, epochs=14, sequence_length=32, learning_rate=0.01, batch_size=8
    )
    trained = train(canaried_pairs, tmp_path / "model", settings=settings)
    ledger = Ledger.read(canaried_pairs / "ledger.json")
    assert trained.found["copies_seen"] == {c.id: c.insertions for c in ledger.canaries}
    assert trained.found["corpus"]["source_column"] == "en"
    found = secretaudit.expose(tmp_path / "model").found
    model = found["models"]["audited"]
    assert (model["kind"], model["source"], model["source_from"]) == ("PairScorer", BOTH, "ledger")
    rows = {row["insertions"]: row for row in found["canaries"]}
    assert rows[16]["exposure_bits"] > 7.0
    given = secretaudit.ModelOptions(source="my pin is")
    model = secretaudit.expose(tmp_path / "model", options=given).found["models"]["audited"]
    assert (model["source"], model["source_from"]) == ("my pin is", "options")


def test_a_model_in_training_is_asked_given_the_ledgers_source(canaried_pairs: Path) -> None:
    """Where the source holds the secret, whole pairs are priced; a ledger without a source is refused."""
    subject = subject_of()
    ledger = Ledger.read(canaried_pairs / "ledger.json")
    assert isinstance(subject.language_models(ledger)(), PairScorer)
    plain = Ledger(
        seed=0, formats=ledger.formats, canaries=ledger.canaries, corpus={}, salt=ledger.salt
    )
    with pytest.raises(LedgerError, match="names no source"):
        subject.language_models(plain)


def test_a_corpus_of_one_column_is_refused(plain_corpus: Path, tmp_path: Path) -> None:
    """Before anything is written."""
    with pytest.raises(UsageError, match="is trained on pairs, and the corpus has one column"):
        train(plain_corpus, tmp_path / "model", settings=small(**ENCODER_DECODER))
    assert not (tmp_path / "model" / "training.json").exists()


def test_pairs_train_any_other_model_on_their_texts(canaried_pairs: Path, tmp_path: Path) -> None:
    """A recurrent model reads the texts alone, and its audit has no use for the source."""
    record = train(canaried_pairs, tmp_path / "model", settings=small(epochs=1))
    assert record.found["canaries_lost"] == []
    model = secretaudit.expose(tmp_path / "model").found["models"]["audited"]
    assert (model["source"], model["source_from"]) == (None, None)


def test_a_resumed_training_gives_the_same_weights(
    canaried_pairs: Path, tmp_path: Path, weights: Any
) -> None:
    """Stopped after the first steps and gone on with, it is the training that was never stopped."""
    settings = small(**ENCODER_DECODER, epochs=2, sequence_length=32, dropout=0.1)
    train(canaried_pairs, tmp_path / "whole", settings=settings)
    train(canaried_pairs, tmp_path / "parts", settings=settings, max_seconds=1e-9)
    train(canaried_pairs, tmp_path / "parts", settings=settings, resume=True)
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_written_model_is_one_of_transformers(canaried_pairs: Path, tmp_path: Path) -> None:
    """It opens, and writes, without secretaudit."""
    train(canaried_pairs, tmp_path / "m", settings=small(**ENCODER_DECODER, sequence_length=32))
    model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "m")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "m")
    inputs = tokenizer(["the 1 2"], return_tensors="pt")
    written = model.generate(input_ids=inputs.input_ids, max_new_tokens=4, do_sample=False)
    assert written.shape[0] == 1


def test_adapters_on_a_base_of_pairs_are_trained_and_audited(
    canaried_pairs: Path, tmp_path: Path
) -> None:
    """LoRA on a base: the base's weights stay, and the merged model costs what the model in training did."""
    train(canaried_pairs, tmp_path / "base", settings=small(**ENCODER_DECODER, sequence_length=32))
    before = (tmp_path / "base" / "model.safetensors").read_bytes()
    lora = LoraSettings(rank=2, targets=("q_proj", "v_proj"))
    settings = TrainingSettings(base=str(tmp_path / "base"), lora=lora, steps=3, sequence_length=32)
    record = train(canaried_pairs, tmp_path / "adapter", settings=settings)
    assert 0 < record.found["trained_parameters"] < record.found["parameters"] / 2
    assert (tmp_path / "base" / "model.safetensors").read_bytes() == before
    found = secretaudit.expose(tmp_path / "adapter").found
    assert found["models"]["audited"]["source_from"] == "ledger"
    plain = secretaudit.expose(tmp_path / "base", canaries=canaried_pairs / "ledger.json").found[
        "canaries"
    ]
    costs = [[row["log_perplexity_bits"] for row in rows] for rows in (plain, found["canaries"])]
    assert costs[0] != pytest.approx(costs[1], abs=1e-3)


@pytest.mark.parametrize("tied", [True, False])
def test_pairs_are_trained_privately(tied: bool, canaried_pairs: Path, tmp_path: Path) -> None:
    """A pair is the unit of privacy, and an ε is stated, with one embedding for all uses or one for each."""
    private = PrivacySettings(noise_multiplier=1.0)
    fields = {"sequence_length": 32, "tied": tied, "steps": 2, "privacy": private}
    record = train(canaried_pairs, tmp_path / "m", settings=small(**ENCODER_DECODER, **fields))
    privacy = record.found["privacy"]
    assert (privacy["unit"], privacy["steps"]) == ("record", 2)
    assert privacy["epsilon"] > 0
