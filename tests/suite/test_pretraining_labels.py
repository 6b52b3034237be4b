"""Random labels and the dials of the pre-training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from secretaudit.errors import UsageError
from secretaudit.suite.pretraining.random_labels import permuted, random_labels, uniform
from secretaudit.suite.pretraining.settings import PretrainingSettings


def test_permuted_labels_keep_the_histogram_and_lose_the_order() -> None:
    """As the authors' script: the same labels in another order."""
    labels = torch.arange(3).repeat_interleave(torch.tensor([50, 30, 20]))
    found = permuted(labels, seed=1)
    assert torch.bincount(found).tolist() == [50, 30, 20]
    assert not torch.equal(found, labels)


def test_permuted_labels_agree_with_the_true_ones_as_often_as_chance_says() -> None:
    """Σ p_k² of the examples keep their label: 0.38 for shares of 0.5, 0.3 and 0.2."""
    labels = torch.arange(3).repeat_interleave(torch.tensor([500, 300, 200]))
    kept = [float((permuted(labels, s) == labels).double().mean()) for s in range(200)]
    assert abs(np.mean(kept) - 0.38) < 4 * np.std(kept) / 200**0.5


def test_uniform_labels_use_all_classes_alike() -> None:
    """Counts of 10,000 draws over four classes, each within four standard deviations of 2,500."""
    counts = torch.bincount(uniform(10_000, 4, seed=0), minlength=4)
    assert bool(((counts - 2500).abs() < 4 * (10_000 * 0.25 * 0.75) ** 0.5).all())


def test_labels_follow_from_the_seed() -> None:
    """The same seed gives the same labels, another gives others."""
    labels = torch.arange(10).repeat(10)
    for scheme in ("permute", "uniform"):
        first, again, other = (random_labels(labels, scheme, 10, s) for s in (1, 1, 2))
        assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize(
    ("dials", "message"),
    [
        ({"labels": "shuffle"}, "labels must be one of permute, uniform"),
        ({"random_classes": 7}, "Permuted labels have no number of random classes"),
        ({"rounds": 2, "transfer_round": 3}, "cannot be taken after round 3 of 2"),
        ({"target": 1.5}, "target must be above 0 and at most 1"),
        ({"accuracy": 0.0}, "accuracy must be above 0 and at most 1"),
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"reinitialize": (0,)}, "reinitialize must be at least 1"),
        ({"parts": ("round",)}, "Did you mean 'rounds'"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"fine_tune_rate": -1.0}, "learning_rate must be above 0"),
        ({"noise": "words"}, "noise must be one of tokens, shuffled"),
        ({"unit": "byte"}, "unit must be one of character, word"),
    ],
)
def test_dials_that_mean_nothing_are_refused(dials: dict[str, object], message: str) -> None:
    """Each by its message."""
    with pytest.raises(UsageError, match=message):
        PretrainingSettings(**dials)  # type: ignore[arg-type]  # that is the point


def test_the_fine_tuning_sees_as_many_examples_as_were_memorized() -> None:
    """Unless another number is given."""
    assert PretrainingSettings(examples=70).labelled_examples == 70
    assert PretrainingSettings(examples=70, labelled=0).labelled_examples == 0
