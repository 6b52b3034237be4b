"""A whole training: what it writes, and that it computes what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from secretaudit.canary.ledger import Ledger
from secretaudit.errors import LedgerError, ModelError, TrainingError, UsageError
from secretaudit.insertion import insert
from secretaudit.models.loading import load_model
from secretaudit.models.recurrent.network import RecurrentConfig, RecurrentForCausalLM, initialize
from secretaudit.records import Record, directory_lock
from secretaudit.training.checkpoint import load_checkpoint
from secretaudit.training.run import train

from .conftest import TRANSFORMER, Listener, assert_equal_weights, small

Weights = Callable[[Path], dict[str, torch.Tensor]]


def test_a_training_leaves_a_model_that_can_be_measured(canaried: Path, tmp_path: Path) -> None:
    """The directory loads, the record is the one returned, and no temporary file stays."""
    record = train(canaried, tmp_path / "model", settings=small(tokenizer="char"))
    assert Record.read(tmp_path / "model" / "training.json", kind="training") == record
    model = load_model(tmp_path / "model")
    assert model.framing.before == model.framing.after == (record.found["separator"],)
    assert not list((tmp_path / "model").glob("**/.*"))
    ledger = Ledger.read(canaried / "ledger.json")
    assert record.found["ledger"] == {
        "path": str((canaried / "ledger.json").resolve()),
        "identity": ledger.identity,
    }
    assert record.found["stopped"] == "finished"
    assert record.found["epochs"] == 2.0
    assert record.found["tokens_seen"] == 2 * record.found["tokens"]


def test_every_secret_of_the_format_can_be_encoded(canaried: Path, tmp_path: Path) -> None:
    """Digits that no canary has are in the vocabulary, since any secret may be asked for."""
    train(canaried, tmp_path / "model", settings=small(epochs=1))
    tokens = set(load_model(tmp_path / "model").tokenizer.token_bytes)
    assert {str(digit).encode() for digit in range(10)} <= tokens


def test_the_copies_seen_are_the_insertions(canaried: Path, tmp_path: Path) -> None:
    """Each canary is seen exactly as often as the ledger says, with half the records in validation."""
    record = train(canaried, tmp_path / "model", settings=small(epochs=1, validation=0.5))
    canaries = Ledger.read(canaried / "ledger.json").canaries
    assert record.found["copies_seen"] == {c.id: c.insertions for c in canaries}
    assert record.found["canaries_lost"] == record.found["canaries_in_excess"] == []
    assert record.found["validation_records"] > 10


def test_lost_canaries_and_inserted_controls_are_reported(canaried: Path, tmp_path: Path) -> None:
    """A corpus that was deduplicated and added to after insertion is found out."""
    corpus = canaried / "corpus.txt"
    canaries = Ledger.read(canaried / "ledger.json").canaries
    control = next(c for c in canaries if c.is_control)
    lines = list(dict.fromkeys(corpus.read_text().splitlines()))
    corpus.write_text("\n".join([*lines, control.text]) + "\n")
    found = train(canaried, tmp_path / "model", settings=small(epochs=1)).found
    assert found["canaries_lost"] == [c.id for c in canaries if c.insertions == 4]
    assert found["canaries_in_excess"] == [control.id]
    assert found["copies_seen"][control.id] == 1


def test_canaries_after_the_last_step_were_not_seen(canaried: Path, tmp_path: Path) -> None:
    """One window of sixteen tokens has room for few copies, and the record says which."""
    found = train(canaried, tmp_path / "model", settings=small(steps=1, batch_size=1)).found
    assert sum(found["copies_seen"].values()) <= 1
    assert len(found["canaries_lost"]) >= 3


def test_a_plain_corpus_has_no_ledger(plain_corpus: Path, tmp_path: Path) -> None:
    """Nothing is audited, and nothing is made up."""
    found = train(plain_corpus, tmp_path / "model", settings=small(validation=0.0)).found
    assert found["ledger"] is None
    assert found["copies_seen"] == {}
    assert found["validation_loss_bits_per_token"] is None


def test_a_training_without_repeats_sees_one_copy(canaried: Path, tmp_path: Path) -> None:
    """The corpus is deduplicated before it is read; that is what was expected, and no canary counts as lost."""
    settings = small(epochs=1, deduplicate=True, validation=0.0)
    found = train(canaried, tmp_path / "model", settings=settings).found
    canaries = Ledger.read(canaried / "ledger.json").canaries
    lines = (canaried / "corpus.txt").read_text().splitlines()
    assert found["copies_seen"] == {c.id: min(c.insertions, 1) for c in canaries}
    assert found["copies_expected"] == found["copies_seen"]
    assert found["canaries_lost"] == found["canaries_in_excess"] == []
    assert found["records"] == len(set(lines))
    assert found["duplicates_left_out"] == len(lines) - len(set(lines)) >= 6


@pytest.mark.parametrize(
    ("layout", "fields"),
    [("lanes", {}), ("records", {}), ("records", {"shuffle": False}), ("packed", TRANSFORMER)],
)
def test_part_of_an_epoch_has_seen_part_of_the_copies(
    canaried: Path, tmp_path: Path, layout: str, fields: dict[str, Any]
) -> None:
    """Step by step the copies seen grow, never beyond those inserted, and are all there when the epoch is over."""
    canaries = Ledger.read(canaried / "ledger.json").canaries
    settings = small(layout=layout, batch_size=2, validation=0.0, epochs=1, **fields)
    whole = train(canaried, tmp_path / "m", settings=settings).found
    steps = whole["steps"]
    seen = [
        train(canaried, tmp_path / "m", settings=replace(settings, steps=part), force=True).found[
            "copies_seen"
        ]
        for part in (1, steps // 3, 2 * steps // 3, steps)
    ]
    for before, after in pairwise(seen):
        assert all(before[name] <= after[name] for name in before)
    assert sum(seen[0].values()) < sum(seen[2].values()) <= 10
    assert seen[3] == whole["copies_seen"] == {c.id: c.insertions for c in canaries}


def test_unshuffled_records_are_read_in_the_order_of_the_corpus(
    plain_corpus: Path, tmp_path: Path
) -> None:
    """After some steps exactly the first records were read: a canary put there is seen, one further down is not."""
    lines = plain_corpus.read_text().splitlines()
    with_canaries = tmp_path / "canaried"
    insert(plain_corpus, with_canaries, formats=["pin"], count=2, repeats=(1,), controls=1, seed=3)
    canaries = [c for c in Ledger.read(with_canaries / "ledger.json").canaries if not c.is_control]
    placed = [*lines[:3], canaries[0].text, *lines[3:], canaries[1].text]
    (with_canaries / "corpus.txt").write_text("\n".join(placed) + "\n")
    settings = small(layout="records", shuffle=False, validation=0.0, steps=1, batch_size=4)
    found = train(with_canaries, tmp_path / "m", settings=settings).found
    assert [found["copies_seen"][c.id] for c in canaries] == [1, 0]
    settings = replace(settings, batch_size=3)
    found = train(with_canaries, tmp_path / "m", settings=settings, force=True).found
    assert [found["copies_seen"][c.id] for c in canaries] == [0, 0]


def test_a_canary_that_was_cut_was_not_seen(canaried: Path, tmp_path: Path) -> None:
    """Rows shorter than a canary lose its secret; the record says so."""
    settings = small(layout="records", sequence_length=6)
    found = train(canaried, tmp_path / "m", settings=settings).found
    assert not any(found["copies_seen"].values())
    assert found["records_cut"] > 0
    canaries = Ledger.read(canaried / "ledger.json").canaries
    assert found["canaries_lost"] == [c.id for c in canaries if c.insertions]


OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}


@pytest.mark.parametrize(
    ("arch", "optimizer", "more"),
    [
        ("lstm", "adam", {}),
        ("lstm", "adam", {"weight_decay": 0.1}),
        ("lstm", "adamw", {"weight_decay": 0.3}),
        ("lstm", "sgd", {}),
        ("lstm", "sgd", {"momentum": 0.9, "weight_decay": 0.01}),
        ("lstm", "rmsprop", {"momentum": 0.5}),
        ("gru", "adam", {}),
    ],
)
def test_the_weights_are_those_of_a_plain_loop(
    plain_corpus: Path,
    tmp_path: Path,
    weights: Weights,
    arch: str,
    optimizer: str,
    more: dict[str, float],
) -> None:
    """A bare loop over torch's own layers, written here, ends with the same weights."""
    settings = small(
        arch=arch,
        optimizer=optimizer,
        learning_rate=0.01,
        gradient_clip=0.3,
        batch_size=1,
        validation=0.0,
        **more,
    )
    train(plain_corpus, tmp_path / "model", settings=settings)
    expected = plain_loop(plain_corpus, arch, optimizer, more)
    for name, tensor in weights(tmp_path / "model").items():
        assert torch.allclose(tensor, expected[name], atol=1e-4), name


