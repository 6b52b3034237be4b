"""Learning order: are examples with simple patterns learned first?

An example's *first-learned epoch* is the first after which the network predicts its label. It is held against how complex the input is:

- images, clips, tables: bytes of the input, quantized to 16 levels over the range of the training inputs, after ``zlib``; for images and clips also the share of the
  spectral energy (without the mean) above half the highest frequency;
- text: the number of tokens, and the bytes of the token ids after ``zlib``.

Spearman's rank correlation is taken per network, over all examples and, since classes differ in complexity and difficulty at once, within each class
(averaged with the classes' sizes as weights). Above 0: simple first. Whether networks agree on the order is a similarity of pairs, the
rank correlation of their first-learned epochs.

"Networks prioritize simple input patterns" is Gu & Tresp's (2019, abstract). The measures of simplicity are ours; a compressed size is a
rough one.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from secretaudit.suite.labelled import PADDING, Labelled, Task

__all__ = ["complexities", "rank_correlation", "within_classes"]

_LEVELS = 16


def complexities(task: Task, examples: Labelled) -> dict[str, list[float]]:
    """How complex each input is, by the name of the measure; larger is more complex."""
    if task.kind == "text":
        rows = [row[row != PADDING] for row in examples.inputs]
        return {
            "tokens": [float(len(row)) for row in rows],
            "compressed bytes": [_compressed(row.numpy().astype("<i4").tobytes()) for row in rows],
        }
    low, high = float(task.train.inputs.min()), float(task.train.inputs.max())
    scaled = (examples.inputs - low) / max(high - low, 1e-12)
    levels = (scaled.clamp(0, 1) * (_LEVELS - 1)).round().to(torch.uint8).numpy()
    found = {"compressed bytes": [_compressed(row.tobytes()) for row in levels]}
    if task.kind in ("image", "clip"):
        found["high-frequency share"] = high_frequency_share(examples.inputs.double().numpy())
    return found


def high_frequency_share(images: NDArray[np.float64]) -> list[float]:
    """Share of each image's spectral energy, without the mean, above half the highest frequency.

    Args:
        images: Shape (n, …, height, width).
    """
    energy = np.abs(np.fft.fft2(images)) ** 2
    vertical, horizontal = (np.fft.fftfreq(size)[:, None] for size in images.shape[-2:])
    radius = np.sqrt(vertical**2 + horizontal.T**2)
    fine, varying = radius > 0.25, radius > 0
    axes = tuple(range(1, images.ndim))
    whole = (energy * varying).sum(axes)
    share = (energy * fine).sum(axes) / np.where(whole > 0, whole, 1.0)
    return [float(value) for value in share]


def rank_correlation(first: ArrayLike, second: ArrayLike) -> float | None:
    """Spearman's rank correlation, in [−1, 1]; ``None`` where one side has a single value.

    >>> rank_correlation([1, 2, 3], [10, 20, 40]), rank_correlation([1, 1, 1], [1, 2, 3])
    (1.0, None)
    """
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if len(a) < 2 or bool((a == a[0]).all()) or bool((b == b[0]).all()):
        return None
    return float(np.clip(np.corrcoef(stats.rankdata(a), stats.rankdata(b))[0, 1], -1.0, 1.0))


def within_classes(first: ArrayLike, second: ArrayLike, labels: ArrayLike) -> float | None:
    """Spearman's rank correlation inside each class, averaged with the classes' sizes as weights."""
    a, b, y = np.asarray(first, dtype=float), np.asarray(second, dtype=float), np.asarray(labels)
    total, weight = 0.0, 0
    for label in np.unique(y):
        rows = y == label
        found = rank_correlation(a[rows], b[rows])
        if found is not None:
            total, weight = total + found * int(rows.sum()), weight + int(rows.sum())
    return total / weight if weight else None


def _compressed(raw: bytes) -> float:
    return float(len(zlib.compress(raw, 9)))
