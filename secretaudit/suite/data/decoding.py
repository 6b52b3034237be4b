"""Frames of a video file: decoded by PyAV, F of them taken evenly, brought to one size.

Of N frames that decode, frame ⌊(i + ½) N / F⌋ is taken for i = 0 … F − 1: the middles of F equal pieces, so that a clip shorter than F frames repeats some. Each is
stretched to a square and given as colour bytes.

A file *does not decode* when FFmpeg cannot open it or stops inside, when it has no video or no frame, or when fewer frames decode whole than the file
announces (less 5 %, since announcements of sound files are off by a few): a file that was cut short opens well and ends early.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secretaudit.errors import ModelError

__all__ = ["Undecodable", "even_places", "sampled_frames"]

#: Share of the announced frames that must decode whole.
WHOLE = 0.95
#: Frames kept in memory; a longer clip is decoded a second time once its length is known.
_KEPT = 1024


class Undecodable(Exception):
    """A video file that does not decode; the text says why."""


def even_places(count: int, frames: int) -> list[int]:
    """Which of ``count`` frames are taken.

    >>> even_places(10, 5)
    [1, 3, 5, 7, 9]
    >>> even_places(2, 4)
    [0, 0, 1, 1]
    """
    return [(2 * i + 1) * count // (2 * frames) for i in range(frames)]


def sampled_frames(source: Path | bytes, frames: int, size: int) -> NDArray[np.uint8]:
    """Frames of one clip, in colour.

    Args:
        source: A file, or what stands in one.
        frames: F.
        size: Height and width, in pixels.

    Returns:
        Shape (3, F, size, size).

    Raises:
        Undecodable: See above.
        ModelError: PyAV is not installed.
    """
    kept: list[NDArray[np.uint8]] = []
    count = 0
    for image in _decoded(source, size):
        count += 1
        if count <= _KEPT:
            kept.append(image)
    places = even_places(count, frames)
    if count > _KEPT:
        wanted = set(places)
        taken = {at: image for at, image in enumerate(_decoded(source, size)) if at in wanted}
    else:
        taken = dict(enumerate(kept))
    return np.stack([taken[at] for at in places]).transpose(3, 0, 1, 2)


def _decoded(source: Path | bytes, size: int) -> Iterator[NDArray[np.uint8]]:
    """All whole frames, shape (size, size, 3) each; checked at the end."""
    av = _library()
    count = damaged = announced = 0
    try:
        with av.open(io.BytesIO(source) if isinstance(source, bytes) else str(source)) as container:
            if not container.streams.video:
                raise Undecodable("it has no video")
            stream = container.streams.video[0]
            announced = stream.frames
            for frame in container.decode(stream):
                if frame.is_corrupt:
                    damaged += 1
                    continue
                count += 1
                yield frame.reformat(width=size, height=size, format="rgb24").to_ndarray()
    except (av.FFmpegError, OSError) as error:
        said = getattr(error, "strerror", None) or str(error)
        after = f" after {count} frames" if count else ""
        raise Undecodable(f"FFmpeg says{after}: {said}") from error
    _check_whole(count, damaged, announced)


def _check_whole(count: int, damaged: int, announced: int) -> None:
    if count == 0:
        raise Undecodable("no frame decodes")
    expected = max(announced, count + damaged)
    if count < WHOLE * expected:
        raise Undecodable(f"{count} of {expected} frames decode")


def write_video(
    path: Path, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], rate: int = 12
) -> None:
    """Write frames of shape (height, width, 3) as MPEG-4 video; the container follows from the name's ending.

    Raises:
        ModelError: PyAV is not installed.
    """
    av = _library()
    height, width = images[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = 4_000_000
        for image in images:
            container.mux(
                stream.encode(
                    av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                )
            )
        container.mux(stream.encode())


def _library() -> Any:
    """PyAV."""
    try:
        import av  # an extra
    except ImportError as error:
        raise ModelError(
            "Video cannot be read.", "PyAV is not installed.", "pip install 'secretaudit[suite]'"
        ) from error
    return av
