"""One step of an optimizer, against sums written out here."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secretaudit.models.recurrent.network import RecurrentConfig, RecurrentForCausalLM
from secretaudit.training.batch import Batch
from secretaudit.training.optimizer import make_optimizer
from secretaudit.training.processes import Processes
from secretaudit.training.settings import OPTIMIZERS, TrainingSettings
from secretaudit.training.update import Forward, PlainUpdate, token_nats


def batch(rows: list[list[int]]) -> Batch:
    """Rows of token ids as a batch, padded on the right."""
    width = max(len(row) for row in rows)
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    targets = torch.tensor([row[1:] + [-100] * (width - len(row)) for row in rows])
    tokens = sum(len(row) - 1 for row in rows)
    return Batch(inputs={"input_ids": ids[:, :-1]}, targets=targets, tokens=tokens)


ROWS = [[0, 1, 2, 3, 0], [0, 3, 0], [0, 2, 2, 0], [0, 1, 0]]


def model() -> RecurrentForCausalLM:
    torch.manual_seed(0)
    return RecurrentForCausalLM(RecurrentConfig(vocab_size=4, units=6, layers=1)).train()


def gradients(
    network: RecurrentForCausalLM, parts: list[list[list[int]]], *, clip: float, smoothing: float
) -> tuple[list[torch.Tensor], float]:
    """What a step with rate 1 subtracts from the weights, and the nats it reports."""
    before = [p.detach().clone() for p in network.parameters()]
    update = PlainUpdate(
        Forward(network),
        torch.optim.SGD(network.parameters(), lr=1.0),
        processes=Processes(),
        clip=clip,
        smoothing=smoothing,
    )
    nats = float(update.step([batch(rows) for rows in parts]))
    after = [p.detach() for p in network.parameters()]
    return [b - a for b, a in zip(before, after, strict=True)], nats


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("clip", [0.0, 0.01])
def test_the_gradient_is_that_of_the_mean_over_all_tokens(clip: float, smoothing: float) -> None:
    """However the rows are cut into parts: each token counts alike, padding not at all."""
    network = model()
    loss = torch.zeros(())
    plain, count = 0.0, 0
    for row in ROWS:
        logs = network(torch.tensor([row[:-1]])).logits[0].log_softmax(-1)
        for place, token in enumerate(row[1:]):
            spread = -(1 - smoothing) * logs[place, token] - smoothing * logs[place].mean()
            loss = loss + spread
            plain -= logs[place, token].item()
            count += 1
    expected = torch.autograd.grad(loss / count, list(network.parameters()))
    if clip:
        norm = math.sqrt(sum(float((g**2).sum()) for g in expected))
        assert norm > clip
        expected = tuple(g * clip / norm for g in expected)
    for parts in ([ROWS], [ROWS[:1], ROWS[1:]], [[row] for row in ROWS]):
        found, nats = gradients(model(), parts, clip=clip, smoothing=smoothing)
        assert nats == pytest.approx(plain, rel=1e-5)
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@given(
    logits=st.lists(st.floats(-5, 5, width=32), min_size=5, max_size=5),
    target=st.integers(0, 4),
    smoothing=st.floats(0, 0.99),
)
def test_label_smoothing_is_a_mean_with_the_uniform_distribution(
    logits: list[float], target: int, smoothing: float
) -> None:
    """Cross-entropy against (1 − s) of the target and s spread over all tokens."""
    total = math.log(sum(math.exp(x) for x in logits))
    costs = [total - x for x in logits]
    expected = (1 - smoothing) * costs[target] + smoothing * sum(costs) / 5
    found = token_nats(torch.tensor([[logits]]), torch.tensor([[target]]), smoothing)
    assert float(found) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_what_is_ignored_costs_nothing() -> None:
    """With smoothing or without."""
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([[1, -100, 2], [-100, -100, -100]])
    for smoothing in (0.0, 0.3):
        nats = token_nats(logits, targets, smoothing)
        assert bool((nats[targets == -100] == 0).all())
        assert bool((nats[targets != -100] > 0).all())


def test_a_step_without_rows_changes_nothing() -> None:
    """A process that has no row of a step still takes part in it."""
    found, nats = gradients(model(), [], clip=1.0, smoothing=0.0)
    assert nats == 0.0
    assert not any(bool(tensor.any()) for tensor in found)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_dials_arrive_at_the_optimizer(name: str) -> None:
    """Rate, decay and, where there is one, momentum; frozen parameters are left out."""
    network = model()
    network.embed.weight.requires_grad_(False)
    momentum = 0.9 if name in ("sgd", "rmsprop") else 0.0
    settings = TrainingSettings(
        optimizer=name, learning_rate=0.25, weight_decay=0.125, momentum=momentum
    )
    optimizer = make_optimizer(settings, network.parameters())
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.25, 0.125)
    assert group.get("momentum", 0.0) == momentum
    assert len(group["params"]) == len(list(network.parameters())) - 1
