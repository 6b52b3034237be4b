"""Clips in folders named by class, and columns of video: ``FOLDER/CLASS/*.mp4``, or ``FOLDER/train/CLASS/…`` and ``FOLDER/test/CLASS/…``.

Every clip becomes (3 channels, F frames, size, size) in [0, 1] (``decoding``), which is what ``clip-cnn`` and the video classifiers of
``transformers`` read.

A file that does not decode is never passed over in silence. With ``undecodable="refuse"`` nothing is read and each such file is named with its reason; with
"report" the others are read, and the task's ``source``, which stands in the record, names those left out. Files whose names begin with a dot are not
looked at. All clips are in memory at once; what they will take is counted before the first is decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from secretaudit import _checks
from secretaudit.errors import UsageError
from secretaudit.suite.data.arrays import split
from secretaudit.suite.data.decoding import Undecodable, sampled_frames
from secretaudit.suite.labelled import Labelled, Task

__all__ = ["VIDEOS", "has_clips", "is_video_column", "read_clips", "read_video_columns"]

#: How names of clips end.
VIDEOS = (
    ".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ogv",
)  # fmt: skip
#: Frames of a clip, and pixels a side, where none are asked for.
FRAMES, SIZE = 8, 32
#: Most memory that clips may take, in GiB.
MEMORY_GIB = 4.0
_HELD_OUT = ("test", "validation", "val", "valid")
_TREATMENTS = ("refuse", "report")


@dataclass(frozen=True, kw_only=True)
class _Clip:
    """Where a clip is, and its class."""

    name: str
    source: Path | bytes
    label: int


@dataclass(frozen=True, kw_only=True)
class _How:
    """How clips are read."""

    frames: int
    size: int
    undecodable: str
    memory_gib: float

    def __post_init__(self) -> None:
        _checks.at_least("frames", self.frames, 1)
        _checks.at_least("size", self.size, 2)
        _checks.one_of("undecodable", self.undecodable, _TREATMENTS)
        _checks.positive("memory_gib", self.memory_gib)


def has_clips(folder: Path) -> bool:
    """Whether a folder has class folders, or a training part with class folders, in which a file is named like a video."""
    tops = [folder / "train"] if (folder / "train").is_dir() else [folder]
    return any(
        path.suffix.lower() in VIDEOS
        for top in tops
        for inside in top.iterdir()
        if inside.is_dir()
        for path in inside.rglob("*")
    )


def read_clips(
    folder: Path,
    *,
    frames: int = FRAMES,
    size: int = SIZE,
    undecodable: str = "refuse",
    seed: int = 0,
    memory_gib: float = MEMORY_GIB,
) -> Task:
    """A task from folders of clips.

    Args:
        folder: See above.
        frames: F, taken evenly over each clip.
        size: Height and width to which every frame is brought, in pixels.
        undecodable: "refuse", or "report" to leave files that do not decode out and name them.
        seed: Of the split, where there is only one part.
        memory_gib: Refuse clips that take more memory than this.

    Raises:
        UsageError: No clips, a class without any, files that do not decode, or too many for the memory.
        ModelError: PyAV is not installed.
    """
    how = _How(frames=frames, size=size, undecodable=undecodable, memory_gib=memory_gib)
    held = next((folder / name for name in _HELD_OUT if (folder / name).is_dir()), None)
    in_parts = (folder / "train").is_dir() and held is not None
    top = folder / "train" if in_parts else folder
    names = sorted(p.name for p in top.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not names:
        raise UsageError(
            f"{folder} has no folders of clips.",
            f"Clips end in {', '.join(VIDEOS)}.",
            "Put the clips of each class into a folder named after the class.",
        )
    train = _listed(top, names)
    other = _listed(held, names) if in_parts and held is not None else None
    return _task(train, other, names, how, name=folder.name, source=str(folder), seed=seed)


def _listed(top: Path, names: Sequence[str]) -> list[_Clip]:
    """All files of the classes, in sorted order."""
    inside = sorted(p.name for p in top.iterdir() if p.is_dir() and not p.name.startswith("."))
    if unknown := sorted(set(inside) - set(names)):
        raise UsageError(
            f"{top} has a class {unknown[0]!r}.",
            f"The training clips have: {', '.join(names)}."[:300],
            "Give both parts the same classes.",
        )
    return [
        _Clip(name=str(path), source=path, label=label)
        for label, name in enumerate(names)
        if (top / name).is_dir()
        for path in sorted((top / name).rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    ]


def is_video_column(feature: Any) -> bool:
    """Whether a feature of ``datasets`` is one of video."""
    return type(feature).__name__ == "Video"


def read_video_columns(
    train: Any,
    held_out: Any | None,
    column: str,
    labels: Sequence[int],
    held_out_labels: Sequence[int] | None,
    names: Sequence[str],
    *,
    name: str,
    source: str,
    frames: int = FRAMES,
    size: int = SIZE,
    undecodable: str = "refuse",
    seed: int = 0,
    memory_gib: float = MEMORY_GIB,
) -> Task:
    """A task from a video column of ``datasets``, whose bytes or paths are decoded here (its own decoder, torchcodec, is not needed).

    Args:
        train: A ``Dataset``.
        held_out: Another, or nothing.
        column: The column of the video.
        labels: Of the rows of ``train``.
        held_out_labels: Of the rows of ``held_out``.
        names: Of the classes.
        name: Of the task.
        source: Where the data was read.
        frames: As in ``read_clips``.
        size: As in ``read_clips``.
        undecodable: As in ``read_clips``.
        seed: As in ``read_clips``.
        memory_gib: As in ``read_clips``.

    Raises:
        UsageError: As ``read_clips``.
    """
    how = _How(frames=frames, size=size, undecodable=undecodable, memory_gib=memory_gib)
    other = (
        None
        if held_out is None
        else _rows(held_out, column, held_out_labels or [], f"{source} (held out)")
    )
    rows = _rows(train, column, labels, source)
    return _task(rows, other, names, how, name=name, source=source, seed=seed)


def _rows(part: Any, column: str, labels: Sequence[int], where: str) -> list[_Clip]:
    """Clips of a column; what neither has bytes nor is a file is left to the decoder to refuse."""
    from datasets import Video  # takes a second to import

    raw = part.cast_column(column, Video(decode=False))
    found = []
    for number, (cell, label) in enumerate(zip(raw[column], labels, strict=True)):
        cell = cell or {}
        name = f"{where}, row {number}" + (f" ({cell['path']})" if cell.get("path") else "")
        content = cell.get("bytes")
        found.append(
            _Clip(
                name=name,
                source=content if content is not None else Path(cell.get("path") or ""),
                label=label,
            )
        )
    return found


def _task(
    train: Sequence[_Clip],
    held_out: Sequence[_Clip] | None,
    names: Sequence[str],
    how: _How,
    *,
    name: str,
    source: str,
    seed: int,
) -> Task:
    """Decode everything and put it together."""
    _refuse_too_large(len(train) + len(held_out or ()), how)
    refused: list[str] = []
    first = _decoded(train, how, refused)
    other = None if held_out is None else _decoded(held_out, how, refused)
    if refused and how.undecodable == "refuse":
        raise UsageError(
            f"{len(refused)} of {len(train) + len(held_out or ())} clips do not decode.",
            f"{'; '.join(refused[:20])}{'; …' if len(refused) > 20 else ''}.",
            "Mend them or take them away, or leave them out with --undecodable report; they are then named in the record.",
        )
    _refuse_empty_class(first, names)
    if other is not None and not other:
        raise UsageError(
            "No held-out clip decodes.",
            f"{'; '.join(refused[:20])}.",
            "Mend them, or give a folder without parts: some clips are then held out.",
        )
    examples = _labelled(first, how)
    chosen, held = split(examples, seed) if other is None else (examples, _labelled(other, how))
    left_out = f"; {len(refused)} clips left out: {'; '.join(refused)}" if refused else ""
    return Task(
        name=name,
        kind="clip",
        train=chosen,
        held_out=held,
        class_names=list(names),
        pixel=1.0 / 255.0,
        source=source + left_out,
    )


def _decoded(
    clips: Sequence[_Clip], how: _How, refused: list[str]
) -> list[tuple[NDArray[np.uint8], int]]:
    """Frames and label of each clip that decodes; the others are named."""
    found = []
    for clip in clips:
        try:
            if isinstance(clip.source, Path) and clip.source.suffix.lower() not in VIDEOS:
                raise Undecodable("its name does not end like a video's")
            found.append((sampled_frames(clip.source, how.frames, how.size), clip.label))
        except Undecodable as error:
            refused.append(f"{clip.name}: {error}")
    return found


def _labelled(found: Sequence[tuple[NDArray[np.uint8], int]], how: _How) -> Labelled:
    inputs = torch.empty(len(found), 3, how.frames, how.size, how.size)
    for place, (frames, _) in zip(inputs, found, strict=True):
        place.copy_(torch.from_numpy(np.ascontiguousarray(frames))).div_(255.0)
    return Labelled(inputs=inputs, labels=torch.tensor([label for _, label in found]))


def _refuse_empty_class(found: Sequence[tuple[Any, int]], names: Sequence[str]) -> None:
    present = {label for _, label in found}
    for label, name in enumerate(names):
        if label not in present:
            raise UsageError(
                f"The class {name!r} has no clip that decodes.",
                "A class without examples cannot be learned.",
                "Add clips to it, or take its folder away.",
            )


def _refuse_too_large(count: int, how: _How) -> None:
    """The decoded bytes and the numbers made of them are in memory together: five bytes a value."""
    needed = count * 3 * how.frames * how.size**2 * 5 / 2**30
    if needed > how.memory_gib:
        raise UsageError(
            f"{count} clips of {how.frames} frames of {how.size}×{how.size} pixels take {needed:.1f} GiB.",
            f"At most {how.memory_gib:g} GiB may be taken.",
            "Take fewer frames, smaller ones, or fewer clips.",
        )
