"""Does a skew-normal distribution fit the sampled costs? A test with a calibrated p-value.

Two distances between the sorted costs x_1 ≤ … ≤ x_n and the fitted distribution F, with u_i = F(x_i):

    D   = max_i max(i/n − u_i, u_i − (i−1)/n)                     Kolmogorov–Smirnov, what the paper names
    AL² = −3n/2 + 2 Σ u_i − (1/n) Σ (2i − 1) log u_i              Anderson–Darling with the weight on the *lower*
                                                                  tail only (Sinclair, Spurr and Ahmad 1990)

AL² decides, since the lower tail is what is extrapolated; D is reported beside it. Their textbook p-values
hold for a distribution fixed beforehand, and are far too large for one that was fitted to the same costs. So the null
distribution is simulated (parametric bootstrap): B samples are drawn from the fit, *each is fitted again*, and

    p = (1 + number of simulated distances ≥ the observed one) / (B + 1)

Simulated, 400 skew-normal samples of 400 costs, shapes −2, 0, 1, 3, B = 99: 10.3 % rejected at 0.1 by AL², 9.0 % by D. Rejected when
it should be, by AL² (by D): three clusters of 94 / 5.75 / 0.25 %, from 500 costs on always; a gamma of shape 9, 90 % (60 %) at 10,000
costs; 0.2 % of memorized costs among 10,000, 100 % (80 %).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secretaudit.exposure.skew_normal import SkewNormal, fit_skew_normal

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class GoodnessOfFit:
    """Outcome of the test.

    Attributes:
        anderson_darling: AL², lower is better.
        p_value: Of AL²; uniform on (0, 1] when the costs are skew-normal. It decides.
        kolmogorov_smirnov: D, lower is better.
        kolmogorov_smirnov_p_value: Of D, calibrated in the same way.
        replicates: B.
        level: p at or below this rejects.
    """

    anderson_darling: float
    p_value: float
    kolmogorov_smirnov: float
    kolmogorov_smirnov_p_value: float
    replicates: int
    level: float

    @property
    def rejected(self) -> bool:
        """True when a skew-normal sample would rarely look like this."""
        return self.p_value <= self.level


def goodness_of_fit(
    costs: Floats, fit: SkewNormal, *, rng: np.random.Generator, replicates: int, level: float
) -> tuple[GoodnessOfFit, list[SkewNormal]]:
    """Tests a fit, and gives the fits to the simulated samples, from which intervals can be read.

    Args:
        costs: The costs that ``fit`` was fitted to, shape (N,).
        fit: The maximum-likelihood fit.
        rng: Draws the simulated samples.
        replicates: B ≥ 99.
        level: Rejects when p ≤ level.
    """
    if replicates < 99:
        raise ValueError(f"replicates must be at least 99, got {replicates}")
    observed = distances(costs, fit)
    refits, simulated = [], []
    for _ in range(replicates):
        sample = fit.sample(costs.size, rng)
        refits.append(fit_skew_normal(sample))
        simulated.append(distances(sample, refits[-1]))
    exceeding = np.count_nonzero(np.array(simulated) >= np.array(observed), axis=0)
    p_anderson, p_kolmogorov = (1.0 + exceeding) / (replicates + 1.0)
    result = GoodnessOfFit(
        anderson_darling=observed[0],
        p_value=float(p_anderson),
        kolmogorov_smirnov=observed[1],
        kolmogorov_smirnov_p_value=float(p_kolmogorov),
        replicates=replicates,
        level=level,
    )
    return result, refits


def distances(costs: Floats, fit: SkewNormal) -> tuple[float, float]:
    """(AL², D) between costs and a distribution."""
    ordered = np.sort(costs)
    n = ordered.size
    mass, log_mass = fit.cdf(ordered), fit.log_cdf(ordered)
    place = np.arange(1, n + 1)
    lower_tail = -1.5 * n + 2.0 * mass.sum() - float((2 * place - 1) @ log_mass) / n
    largest = max(float(np.max(place / n - mass)), float(np.max(mass - (place - 1) / n)))
    return float(lower_tail), largest
