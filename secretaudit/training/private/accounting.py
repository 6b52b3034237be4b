"""What private training has spent, and the noise that keeps it within a budget.

A step that reads each record with probability q and adds noise of standard deviation σ C to a sum of gradients of norm at most C is a
*Poisson-subsampled Gaussian mechanism*; k of them are (ε, δ)-differentially private for neighbouring corpora that differ by one record.
Opacus' accountants say for which ε:

    prv   numerical composition of privacy loss random variables (Gopi, Lee, Wutschitz 2021); tight, its upper bound is taken
    rdp   Rényi differential privacy (Mironov 2017; Mironov, Talwar, Zhang 2019); an upper bound, a few per cent above

Smaller ε is more private. The PRV accountant works on a grid, which overflows where ε reaches the hundreds; there RDP takes its place, and
``Spent`` says so. With σ = 0 no finite ε holds, and none is stated.

The history (σ, q, steps), …, is all the state there is; it is written as JSON.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from opacus.accountants import RDPAccountant
from opacus.accountants.prv import PRVAccountant
from scipy import optimize

from secretaudit import _checks
from secretaudit.errors import UsageError

#: (σ, q, steps) of steps that follow one another.
History = Sequence[tuple[float, float, int]]

#: RDP's ε above which PRV's grid, which holds exp(ε), overflows double precision.
LARGEST_PRV_EPSILON = 500.0
#: Most points of PRV's grid: about a second's work.
LARGEST_GRID = 2**23
#: How closely the noise is searched, relative.
_PRECISION = 1e-3
_SMALLEST_NOISE, _LARGEST_NOISE = 2.0**-40, 2.0**20
#: Stands for the logarithm of an ε that is not finite.
_INFINITE = 1e3


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Privacy spent.

    Attributes:
        epsilon: ε ≥ 0 at the δ that was asked for; lower is more private. ``None`` when no finite ε holds.
        accountant: "prv" or "rdp": the one whose number it is.
        why: A sentence when that is not the accountant that was asked for, or when there is no ε; else "".
    """

    epsilon: float | None
    accountant: str
    why: str = ""


def default_delta(records: int) -> float:
    """δ when none is given: 1 / (10 n).

    >>> default_delta(1000)
    0.0001
    """
    return 1.0 / (10 * records)


def delta_warning(delta: float, records: int) -> str | None:
    """The sentence to announce when δ is too large to mean anything, else ``None``.

    >>> delta_warning(1e-5, 1000)
    """
    if delta * records < 1.0:
        return None
    return (
        f"δ = {delta:g} is not below 1/n = {1 / records:g} for n = {records} records: "
        "publishing one of the records in full would be allowed by it. Choose a smaller δ."
    )


def spent(history: History, delta: float, accountant: str = "prv") -> Spent:
    """ε after the steps of ``history``.

    Args:
        history: (σ, q, steps), in units of the clipping norm, a probability and a count.
        delta: δ in (0, 1).
        accountant: "prv" or "rdp".

    Returns:
        The ε that holds; see ``Spent``.

    >>> spent([(1.0, 0.01, 1000)], 1e-6, "rdp").epsilon.__round__(3)
    2.437
    """
    _checks.one_of("accountant", accountant, ("prv", "rdp"))
    done = [(sigma, rate, steps) for sigma, rate, steps in history if steps > 0]
    if not done:
        return Spent(epsilon=0.0, accountant=accountant)
    if any(sigma == 0 for sigma, _, _ in done):
        why = "Without noise no finite ε holds."
        return Spent(epsilon=None, accountant=accountant, why=why)
    by_renyi = _renyi_epsilon(done, delta)
    if accountant == "rdp":
        return _finite(by_renyi, "rdp")
    if by_renyi <= LARGEST_PRV_EPSILON:
        by_loss = _privacy_loss_epsilon(done, delta, by_renyi)
        if by_loss is not None:
            return Spent(epsilon=by_loss, accountant="prv")
    why = "The grid of the PRV accountant cannot hold an ε of this size; the RDP accountant's bound is stated."
    return _finite(by_renyi, "rdp", why)


def noise_for(
    epsilon: float, delta: float, *, sample_rate: float, steps: int, accountant: str = "prv"
) -> float:
    """The least noise multiplier with which ``steps`` steps spend at most ε.

    Args:
        epsilon: ε > 0.
        delta: δ in (0, 1).
        sample_rate: q in (0, 1].
        steps: k ≥ 1.
        accountant: "prv" or "rdp".

    Returns:
        σ, at most 0.1 % above the least one.

    Raises:
        UsageError: No amount of noise is enough for so small an ε, by this accountant.

    >>> sigma = noise_for(2.0, 1e-6, sample_rate=0.01, steps=1000, accountant="rdp")
    >>> 0.99 < spent([(sigma, 0.01, 1000)], 1e-6, "rdp").epsilon / 2.0 <= 1.0
    True
    """
    _checks.positive("epsilon", epsilon)
    _checks.at_least("steps", steps, 1)

    sigma = 1.0
    for name in ("rdp", accountant) if accountant == "prv" else ("rdp",):
        # RDP is quick and its noise is near PRV's: a close start saves looks at the grid.
        excess = _excess(epsilon, delta, sample_rate, steps, name)
        sigma = _least(excess, sigma, 4.0 if name == "rdp" else 1.1)
    if sigma > _LARGEST_NOISE:
        raise UsageError(
            f"No noise is large enough for ε = {epsilon:g} at δ = {delta:g}.",
            f"The {accountant} accountant cannot show an ε as small as that for {steps} steps.",
            "Ask for a larger ε, or train fewer steps.",
        )
    return sigma


