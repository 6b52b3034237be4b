"""Labelled examples from a directory that ``datasets`` saved: columns of images, text or numbers, and a column of labels.

A dictionary of parts is read as its "train" part with "test" or "validation" held out; a single part is split by the seed. A column of video is read
by ``clips``.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from secretaudit._checks import suggestion
from secretaudit.errors import UsageError
from secretaudit.suite.data.arrays import task_of_arrays
from secretaudit.suite.data.clips import read_video_columns
from secretaudit.suite.data.images import SIZE, images_task, resized
from secretaudit.suite.data.tables import LONGEST, text_task
from secretaudit.suite.labelled import Task

__all__ = ["is_saved_dataset", "read_saved_dataset"]

_HELD_OUT = ("test", "validation")


def is_saved_dataset(path: Path) -> bool:
    """Whether ``save_to_disk`` wrote the directory."""
    return (path / "dataset_dict.json").is_file() or (path / "dataset_info.json").is_file()


def read_saved_dataset(
    path: Path,
    *,
    text_column: str | None = None,
    label_column: str = "label",
    tokenizer: Path | None = None,
    longest: int = LONGEST,
    size: int = SIZE,
    frames: int = 8,
    undecodable: str = "refuse",
    seed: int = 0,
) -> Task:
    """A task from a saved dataset; the arguments are those of ``read_table``, ``read_images`` and ``read_clips``.

    Raises:
        UsageError: Not a dataset, no such column, or no column that can be read.
    """
    train, held = _parts(path)
    if label_column not in train.column_names:
        raise UsageError(
            f"{path} has no column {label_column!r}.",
            f"Its columns are: {', '.join(train.column_names)}.",
            suggestion(label_column, train.column_names) or "Name it with --label-column.",
        )
    names, labels = _labels(train, label_column)
    other = None if held is None else _known(path, held, label_column, names)
    video = _column_of(train, "Video")
    if video is not None and text_column is None:
        return read_video_columns(
            train,
            held,
            video,
            labels,
            other,
            names,
            name=path.name,
            source=str(path),
            frames=frames,
            size=size,
            undecodable=undecodable,
            seed=seed,
        )
    image = _column_of(train, "Image")
    if image is not None and text_column is None:
        return images_task(
            _images(train, image, size, path),
            labels,
            None if held is None else (_images(held, image, size, path), other or []),
            names,
            name=path.name,
            source=str(path),
            seed=seed,
        )
    text = text_column or _column_of(train, "string", label_column)
    if text is not None:
        return text_task(
            _texts(train, text, path),
            labels,
            None if held is None else (_texts(held, text, path), other or []),
            names,
            name=path.name,
            source=str(path),
            tokenizer=tokenizer,
            longest=longest,
            seed=seed,
        )
    columns = [name for name in train.column_names if name != label_column]
    return task_of_arrays(
        _numbers(train, columns, path),
        np.asarray(labels),
        None if held is None else (_numbers(held, columns, path), np.asarray(other)),
        names,
        name=path.name,
        seed=seed,
    )


def _parts(path: Path) -> tuple[Any, Any | None]:
    import datasets  # takes a second to import

    try:
        loaded: Any = datasets.load_from_disk(str(path))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} is not a saved dataset.", f"datasets says: {error}.", "Use save_to_disk."
        ) from error
    if not isinstance(loaded, datasets.DatasetDict):
        return loaded, None
    if "train" not in loaded:
        raise UsageError(
            f"{path} has no part named 'train'.",
            f"Its parts are: {', '.join(loaded)}.",
            "Name one of them train, or save a single part.",
        )
    return loaded["train"], next((loaded[name] for name in _HELD_OUT if name in loaded), None)


def _labels(part: Any, column: str) -> tuple[list[str], list[int]]:
    """Names of the classes and each example's number."""
    feature, values = part.features[column], list(part[column])
    if hasattr(feature, "names"):
        return list(feature.names), [int(value) for value in values]
    names = sorted({str(value) for value in values})
    return names, [names.index(str(value)) for value in values]


def _known(path: Path, part: Any, column: str, names: list[str]) -> list[int]:
    feature, values = part.features[column], list(part[column])
    if hasattr(feature, "names"):
        return [int(value) for value in values]
    if unknown := sorted({str(value) for value in values} - set(names)):
        raise UsageError(
            f"The held-out part of {path} has a class {unknown[0]!r}.",
            f"The training part has: {', '.join(names)}."[:300],
            "Give both parts the same classes.",
        )
    return [names.index(str(value)) for value in values]


def _column_of(part: Any, kind: str, but: str = "") -> str | None:
    """The first column of a kind of feature."""
    for name, feature in part.features.items():
        if name != but and (
            type(feature).__name__ == kind or getattr(feature, "dtype", "") == kind
        ):
            return str(name)
    return None


def _texts(part: Any, column: str, path: Path) -> list[str]:
    if column not in part.column_names:
        raise UsageError(
            f"{path} has no column {column!r}.",
            f"Its columns are: {', '.join(part.column_names)}.",
            suggestion(column, part.column_names) or "Name it with --text-column.",
        )
    return [str(text) for text in part[column]]


def _images(part: Any, column: str, size: int, path: Path) -> list[Any]:
    from datasets import Image as Feature
    from PIL import Image

    raw = part.cast_column(column, Feature(decode=False))
    found = []
    for number, cell in enumerate(raw[column]):
        try:
            with Image.open(io.BytesIO(cell["bytes"]) if cell["bytes"] else cell["path"]) as image:
                found.append(resized(image, size))
        except (OSError, ValueError, TypeError) as error:
            raise UsageError(
                f"Image {number} of {path} cannot be read.",
                f"Pillow says: {error}.",
                "Mend it or leave the row out.",
            ) from error
    return found


def _numbers(part: Any, columns: list[str], path: Path) -> Any:
    try:
        return np.stack([np.asarray(part[name], dtype=np.float32) for name in columns], 1)
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"{path} has a column that holds neither images, text nor numbers.",
            f"numpy says: {error}.",
            "Leave out such columns, or name the column of the text with --text-column.",
        ) from error
