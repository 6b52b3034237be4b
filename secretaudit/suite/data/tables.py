"""Labelled examples from tables: a column of text or columns of numbers, and a column of labels.

``.csv``, ``.tsv`` and ``.jsonl`` files, also compressed (``.gz``, ``.xz``). Columns are named as in the first line; a table without such a line is
read by numbers, from 1. With a text column the task is text: ids of words, or of the model's own tokenizer. Without one, all other columns
must be numbers: each is centred and divided by its standard deviation over the training examples.

Labels of any kind become classes in sorted order (numbers by size).
"""

from __future__ import annotations

import csv
import gzip
import json
import lzma
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from secretaudit._checks import suggestion
from secretaudit.errors import UsageError
from secretaudit.suite.data.arrays import split
from secretaudit.suite.data.words import encode_words
from secretaudit.suite.labelled import PADDING, Labelled, Task
from secretaudit.suite.transformers_learner import encode_texts

__all__ = ["TABLES", "read_table", "text_task"]

#: How the names of tables end, compression aside.
TABLES = (".csv", ".tsv", ".jsonl")
_OPENED: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}
#: Most characters of a cell.
_LONGEST_CELL = 2**30
#: Tokens that count of each text.
LONGEST = 64

Row = dict[str, Any]


def read_table(
    path: Path,
    *,
    text_column: str | None = None,
    label_column: str = "label",
    held_out: Path | None = None,
    tokenizer: Path | None = None,
    longest: int = LONGEST,
    seed: int = 0,
) -> Task:
    """A task from a table.

    Args:
        path: The table.
        text_column: Column of the text; ``None``: all columns but the label are numbers.
        label_column: Column of the labels.
        held_out: A table with the same columns whose rows are held out; ``None`` draws a quarter of the rows.
        tokenizer: A model's directory whose tokenizer encodes the text; ``None`` takes words.
        longest: Tokens that count of each text.
        seed: Of the split.

    Raises:
        UsageError: No such file or column, a row without a label, or a feature that is not a number; the row is named.
    """
    if text_column == label_column:
        raise UsageError(
            f"Text and label are both read from column {label_column!r}.",
            "A class that stands in the text is no class to be learned.",
            "Name two columns with --text-column and --label-column.",
        )
    wanted = (label_column,) if text_column is None else (label_column, text_column)
    rows = _rows(path, wanted)
    others = _rows(held_out, wanted) if held_out is not None else None
    names = _classes([row[label_column] for row in rows + (others or [])])
    labels = [_labels(path, part, label_column, names) for part in (rows, others or [])]
    name = path.name.split(".")[0]
    if text_column is None:
        return _number_task(path, rows, others, labels, names, label_column, name=name, seed=seed)
    for number, row in enumerate(rows + (others or []), 1):
        if isinstance(row[text_column], list | dict):
            raise UsageError(
                f"Row {number} of {path} has {type(row[text_column]).__name__} in column {text_column!r}.",
                "A text is written as one string.",
                "Join the text into a string.",
            )
    texts = [[str(row[text_column]) for row in part] for part in (rows, others or [])]
    return text_task(
        texts[0],
        labels[0],
        (texts[1], labels[1]) if others is not None else None,
        names,
        name=name,
        source=str(path),
        tokenizer=tokenizer,
        longest=longest,
        seed=seed,
    )


