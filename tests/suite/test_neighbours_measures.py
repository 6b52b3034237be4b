"""MC, ME, P_SAME and divergences: by hand, by counting, and by their identity."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from secretaudit.suite.neighbours.measures import (
    agreement,
    difference_interval,
    divergence_over_samples_nats,
    divergences_nats,
    generalization_error,
    share_interval,
)

triples = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60
)


@given(triples)
def test_p_same_is_mc_where_right_and_me_where_wrong(rows: list[tuple[int, int, int]]) -> None:
    """P_SAME = MC · acc + ME · (1 − acc), and equals the count of equal classes."""
    network, other, labels = (np.array(column) for column in zip(*rows, strict=True))
    found = agreement(network, other, labels)
    acc = found["accuracy"]
    mixed = (found["mc"] or 0.0) * acc + (found["me"] or 0.0) * (1 - acc)
    assert found["p_same"] == pytest.approx(mixed)
    assert found["p_same"] == sum(a == b for a, b, _ in rows) / len(rows)
    assert found["low"] <= found["p_same"] <= found["high"]


@given(triples)
def test_mc_and_me_are_counts(rows: list[tuple[int, int, int]]) -> None:
    """By a loop over the examples; ``None`` where there is nothing to count."""
    network, other, labels = (np.array(column) for column in zip(*rows, strict=True))
    found = agreement(network, other, labels)
    right = [(a, b) for a, b, y in rows if a == y]
    wrong = [(a, b) for a, b, y in rows if a != y]
    assert found["mc"] == (sum(a == b for a, b in right) / len(right) if right else None)
    assert found["me"] == (sum(a == b for a, b in wrong) / len(wrong) if wrong else None)
    assert (found["status"] == "measured") == bool(right and wrong)


def test_what_is_not_defined_is_said() -> None:
    """A network that is never wrong has no ME, and one that is never right no MC."""
    ones, zeros = np.ones(3, int), np.zeros(3, int)
    assert agreement(ones, zeros, ones)["status"].startswith("ME is not defined")
    assert agreement(ones, zeros, zeros)["status"].startswith("MC is not defined")


def test_divergence_by_hand() -> None:
    """Votes (1, 0) against (0.9, 0.1): the zero becomes 1e-6, and both rows sum to 1 again."""
    p = [1.0 / (1.0 + 1e-6), 1e-6 / (1.0 + 1e-6)]
    expected = p[0] * math.log(p[0] / 0.9) + p[1] * math.log(p[1] / 0.1)
    found = divergences_nats(np.array([[1.0, 0.0]]), np.array([[0.9, 0.1]]))
    assert found[0] == pytest.approx(expected, rel=1e-12)


def test_divergence_is_infinite_nowhere() -> None:
    """A class that the network excludes and a neighbour has costs ln(p / 1e-6), not infinity."""
    found = divergences_nats(np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]]))
    q = np.array([1.0, 1e-6]) / (1.0 + 1e-6)
    assert found[0] == pytest.approx(float((0.5 * np.log(0.5 / q)).sum()), rel=1e-12)


def test_both_axes_are_scipys_entropy() -> None:
    """Per sample, and per class over the samples: two different things, each scipy's for its axis."""
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(4), 7), rng.dirichlet(np.ones(4), 7)
    assert np.allclose(
        divergences_nats(p, q), [stats.entropy(a, b) for a, b in zip(p, q, strict=True)]
    )
    assert np.allclose(divergence_over_samples_nats(p, q), stats.entropy(p, q))
    assert divergence_over_samples_nats(p, q).shape == (4,)


def test_equal_probabilities_diverge_by_nothing() -> None:
    """KL(p ‖ p) = 0 along both axes."""
    p = np.random.default_rng(1).dirichlet(np.ones(3), 5)
    assert np.allclose(divergences_nats(p, p), 0.0)
    assert np.allclose(divergence_over_samples_nats(p, p), 0.0)


def test_generalization_error_is_positive_where_new_examples_are_harder() -> None:
    """Error 0.3 on held-out and 0.1 on training examples: 0.2."""
    assert generalization_error(0.9, 0.7) == pytest.approx(0.2)


def test_wilsons_interval_covers_as_often_as_it_says() -> None:
    """Summed over the binomial distribution: between 92 % and 98 % for n = 40 and p away from the ends."""
    for p in (0.3, 0.5, 0.8):
        covered = sum(
            stats.binom.pmf(hits, 40, p)
            for hits in range(41)
            if share_interval(hits, 40)[0] <= p <= share_interval(hits, 40)[1]
        )
        assert 0.92 < covered < 0.98


def test_newcombes_difference_is_the_published_one() -> None:
    """Newcombe 1998, table II, 56/70 − 48/80: method 10 gives 0.0524 to 0.3339."""

    def share(hits: int, n: int) -> dict[str, float]:
        low, high = share_interval(hits, n)
        return {"p_same": hits / n, "low": low, "high": high}

    found = difference_interval(share(56, 70), share(48, 80))
    assert found["difference"] == pytest.approx(0.2)
    assert (found["low"], found["high"]) == pytest.approx((0.0524, 0.3339), abs=1e-4)
