"""A private step: clipping, noise, scale, account, and going on after a stop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from secretaudit.errors import ModelError, UsageError
from secretaudit.training.private.accounting import spent
from secretaudit.training.private.update import PrivateUpdate
from secretaudit.training.processes import Processes
from secretaudit.training.settings import PrivacySettings, TrainingSettings
from secretaudit.training.update import Forward
from tests.training import private_subjects as subjects
from tests.training.private_subjects import build, private, records, some, weights

ERROR = 1e-6


def moved(model: nn.Module, update: PrivateUpdate, batches: list[Any]) -> dict[str, torch.Tensor]:
    """What a step takes away from the weights, with SGD of rate 1: the gradient that the optimizer was given."""
    before = weights(model)
    update.step(batches)
    return {name: before[name] - after for name, after in weights(model).items()}


def flat(gradient: dict[str, torch.Tensor]) -> np.ndarray:
    return torch.cat([g.flatten() for g in gradient.values()]).double().numpy()


@pytest.mark.parametrize("name", ["gpt2, tied", "lstm"])
def test_without_noise_and_clipping_it_is_a_plain_step_on_the_records_means(name: str) -> None:
    """The sum of the records' mean losses over the expected batch size, by torch's own backward pass."""
    model, batch = build(name), records()
    logits = model(**batch.inputs).logits
    losses = nn.functional.cross_entropy(logits.mT, batch.targets, reduction="none").sum(1)
    loss = (losses / (batch.targets != -100).sum(1)).sum() / 8
    trained = dict(model.named_parameters())
    expected = dict(zip(trained, torch.autograd.grad(loss, list(trained.values())), strict=True))
    found = moved(model, private(model, noise=0.0, clip=1e9, expected=8), [batch])
    assert subjects.relative_difference(found, expected) < 1e-4


def test_a_step_takes_the_clipped_sum_over_the_expected_batch_size() -> None:
    """Over 8 when 8 were expected, though 5 were drawn."""
    model, batch = build("gpt2, tied"), records()
    expected = subjects.clipped_by_hand(subjects.one_by_one(model, batch), 0.2)
    found = moved(model, private(model, clip=0.2, expected=8), [batch])
    assert subjects.relative_difference({n: 8 * g for n, g in found.items()}, expected) < 1e-3


@pytest.mark.parametrize(("noise", "clip", "expected"), [(1.0, 1.0, 5), (0.7, 3.0, 20)])
def test_noise_has_the_stated_scale(noise: float, clip: float, expected: int) -> None:
    """A step that drew nothing is noise alone: normal, of standard deviation σ C / b̄, and independent over parameters and steps."""
    model = build("gpt2, tied")
    update = private(model, noise=noise, clip=clip, expected=expected)
    scale = noise * clip / expected
    first, second = (flat(moved(model, update, [])) / scale for _ in range(2))
    count = len(first)
    assert count > 5000
    for sample in (first, second):
        low, high = stats.chi2.ppf([ERROR, 1 - ERROR], count)
        assert low < (sample**2).sum() < high
        assert abs(sample.mean()) < stats.norm.isf(ERROR) / np.sqrt(count)
        assert stats.kstest(sample, "norm").pvalue > ERROR
        assert abs((sample[1:] * sample[:-1]).mean()) < stats.norm.isf(ERROR) / np.sqrt(count)
    assert abs((first * second).mean()) < stats.norm.isf(ERROR) / np.sqrt(count)
    assert update.found()["steps"] == 2


def test_noise_is_added_to_the_clipped_sum_of_records() -> None:
    """The same step with and without noise differs by noise of the stated scale."""
    clean = flat(moved(model := build("lstm"), private(model, noise=0.0), [records()]))
    noisy = flat(moved(model := build("lstm"), private(model, noise=2.0), [records()]))
    difference = (noisy - clean) / (2.0 * 1.0 / 5.0)
    low, high = stats.chi2.ppf([ERROR, 1 - ERROR], len(difference))
    assert low < (difference**2).sum() < high


def test_every_parameter_gets_noise() -> None:
    """Also the rows of an embedding that no record used, which would tell who was there."""
    model = build("lstm")
    found = moved(model, private(model, noise=1.0), [records()])
    assert all(bool((gradient != 0).all()) for gradient in found.values())


@pytest.mark.parametrize("name", ["gpt2, tied", "lstm"])
def test_parts_do_not_change_a_step(name: str) -> None:
    """Five records at once, or two, two and one: the same weights, noise and all."""
    batch = records()
    whole = moved(model := build(name), private(model, noise=1.0), [batch])
    pieces = [some(batch, rows) for rows in ([0, 1], [2, 3], [4])]
    parts = moved(model := build(name), private(model, noise=1.0), pieces)
    assert subjects.relative_difference(parts, whole) < 1e-5


def test_a_step_reports_the_nats_of_its_tokens() -> None:
    """Summed over records, not averaged: the loss of the training's record."""
    model, batch = build("lstm"), records()
    logits = model(**batch.inputs).logits
    expected = nn.functional.cross_entropy(logits.mT, batch.targets, reduction="sum").detach()
    update = private(model)
    assert float(update.step([batch])) == pytest.approx(float(expected), rel=1e-5)
    assert float(update.step([])) == 0.0


