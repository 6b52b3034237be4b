"""Reading labelled examples: what is in the file is in the task, and what cannot be read is named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from secretaudit.errors import UsageError
from secretaudit.suite.data.arrays import read_arrays
from secretaudit.suite.data.images import read_images
from secretaudit.suite.data.saved_datasets import read_saved_dataset
from secretaudit.suite.data.tables import read_table

ROWS = [("good film", "yes"), ("bad, very bad film", "no"), ("good good", "yes"), ("so bad", "no")]


def write_csv(path: Path, rows: list[tuple[str, ...]], head: str = "text,label") -> Path:
    lines = [head] + [",".join(f'"{cell}"' for cell in row) for row in rows]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_table_of_text(tmp_path: Path) -> None:
    """Words by frequency, labels in sorted order; a quarter is held out."""
    task = read_table(write_csv(tmp_path / "a.csv", ROWS * 4), text_column="text")
    assert (task.kind, list(task.class_names)) == ("text", ["no", "yes"])
    assert (len(task.train), len(task.held_out)) == (12, 4)
    assert task.vocabulary == 2 + 6
    held = write_csv(tmp_path / "held.csv", [("unheard film", "no"), ("good", "yes")])
    other = read_table(tmp_path / "a.csv", text_column="text", held_out=held)
    assert len(other.train) == 16
    assert other.held_out.labels.tolist() == [0, 1]
    assert int(other.held_out.inputs[0, 0]) == 1  # unknown


def test_every_kind_of_table_gives_the_same(tmp_path: Path) -> None:
    """Commas, tabs, JSON lines, compressed, and a table without a header."""
    first = read_table(write_csv(tmp_path / "a.csv", ROWS), text_column="text")
    (tmp_path / "a.tsv").write_text("text\tlabel\n" + "".join(f"{t}\t{y}\n" for t, y in ROWS))
    (tmp_path / "b.tsv").write_text("".join(f"{t}\t{y}\n" for t, y in ROWS))
    (tmp_path / "a.jsonl").write_text(
        "".join(json.dumps({"text": t, "label": y}) + "\n" for t, y in ROWS)
    )
    with gzip.open(tmp_path / "a.csv.gz", "wt") as file:
        file.write((tmp_path / "a.csv").read_text())
    for name in ("a.tsv", "a.jsonl", "a.csv.gz"):
        assert read_table(tmp_path / name, text_column="text").fingerprint() == first.fingerprint()
    bare = read_table(tmp_path / "b.tsv", text_column="1", label_column="2")
    assert bare.fingerprint() == first.fingerprint()


def test_a_table_of_numbers_is_scaled_by_its_training_part(tmp_path: Path) -> None:
    """Mean 0 and standard deviation 1 there; a column that never changes stays 0; labels by size."""
    rng = np.random.default_rng(0)
    rows = [(f"{rng.normal(5, 3):.4f}", "7", str(i % 3 * 5)) for i in range(40)]
    task = read_table(write_csv(tmp_path / "a.csv", rows, "x,constant,label"))
    assert list(task.class_names) == ["0", "5", "10"]
    assert torch.allclose(task.train.inputs.mean(0), torch.zeros(2), atol=1e-5)
    assert task.train.inputs.std(0, correction=0).tolist() == pytest.approx([1.0, 0.0], abs=1e-5)


@pytest.mark.parametrize(
    ("rows", "head", "dials", "message"),
    [
        (ROWS, "text,lable", {"text_column": "text"}, "has no column 'label' in row 1"),
        (
            [*ROWS, ("x", "")],
            "text,label",
            {"text_column": "text"},
            "Row 5 of .* has nothing in column 'label'",
        ),
        (ROWS, "text,label", {}, "Row 1 of .* has 'good film' in column 'text'"),
        ([("1", "nan"), ("2", "nan")], "label,x", {}, "2 of 2 examples have a feature that is NaN"),
        ([(f"{i}", f"{i}") for i in range(9)], "x,label", {}, "has 9 different values in 9 rows"),
        ([], "x,label", {}, "has no rows"),
    ],
)
def test_tables_that_cannot_be_used(
    rows: list[tuple[str, ...]], head: str, dials: dict[str, str], message: str, tmp_path: Path
) -> None:
    """Named by row and column."""
    with pytest.raises(UsageError, match=message):
        read_table(write_csv(tmp_path / "a.csv", rows, head), **dials)  # type: ignore[arg-type]


def test_a_misspelt_column_is_suggested(tmp_path: Path) -> None:
    """The nearest name."""
    with pytest.raises(UsageError) as found:
        read_table(write_csv(tmp_path / "a.csv", ROWS), text_column="txt")
    assert "Did you mean 'text'?" in found.value.way_out


def test_arrays_keep_their_pixels(tmp_path: Path) -> None:
    """Bytes are divided by 255, channels come to the front, a part of its own stays one."""
    x = np.random.default_rng(0).integers(0, 256, (8, 5, 6, 3), dtype=np.uint8)
    y = np.arange(8) % 2
    np.savez(
        tmp_path / "a.npz",
        x_train=x[:6],
        y_train=y[:6],
        x_test=x[6:],
        y_test=y[6:],
        classes=np.array(["cat", "dog"]),
    )
    task = read_arrays(tmp_path / "a.npz")
    assert (task.kind, task.shape, list(task.class_names)) == ("image", (3, 5, 6), ["cat", "dog"])
    assert np.allclose(task.train.inputs.permute(0, 2, 3, 1).numpy() * 255, x[:6])
    assert task.pixel == pytest.approx(1 / 255)
    np.savez(tmp_path / "b.npz", a=x)
    with pytest.raises(UsageError, match="has no examples"):
        read_arrays(tmp_path / "b.npz")
    (tmp_path / "c.npz").write_text("no archive")
    with pytest.raises(UsageError, match="cannot be read as arrays"):
        read_arrays(tmp_path / "c.npz")


def make_images(folder: Path, classes: tuple[str, ...] = ("dark", "light"), n: int = 3) -> None:
    for shade, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(n):
            pixels = np.full((10 + i, 12, 3), 200 * shade + i, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")


def test_a_folder_of_images(tmp_path: Path) -> None:
    """One size, grey because all are grey, classes by folder; parts of their own are kept."""
    make_images(tmp_path / "a")
    task = read_images(tmp_path / "a", size=8)
    assert task.shape == (1, 8, 8)
    both = torch.cat([task.train.inputs, task.held_out.inputs])
    labels = torch.cat([task.train.labels, task.held_out.labels])
    assert float(both[labels == 0].max()) < 0.1 < 0.7 < float(both[labels == 1].min())
    make_images(tmp_path / "b" / "train")
    make_images(tmp_path / "b" / "test", n=1)
    assert len(read_images(tmp_path / "b", size=8).held_out) == 2


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Never left out silently; nor is a folder without images an empty task."""
    make_images(tmp_path / "a")
    (tmp_path / "a" / "dark" / "zz.png").write_bytes(b"no image")
    with pytest.raises(UsageError, match=r"The image .*zz\.png cannot be read"):
        read_images(tmp_path / "a")
    (tmp_path / "empty" / "x").mkdir(parents=True)
    with pytest.raises(UsageError, match="has no folders of images"):
        read_images(tmp_path / "empty")


