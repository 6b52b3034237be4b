"""Which rows a step reads.

A sampler is a function of the step's number: a training that was killed goes on with the rows that it would have read, and every process
knows the rows of all.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

#: Which stream of randomness the seed of a training gives to the order of rows.
_ORDER = 2


class Sampler(Protocol):
    """Chooses rows.

    Attributes:
        steps_per_epoch: Steps after which every row was read once (in expectation).
    """

    steps_per_epoch: int

    def draw(self, step: int) -> NDArray[np.int64]:
        """The rows of step ``step`` ≥ 0; possibly none."""


class SequentialSampler:
    """Rows in their own order, epoch after epoch.

    Args:
        count: Number of rows.
        batch_size: Rows per step; the last of an epoch may have fewer.
    """

    def __init__(self, count: int, batch_size: int) -> None:
        self._count = count
        self._batch_size = batch_size
        self.steps_per_epoch = -(-count // batch_size)

    def draw(self, step: int) -> NDArray[np.int64]:
        """The next rows."""
        begin = step % self.steps_per_epoch * self._batch_size
        return np.arange(begin, min(begin + self._batch_size, self._count))


class ShuffledSampler(SequentialSampler):
    """Every row once per epoch, in an order drawn anew for each.

    Args:
        count: Number of rows.
        batch_size: Rows per step; the last of an epoch may have fewer.
        seed: Of the orders.
    """

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        super().__init__(count, batch_size)
        self._order = lru_cache(maxsize=1)(
            lambda epoch: np.random.default_rng([seed, _ORDER, epoch]).permutation(count)
        )

    def draw(self, step: int) -> NDArray[np.int64]:
        """The next rows of this epoch's order."""
        order: NDArray[np.int64] = self._order(step // self.steps_per_epoch)
        return order[super().draw(step)]