@pytest.mark.parametrize(
    "kind", [torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop, torch.optim.SGD]
)
def test_any_optimizer_takes_the_noisy_gradient(kind: Any) -> None:
    """DP-Adam is Adam on the clipped sum over the expected batch size; likewise the others."""
    batch = records()
    model, twin = build("lstm"), build("lstm")
    update = private(model, clip=0.3, optimizer=lambda ps: kind(ps, lr=0.01))
    optimizer = kind(twin.parameters(), lr=0.01)
    for _ in range(3):
        clipped = subjects.clipped_by_hand(subjects.one_by_one(twin, batch), 0.3)
        for name, parameter in twin.named_parameters():
            parameter.grad = clipped[name] / 5
        optimizer.step()
        update.step([batch])
    for name, parameter in twin.named_parameters():
        torch.testing.assert_close(
            dict(model.named_parameters())[name], parameter, rtol=0, atol=2e-4
        )


def test_going_on_after_a_stop_gives_the_same_weights_and_account() -> None:
    """Weights, optimizer, torch's generator and ``state`` are all that there is: bit for bit, with dropout."""
    batches = [[records(seed=step)] if step != 2 else [] for step in range(5)]

    def fresh() -> tuple[nn.Module, PrivateUpdate]:
        torch.manual_seed(1)
        model = subjects.gpt2(dropout=0.2).train()
        adam = lambda parameters: torch.optim.Adam(parameters, lr=0.01)  # noqa: E731  # one line, used twice
        return model, private(model, noise=1.0, optimizer=adam)

    model, update = fresh()
    torch.manual_seed(7)
    for step in range(2):
        update.step(batches[step])
    kept = weights(model), update.optimizer.state_dict(), update.state(), torch.get_rng_state()
    kept = torch.utils._pytree.tree_map(lambda x: x.clone() if torch.is_tensor(x) else x, kept)
    for step in range(2, 5):
        update.step(batches[step])

    resumed, again = fresh()
    resumed.load_state_dict(kept[0], strict=False)
    again.optimizer.load_state_dict(kept[1])
    again.restore(kept[2])
    torch.set_rng_state(kept[3])
    for step in range(2, 5):
        again.step(batches[step])
    for name, weight in weights(model).items():
        assert torch.equal(weight, weights(resumed)[name]), name
    assert again.found() == update.found()
    assert again.found()["steps"] == 5


def test_the_record_says_what_was_spent() -> None:
    """ε is that of the steps taken so far, empty ones included."""
    update = private(build("lstm"), noise=1.0)
    update.step([records()])
    for _ in range(3):
        update.step([])
    found = update.found()
    assert found["epsilon"] == spent([(1.0, 0.1, 4)], 1e-5).epsilon
    expected = {
        "delta": 1e-5,
        "noise_multiplier": 1.0,
        "sample_rate": 0.1,
        "steps": 4,
        "accountant": "prv",
        "max_grad_norm": 1.0,
        "gradients": "book-keeping",
        "unit": "record",
        "poisson": True,
        "remark": "",
    }
    assert expected.items() <= found.items()
    assert "covered" in found["gradients_why"]


