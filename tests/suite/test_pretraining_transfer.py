"""Where fine-tuning starts, and how its results are compared."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from secretaudit.suite.data.arrays import digits
from secretaudit.suite.fitting import FitSettings, fit
from secretaudit.suite.labelled import Labelled
from secretaudit.suite.learner import Architecture
from secretaudit.suite.pretraining.comparison import transfer_orderings, transfer_part
from secretaudit.suite.pretraining.transfer import (
    epochs_to,
    fine_tuned,
    rescale_body,
    starting_points,
)

HEAD = "module.5"


def networks() -> tuple[Any, Any, Any]:
    """Three small networks with different weights."""
    learner = Architecture(task=digits(), options={"hidden": 8, "layers": 2})
    return learner.fresh(1), learner.fresh(2), learner.fresh(3)


def examples(count: int) -> Labelled:
    return digits().train.first(count)


def weights(model: Any, layer: str) -> torch.Tensor:
    found: torch.Tensor = model.get_submodule(f"module.{layer}").weight.detach()
    return found


def test_rescaled_weights_have_the_others_norms_and_their_own_directions() -> None:
    """Norms by torch's own count; the cosine with the weights before is 1; the head stays."""
    other, model, _ = networks()
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    for value in other.parameters():
        value.data.mul_(3.0)
    rescale_body(model, other, HEAD)
    for name, value in model.named_parameters():
        if name.startswith(HEAD):
            assert torch.equal(value, before[name])
            continue
        theirs = dict(other.named_parameters())[name]
        assert torch.linalg.norm(value).item() == pytest.approx(torch.linalg.norm(theirs).item())
        cosine = torch.cosine_similarity(value.flatten(), before[name].flatten(), dim=0)
        assert cosine.item() == pytest.approx(1.0, abs=1e-5)


def test_tensors_of_zeros_stay_zeros_when_rescaled() -> None:
    """They have no direction to scale."""
    other, model, _ = networks()
    model.get_submodule("module.1").bias.data.zero_()
    rescale_body(model, other, HEAD)
    assert not model.get_submodule("module.1").bias.detach().any()


def test_every_condition_starts_where_it_says() -> None:
    """Bodies of the pre-trained or the scratch network, last layers and heads of the third."""
    pretrained, scratch, other = networks()
    made = starting_points(pretrained, scratch, other, HEAD, reinitialize=(1,))
    assert list(made) == ["scratch", "pre-trained", "rescaled", "re-initialized 1"]
    for model in made.values():
        assert torch.equal(weights(model, "5"), weights(other, "5"))
    for name, first, second in (
        ("scratch", scratch, scratch),
        ("pre-trained", pretrained, pretrained),
        ("re-initialized 1", pretrained, other),
    ):
        assert torch.equal(weights(made[name], "1"), weights(first, "1"))
        assert torch.equal(weights(made[name], "3"), weights(second, "3"))


def test_starting_points_are_copies() -> None:
    """Training one of them leaves the networks that they came from."""
    pretrained, scratch, other = networks()
    kept = weights(pretrained, "1").clone()
    made = starting_points(pretrained, scratch, other, HEAD)
    fine_tuned(made["pre-trained"], examples(40), examples(20), FitSettings(epochs=1), 0)
    assert torch.equal(weights(pretrained, "1"), kept)


def test_without_memorization_the_pair_is_the_same_network() -> None:
    """Pairing: weights that memorized nothing end at the same accuracies, epoch by epoch."""
    _, scratch, other = networks()
    made = starting_points(scratch, scratch, other, HEAD)
    curves = [
        fine_tuned(model, examples(60), examples(30), FitSettings(epochs=3), 7)["curve"]
        for model in made.values()
    ]
    assert len(curves[0]) == 3 and curves[0] == curves[1] == curves[2]


def test_fine_tuning_is_ordinary_training_on_the_true_labels() -> None:
    """The twin calls the loop itself."""
    model, twin, _ = networks()
    twin.load_state_dict(model.state_dict())
    settings = FitSettings(epochs=4, learning_rate=0.1)
    found = fine_tuned(model, examples(80), examples(40), settings, 5)
    again = fit(twin, examples(80), settings, 5, held_out=examples(40))
    assert found["final"] == again.held_out_accuracy
    assert found["train"] == [epoch.train_accuracy for epoch in again.epochs]


