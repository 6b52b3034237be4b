"""What was spent, and the noise for a budget."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from secretaudit.errors import UsageError
from secretaudit.training.private.accounting import (
    default_delta,
    delta_warning,
    noise_for,
    read_history,
    spent,
    write_history,
)

DELTA = 1e-5


def epsilon_where(delta_of: Callable[[float], float], delta: float) -> float:
    """The ε at which δ(ε), which falls, reaches δ."""
    return float(optimize.brentq(lambda epsilon: delta_of(epsilon) - delta, 0.0, 200.0))


def gaussian_delta(epsilon: float, mu: float) -> float:
    """δ of a Gaussian mechanism whose means are μ standard deviations apart (Balle and Wang 2018, theorem 8)."""
    inner = stats.norm.cdf(mu / 2 - epsilon / mu)
    return float(inner - math.exp(epsilon + stats.norm.logcdf(-mu / 2 - epsilon / mu)))


def sampled_delta(epsilon: float, sigma: float, rate: float) -> float:
    """δ of one Poisson-subsampled Gaussian step: ∫ max(0, p − e^ε p') over both orders of the neighbours, by quadrature."""

    def without(x: float) -> float:
        return float(stats.norm.pdf(x, 0, sigma))

    def with_record(x: float) -> float:
        return (1 - rate) * without(x) + rate * float(stats.norm.pdf(x, 1, sigma))

    def excess(one: Callable[[float], float], other: Callable[[float], float]) -> float:
        points = np.linspace(-12 * sigma, 1 + 12 * sigma, 40)
        return sum(
            integrate.quad(lambda x: max(0.0, one(x) - math.exp(epsilon) * other(x)), low, high)[0]
            for low, high in itertools.pairwise(points)
        )

    return max(excess(with_record, without), excess(without, with_record))


@pytest.mark.parametrize(("sigma", "steps"), [(5.0, 10), (1.0, 1), (2.0, 40), (40.0, 500)])
def test_full_batches_cost_what_the_closed_form_says(sigma: float, steps: int) -> None:
    """With q = 1, k steps of noise σ are one Gaussian mechanism of noise σ/√k; PRV is on the safe side and tight, RDP on the safe side."""
    exact = epsilon_where(lambda e: gaussian_delta(e, math.sqrt(steps) / sigma), DELTA)
    history = [(sigma, 1.0, steps)]
    by_loss, by_renyi = (spent(history, DELTA, name).epsilon for name in ("prv", "rdp"))
    assert by_loss is not None
    assert by_renyi is not None
    assert exact <= by_loss <= 1.02 * exact + 0.005
    assert exact <= by_renyi <= 1.5 * exact


@pytest.mark.parametrize(("sigma", "rate"), [(0.8, 0.1), (0.6, 0.02)])
def test_one_sampled_step_costs_what_quadrature_says(sigma: float, rate: float) -> None:
    """An independent integral of the densities gives the accountant's number."""
    exact = epsilon_where(lambda e: sampled_delta(e, sigma, rate), DELTA)
    found = spent([(sigma, rate, 1)], DELTA).epsilon
    assert found is not None
    assert exact <= found <= 1.03 * exact + 0.005


@pytest.mark.parametrize(
    ("sigma", "rate", "steps"),
    [(1.0, 0.01, 1000), (0.6, 0.01, 500), (2.0, 0.1, 300), (0.4, 0.005, 2000)],
)
def test_prv_is_below_rdp_and_near_it(sigma: float, rate: float, steps: int) -> None:
    """Two accountants that share no mathematics agree to some per cent."""
    history = [(sigma, rate, steps)]
    by_loss, by_renyi = (spent(history, DELTA, name).epsilon for name in ("prv", "rdp"))
    assert by_loss is not None
    assert by_renyi is not None
    assert 0.75 * by_renyi < by_loss <= by_renyi


@pytest.mark.parametrize("accountant", ["prv", "rdp"])
@pytest.mark.parametrize("sigma", [0.5, 1.3])
def test_noise_to_epsilon_and_back(sigma: float, accountant: str) -> None:
    """The noise for the ε that some noise spends is that noise, and never spends more."""
    epsilon = spent([(sigma, 0.02, 200)], DELTA, accountant).epsilon
    assert epsilon is not None
    found = noise_for(epsilon, DELTA, sample_rate=0.02, steps=200, accountant=accountant)
    assert found == pytest.approx(sigma, rel=2e-3)
    again = spent([(found, 0.02, 200)], DELTA, accountant).epsilon
    assert again is not None
    assert again <= epsilon


def test_the_budget_is_kept_and_nearly_used() -> None:
    """From strict to loose, as in the paper's table of ε up to 10⁹."""
    noises = []
    for epsilon in (0.5, 8.0, 1e9):
        sigma = noise_for(epsilon, DELTA, sample_rate=0.01, steps=300)
        result = spent([(sigma, 0.01, 300)], DELTA)
        assert result.epsilon is not None
        assert 0.97 * epsilon < result.epsilon <= epsilon
        noises.append(sigma)
    assert noises == sorted(noises, reverse=True)


def test_an_epsilon_that_prv_cannot_hold_is_said_to_be_by_rdp() -> None:
    """The accountant really used is stated, with a sentence."""
    result = spent([(0.01, 0.01, 1000)], DELTA, "prv")
    assert result.epsilon is not None
    assert result.epsilon > 1e5
    assert (result.accountant, result.why != "") == ("rdp", True)
    assert "RDP accountant's bound is stated" in result.why
    assert spent([(1.0, 0.01, 1000)], DELTA, "prv").why == ""


def test_without_noise_no_epsilon_is_stated() -> None:
    """Neither a large number nor a fake one."""
    result = spent([(0.0, 0.01, 10)], DELTA)
    assert result.epsilon is None
    assert result.why == "Without noise no finite ε holds."


def test_nothing_done_is_nothing_spent() -> None:
    """ε = 0 before the first step."""
    assert spent([], DELTA).epsilon == 0.0
    assert spent([(1.0, 0.1, 0)], DELTA).epsilon == 0.0


def test_more_steps_and_higher_rates_spend_more() -> None:
    """And more noise spends less."""
    base = spent([(1.0, 0.01, 100)], DELTA).epsilon
    assert base is not None
    for worse in [(1.0, 0.01, 200), (1.0, 0.02, 100), (0.9, 0.01, 100)]:
        assert (spent([worse], DELTA).epsilon or 0.0) > base


def test_a_history_in_pieces_spends_the_same() -> None:
    """Steps counted before and after a resumption add up."""
    whole = spent([(1.0, 0.01, 100)], DELTA, "rdp").epsilon
    pieces = read_history(write_history([(1.0, 0.01, 30), (1.0, 0.01, 70)]))
    assert spent(pieces, DELTA, "rdp").epsilon == pytest.approx(whole)


def test_a_history_survives_json() -> None:
    """Bit for bit, also for numbers that have no short decimal form."""
    history = [(1 / 3, 0.1 + 0.2, 7), (1e-9, 1.0, 1)]
    assert read_history(write_history(history)) == history


@pytest.mark.parametrize("accountant", ["prv", "rdp"])
def test_no_epsilon_is_below_zero(accountant: str) -> None:
    """With next to all noise next to nothing is spent, and not less than that."""
    for delta in (1e-3, 0.9):
        epsilon = spent([(1e6, 0.5, 6)], delta, accountant).epsilon
        assert epsilon is not None
        assert epsilon >= 0


def test_an_epsilon_that_no_noise_reaches_is_refused() -> None:
    """RDP's orders end where ε is about log(1/δ)/63."""
    with pytest.raises(UsageError, match=r"No noise is large enough for ε = 0\.001"):
        noise_for(0.001, DELTA, sample_rate=0.01, steps=10, accountant="rdp")


def test_delta_of_one_record_is_warned_of() -> None:
    """At δ = 1/n publishing a record would be allowed."""
    assert delta_warning(default_delta(500), 500) is None
    warning = delta_warning(1 / 500, 500)
    assert warning is not None
    assert "not below 1/n" in warning
