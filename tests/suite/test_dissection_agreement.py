"""Agreement of predictions: P_SAME and Cohen's κ against what they must be."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from secretaudit.errors import UsageError
from secretaudit.suite.dissection.agreement import kappa, p_same


def test_a_network_agrees_with_itself():
    """Equal predictions give 1 by both measures."""
    said = [0, 2, 1, 2, 2]
    assert p_same(said, said) == 1.0
    assert kappa(said, said) == 1.0


def test_kappa_equals_scikit_learns():
    """Another implementation gives the same number, with classes that one side never says."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4, 200), rng.integers(0, 6, 200)
    b[:80] = a[:80]
    assert kappa(a, b) == pytest.approx(cohen_kappa_score(a, b), abs=1e-12)


def test_independent_predictions_have_kappa_about_zero_and_p_same_above():
    """Two networks that both prefer one class agree by chance; κ takes that out."""
    rng = np.random.default_rng(1)
    a, b = (rng.choice(2, 20_000, p=[0.9, 0.1]) for _ in range(2))
    assert p_same(a, b) == pytest.approx(0.82, abs=0.01)
    assert kappa(a, b) == pytest.approx(0.0, abs=0.03)


def test_complete_disagreement_of_two_classes_is_minus_one():
    """κ of swapped halves is −1."""
    assert kappa([0, 0, 1, 1], [1, 1, 0, 0]) == -1.0


def test_two_constant_networks_have_no_kappa():
    """Where both say one class throughout, chance explains everything and κ has no value."""
    assert kappa([3, 3, 3], [3, 3, 3]) is None


def test_different_numbers_of_inputs_are_refused():
    """Predictions of other inputs cannot be compared."""
    with pytest.raises(UsageError, match="cannot be compared"):
        p_same([0, 1], [0, 1, 1])
