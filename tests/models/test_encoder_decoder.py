"""Encoder–decoder models: the cost of a target given a source is the loss that training takes, however it is computed."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer

import secretaudit
from secretaudit.canary.format import Format
from secretaudit.errors import ModelError, UsageError
from secretaudit.models.encoder_decoder import language_model as encoder_decoder
from secretaudit.models.encoder_decoder.language_model import (
    EncoderDecoderLanguageModel,
    PairScorer,
)
from secretaudit.models.encoder_decoder.loading import load_encoder_decoder
from secretaudit.models.encoder_decoder.network import shared_cross
from secretaudit.models.loading import load_model
from secretaudit.models.model_options import ModelOptions
from secretaudit.tree import SecretTree
from secretaudit.tree.scored_space import SecretScorer
from tests.naive import all_secrets, ledger_of

from .contract import LanguageModelContract
from .tiny_encoder_decoders import KINDS, save

#: transformers' own tokenizer of Marian recommends a package that it does not use.
pytestmark = pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")

SOURCE = "my number is"
PIN = Format("pin", "meine nummer ist {digits:2}.")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Directories with models, each made once."""
    place = tmp_path_factory.mktemp("encoder-decoders")

    def get(kind: str) -> Path:
        return place / kind if (place / kind).exists() else save(kind, place / kind)

    return get


@pytest.fixture(scope="module")
def loaded(directory: Callable[[str], Path]) -> Callable[[str], EncoderDecoderLanguageModel]:
    """The models bound to a source, each loaded once."""
    return cache(lambda kind: load(directory(kind)))


def load(path: Path, source: str = SOURCE, **options: Any) -> Any:
    return load_encoder_decoder(path, ModelOptions(source=source, **options))


def training_bits(path: Path, source: str, target: str) -> float:
    """The loss of transformers on the pair, summed over the label tokens, in bits, less the marks that stand before the target."""
    tokenizer, model = (
        AutoTokenizer.from_pretrained(path),
        AutoModelForSeq2SeqLM.from_pretrained(path).eval(),
    )
    inputs = tokenizer(source, return_tensors="pt").input_ids
    labels = tokenizer(text_target=target, return_tensors="pt").input_ids
    if path.name == "bart":  # its targets begin with <s>, which is read and not charged
        decoder_input_ids = model.prepare_decoder_input_ids_from_labels(labels=labels)
        labels = labels.clone()
        labels[0, 0] = -100
        output = model(input_ids=inputs, decoder_input_ids=decoder_input_ids, labels=labels)
    else:
        output = model(input_ids=inputs, labels=labels)
    return float(output.loss.detach()) * int((labels != -100).sum()) / math.log(2.0)


class TestEncoderDecoders(LanguageModelContract):
    """The contract, over four makes: relative positions, learned ones, sinusoids, and a language mark."""

    tolerance = 1e-3  # costs are tens of bits a token here

    @pytest.fixture(params=KINDS)
    def model(
        self,
        request: pytest.FixtureRequest,
        loaded: Callable[[str], EncoderDecoderLanguageModel],
    ) -> EncoderDecoderLanguageModel:
        return loaded(request.param)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", ["meine nummer ist 04", "a", "die katze saß auf 17"])
