"""Poisson sampling: which records a private step reads.

With n records and an expected batch size b, every record enters every step with probability q = b / n, independently of all others and of
all other steps. It is this distribution, and no other, for which the accountant's ε holds (Abadi et al. 2016; Mironov, Talwar, Zhang 2019).
A step may read many more records than b, or none.

Opacus has a sampler of the same distribution, but its draws follow one another from one generator. A training that was killed goes on at
step s, so here the draw is a function of (seed, s) alone: each step has a generator of its own.

Whoever knows the seed can tell which records a step read: ε holds against those who do not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secretaudit import _checks
from secretaudit.errors import UsageError

#: Sets the stream of numbers apart from others that are drawn with the same seed.
_STREAM = 0x90155


class PoissonSampler:
    """Draws the records of each step.

    Args:
        count: Records to draw from, n ≥ 1.
        batch_size: Records expected in a step, b, in 1 … n.
        seed: With the step's number the only source of randomness.

    Attributes:
        sample_rate: q = b / n.
        steps_per_epoch: Steps after which every record was read once in expectation: ⌈n / b⌉.

    Raises:
        UsageError: The batch is larger than the data.

    >>> sampler = PoissonSampler(1000, 10, seed=0)
    >>> sampler.sample_rate, sampler.steps_per_epoch
    (0.01, 100)
    >>> bool((sampler.draw(7) == sampler.draw(7)).all())
    True
    """

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        _checks.at_least("count", count, 1)
        _checks.at_least("batch_size", batch_size, 1)
        if batch_size > count:
            raise UsageError(
                f"A batch of {batch_size} records cannot be drawn from {count}.",
                "Each record is read with probability batch size / records, which would be above 1.",
                f"Give a batch size of at most {count}.",
            )
        self.sample_rate = batch_size / count
        self.steps_per_epoch = -(-count // batch_size)
        self._count = count
        self._seed = seed

    def draw(self, step: int) -> NDArray[np.int64]:
        """Indices of the records that step ``step`` ≥ 0 reads, rising, each in 0 … n − 1; possibly none."""
        rng = np.random.default_rng([_STREAM, self._seed, step])
        return np.flatnonzero(rng.random(self._count) < self.sample_rate).astype(np.int64)
