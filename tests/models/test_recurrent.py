"""The transformers face of the recurrent models."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from secretaudit.models.recurrent.network import RecurrentConfig, RecurrentForCausalLM, initialize

SHAPES = [
    {"cell": "lstm"},
    {"cell": "gru"},
    {"cell": "lstm", "layers": 1, "embedding": 5},
    {"cell": "gru", "layers": 3, "tie_word_embeddings": True},
    {"cell": "lstm", "tie_word_embeddings": True, "dropout": 0.4},
]


@pytest.fixture(params=SHAPES, ids=str)
def model(request: pytest.FixtureRequest) -> RecurrentForCausalLM:
    torch.manual_seed(1)
    config = RecurrentConfig(**{"vocab_size": 23, "units": 8, "layers": 2, **request.param})
    return RecurrentForCausalLM(config).eval()


def tokens(rows: int, length: int) -> torch.Tensor:
    return torch.randint(0, 23, (rows, length), generator=torch.Generator().manual_seed(2))


def test_the_state_handed_on_continues_the_sequence(model: RecurrentForCausalLM) -> None:
    """Reading in two pieces gives the logits of reading at once."""
    ids = tokens(3, 9)
    whole = model(ids).logits
    first = model(ids[:, :4])
    second = model(ids[:, 4:], past_key_values=first.past_key_values)
    assert torch.allclose(whole, torch.cat((first.logits, second.logits), dim=1), atol=1e-6)


def test_a_saved_model_comes_back_the_same(model: RecurrentForCausalLM, tmp_path: Path) -> None:
    """AutoModelForCausalLM reads what save_pretrained wrote, from safetensors, bit for bit."""
    model.save_pretrained(tmp_path)
    assert {f.suffix for f in tmp_path.iterdir()} == {".json", ".safetensors"}
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(again(tokens(2, 5)).logits, model(tokens(2, 5)).logits)
    assert again.config.cell == model.config.cell


def test_tied_weights_are_stored_once(tmp_path: Path) -> None:
    """The output layer of a tied model is its embedding, in memory and on disk."""
    model = RecurrentForCausalLM(RecurrentConfig(vocab_size=9, units=8, tie_word_embeddings=True))
    assert model.head.weight is model.embed.weight
    model.save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert "head.weight" not in file.keys()  # noqa: SIM118 # not a dict


def test_labels_give_the_mean_loss_of_the_next_token(model: RecurrentForCausalLM) -> None:
    """The loss is −mean log p of each token but the first, computed here one by one."""
    ids = tokens(2, 6)
    output = model(ids, labels=ids)
    logs = output.logits.log_softmax(-1)
    by_hand = [-logs[row, place, ids[row, place + 1]] for row in range(2) for place in range(5)]
    assert output.loss.item() == pytest.approx(sum(by_hand).item() / 10, rel=1e-5)


def test_ignored_labels_carry_no_loss(model: RecurrentForCausalLM) -> None:
    """Places labelled −100 leave the mean."""
    ids = tokens(1, 6)
    labels = ids.clone()
    labels[:, 4:] = -100
    assert torch.allclose(model(ids, labels=labels).loss, model(ids[:, :4], labels=ids[:, :4]).loss)


def test_generation_follows_the_most_likely_token(model: RecurrentForCausalLM) -> None:
    """Greedy generation with the carried state equals reading everything anew for each token."""
    start = tokens(2, 3)
    made = model.generate(start, max_new_tokens=4, do_sample=False, pad_token_id=0)
    expected = start
    for _ in range(4):
        following = model(expected).logits[:, -1:].argmax(-1)
        expected = torch.cat((expected, following), dim=1)
    assert torch.equal(made, expected)


def test_without_use_cache_no_state_comes_back(model: RecurrentForCausalLM) -> None:
    """The state is left out when it is not wanted."""
    assert model(tokens(1, 2), use_cache=False).past_key_values is None


def test_weights_depend_on_the_generator_alone(model: RecurrentForCausalLM) -> None:
    """Equal seeds give equal weights whatever the global generator has done, other seeds others."""
    drawn = []
    for seed in (3, 3, 4):
        torch.manual_seed(100 + len(drawn))
        initialize(model, torch.Generator().manual_seed(seed))
        drawn.append(torch.cat([p.detach().flatten().clone() for p in model.parameters()]))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_dropout_is_off_when_measuring() -> None:
    """In evaluation mode two readings agree; in training mode they do not."""
    model = RecurrentForCausalLM(RecurrentConfig(vocab_size=23, units=32, dropout=0.5))
    ids = tokens(1, 5)
    assert not torch.equal(model.train()(ids).logits, model(ids).logits)
    assert torch.equal(model.eval()(ids).logits, model(ids).logits)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"cell": "rnn"}, "cell must be one of lstm, gru"),
        ({"layers": 0}, "layers must be an integer of at least 1, got 0"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        (
            {"tie_word_embeddings": True, "embedding": 5, "units": 8},
            "tied weights must have embedding equal to units",
        ),
    ],
)
def test_a_shape_out_of_range_is_refused(fields: dict[str, object], message: str) -> None:
    """Each wrong field is named."""
    with pytest.raises(ValueError, match=message):
        RecurrentConfig(**fields)