def test_a_training_that_diverges_has_no_final_accuracy() -> None:
    """A status in its place."""
    found = fine_tuned(
        networks()[0], examples(40), examples(20), FitSettings(epochs=4, learning_rate=1e30), 0
    )
    assert (found["status"], found["final"]) == ("diverged", None)


def test_epochs_are_counted_to_the_first_that_is_good_enough() -> None:
    """From 1; none where the accuracy is never reached."""
    assert epochs_to([0.1, 0.9, 0.2], 0.9) == 2
    assert epochs_to([0.1, 0.2], 0.9) is None


def tuned(*curve: float) -> dict[str, Any]:
    return {"status": "done", "curve": list(curve), "train": list(curve), "final": curve[-1]}


LOST = {"status": "diverged", "curve": [0.1], "train": [0.1], "final": None}


def part_of(*pairs: tuple[dict[str, Any], ...], accuracy: float | None = 0.5) -> dict[str, Any]:
    names = ("scratch", "pre-trained", "rescaled")
    seeds = [dict(zip(names, pair, strict=False)) for pair in pairs]
    return transfer_part(seeds, epochs=2, accuracy=accuracy)


def test_gains_are_paired_by_seed() -> None:
    """Differences 0.1, 0.2, 0.3 have mean 0.2 and half-width t₂ · 0.1 / √3 = 0.2484."""
    part = part_of(
        (tuned(0.4, 0.5), tuned(0.5, 0.6)),
        (tuned(0.3, 0.7), tuned(0.3, 0.9)),
        (tuned(0.2, 0.6), tuned(0.6, 0.9)),
    )
    gain = part["gains"]["pre-trained"]
    assert gain["mean"] == pytest.approx(0.2)
    assert gain["high"] - gain["mean"] == pytest.approx(4.302653 * 0.1 / 3**0.5, rel=1e-5)
    assert gain["epochs_saved"]["mean"] == pytest.approx((1 + 0 + 1) / 3)
    assert part["conditions"]["scratch"]["curve"] == pytest.approx([0.3, 0.6])


def test_the_fixed_accuracy_is_95_percent_of_the_controls_mean() -> None:
    """Unless one is given."""
    pairs = [(tuned(0.1, 0.4), tuned(0.2, 0.6)), (tuned(0.1, 0.6), tuned(0.2, 0.8))]
    assert part_of(*pairs, accuracy=None)["fixed_accuracy"] == pytest.approx(0.95 * 0.5)
    assert part_of(*pairs, accuracy=0.3)["fixed_accuracy"] == 0.3


def test_seeds_that_never_got_there_are_counted_and_not_averaged() -> None:
    """An unknown number of epochs is no number."""
    part = part_of((tuned(0.1, 0.2), tuned(0.6, 0.7)), (tuned(0.1, 0.6), tuned(0.5, 0.7)))
    gain = part["gains"]["pre-trained"]
    assert (gain["epochs_unknown"], gain["epochs_saved"]["n"]) == (1, 1)
    assert part["conditions"]["scratch"]["reached"] == 1


def test_networks_that_diverged_leave_their_pair_and_are_counted() -> None:
    """Two seeds remain of three."""
    part = part_of((tuned(0.5), tuned(0.6)), (tuned(0.5), LOST), (tuned(0.5), tuned(0.6)))
    assert part["conditions"]["pre-trained"]["diverged"] == 1
    assert part["gains"]["pre-trained"]["n"] == 2


def test_nothing_measured_is_said_to_be_nothing() -> None:
    """No control, or no pre-trained network, is left."""
    assert part_of((LOST, tuned(0.5)))["status"] == "could not measure"
    assert part_of((tuned(0.5), LOST))["status"] == "could not measure"


def test_orderings_hold_only_where_the_interval_is_above_zero() -> None:
    """The gain holds, what is beyond rescaling does not, and one seed is not judged."""
    part = part_of(
        *((tuned(0.5), tuned(0.6 + s / 100), tuned(0.6 + (2 - s) / 100)) for s in range(3))
    )
    assert [o["holds"] for o in transfer_orderings(part)] == [True, False]
    single = part_of((tuned(0.5), tuned(0.6)))
    assert [o["holds"] for o in transfer_orderings(single)] == [None]
    assert "a gain" in part["sentence"] and "no interval" in single["sentence"]
