"""Similarity of representations: CKA and SVCCA, their invariances, and what independent features give."""

from __future__ import annotations

import numpy as np
import pytest

from secretaudit.errors import UsageError
from secretaudit.suite.dissection.representation import (
    debiased_cka,
    linear_cka,
    principal_coordinates,
    svcca,
    svcca_chance,
)


def drawn(n: int, p: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, p))


def rotation(p: int, seed: int) -> np.ndarray:
    return np.linalg.qr(drawn(p, p, seed))[0]


@pytest.mark.parametrize("measure", [linear_cka, debiased_cka, svcca])
@pytest.mark.parametrize("p", [5, 80])
def test_rotation_and_scaling_and_shift_change_nothing(measure, p):
    """X against c·XQ + b gives 1, with fewer and with more features than inputs."""
    x = drawn(40, p, 0)
    assert measure(x, 3.7 * x @ rotation(p, 1) + 2.0) == pytest.approx(1.0, abs=1e-9)


def test_cka_equals_its_definition_by_gram_matrices():
    """Both forms equal ⟨HKH, HLH⟩ of the n × n matrices."""
    for p, q in ((3, 4), (60, 50)):
        x, y = drawn(20, p, 2), drawn(20, q, 3)
        y[:, :3] += x[:, :3]
        h = np.eye(20) - 1 / 20
        k, m = h @ x @ x.T @ h, h @ y @ y.T @ h
        expected = np.sum(k * m) / np.sqrt(np.sum(k * k) * np.sum(m * m))
        assert linear_cka(x, y) == pytest.approx(expected, abs=1e-12)


def naive_hsic(k: np.ndarray, m: np.ndarray) -> float:
    """Song et al. 2012 by its sums over different indices."""
    n = len(k)
    a = b = c = 0.0
    for i in range(n):
        for j in range(n):
            if j == i:
                continue
            a += k[i, j] * m[i, j]
            for q in range(n):
                if q in (i, j):
                    continue
                c += k[i, j] * m[i, q]
                for r in range(n):
                    if r not in (i, j, q):
                        b += k[i, j] * m[q, r]
    pairs, triples, fours = n * (n - 1), n * (n - 1) * (n - 2), n * (n - 1) * (n - 2) * (n - 3)
    return a / pairs + b / fours - 2 * c / triples


@pytest.mark.parametrize(("p", "q"), [(2, 3), (12, 9)])
def test_debiased_cka_equals_the_u_statistic(p, q):
    """The unbiased HSIC is an average over different indices; a loop over them gives the same."""
    x, y = drawn(8, p, 4), drawn(8, q, 5)
    y[:, 0] += x[:, 0]
    k, m = x @ x.T, y @ y.T
    expected = naive_hsic(k, m) / np.sqrt(naive_hsic(k, k) * naive_hsic(m, m))
    assert debiased_cka(x, y) == pytest.approx(expected, abs=1e-9)


def test_independent_features_average_zero_only_when_debiased():
    """With more features than inputs plain CKA is far from 0 and the debiased one is not."""
    pairs = [(drawn(30, 100, 2 * s), drawn(30, 100, 2 * s + 1)) for s in range(60)]
    assert np.mean([linear_cka(x, y) for x, y in pairs]) > 0.5
    assert abs(np.mean([debiased_cka(x, y) for x, y in pairs])) < 0.02


def test_svcca_with_all_variance_ignores_invertible_linear_maps():
    """An invertible map leaves the subspace as it is; CKA sees it, SVCCA does not."""
    x = drawn(50, 6, 6)
    mapped = x @ (np.diag([1, 2, 5, 10, 20, 50]) @ rotation(6, 7))
    assert svcca(x, mapped, 1.0) == pytest.approx(1.0, abs=1e-9)
    assert linear_cka(x, mapped) < 0.9


def test_svcca_keeps_the_directions_with_the_variance():
    """A shared direction with 99.9 % of the variance is all that is kept, whatever the rest does."""
    common = 100.0 * drawn(60, 1, 8)
    x, y = (np.hstack([common, drawn(60, 5, seed)]) for seed in (9, 10))
    assert svcca(x, y, 0.99) > 0.999
    assert svcca(x, y, 1.0) < 0.7


def test_chance_of_svcca_is_what_random_subspaces_give():
    """The mean square of canonical correlations of independent features is k/(n − 1)."""
    n, p = 101, 10
    squares = []
    for seed in range(60):
        u, v = (
            np.linalg.qr(z - z.mean(0))[0] for z in (drawn(n, p, seed), drawn(n, p, 1_000 + seed))
        )
        squares.append(np.mean(np.linalg.svd(u.T @ v, compute_uv=False) ** 2))
    x, y = drawn(n, p, 0), drawn(n, p, 1)
    assert svcca_chance(x, y, 1.0) == pytest.approx(np.sqrt(np.mean(squares)), abs=0.02)


def test_principal_coordinates_say_the_same_in_fewer_columns():
    """At most n columns, equal Gram matrix, equal CKA and SVCCA."""
    x, y = drawn(15, 200, 11), drawn(15, 4, 12)
    a, b = principal_coordinates(x), principal_coordinates(y)
    centred = x - x.mean(0)
    assert a.shape[1] <= 15
    np.testing.assert_allclose(a @ a.T, centred @ centred.T, atol=1e-8)
    assert linear_cka(a, b) == pytest.approx(linear_cka(x, y), abs=1e-9)
    assert svcca(a, b) == pytest.approx(svcca(x, y), abs=1e-9)


def test_a_constant_layer_has_no_similarity():
    """A layer that does not depend on the input is no direction of anything."""
    x, flat = drawn(10, 3, 13), np.ones((10, 3))
    assert [measure(x, flat) for measure in (linear_cka, debiased_cka, svcca)] == [None] * 3


def test_other_inputs_and_too_few_are_refused():
    """Rows are inputs; the unbiased estimate needs four."""
    with pytest.raises(UsageError, match="cannot be compared"):
        linear_cka(drawn(5, 2, 0), drawn(6, 2, 0))
    with pytest.raises(UsageError, match="There are 3 inputs"):
        debiased_cka(drawn(3, 2, 0), drawn(3, 2, 1))
