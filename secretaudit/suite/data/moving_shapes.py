"""Generated clips: a bright shape that moves over noise. What moves, or where to, is the class.

For tests and first steps with video: small, learnable, and made of a seed. A clip has F frames of size × size pixels; a square, a disc or a cross of a random
colour starts at a random place and moves by a constant step, round the edges; pixels of the background are uniform noise.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from secretaudit import _checks
from secretaudit.suite.data.arrays import task_of_arrays
from secretaudit.suite.data.decoding import write_video
from secretaudit.suite.labelled import Task

__all__ = ["CLASSES", "moving_shapes", "moving_shapes_task", "write_moving_shapes"]

_STEPS = {"right": (0, 1), "left": (0, -1), "down": (1, 0), "up": (-1, 0)}
_SHAPES = ("square", "disc", "cross")
#: What the classes are.
CLASSES: dict[str, tuple[str, ...]] = {
    "direction": tuple(_STEPS),
    "shape": _SHAPES,
    "both": tuple(f"{shape} {way}" for shape in _SHAPES for way in _STEPS),
}


def moving_shapes(
    per_class: int,
    *,
    classes: str = "direction",
    frames: int = 8,
    size: int = 16,
    noise: float = 0.2,
    seed: int = 0,
) -> tuple[NDArray[np.uint8], NDArray[np.int64], tuple[str, ...]]:
    """Clips, labels and class names.

    Args:
        per_class: Clips of each class.
        classes: "direction", "shape" or "both".
        frames: F.
        size: Height and width, in pixels.
        noise: Largest brightness of the background, in [0, 1).
        seed: Of everything that is drawn.

    Returns:
        Bytes of shape (n, F, size, size, 3), labels of shape (n,), names.

    >>> moving_shapes(2)[0].shape
    (8, 8, 16, 16, 3)
    """
    _checks.one_of("classes", classes, CLASSES)
    for name, value, least in (
        ("per_class", per_class, 1),
        ("frames", frames, 1),
        ("size", size, 8),
    ):
        _checks.at_least(name, value, least)
    rng = np.random.default_rng(seed)
    names = CLASSES[classes]
    labels = np.repeat(np.arange(len(names)), per_class)
    clips = [_clip(names[label], frames, size, noise, rng) for label in labels]
    return np.stack(clips), labels, names


def moving_shapes_task(per_class: int, *, classes: str = "direction", frames: int = 8, size: int = 16, seed: int = 0) -> Task:  # fmt: skip
    """The same as a task, a quarter held out; see ``moving_shapes``."""
    x, y, names = moving_shapes(per_class, classes=classes, frames=frames, size=size, seed=seed)
    return task_of_arrays(
        x.transpose(0, 4, 1, 2, 3), y, None, names, name="moving-shapes", seed=seed
    )


def write_moving_shapes(
    folder: Path,
    per_class: int,
    *,
    classes: str = "direction",
    frames: int = 8,
    size: int = 16,
    suffix: str = ".mp4",
    seed: int = 0,
) -> list[Path]:
    """The same as video files, ``folder/CLASS/NUMBER.mp4``; see ``moving_shapes``.

    Returns:
        The files, in the order of the clips.
    """
    x, y, names = moving_shapes(per_class, classes=classes, frames=frames, size=size, seed=seed)
    written = []
    for number, (clip, label) in enumerate(zip(x, y.tolist(), strict=True)):
        place = folder / names[label]
        place.mkdir(parents=True, exist_ok=True)
        written.append(place / f"{number:04d}{suffix}")
        write_video(written[-1], clip)
    return written


def _clip(
    name: str, frames: int, size: int, noise: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """One clip of a class; what the class does not fix is drawn."""
    words = name.split()
    shape = next((w for w in words if w in _SHAPES), _SHAPES[int(rng.integers(3))])
    way = next((w for w in words if w in _STEPS), list(_STEPS)[int(rng.integers(4))])
    mask = _mask(shape, size)
    colour = rng.uniform(0.6, 1.0, 3)
    start = rng.integers(0, size, 2)
    step = max(1, size // 8)
    found = noise * rng.uniform(size=(frames, size, size, 3))
    for number in range(frames):
        shift = [int(s + number * step * d) for s, d in zip(start, _STEPS[way], strict=True)]
        found[number][np.roll(mask, shift, (0, 1))] = colour
    return np.round(255 * found).astype(np.uint8)


def _mask(shape: str, size: int) -> NDArray[np.bool_]:
    """Where the shape is, at the upper left corner."""
    side = max(5, 3 * size // 8)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    inside = {
        "square": np.ones((side, side), bool),
        "disc": x**2 + y**2 <= (side / 2) ** 2,
        "cross": (np.abs(x) < side / 6) | (np.abs(y) < side / 6),
    }[shape]
    found = np.zeros((size, size), bool)
    found[:side, :side] = inside
    return found
