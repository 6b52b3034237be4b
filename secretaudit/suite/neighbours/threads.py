"""One thread for scikit-learn's and numpy's own parallel code, so that ties fall the same way on every machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

__all__ = ["one_thread"]


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread while the block runs."""
    with threadpool_limits(1):
        yield
