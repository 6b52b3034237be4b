"""The example with ``Trainer`` and Opacus is true: records are clipped one by one, drawn by Poisson sampling, and noise is added."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from opacus import PrivacyEngine
from opacus.accountants import PRVAccountant
from transformers import GPT2Config, GPT2LMHeadModel, TrainerCallback

from secretaudit.models.tokens.building import build_tokenizer

EXAMPLE = Path(__file__).parents[2] / "examples" / "private_trainer_with_exposure.py"


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    """The names of the example, which does nothing by being read."""
    return runpy.run_path(str(EXAMPLE), run_name="read")


def model() -> GPT2LMHeadModel:
    """Tied weights, as in the example."""
    torch.manual_seed(0)
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=20, n_positions=16, n_embd=8, n_layer=1, n_head=2,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
        )
    ).train()  # fmt: skip


ROWS = [
    {"input_ids": [0, 3, 4, 5, 0]},
    {"input_ids": [0, 7, 0]},
    {"input_ids": [0, 9, 9, 12, 13, 14, 15, 19, 0]},
]


def private(
    example: dict[str, Any], network: GPT2LMHeadModel, *, noise: float, clip: float
) -> tuple[Any, Any]:
    """(optimizer, loader) as Opacus makes them for the example's rows."""
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    loader = torch.utils.data.DataLoader(ROWS, batch_size=3, collate_fn=example["collate"])  # type: ignore[arg-type]
    _, optimizer, loader = PrivacyEngine().make_private(
        module=network,
        optimizer=optimizer,
        data_loader=loader,
        noise_multiplier=noise,
        max_grad_norm=clip,
        wrap_model=False,
    )
    return optimizer, loader


def mean_loss(example: dict[str, Any], network: GPT2LMHeadModel, rows: list[Any]) -> torch.Tensor:
    """The loss that the example's Trainer hands to backward."""
    trainer = example["RecordTrainer"].__new__(example["RecordTrainer"])
    found: torch.Tensor = trainer.compute_loss(network, example["collate"](rows))
    return found


def gradient_alone(row: dict[str, list[int]]) -> list[torch.Tensor]:
    """Of the mean cross-entropy of one record, without padding, Opacus or the example's own loss."""
    network = model()
    tokens = torch.tensor([row["input_ids"]])
    log_p = network(input_ids=tokens).logits[0, :-1].log_softmax(dim=-1)
    loss = -log_p[torch.arange(len(log_p)), tokens[0, 1:]].mean()
    return list(torch.autograd.grad(loss, list(network.parameters())))


def test_each_record_has_the_gradient_that_it_has_alone(example: dict[str, Any]) -> None:
    """Whatever its neighbours and the padding, the shared embedding included."""
    network = model()
    private(example, network, noise=0.0, clip=1.0)
    mean_loss(example, network, ROWS).backward()
    for number, row in enumerate(ROWS):
        alone = gradient_alone(row)
        for parameter, expected in zip(network.parameters(), alone, strict=True):
            found = parameter.grad_sample[number]
            assert torch.allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_a_step_without_noise_is_the_sum_of_clipped_gradients(example: dict[str, Any]) -> None:
    """Each record's whole gradient is cut to the norm, then all are added and divided by the expected number."""
    clip, network = 0.5, model()
    before = [p.detach().clone() for p in network.parameters()]
    optimizer, _ = private(example, network, noise=0.0, clip=clip)
    mean_loss(example, network, ROWS).backward()
    optimizer.step()
    total = [torch.zeros_like(p) for p in before]
    for row in ROWS:
        gradient = gradient_alone(row)
        norm = torch.sqrt(sum((g**2).sum() for g in gradient))  # type: ignore[arg-type]
        assert norm > clip
        for sum_, part in zip(total, gradient, strict=True):
            sum_ += part * (clip / norm)
    for old, new, sum_ in zip(before, network.parameters(), total, strict=True):
        assert torch.allclose(new, old - sum_ / len(ROWS), rtol=1e-4, atol=1e-6)


def test_the_loss_of_transformers_would_couple_the_records(example: dict[str, Any]) -> None:
    """Why the example has a loss of its own: with ``labels``, a record's gradient depends on its neighbours' lengths."""
    network = model()
    private(example, network, noise=0.0, clip=1.0)
    inputs = example["collate"](ROWS)
    labels = torch.cat([torch.full((3, 1), -100), inputs["targets"]], dim=1)
    positions = torch.arange(inputs["input_ids"].shape[1]).expand(3, -1)
    network(input_ids=inputs["input_ids"], position_ids=positions, labels=labels).loss.backward()
    expected = gradient_alone(ROWS[1])[0]
    assert not torch.allclose(network.transformer.wte.weight.grad_sample[1], expected, rtol=0.1)


def test_a_step_that_draws_no_record_adds_noise(example: dict[str, Any]) -> None:
    """Its loss and its gradient are zero, and the weights move by the noise alone."""
    network = model()
    before = network.transformer.wte.weight.detach().clone()
    optimizer, _ = private(example, network, noise=2.0, clip=0.5)
    loss = mean_loss(example, network, [])
    assert float(loss) == 0.0
    loss.backward()
    assert all(not p.grad_sample.any() for p in network.parameters())
    optimizer.step()
    moved = (network.transformer.wte.weight - before) * len(ROWS)  # the sum, before the division
    assert float(moved.std()) == pytest.approx(2.0 * 0.5, rel=0.25)


class Drawn(TrainerCallback):
    """How many records each step had, as the gradients per record show."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.left: list[bool] = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        parameter = next(given["model"].parameters())
        self.counts.append(len(parameter.grad_sample))

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        parameter = next(given["model"].parameters())
        self.left.append(parameter.grad_sample is not None)


def test_the_whole_training_is_accounted_for(
    example: dict[str, Any],
    canaried: Path,
    records: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Batches are Poisson draws, every step is in the accountant, and ε follows from σ, rate and steps."""
    engines, drawn = [], Drawn()

    class Watched(PrivacyEngine):
        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            engines.append(self)

    trainer = example["RecordTrainer"]

    class Trainer(trainer):  # type: ignore[valid-type, misc]
        def __init__(self, **given: Any) -> None:
            super().__init__(**{**given, "callbacks": [*given["callbacks"], drawn]})

    train = example["train"]
    monkeypatch.setitem(train.__globals__, "PrivacyEngine", Watched)
    monkeypatch.setitem(train.__globals__, "RecordTrainer", Trainer)
    monkeypatch.setitem(train.__globals__, "EPOCHS", 2)
    monkeypatch.setitem(train.__globals__, "BATCH", 20)
    tokenizer = build_tokenizer("char", records, required_characters="0123456789")
    entries, network, epsilon = train(
        records, tokenizer, canaried / "ledger.json", tmp_path, private=True
    )
    per_epoch = -(-len(records) // 20)
    assert len(drawn.counts) == 2 * per_epoch
    assert len(set(drawn.counts)) > 1  # records are drawn, not dealt
    assert not any(drawn.left)  # and nothing of a step stays for the next
    ((sigma, rate, steps),) = engines[0].accountant.history
    assert (rate, steps) == (1 / per_epoch, 2 * per_epoch)
    other = PRVAccountant()
    other.history = [(sigma, rate, steps)]
    assert epsilon == pytest.approx(other.get_epsilon(delta=example["DELTA"]), rel=1e-6)
    assert 0.9 * example["EPSILON"] < epsilon <= example["EPSILON"]
    assert [entry["step"] for entry in entries] == [per_epoch, 2 * per_epoch]
    assert isinstance(network, GPT2LMHeadModel)