def write_history(history: History) -> str:
    """The history as JSON.

    >>> read_history(write_history([(1.0, 0.5, 3)]))
    [(1.0, 0.5, 3)]
    """
    return json.dumps([[sigma, rate, steps] for sigma, rate, steps in history])


def read_history(text: str) -> list[tuple[float, float, int]]:
    """The history that ``write_history`` wrote."""
    return [(float(sigma), float(rate), int(steps)) for sigma, rate, steps in json.loads(text)]


def _excess(
    epsilon: float, delta: float, sample_rate: float, steps: int, accountant: str
) -> Callable[[float], float]:
    """log ε(σ) − log ε as a function of log σ, which falls; above 0 where the noise is too small."""

    @cache
    def excess(log_sigma: float) -> float:
        found = spent([(math.exp(log_sigma), sample_rate, steps)], delta, accountant).epsilon
        return _INFINITE if found is None else math.log(max(found, 1e-12) / epsilon)

    return excess


def _least(excess: Callable[[float], float], start: float, factor: float) -> float:
    """The least σ without excess, at most ``_PRECISION`` above it; more than the largest noise when there is none.

    Args:
        excess: Of log σ.
        start: Where the search begins.
        factor: By which σ is multiplied or divided until the answer is between two values.
    """
    low = high = math.log(start)
    width = math.log(factor)
    while excess(high) > 0:
        if high > math.log(_LARGEST_NOISE):
            return 2 * _LARGEST_NOISE
        low, high, width = high, high + width, 2 * width
    while excess(low) <= 0:
        if low < math.log(_SMALLEST_NOISE):
            return math.exp(low)
        high, low, width = low, low - width, 2 * width
    found = float(optimize.brentq(excess, low, high, xtol=_PRECISION / 4))
    while excess(found) > 0:
        found += _PRECISION / 4
    return math.exp(found)


def _finite(epsilon: float, accountant: str, why: str = "") -> Spent:
    if not math.isfinite(epsilon):
        return Spent(
            epsilon=None, accountant=accountant, why="The noise is too small for any finite ε."
        )
    return Spent(epsilon=max(0.0, epsilon), accountant=accountant, why=why)


def _renyi_epsilon(history: History, delta: float) -> float:
    """ε by Rényi differential privacy."""
    accountant = RDPAccountant()
    accountant.history = list(history)
    with warnings.catch_warnings():
        # The best order may be the largest or the least of those that are tried; the bound holds all the same.
        warnings.simplefilter("ignore")
        return float(accountant.get_epsilon(delta))


def _privacy_loss_epsilon(history: History, delta: float, by_renyi: float) -> float | None:
    """Upper bound of ε by privacy loss variables, or ``None`` where the grid fails.

    The grid's error is part of the bound, which falls below 0 where next to nothing is spent; 0 is the least ε. The error is 0.01 for an ε of usual size, and made smaller until it is a fiftieth of ε.
    """
    error = min(0.5, max(0.01, by_renyi / 500))
    best: float | None = None
    while _grid_points(history, delta, by_renyi, error) <= LARGEST_GRID:
        epsilon = _on_grid(history, delta, error)
        if epsilon is None:
            break
        best = epsilon
        if epsilon >= 50 * error:
            break
        error /= 5
    return None if best is None else max(0.0, min(best, by_renyi))


def _on_grid(history: History, delta: float, error: float) -> float | None:
    accountant = PRVAccountant()
    accountant.history = list(history)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # SciPy's about the last digits of an integral
            epsilon = float(accountant.get_epsilon(delta, eps_error=error))
    except (RuntimeError, ValueError):
        # Opacus' words for a grid that is too coarse or too short.
        return None
    return epsilon if math.isfinite(epsilon) else None


def _grid_points(history: History, delta: float, by_renyi: float, error: float) -> float:
    """About how many points the grid has: twice the largest loss, a little above RDP's ε, over the mesh (Gopi et al. 2021)."""
    steps = sum(count for _, _, count in history)
    mesh = error / math.sqrt(steps * math.log(12_000 / delta) / 2)
    return 2 * (1.5 * by_renyi + 4) / mesh
