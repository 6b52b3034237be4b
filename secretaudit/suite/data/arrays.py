"""Number inputs from arrays: scikit-learn's bundled digits, ``.npz`` files, and arrays in memory.

An ``.npz`` file holds ``x`` and ``y``, or ``x_train``, ``y_train`` (and ``x_test``, ``y_test`` where a held-out part is its own), and perhaps
``classes`` with names. Images are (n, height, width), (n, height, width, channels) or (n, channels, height, width); bytes are brought to [0, 1], so one
step of the 0–255 scale is 1/255. A held-out part that is missing is drawn from the examples by the seed.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secretaudit.errors import UsageError
from secretaudit.suite.labelled import Labelled, Task

__all__ = ["arrays_of", "digits", "numbered_classes", "read_arrays", "split", "task_of_arrays"]

#: Share of the examples that is held out where the data has no such part.
HELD_OUT = 0.25
_CHANNELS = (1, 3, 4)
#: Most classes without names where there are fewer examples.
_MOST_UNNAMED = 1000


def digits(seed: int = 0) -> Task:
    """Scikit-learn's 1,797 digits of 8×8 pixels: real data that needs no file.

    >>> digits().shape
    (1, 8, 8)
    """
    from sklearn.datasets import load_digits  # read only when asked for

    found = load_digits()
    images = torch.tensor(found.images, dtype=torch.float32).unsqueeze(1) / 16.0
    labels = torch.tensor(found.target, dtype=torch.int64)
    train, held_out = split(Labelled(inputs=images, labels=labels), seed)
    return Task(
        name="digits",
        kind="image",
        train=train,
        held_out=held_out,
        class_names=[str(name) for name in found.target_names],
        pixel=1.0 / 255.0,
        source="scikit-learn's load_digits",
    )


def split(examples: Labelled, seed: int, share: float = HELD_OUT) -> tuple[Labelled, Labelled]:
    """Training part and held-out part, drawn by a seed.

    Raises:
        UsageError: Fewer than four examples.
    """
    if len(examples) < 4:
        raise UsageError(
            f"There are {len(examples)} examples.",
            "Some are trained on and others held out.",
            "Give at least four, better some hundreds.",
        )
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(seed))
    held = max(1, round(share * len(examples)))
    return examples.chosen(order[held:]), examples.chosen(order[:held])


def numbered_classes(labels: Tensor) -> list[str]:
    """Names "0", "1", … up to the largest label.

    Raises:
        UsageError: The largest label is beyond both the number of examples and 1,000: a class that nobody named.
    """
    top = int(labels.max())
    if top >= max(len(labels), _MOST_UNNAMED):
        raise UsageError(
            f"The label of example {int(labels.argmax())} is {top}, of {len(labels)} examples.",
            "Classes are numbered from 0, so there would be more classes than examples.",
            "Number the classes without gaps, or name all of them as `classes`.",
        )
    return [str(number) for number in range(top + 1)]


def arrays_of(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an ``.npz`` file by name.

    Raises:
        UsageError: Not such a file, a damaged one, or one with pickled objects, which are not opened.
    """
    try:
        if path.stat().st_size and not zipfile.is_zipfile(path):
            raise ValueError("it is no zip archive, which an .npz file is")
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UsageError(
            f"{path} cannot be read as arrays.",
            f"numpy says: {error}.",
            "Give an .npz file without pickled objects.",
        ) from error


def read_arrays(path: Path, seed: int = 0) -> Task:
    """A task from an ``.npz`` file.

    Raises:
        UsageError: Not such a file, or without inputs and labels.
    """
    parts = arrays_of(path)
    names = parts.get("classes")
    classes = None if names is None else [str(name) for name in names]
    if "x_train" in parts and "y_train" in parts:
        held = (
            (parts["x_test"], parts["y_test"]) if "x_test" in parts and "y_test" in parts else None
        )
        return task_of_arrays(
            parts["x_train"], parts["y_train"], held, classes, name=path.stem, seed=seed
        )
    if "x" in parts and "y" in parts:
        return task_of_arrays(parts["x"], parts["y"], None, classes, name=path.stem, seed=seed)
    raise UsageError(
        f"{path} has no examples.",
        f"It holds: {', '.join(parts)}.",
        "Name the inputs x and the labels y, or x_train, y_train, x_test, y_test.",
    )


def task_of_arrays(
    x: NDArray[Any],
    y: NDArray[Any],
    held_out: tuple[NDArray[Any], NDArray[Any]] | None = None,
    classes: Sequence[str] | None = None,
    *,
    name: str = "arrays",
    seed: int = 0,
) -> Task:
    """A task from arrays in memory.

    Args:
        x: Inputs, shape (n, features), or images.
        y: Labels, shape (n,), whole numbers from 0.
        held_out: The same for the held-out part; ``None`` draws it from the examples.
        classes: Names; ``None`` numbers the classes.
        name: What it is called in the record.
        seed: Of the split.
    """
    whole = Labelled(inputs=_numbers(x), labels=_labels(y))
    if held_out is None:
        train, other = split(whole, seed)
    else:
        train = whole
        other = Labelled(inputs=_numbers(held_out[0]), labels=_labels(held_out[1]))
    kind = {2: "table", 4: "image", 5: "clip"}.get(train.inputs.ndim)
    if kind is None:
        raise UsageError(
            f"Inputs of shape {tuple(x.shape)} are neither a table nor images nor clips.",
            "A table has two dimensions, images have three or four, clips five.",
            "Reshape the array.",
        )
    return Task(
        name=name,
        kind=kind,
        train=train,
        held_out=other,
        class_names=classes
        if classes is not None
        else numbered_classes(torch.cat([train.labels, other.labels])),
        pixel=1.0 / 255.0 if kind in ("image", "clip") else None,
        source=name,
    )


def _numbers(x: NDArray[Any]) -> Tensor:
    """Float32; images as (n, channels, height, width), bytes brought to [0, 1]."""
    if x.dtype.kind not in "fiub":
        raise UsageError(
            f"Inputs of type {x.dtype} are not numbers.",
            "Classifiers of arrays read numbers.",
            "Encode the features as numbers, or give text as a table with a text column.",
        )
    with np.errstate(over="ignore"):  # what becomes infinite is refused by name
        scaled = x.astype(np.float32)
    scaled = scaled / (255.0 if x.dtype == np.uint8 else 1.0)
    if x.ndim == 3:
        scaled = scaled[:, None]
    elif x.ndim == 4 and x.shape[3] in _CHANNELS and x.shape[1] not in _CHANNELS:
        scaled = scaled.transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(scaled))


def _labels(y: NDArray[Any]) -> Tensor:
    """Int64."""
    if y.dtype.kind == "f" and not bool(np.isfinite(y).all()):
        row = int(np.flatnonzero(~np.isfinite(y).reshape(len(y), -1).all(1))[0]) if y.ndim else 0
        raise UsageError(
            f"The label of example {row} is NaN or infinite.",
            "Classes are numbered from 0.",
            "Leave out examples without a label.",
        )
    if y.dtype.kind not in "iub" and not (y.dtype.kind == "f" and bool(np.all(y == np.round(y)))):
        raise UsageError(
            f"Labels of type {y.dtype} are not whole numbers.",
            "Classes are numbered from 0.",
            "Number the classes, and give their names as `classes`.",
        )
    return torch.from_numpy(y.astype(np.int64))