def test_saved_datasets(tmp_path: Path) -> None:
    """Text, images and numbers, with parts or without."""
    names = datasets.ClassLabel(names=["no", "yes"])
    text = datasets.Dataset.from_dict(
        {"text": [t for t, _ in ROWS], "label": [0, 1, 0, 1]},
        features=datasets.Features({"text": datasets.Value("string"), "label": names}),
    )
    datasets.DatasetDict({"train": text, "test": text}).save_to_disk(tmp_path / "text")
    task = read_saved_dataset(tmp_path / "text")
    assert (task.kind, len(task.train), len(task.held_out)) == ("text", 4, 4)
    pictures = [Image.fromarray(np.full((9, 9), 40 * i, dtype=np.uint8)) for i in range(4)]
    image = datasets.Dataset.from_dict(
        {"image": pictures, "label": ["a", "b", "a", "b"]},
        features=datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")}),
    )
    image.save_to_disk(tmp_path / "image")
    found = read_saved_dataset(tmp_path / "image", size=9)
    assert (found.kind, found.shape, list(found.class_names)) == ("image", (1, 9, 9), ["a", "b"])
    numbers = datasets.Dataset.from_dict({"x": [1.0, 2.0, 3.0, 4.0], "label": [0, 1, 0, 1]})
    numbers.save_to_disk(tmp_path / "numbers")
    assert read_saved_dataset(tmp_path / "numbers").kind == "table"
    with pytest.raises(UsageError, match="has no column 'class'"):
        read_saved_dataset(tmp_path / "numbers", label_column="class")
