"""Labelled examples: what a classifier learns from, checked once when it is made.

n examples with inputs x_1 … x_n of one shape and labels y_i in 0 … K − 1. Inputs are either numbers (images, clips, tables: float32, shape
(n, …)) or token ids (text: int64, shape (n, T), padded on the right with ``PADDING``). Everything is in memory: the papers' sets, and a
user's sample of a larger set, are.

A ``Task`` is a part to train on and a part held out, with the names of its classes. Features of number inputs should have a scale of about 1;
``pixel`` says how large one step of the 0–255 scale is in them, which the noise module's box is measured in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from secretaudit.errors import UsageError

__all__ = ["PADDING", "Labelled", "Task"]

#: The id that fills rows of text.
PADDING = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Labelled:
    """Examples with their labels.

    Attributes:
        inputs: Shape (n, …), float32; or token ids of shape (n, T), int64.
        labels: Shape (n,), int64, in [0, classes).

    Raises:
        UsageError: No example, lengths that differ, a label below 0, or a feature that is NaN or infinite; the first such example is named.
    """

    inputs: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.inputs.ndim < 2 or self.inputs.numel() == 0:
            raise UsageError(
                "There is no example.",
                f"The inputs have shape {tuple(self.inputs.shape)}.",
                "Give at least two examples of at least one feature each.",
            )
        if self.labels.shape != (len(self.inputs),):
            raise UsageError(
                f"{len(self.inputs)} examples have labels of shape {tuple(self.labels.shape)}.",
                "Each example has one label.",
                "Check that inputs and labels are in the same order and of the same length.",
            )
        if self.inputs.is_floating_point():
            _refuse_not_finite(self.inputs)
        if bool((self.labels < 0).any()):
            row = int((self.labels < 0).nonzero()[0])
            raise UsageError(
                f"The label of example {row} is {int(self.labels[row])}.",
                "Labels count from 0.",
                "Leave out examples without a label, or number the classes from 0.",
            )

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def is_text(self) -> bool:
        """Whether the inputs are token ids."""
        return not self.inputs.is_floating_point()

    def relabelled(self, labels: Tensor) -> Labelled:
        """The same inputs with other labels, shape (n,)."""
        return Labelled(inputs=self.inputs, labels=labels)

    def chosen(self, rows: Tensor | slice) -> Labelled:
        """Some of the examples, in the order of ``rows``."""
        return Labelled(inputs=self.inputs[rows], labels=self.labels[rows])

    def first(self, count: int) -> Labelled:
        """At most ``count`` examples from the beginning."""
        return self.chosen(slice(0, count))


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """Examples to train on, others held out.

    Attributes:
        name: What it is called in the record.
        kind: "image" (n, channels, height, width), "text" (n, T), "table" (n, features) or "clip" (n, channels, frames, height, width).
        train: Trained on.
        held_out: Never trained on.
        class_names: One per class.
        pixel: Size of one step of the 0–255 scale in the inputs' own units; ``None`` where there is no such scale (text, tables).
        vocabulary: Of text, the number of token ids; 0 otherwise.

    Raises:
        UsageError: Fewer than two classes among the training labels, labels out of range, parts of different shapes, or token ids out of range.
    """

    name: str
    kind: str
    train: Labelled
    held_out: Labelled
    class_names: Sequence[str]
    pixel: float | None = None
    vocabulary: int = 0
    source: str = field(default="")

    def __post_init__(self) -> None:
        for part, examples in (("training", self.train), ("held-out", self.held_out)):
            worst = int(examples.labels.max())
            if worst >= len(self.class_names):
                row = int((examples.labels >= len(self.class_names)).nonzero()[0])
                raise UsageError(
                    f"The label of {part} example {row} is {int(examples.labels[row])}.",
                    f"There are {len(self.class_names)} classes, numbered from 0.",
                    "Name all classes, or leave such examples out.",
                )
            if examples.is_text and not 0 <= int(examples.inputs.min()) <= int(
                examples.inputs.max()
            ) < max(self.vocabulary, 1):
                raise UsageError(
                    f"A token of the {part} text is {int(examples.inputs.max())}.",
                    f"The vocabulary has {self.vocabulary} entries.",
                    "Encode the text with the model's own tokenizer.",
                )
        if len(self.train.labels.unique()) < 2:
            raise UsageError(
                f"All training examples of {self.name} have one class.",
                "With one class there is nothing to tell apart, and every classifier is right.",
                "Check the label column, or add examples of another class.",
            )
        if self.train.inputs.shape[1:] != self.held_out.inputs.shape[1:]:
            raise UsageError(
                f"Training inputs have shape {tuple(self.train.inputs.shape[1:])}, held-out inputs {tuple(self.held_out.inputs.shape[1:])}.",
                "One model reads both.",
                "Bring both parts to one shape.",
            )

    @property
    def classes(self) -> int:
        """The number of classes, K."""
        return len(self.class_names)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return tuple(self.train.inputs.shape[1:])

    def with_train(self, train: Labelled) -> Task:
        """The same task with other training examples."""
        return replace(self, train=train)

    def smaller(self, train: int | None, held_out: int | None) -> Task:
        """At most so many examples of each part, from the beginning; ``None`` takes all."""
        return replace(
            self,
            train=self.train if train is None else self.train.first(train),
            held_out=self.held_out if held_out is None else self.held_out.first(held_out),
        )

    def fingerprint(self) -> str:
        """SHA-256 over inputs and labels, in hexadecimal."""
        digest = hashlib.sha256(f"{self.kind} {self.classes} {self.vocabulary}".encode())
        for part in (self.train, self.held_out):
            for tensor in (part.inputs, part.labels):
                digest.update(str(tuple(tensor.shape)).encode())
                digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def described(self) -> dict[str, object]:
        """What a record says of it."""
        return {
            "name": self.name,
            "source": self.source,
            "kind": self.kind,
            "shape": list(self.shape),
            "train": len(self.train),
            "held_out": len(self.held_out),
            "classes": list(self.class_names),
            "pixel": self.pixel,
            "vocabulary": self.vocabulary,
            "sha256": self.fingerprint(),
        }


def _refuse_not_finite(inputs: Tensor) -> None:
    """Name the first example with a NaN or an infinity."""
    bad = ~torch.isfinite(inputs).flatten(1).all(1)
    if bool(bad.any()):
        count, row = int(bad.sum()), int(bad.nonzero()[0])
        raise UsageError(
            f"{count} of {len(inputs)} examples have a feature that is NaN or infinite, the first is example {row}.",
            "Distances, gradients and losses of such an example are not numbers.",
            "Leave these examples out or fill in the missing features.",
        )
