"""Images in folders named by class: ``FOLDER/CLASS/*.png``, or ``FOLDER/train/CLASS/…`` and ``FOLDER/test/CLASS/…``.

Read by Pillow, brought to one size and to [0, 1]; in colour unless all of them are grey. A file that cannot be read is refused by name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from secretaudit.errors import ModelError, UsageError
from secretaudit.suite.data.arrays import split
from secretaudit.suite.labelled import Labelled, Task

__all__ = ["IMAGES", "class_folders", "images_task", "read_images"]

#: How names of images end.
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff")
#: Pixels a side, where none is asked for.
SIZE = 32
_HELD_OUT = ("test", "validation", "val", "valid")


def class_folders(folder: Path, ends: tuple[str, ...]) -> dict[str, list[Path]]:
    """Files by class, both in sorted order; hidden ones do not count.

    Raises:
        UsageError: A file of another kind, or a folder without any file.
    """
    found = {}
    for inside in sorted(path for path in folder.iterdir() if path.is_dir()):
        if inside.name.startswith("."):
            continue
        files = sorted(
            path for path in inside.rglob("*") if path.is_file() and not path.name.startswith(".")
        )
        if strange := [path for path in files if path.suffix.lower() not in ends]:
            raise UsageError(
                f"{strange[0]} is not named like an image.",
                f"{len(strange)} files of {inside} are not; images end in {', '.join(ends)}.",
                "Take such files out of the folders of the classes, or convert them.",
            )
        found[inside.name] = files
    if not any(found.values()):
        return {}
    for name, files in found.items():
        if not files:
            raise UsageError(
                f"The class {name!r} of {folder} has no image.",
                "A class without examples cannot be learned.",
                "Add images to it, or take its folder away.",
            )
    return found


def parts_of(
    folder: Path, ends: tuple[str, ...]
) -> tuple[dict[str, list[Path]], dict[str, list[Path]] | None]:
    """Training files and held-out files by class; the second is missing where the folder has only one part."""
    held = next((folder / name for name in _HELD_OUT if (folder / name).is_dir()), None)
    if (folder / "train").is_dir() and held is not None:
        return class_folders(folder / "train", ends), class_folders(held, ends)
    return class_folders(folder, ends), None


def read_images(folder: Path, *, size: int = SIZE, seed: int = 0) -> Task:
    """A task from folders of images.

    Args:
        folder: See above.
        size: Height and width to which every image is brought, in pixels.
        seed: Of the split, where there is only one part.

    Raises:
        UsageError: No images, or one that cannot be read.
        ModelError: Pillow is not installed.
    """
    train, held = parts_of(folder, IMAGES)
    names = sorted(train)
    if not names:
        raise UsageError(
            f"{folder} has no folders of images.",
            f"Images end in {', '.join(IMAGES)}.",
            "Put the images of each class into a folder named after the class.",
        )
    if held is not None and (unknown := sorted(set(held) - set(names))):
        raise UsageError(
            f"The held-out images have a class {unknown[0]!r}.",
            f"The training images have: {', '.join(names)}.",
            "Give both parts the same classes.",
        )
    opened = [_open(path, size) for name in names for path in train[name]]
    labels = [i for i, name in enumerate(names) for _ in train[name]]
    other = None
    if held is not None:
        other = (
            [_open(path, size) for name in names for path in held.get(name, [])],
            [i for i, name in enumerate(names) for _ in held.get(name, [])],
        )
    return images_task(
        opened, labels, other, names, name=folder.name, source=str(folder), seed=seed
    )


def images_task(
    images: list[Any],
    labels: list[int],
    held_out: tuple[list[Any], list[int]] | None,
    names: list[str],
    *,
    name: str,
    source: str,
    seed: int = 0,
) -> Task:
    """A task from Pillow images of one size."""
    every = images + (held_out[0] if held_out else [])
    mode = "L" if all(_is_grey(image) for image in every) else "RGB"
    train = Labelled(inputs=_pixels(images, mode), labels=torch.tensor(labels))
    if held_out is None:
        train, held = split(train, seed)
    else:
        held = Labelled(inputs=_pixels(held_out[0], mode), labels=torch.tensor(held_out[1]))
    return Task(
        name=name,
        kind="image",
        train=train,
        held_out=held,
        class_names=names,
        pixel=1.0 / 255.0,
        source=source,
    )


def _open(path: Path, size: int) -> Any:
    """An image of the wanted size."""
    try:
        from PIL import Image, UnidentifiedImageError  # an extra
    except ImportError as error:
        raise ModelError(
            "Images cannot be read.", "Pillow is not installed.", "pip install 'secretaudit[suite]'"
        ) from error
    try:
        with Image.open(path) as image:
            return resized(image, size)
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError) as error:
        raise UsageError(
            f"The image {path} cannot be read.",
            f"Pillow says: {error}.",
            "Mend it or take it out of the folder.",
        ) from error


def resized(image: Any, size: int) -> Any:
    """A Pillow image in grey or colour, of the wanted size."""
    plain = (
        image
        if image.mode in ("L", "RGB")
        else image.convert("L" if image.mode in ("1", "I", "I;16") else "RGB")
    )
    return plain.copy() if plain.size == (size, size) else plain.resize((size, size))


def _is_grey(image: Any) -> bool:
    if image.mode == "L":
        return True
    pixels = np.asarray(image)
    return bool(
        (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all()
    )


def _pixels(images: list[Any], mode: str) -> Tensor:
    """Shape (n, channels, height, width), in [0, 1]."""
    stacked = (
        np.stack([np.asarray(image.convert(mode), dtype=np.float32) for image in images]) / 255
    )
    shaped = stacked[:, None] if mode == "L" else stacked.transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(shaped))