def text_task(
    texts: Sequence[str],
    labels: Sequence[int],
    held_out: tuple[Sequence[str], Sequence[int]] | None,
    names: Sequence[str],
    *,
    name: str,
    source: str = "",
    tokenizer: Path | None = None,
    longest: int = LONGEST,
    seed: int = 0,
) -> Task:
    """A task from texts in memory; the other arguments as in ``read_table``."""
    place = torch.arange(len(texts)).unsqueeze(1).float()
    numbered = Labelled(inputs=place, labels=torch.tensor(labels, dtype=torch.int64))
    if held_out is None:
        train, other = split(numbered, seed)
        chosen = [[texts[int(i)] for i in part.inputs[:, 0]] for part in (train, other)]
        targets = [train.labels, other.labels]
    else:
        chosen = [list(texts), list(held_out[0])]
        targets = [numbered.labels, torch.tensor(held_out[1], dtype=torch.int64)]
    if tokenizer is None:
        first, second, vocabulary = encode_words(chosen[0], chosen[1], longest=longest)
    else:
        both, vocabulary = encode_texts(tokenizer, chosen[0] + chosen[1], longest)
        first, second = both[: len(chosen[0])], both[len(chosen[0]) :]
    for part, ids in (("training", first), ("held-out", second)):
        if bool((silent := (ids == PADDING).all(1)).any()):
            row = int(silent.nonzero()[0])
            raise UsageError(
                f"{int(silent.sum())} of {len(ids)} {part} texts have no token, the first is {chosen[part != 'training'][row][:40]!r}.",
                "There is nothing to classify by.",
                "Leave such texts out.",
            )
    return Task(
        name=name,
        kind="text",
        train=Labelled(inputs=first, labels=targets[0]),
        held_out=Labelled(inputs=second, labels=targets[1]),
        class_names=names,
        vocabulary=vocabulary,
        source=source,
    )


def _number_task(
    path: Path,
    rows: list[Row],
    others: list[Row] | None,
    labels: list[list[int]],
    names: Sequence[str],
    label_column: str,
    *,
    name: str,
    seed: int,
) -> Task:
    columns = [column for column in rows[0] if column != label_column]
    if not columns:
        raise UsageError(
            f"{path} has no column beside {label_column!r}.",
            "There is nothing to classify by.",
            "Name the label's column with --label-column.",
        )
    train = Labelled(
        inputs=_numbers(path, rows, columns), labels=torch.tensor(labels[0], dtype=torch.int64)
    )
    if others is None:
        train, held = split(train, seed)
    else:
        held = Labelled(
            inputs=_numbers(path, others, columns),
            labels=torch.tensor(labels[1], dtype=torch.int64),
        )
    mean, spread = train.inputs.mean(0), train.inputs.std(0, correction=0)
    spread = torch.where(spread > 0, spread, torch.ones_like(spread))
    scaled = [
        Labelled(inputs=(part.inputs - mean) / spread, labels=part.labels) for part in (train, held)
    ]
    return Task(
        name=name,
        kind="table",
        train=scaled[0],
        held_out=scaled[1],
        class_names=names,
        source=str(path),
    )


def _numbers(path: Path, rows: list[Row], columns: Sequence[str]) -> torch.Tensor:
    found = np.empty((len(rows), len(columns)), np.float32)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            try:
                found[i, j] = float(row[column])
            except (TypeError, ValueError, KeyError) as error:
                raise UsageError(
                    f"Row {i + 1} of {path} has {str(row.get(column))[:40]!r} in column {column!r}.",
                    "Without a text column, every column but the label's is read as a number.",
                    "Name the column of the text with --text-column, or leave such rows and columns out.",
                ) from error
    return torch.from_numpy(found)


def _rows(path: Path, wanted: Sequence[str]) -> list[Row]:
    """All rows of a table."""
    ends = [end.lower() for end in path.suffixes]
    packed = ends.pop() if ends and ends[-1] in _OPENED else ""
    kind = ends[-1] if ends else ""
    if kind not in TABLES:
        raise UsageError(
            f"{path} is not a table.",
            f"Its name ends in {kind or 'nothing'!r}.",
            f"Tables end in {', '.join(TABLES)}, or these with .gz or .xz.",
        )
    try:
        with _OPENED.get(packed, open)(path, "rt", encoding="utf-8-sig", newline="") as file:
            rows = (
                _json_rows(file, path) if kind == ".jsonl" else _separated(file, kind, wanted, path)
            )
    except FileNotFoundError as error:
        raise UsageError(
            f"There is no file {path}.", "Nothing of that name exists.", "Check the path."
        ) from error
    except (OSError, UnicodeDecodeError, csv.Error, EOFError, lzma.LZMAError) as error:
        raise UsageError(
            f"{path} cannot be read as a table.",
            f"Python says: {error}.",
            "Give a whole table in UTF-8, with the quotes of a .csv file closed.",
        ) from error
    if not rows:
        raise UsageError(f"{path} has no rows.", "The table is empty.", "Give examples.")
    for number, row in enumerate(rows, 1):
        for column in wanted:
            if row.get(column) is None or not str(row[column]).strip():
                raise _missing(path, number, row, column)
    return rows