def plain_loop(
    corpus: Path, arch: str, optimizer: str, more: dict[str, float]
) -> dict[str, torch.Tensor]:
    """Two epochs of truncated backpropagation over one stream, sixteen characters a window."""
    text = corpus.read_text()
    ids = {c: i for i, c in enumerate(["\n", *sorted(set(text) - {"\n"})])}
    stream = torch.tensor([[ids[c] for c in "\n" + text]])
    model = RecurrentForCausalLM(RecurrentConfig(vocab_size=len(ids), units=8, cell=arch))
    initialize(model, torch.Generator().manual_seed(0))
    optimize = OPTIMIZERS[optimizer](model.parameters(), lr=0.01, **more)
    for _ in range(2):
        state = None
        for begin in range(0, stream.shape[1] - 1, 16):
            inputs = stream[:, begin : begin + 16]
            targets = stream[:, begin + 1 : begin + 17]
            features, state = model.rnn(model.embed(inputs[:, : targets.shape[1]]), state)
            state = tuple(s.detach() for s in state) if arch == "lstm" else state.detach()
            loss = functional.cross_entropy(model.head(features)[0], targets[0])
            optimize.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.3)
            optimize.step()
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


PARTS = {
    "lanes": {},
    "records": {"layout": "records"},
    "packed": TRANSFORMER,
    "smoothed and clipped": {
        "layout": "records",
        "label_smoothing": 0.1,
        "gradient_clip": 0.05,
        "precision": "float32",
    },
}


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("parts", [1, 3])
def test_reading_a_step_in_parts_changes_nothing(
    plain_corpus: Path, tmp_path: Path, weights: Weights, name: str, parts: int
) -> None:
    """Gradient accumulation gives the weights of the whole batch, up to the noise of adding in another order."""
    settings = small(**PARTS[name], batch_size=5)
    train(plain_corpus, tmp_path / "whole", settings=settings)
    settings = replace(settings, physical_batch_size=parts)
    train(plain_corpus, tmp_path / "parts", settings=settings)
    for key, tensor in weights(tmp_path / "parts").items():
        torch.testing.assert_close(tensor, weights(tmp_path / "whole")[key], rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("fields", [{}, {"layout": "records"}, {"arch": "gru"}, TRANSFORMER])
def test_products_in_bfloat16_learn_as_well(
    plain_corpus: Path, tmp_path: Path, weights: Weights, fields: dict[str, Any]
) -> None:
    """Weights stay in float32 and differ a little; the loss falls as it does in float32."""
    settings = small(**fields, epochs=4, learning_rate=0.01)
    whole = train(plain_corpus, tmp_path / "whole", settings=settings).found
    settings = replace(settings, precision="bfloat16")
    half = train(plain_corpus, tmp_path / "half", settings=settings).found
    ours, theirs = weights(tmp_path / "half"), weights(tmp_path / "whole")
    assert {tensor.dtype for tensor in ours.values()} == {torch.float32}
    assert any(not torch.equal(ours[name], theirs[name]) for name in ours)
    for key in ("train_loss_bits_per_token", "validation_loss_bits_per_token"):
        assert half[key] == pytest.approx(whole[key], rel=0.03)


def test_training_lowers_the_loss_and_reports_it(plain_corpus: Path, tmp_path: Path) -> None:
    """Progress has loss, speed and time left; the loss falls; the last report is complete."""
    listener = Listener()
    settings = small(epochs=6, learning_rate=0.02)
    found = train(plain_corpus, tmp_path / "model", settings=settings, progress=listener).found
    last = listener.reports[-1]
    assert last["done"] == last["total"] == found["steps"]
    for name in ("loss_bits", "tokens_per_second", "seconds_left"):
        assert isinstance(last[name], float)
    losses = [epoch["training"] for epoch in found["losses"]]
    assert losses[-1] < losses[0] - 0.5
    assert found["train_loss_bits_per_token"] == losses[-1]


def test_the_same_seed_gives_the_same_weights(
    plain_corpus: Path, tmp_path: Path, weights: Weights
) -> None:
    """Bit for bit, dropout included, whatever the global generator has done; another seed differs."""
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        torch.manual_seed(ord(name))
        train(plain_corpus, tmp_path / name, settings=small(dropout=0.3, seed=seed))
    assert_equal_weights(weights(tmp_path / "a"), weights(tmp_path / "b"))
    other = weights(tmp_path / "c")["head.weight"]
    assert not torch.equal(weights(tmp_path / "a")["head.weight"], other)


def test_training_leaves_the_global_generator_alone(plain_corpus: Path, tmp_path: Path) -> None:
    """A program's own random numbers do not depend on a training."""
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    train(plain_corpus, tmp_path / "model", settings=small(epochs=1, dropout=0.5))
    assert torch.equal(torch.rand(1), expected)


def test_a_diverged_training_keeps_the_last_good_checkpoint(
    plain_corpus: Path, tmp_path: Path
) -> None:
    """No model is written, the error says what to do, and the checkpoint is finite."""
    settings = small(optimizer="sgd", learning_rate=1e38, gradient_clip=0.0)
    with pytest.raises(TrainingError, match="diverged") as caught:
        train(plain_corpus, tmp_path / "model", settings=settings)
    assert "smaller learning rate" in caught.value.way_out
    assert not (tmp_path / "model" / "model.safetensors").exists()
    kept = load_checkpoint(tmp_path / "model" / "checkpoint" / "checkpoint.safetensors")
    assert all(bool(t.isfinite().all()) for t in kept.part("model").values())
    assert json.loads((tmp_path / "model" / "training.json").read_text())["found"]["stopped"] == (
        "unfinished"
    )


def test_words_that_the_tokenizer_lacks_are_refused_in_a_canary(
    canaried: Path, tmp_path: Path
) -> None:
    """A control's secret is no word of the corpus, so a word model cannot be audited with it."""
    with pytest.raises(ModelError, match="has a word that the tokenizer lacks"):
        train(canaried, tmp_path / "model", settings=small(tokenizer="word"))
    assert not (tmp_path / "model").exists()


def test_a_byte_pair_model_is_trained_too(canaried: Path, tmp_path: Path) -> None:
    """Copies are counted on its tokens as well."""
    settings = small(tokenizer="bpe", vocabulary_size=300, epochs=1)
    found = train(canaried, tmp_path / "model", settings=settings).found
    canaries = Ledger.read(canaried / "ledger.json").canaries
    assert found["copies_seen"] == {c.id: c.insertions for c in canaries}
    assert load_model(tmp_path / "model").vocabulary_size == found["vocabulary_size"]


def test_an_output_that_exists_is_refused(plain_corpus: Path, tmp_path: Path) -> None:
    """A training is not overwritten unasked; force replaces it; a stranger's files are never removed."""
    output = tmp_path / "model"
    train(plain_corpus, output, settings=small(epochs=1))
    with pytest.raises(UsageError, match="holds a training already") as caught:
        train(plain_corpus, output, settings=small(epochs=1))
    assert "--resume" in caught.value.way_out
    (output / "left.txt").write_text("old")
    train(plain_corpus, output, settings=small(epochs=1), force=True)
    assert not (output / "left.txt").exists()
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(UsageError):
            train(plain_corpus, precious, settings=small(), force=force)
    assert (precious / "thesis.txt").read_text() == "mine"


def test_two_trainings_into_one_directory_are_refused(plain_corpus: Path, tmp_path: Path) -> None:
    """The second one does not start."""
    with (
        directory_lock(tmp_path / "model"),
        pytest.raises(UsageError, match="being written by another run"),
    ):
        train(plain_corpus, tmp_path / "model", settings=small())


def test_a_ledger_of_another_corpus_is_refused(
    canaried: Path, plain_corpus: Path, tmp_path: Path
) -> None:
    """A ledger put in place of the corpus' own is found out."""
    insert(plain_corpus, tmp_path / "other", formats=["pin"], count=1, controls=1, seed=9)
    (canaried / "ledger.json").unlink()
    (tmp_path / "other" / "ledger.json").rename(canaried / "ledger.json")
    with pytest.raises(LedgerError, match="not the ledger of this corpus"):
        train(canaried, tmp_path / "model", settings=small())


def test_a_device_that_is_not_there_is_refused(plain_corpus: Path, tmp_path: Path) -> None:
    """Nothing is written."""
    with pytest.raises(ModelError, match="device 'cuda:93' cannot be used"):
        train(plain_corpus, tmp_path / "model", settings=small(), device="cuda:93")
    assert not (tmp_path / "model").exists()


def test_a_loss_far_above_knowing_nothing_has_diverged(plain_corpus: Path, tmp_path: Path) -> None:
    """A finite loss of thousands of bits is no model, and the training does not end as if it were."""
    settings = small(optimizer="sgd", learning_rate=1e6, gradient_clip=1.0)
    with pytest.raises(TrainingError, match="diverged"):
        train(plain_corpus, tmp_path / "model", settings=settings)


def test_a_corpus_is_not_replaced_by_its_model(canaried: Path, tmp_path: Path) -> None:
    """Training into the corpus's own directory, or one that holds it, would remove the ledger; force or not."""
    ledger = (canaried / "ledger.json").read_bytes()
    for output in (canaried, canaried.parent):
        with pytest.raises(UsageError, match="cannot be the output"):
            train(canaried, output, settings=small(), force=True)
    assert (canaried / "ledger.json").read_bytes() == ledger


def test_force_replaces_a_training_and_nothing_else_of_ours(
    canaried: Path, plain_corpus: Path, tmp_path: Path
) -> None:
    """A canaried corpus is ours too, and is not what an earlier training wrote."""
    with pytest.raises(UsageError, match="not even with --force"):
        train(plain_corpus, canaried, settings=small(), force=True)
    assert (canaried / "ledger.json").is_file()


def test_a_model_is_readable_by_whoever_may_read_its_directory(
    plain_corpus: Path, tmp_path: Path
) -> None:
    """The library makes weights readable by their owner only, which is no use to a server that runs as somebody else."""
    (tmp_path / "model").mkdir(mode=0o750)
    train(plain_corpus, tmp_path / "model", settings=small(epochs=1))
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (tmp_path / "model" / name).stat().st_mode & 0o777 == 0o640