def test_without_poisson_sampling_no_epsilon_is_stated() -> None:
    """The record says why."""
    update = private(build("lstm"), noise=1.0, poisson=False)
    update.step([records()])
    assert update.found()["epsilon"] is None
    assert "Poisson sampling, which is off" in update.found()["remark"]


def test_without_noise_no_epsilon_is_stated() -> None:
    """σ = 0 protects nobody, and no number pretends otherwise."""
    update = private(build("lstm"), noise=0.0)
    update.step([records()])
    assert update.found()["epsilon"] is None
    assert "Without noise" in update.found()["remark"]


@pytest.mark.parametrize(("delta", "is_too_large"), [(0.02, True), (0.019, False)])
def test_a_delta_of_one_record_is_remarked_in_the_record(delta: float, is_too_large: bool) -> None:
    """5 of 50 records a step: δ = 1/50 would allow one of them to be published."""
    update = PrivateUpdate(
        Forward(build("lstm")),
        lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        settings=TrainingSettings(privacy=PrivacySettings(noise_multiplier=1.0)),
        processes=Processes(),
        sample_rate=0.1,
        expected_batch_size=5,
        steps=6,
        delta=delta,
    )
    assert ("not below 1/n = 0.02 for n = 50" in update.found()["remark"]) == is_too_large


def test_an_epsilon_is_kept_over_the_whole_training() -> None:
    """The noise is chosen for all steps, and all steps spend at most what was asked for."""
    model = build("lstm")
    settings = TrainingSettings(privacy=PrivacySettings(epsilon=4.0, accountant="rdp"))
    update = PrivateUpdate(
        Forward(model),
        lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        settings=settings,
        processes=Processes(),
        sample_rate=0.1,
        expected_batch_size=5,
        steps=6,
        delta=1e-5,
    )
    for step in range(6):
        update.step([records()] if step else [])
    assert 3.9 < update.found()["epsilon"] <= 4.0


def test_an_optimizer_of_other_tensors_is_refused() -> None:
    """Other tensors than the model's, or only some of them, would be trained without noise, or not at all."""
    others = [nn.Parameter(torch.zeros(3))]
    for chosen in (lambda _: others, lambda parameters: parameters[1:]):
        with pytest.raises(ModelError, match="optimizer does not train"):
            private(
                build("lstm"),
                optimizer=lambda ps, chosen=chosen: torch.optim.SGD(chosen(ps), lr=1.0),
            )


def test_a_rate_too_small_to_change_any_weight_is_an_error() -> None:
    """A training that changes nothing is not passed off as one."""
    update = private(build("lstm"), noise=1.0, rate=1e-30)
    with pytest.raises(ModelError, match="weights did not change"):
        update.step([records()])


def test_a_first_step_of_a_warm_up_may_leave_the_weights() -> None:
    """A rate of 0 is what the schedule asked for."""
    model = build("lstm")
    update = private(model, noise=1.0, rate=0.0)
    assert not any(bool(g.any()) for g in moved(model, update, [records()]).values())
    for group in update.optimizer.param_groups:
        group["lr"] = 1.0
    assert all(bool(g.any()) for g in moved(model, update, [records()]).values())


def test_a_model_without_anything_to_train_is_refused() -> None:
    """All frozen."""
    with pytest.raises(ModelError, match="nothing to train"):
        private(build("lstm").requires_grad_(False))


def test_settings_without_privacy_are_refused() -> None:
    """No noise is assumed."""
    with pytest.raises(UsageError, match="needs privacy settings"):
        PrivateUpdate(
            Forward(build("lstm")),
            lambda parameters: torch.optim.SGD(parameters, lr=0.1),
            settings=TrainingSettings(),
            processes=Processes(),
            sample_rate=0.1,
            expected_batch_size=5,
            steps=1,
            delta=1e-5,
        )