def test_a_cost_is_the_loss_that_training_takes(
    kind: str, target: str, directory: Callable[[str], Path]
) -> None:
    """As a record, as a pair, and token by token, a target costs what transformers' own loss says."""
    path = directory(kind)
    expected = training_bits(path, SOURCE, target)
    model = load(path)
    record = model.framing.record(model.tokenizer.encode([target])[0])
    assert model.score([record], model.framing.given)[0] == pytest.approx(expected, abs=1e-3)
    assert model.score_pairs([SOURCE], [target])[0] == pytest.approx(expected, abs=1e-3)
    given = model.framing.given
    state, row, nats = model.start(record[: given - 1]), torch.zeros(1, dtype=torch.int64), 0.0
    for place in range(given, len(record)):
        log_p, state = model.step(state, row, torch.tensor([record[place - 1]]))
        nats -= float(log_p[0, record[place]])
    assert nats / math.log(2.0) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_cost_alone_what_they_cost_together(
    kind: str, directory: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sources and targets of all lengths side by side, in any grouping, cost what each pair's training loss says."""
    path = directory(kind)
    sources = ["my pin is 0412", "a", "my pin is 0412", "the cat sat on the mat", "b 2", "a"]
    targets = ["meine nummer ist 9", "a 1 b 2 c 3", "ein", "auf der matte", "2", "d 4"]
    expected = [training_bits(path, s, t) for s, t in zip(sources, targets, strict=True)]
    model = load(path)
    assert model.score_pairs(sources, targets) == pytest.approx(expected, abs=1e-3)
    monkeypatch.setattr(encoder_decoder, "SOURCES_AT_A_TIME", 2)
    assert model.score_pairs(sources, targets) == pytest.approx(expected, abs=1e-3)


def test_the_encoder_reads_each_source_once(directory: Callable[[str], Path]) -> None:
    """Walking a tree encodes the source once; pairs encode each distinct source once."""
    model = load(directory("t5"))
    encoder, rows = model._network.module.get_encoder(), []
    hook = encoder.register_forward_pre_hook(
        lambda module, args, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    SecretTree(PIN, model).score(["04", "17"])
    secretaudit.expose(model, canaries=ledger_of([PIN], [("pin", "04", 1)]))
    assert rows == [1]
    model.score_pairs(["a", "b 2", "a", "a"], ["1", "2", "3", "4"])
    assert rows == [1, 2]
    hook.remove()


def test_what_the_decoder_sees_of_the_source_is_shared_by_all_rows(
    directory: Callable[[str], Path],
) -> None:
    """However many rows are read, the keys and values of the source exist once."""
    model = load(directory("bart"))
    model.start()
    layers = shared_cross(model._cross, 1000).layers
    pairs = zip(layers, model._cross, strict=True)
    assert all(layer.keys.data_ptr() == keys.data_ptr() for layer, (keys, _) in pairs)
    assert layers[0].keys.shape[0] == 1000


@pytest.mark.parametrize("kind", KINDS)
def test_a_rank_is_the_place_among_all_targets(kind: str, directory: Callable[[str], Path]) -> None:
    """The exposure that the command measures is that of counting all secrets by their training loss."""
    path = directory(kind)
    secrets = all_secrets(PIN)
    model = load(path)
    costs = model.score_pairs([SOURCE] * len(secrets), [PIN.render(s) for s in secrets])
    found = secretaudit.expose(
        model, canaries=ledger_of([PIN], [("pin", "04", 1), ("pin", "71", 0)])
    ).found["canaries"]
    for row, secret in zip(found, ("04", "71"), strict=True):
        rank = int((costs <= costs[secrets.index(secret)] + 1e-3).sum())
        assert row["exposure_bits"] == pytest.approx(math.log2(100) - math.log2(rank), abs=1e-6)
        assert row["log_perplexity_bits"] == pytest.approx(
            training_bits(path, SOURCE, PIN.render(secret)), abs=1e-3
        )


@pytest.mark.parametrize("source", [SOURCE, "my number is {secret}"])
def test_a_canary_in_the_training_pairs_is_found(source: str, tmp_path: Path) -> None:
    """The paper's translation experiment in small: what stood in the training pairs comes first, a control does not."""
    path = save("t5", tmp_path / "t5", d_model=32)
    tokenizer = AutoTokenizer.from_pretrained(path)
    rng = np.random.default_rng(5)
    pairs = [(f"the cat {a}{b}", f"die katze {a}{b}.") for a, b in rng.integers(0, 9, (24, 2))]
    pairs += [(source.replace("{secret}", "47"), PIN.render("47"))] * 8
    inputs = tokenizer([s for s, _ in pairs], return_tensors="pt", padding=True)
    labels = tokenizer([t for _, t in pairs], return_tensors="pt", padding=True).input_ids
    labels[labels == 0] = -100
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        config = AutoConfig.from_pretrained(path, dropout_rate=0.0)
        module = AutoModelForSeq2SeqLM.from_config(config).train()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        keys = {"input_ids": inputs.input_ids, "attention_mask": inputs.attention_mask}
        module(**keys, labels=labels).loss.backward()
        optimizer.step()
    module.save_pretrained(path)
    ledger = ledger_of([PIN], [("pin", "47", 8), ("pin", "90", 0)])
    inserted, control = secretaudit.expose(load(path, source=source), canaries=ledger).found[
        "canaries"
    ]
    assert inserted["exposure_bits"] == pytest.approx(math.log2(100))
    assert control["exposure_bits"] < math.log2(100) - 1


@pytest.mark.parametrize("kind", ["t5", "marian"])
def test_a_secret_on_both_sides_is_priced_with_its_own_source(
    kind: str, directory: Callable[[str], Path]
) -> None:
    """With {secret} in the source each candidate's loss is that of its own pair."""
    path = directory(kind)
    model = load(path, source="my number is {secret}")
    assert isinstance(model, PairScorer)
    assert isinstance(model, SecretScorer)
    bits = model.score_secrets(PIN, ["04", "71"])
    expected = [training_bits(path, f"my number is {s}", PIN.render(s)) for s in ("04", "71")]
    assert bits.dtype == np.float64
    assert bits == pytest.approx(expected, abs=1e-3)


def test_another_source_gives_another_cost(directory: Callable[[str], Path]) -> None:
    """A model that is bound anew forgets the old source, and the old model keeps it."""
    path = directory("marian")
    model = load(path)
    record = model.framing.record(model.tokenizer.encode(["ein 1"])[0])
    before = model.score([record])[0]
    other = model.given("the cat sat")
    assert other.score([record])[0] == pytest.approx(
        training_bits(path, "the cat sat", "ein 1"), abs=1e-3
    )
    assert model.score([record])[0] == before != other.score([record])[0]


def test_the_end_of_a_target_is_charged_unless_it_is_left_out(
    directory: Callable[[str], Path],
) -> None:
    """--close off leaves out what ends a target."""
    model = load(directory("t5"), close="off")
    assert model.framing.after == ()
    assert load(directory("t5")).framing.after == (1,)
    assert load(directory("mbart")).framing.before == (4,)
    assert load(directory("bart")).framing.before == (1, 2)


def test_a_directory_is_recognized(directory: Callable[[str], Path]) -> None:
    """The common door opens encoder–decoder models too, in the number format that was asked for."""
    model = load_model(directory("t5"), ModelOptions(source=SOURCE, dtype="bfloat16"))
    assert isinstance(model, EncoderDecoderLanguageModel)
    assert model._network.module.dtype == torch.bfloat16


def test_options_that_make_no_sense_are_refused(directory: Callable[[str], Path]) -> None:
    """No source, a chat, an unknown choice: each says what to do."""
    path = directory("t5")
    with pytest.raises(UsageError, match=r"needs a source.*--source TEXT"):
        load_encoder_decoder(path, ModelOptions())
    with pytest.raises(UsageError, match="has no chat"):
        load(path, chat="hello")
    with pytest.raises(UsageError, match="no choice 'maybe' for close"):
        load(path, close="maybe")
    with pytest.raises(UsageError, match="--bos off means nothing"):
        load(path, bos="off")
    with pytest.raises(UsageError, match="1 sources and 2 targets"):
        load(path).score_pairs(["a"], ["b", "c"])


def test_an_unbound_model_asks_for_a_source(directory: Callable[[str], Path]) -> None:
    """Reading a target without a source is refused and not guessed."""
    bound = load(directory("t5"))
    model = EncoderDecoderLanguageModel(
        bound._network, bound.tokenizer, bound._encode_source, framing=bound.framing
    )
    with pytest.raises(UsageError, match="needs a source"):
        model.start()


def test_sources_that_are_too_long_are_refused(directory: Callable[[str], Path]) -> None:
    """A source beyond the encoder's positions is an error, and no truncated text is priced."""
    with pytest.raises(ModelError, match="too long for the model bart"):
        load(directory("bart"), source="my number is " * 20).start()
    with pytest.raises(ModelError, match="too long"):
        load(directory("marian")).score_pairs(["my number is " * 20], ["a"])


def test_damaged_models_are_refused(directory: Callable[[str], Path], tmp_path: Path) -> None:
    """NaN weights, missing weights and a missing tokenizer are named before anything is measured."""
    path = save("t5", tmp_path / "t5")
    model = AutoModelForSeq2SeqLM.from_pretrained(path)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        model.decoder.block[0].layer[0].SelfAttention.q.weight[0, 0] = math.nan
    model.save_pretrained(path)
    with pytest.raises(ModelError, match="not finite"):
        load(path)
    missing = {k: v for k, v in state.items() if "decoder.block.1" not in k}
    model.save_pretrained(path, state_dict=missing)
    with pytest.raises(ModelError, match="not complete"):
        load(path)
    model.save_pretrained(path, state_dict=state)
    for file in path.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ModelError, match="tokenizer"):
        load(path)


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(tmp_path: Path) -> None:
    """The tokenizer of another model is found out by its size."""
    path = save("t5", tmp_path / "t5")
    model = AutoModelForSeq2SeqLM.from_pretrained(path)
    model.resize_token_embeddings(20)
    model.save_pretrained(path)
    with pytest.raises(ModelError, match="does not fit the model"):
        load(path)


def test_a_character_that_the_pieces_lack_is_refused(directory: Callable[[str], Path]) -> None:
    """An unknown piece is no token whose cost could stand for the text's."""
    for kind in ("t5", "marian"):
        with pytest.raises(ModelError, match="tokenizer lacks"):
            load(directory(kind)).score_pairs(["a"], ["日本"])