def _missing(path: Path, number: int, row: Row, column: str) -> UsageError:
    if column not in row:
        return UsageError(
            f"{path} has no column {column!r} in row {number}.",
            f"Its columns are: {', '.join(map(str, row))}."[:300],
            suggestion(column, [str(name) for name in row])
            or "Name it with --label-column or --text-column; without a header, columns are numbers from 1.",
        )
    return UsageError(
        f"Row {number} of {path} has nothing in column {column!r}.",
        "Every example needs a label, and every text something to read.",
        "Leave such rows out or fill them in.",
    )


def _separated(file: Any, kind: str, wanted: Sequence[str], path: Path) -> list[Row]:
    """Rows of a .csv or .tsv."""
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        if kind == ".tsv":
            read = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        else:
            read = csv.reader(file, strict=True)
        lines = [line for line in read if line]
    finally:
        csv.field_size_limit(before)
    if not lines:
        return []
    head = lines[0]
    if _has_no_header(head, wanted):
        head = [str(i) for i in range(1, len(head) + 1)]
    else:
        lines = lines[1:]
    _refuse_uneven(path, head, lines, wanted)
    return [dict(zip(head, line, strict=False)) for line in lines]


def _has_no_header(first: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether the wanted columns are places: numbers, while the first line is not itself a row of numbers that count up, which would be their names.

    >>> _has_no_header(["3", "Fears for pensions"], ["1", "2"])
    True
    >>> _has_no_header(["0", "1", "2"], ["2"])
    False
    """
    runs = [[str(start + i) for i in range(len(first))] for start in (0, 1)]
    places = all(name.isdecimal() and 1 <= int(name) <= len(first) for name in wanted)
    return places and list(first) not in runs


def _refuse_uneven(
    path: Path, head: Sequence[str], lines: Sequence[Sequence[str]], wanted: Sequence[str]
) -> None:
    """Refuse cells that would be lost: beyond the last column, or in one of two columns of a name."""
    for number, line in enumerate(lines, 1):
        if len(line) > len(head):
            raise UsageError(
                f"Row {number} of {path} has {len(line)} cells, the table has {len(head)} columns.",
                "A separator inside a cell may lack its quotes.",
                "Mend the row, or leave it out.",
            )
    told = set(head) if len(wanted) == 1 else set(wanted)
    if twice := sorted(name for name in told if head.count(name) > 1):
        raise UsageError(
            f"{path} has several columns named {twice[0]!r}.",
            "Only one of them would be read.",
            "Give every column a name of its own.",
        )


def _json_rows(file: Any, path: Path) -> list[Row]:
    rows = []
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UsageError(
                f"Line {number} of {path} is not JSON.", f"Python says: {error}.", "Mend it."
            ) from error
        if not isinstance(row, dict):
            raise UsageError(
                f"Line {number} of {path} is not an object.",
                "Each line holds one example by its columns.",
                "Write one JSON object per line.",
            )
        rows.append(row)
    return rows


def _classes(values: Sequence[Any]) -> list[str]:
    """Names of the classes in order."""
    names = {str(value) for value in values}
    try:
        return sorted(names, key=float)
    except ValueError:
        return sorted(names)


def _labels(path: Path, rows: list[Row], column: str, names: Sequence[str]) -> list[int]:
    place = {name: index for index, name in enumerate(names)}
    if len(names) > max(2, len(rows) // 2) and len(rows) > 2:
        raise UsageError(
            f"Column {column!r} of {path} has {len(names)} different values in {len(rows)} rows.",
            "It looks like a number or a name of each row, not like a class.",
            "Name the column of the classes with --label-column.",
        )
    return [place[str(row[column])] for row in rows]
