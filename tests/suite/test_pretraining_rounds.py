"""Rounds of memorization, and what is said of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from secretaudit.suite.classifier import Plain
from secretaudit.suite.fitting import FitSettings
from secretaudit.suite.pretraining.rounds import memorize, rounds_ordering, rounds_part


def settings(**dials: Any) -> FitSettings:
    return FitSettings(**{"epochs": 200, "target": 1.0, "learning_rate": 0.5, "momentum": 0.0, "batch_size": 8} | dials)  # fmt: skip


def linear(seed: int = 0) -> Plain:
    torch.manual_seed(seed)
    return Plain(nn.Sequential(nn.Linear(8, 3)))


def test_epochs_are_those_of_a_loop_written_out() -> None:
    """Full-batch descent on one-hot inputs, two labellings: the twin counts epochs until all labels are given."""
    inputs, labellings = torch.eye(8), [torch.arange(8) % 3, (torch.arange(8) + 1) % 3]
    found = memorize(linear(), inputs, labellings, settings(), [0, 0])
    weight, bias = (p.detach().clone() for p in linear().parameters())
    for labels, one in zip(labellings, found, strict=True):
        epochs = 0
        while epochs == 0 or not bool(((inputs @ weight.T + bias).argmax(1) == labels).all()):
            p = torch.softmax(inputs @ weight.T + bias, 1) - F.one_hot(labels, 3)
            weight, bias = weight - 0.5 * p.T @ inputs / 8, bias - 0.5 * p.mean(0)
            epochs += 1
        assert (one.status, one.epochs, one.accuracy) == ("reached", epochs, 1.0)
        assert len(one.curve) == epochs


def test_labels_that_are_memorized_already_take_one_epoch() -> None:
    """The second round begins with the first one's weights, head and all."""
    labels = torch.arange(8) % 3
    first, second = memorize(linear(), torch.eye(8), [labels, labels], settings(), [0, 1])
    assert first.epochs > 1 and second.epochs == 1


def test_a_target_that_is_out_of_reach_is_a_status_with_what_was_reached() -> None:
    """Equal inputs cannot have two labels: half of them is the most."""
    found = memorize(linear(), torch.ones(8, 8), [torch.arange(8) % 2], settings(epochs=5), [0])[0]
    assert (found.status, found.epochs) == ("not reached", 5)
    assert found.accuracy is not None and found.accuracy <= 0.5


def test_a_round_that_diverges_ends_the_rounds() -> None:
    """What comes after numbers that are none is not measured; nobody is told of such weights."""
    told: list[int] = []
    wild = Plain(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)))
    found = memorize(
        wild,
        torch.eye(8),
        [torch.arange(8) % 3] * 3,
        settings(learning_rate=1e30),
        [0, 1, 2],
        after=lambda number, _model: told.append(number),
    )
    assert [one.status for one in found] == ["diverged"] and told == []


def a_round(epochs: int, status: str = "reached", accuracy: float = 1.0) -> dict[str, Any]:
    return {
        "status": status,
        "epochs": epochs,
        "accuracy": accuracy,
        "curve": [accuracy / 2] * (epochs - 1) + [accuracy],
    }


def part_of(*seeds: list[dict[str, Any]]) -> dict[str, Any]:
    return rounds_part(seeds, rounds=len(seeds[0]), target=0.99, cap=20)


def test_the_speed_up_is_the_first_round_minus_the_mean_of_the_later_ones() -> None:
    """Seeds with 10, 4, 2 and 12, 6, 4 epochs: 7 and 7 epochs saved, ratios 10/3 and 12/5."""
    part = part_of([a_round(10), a_round(4), a_round(2)], [a_round(12), a_round(6), a_round(4)])
    assert part["status"] == "measured"
    assert [row["epochs"]["mean"] for row in part["rounds"]] == [11.0, 5.0, 3.0]
    assert part["speed_up"]["mean"] == 7.0
    assert part["ratio"]["mean"] == pytest.approx((10 / 3 + 12 / 5) / 2)
    assert "after 11.0 epochs" in part["sentence"] and "after 4.0 epochs more" in part["sentence"]


def test_curves_of_networks_that_are_done_stay_at_what_they_reached() -> None:
    """Every mean is over all seeds."""
    part = part_of([a_round(2), a_round(1)], [a_round(4), a_round(1)])
    assert part["rounds"][0]["curve"] == [0.5, 0.75, 0.75, 1.0]


def test_the_papers_ordering_is_judged_by_the_interval() -> None:
    """Above 0 it holds, around 0 it does not, with one seed or one round it is not judged."""
    fast = [[a_round(10 + s), a_round(4)] for s in range(3)]
    mixed = [[a_round(10), a_round(4)], [a_round(4), a_round(10)], [a_round(7), a_round(7)]]
    assert rounds_ordering(part_of(*fast))["holds"] is True
    assert rounds_ordering(part_of(*mixed))["holds"] is False
    assert rounds_ordering(part_of(fast[0]))["holds"] is None
    assert rounds_ordering(part_of([a_round(9)], [a_round(8)]))["holds"] is None


def test_later_rounds_that_ended_at_the_cap_prove_no_speed_up() -> None:
    """Their epochs are lower bounds, so a difference above 0 may be none; below 0 it stands."""
    short = a_round(20, "not reached", 0.7)
    slow_start = [[a_round(200 + s), short] for s in range(3)]
    slow_end = [[a_round(5 + s), short] for s in range(3)]
    assert rounds_ordering(part_of(*slow_start))["holds"] is None
    assert rounds_ordering(part_of(*slow_end))["holds"] is False
    assert part_of(*slow_end)["status"] == "not reached"
    assert "3 of 6 memorizations ended below the target" in part_of(*slow_end)["sentence"]


def test_networks_that_diverged_are_left_out_and_counted() -> None:
    """With all of them gone nothing was measured."""
    gone = [{"status": "diverged", "epochs": 0, "accuracy": None, "curve": []}]
    part = part_of([a_round(9), a_round(5)], gone)
    assert part["diverged"] == 1 and part["rounds"][0]["seeds"] == 1
    assert "1 network diverged" in part["sentence"]
    assert part_of(gone, gone)["status"] == "could not measure"
