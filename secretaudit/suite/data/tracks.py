"""Skeleton tracks: joints of a body over the frames of a clip, as the annotations of JHMDB have them for clips of HMDB51.

An ``.npz`` file with ``frames`` of shape (Σ T_i, J, D), the positions of J joints in D dimensions, clip after clip; ``lengths`` T_i; ``y``, the class of
each clip; and ``classes``, their names. Tracks of another length are brought to F frames by linear interpolation in time. Each clip is
centred (mean position over all its joints and frames) and scaled (root mean square distance 1), so that place and size in the picture
tell nothing.

They become clips of shape (D, F, J, 1): D channels, a picture of J×1 "pixels", which ``clip-cnn`` reads (its kernels see joints that are neighbours in the
file's order); or, as a table, rows of F·J·D features for ``mlp``. Video classifiers of ``transformers`` read neither.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from secretaudit._checks import at_least, one_of
from secretaudit.errors import UsageError
from secretaudit.suite.data.arrays import arrays_of, numbered_classes, split
from secretaudit.suite.labelled import Labelled, Task

__all__ = ["is_tracks", "read_tracks", "resampled"]

#: Frames to which tracks are brought.
FRAMES = 32
_NEEDED = ("frames", "lengths", "y")


def is_tracks(path: Path) -> bool:
    """Whether an ``.npz`` file holds joint tracks."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return {f"{name}.npy" for name in _NEEDED} <= set(archive.namelist())


def read_tracks(path: Path, *, frames: int = FRAMES, kind: str = "clip", seed: int = 0) -> Task:
    """A task from joint tracks; a quarter of the clips is held out.

    Args:
        path: See above.
        frames: F.
        kind: "clip" or "table".
        seed: Of the split.

    Raises:
        UsageError: Not such a file, or arrays that do not belong together.
    """
    at_least("frames", frames, 2)
    one_of("kind", kind, ("clip", "table"))
    arrays = _arrays(path)
    tracks = np.split(arrays["frames"], np.cumsum(arrays["lengths"])[:-1])
    inputs = torch.from_numpy(np.stack([normalized(resampled(one, frames)) for one in tracks]))
    # (n, F, J, D) → (n, D, F, J, 1), or (n, F·J·D)
    shaped = inputs.permute(0, 3, 1, 2).unsqueeze(-1) if kind == "clip" else inputs.flatten(1)
    labels = torch.from_numpy(arrays["y"].astype(np.int64))
    train, held_out = split(Labelled(inputs=shaped.contiguous(), labels=labels), seed)
    names = arrays.get("classes")
    known = numbered_classes(labels) if names is None else names
    return Task(
        name=path.stem,
        kind=kind,
        train=train,
        held_out=held_out,
        class_names=[str(name) for name in known],
        source=str(path),
    )


def resampled(track: NDArray[Any], frames: int) -> NDArray[np.float32]:
    """A track of shape (T, J, D) at ``frames`` evenly spaced times, the first and the last among them.

    >>> resampled(np.array([[[0.0]], [[1.0]]]), 3).ravel().tolist()
    [0.0, 0.5, 1.0]
    """
    at = np.linspace(0, len(track) - 1, frames)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, len(track) - 1)
    share = (at - low)[:, None, None]
    between: NDArray[np.float32] = ((1 - share) * track[low] + share * track[high]).astype(
        np.float32
    )
    return between


def normalized(track: NDArray[np.float32]) -> NDArray[np.float32]:
    """A track around 0 with a root mean square distance of 1 from there; one that stands in a point stays 0."""
    centred = track - track.mean((0, 1))
    spread = float(np.sqrt((centred**2).sum(2).mean()))
    scaled: NDArray[np.float32] = centred / np.float32(spread) if spread > 0 else centred
    return scaled


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of the file, of shapes that fit."""
    arrays = arrays_of(path)
    if missing := [name for name in _NEEDED if name not in arrays]:
        raise UsageError(
            f"{path} holds no joint tracks.",
            f"It lacks {', '.join(missing)}.",
            "Name the positions frames, the clips' lengths lengths and their classes y.",
        )
    frames, lengths, y = (arrays[name] for name in _NEEDED)
    fits = frames.ndim == 3 and lengths.shape == y.shape == (len(lengths),)
    if not fits or int(lengths.min()) < 1 or int(lengths.sum()) != len(frames):
        raise UsageError(
            f"The arrays of {path} do not belong together.",
            f"frames has shape {frames.shape}; there are {lengths.shape} lengths of {int(lengths.sum())} frames in all, and {y.shape} labels.",
            "Give one length of at least 1 and one label per clip, and as many frames as the lengths add up to.",
        )
    return arrays
