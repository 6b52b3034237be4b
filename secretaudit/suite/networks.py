"""The networks of the papers, and one small one for each kind of data.

``mlp`` (Arpit et al.: two hidden layers of ReLU units), ``lenet`` (Cohen et al.: 32 and 64 filters of 5×5, pooling, 640 units), ``small-alexnet``
(Arpit et al.: crop, two convolutions with batch normalization and pooling, 384 and 192 units), ``word-cnn`` (embeddings, convolutions of three widths,
maximum over time: Kim 2014), ``word-transformer`` (a small encoder, mean over tokens), ``clip-cnn`` (3-D convolutions over a clip).

Each is a function from a task, which gives shapes and classes, and its dials to a module with random weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from secretaudit.suite.classifier import Classifier, Plain
from secretaudit.suite.labelled import PADDING, Task

__all__ = ["ARCHITECTURES", "default_architecture"]

_USUAL = {"image": "mlp", "table": "mlp", "text": "word-cnn", "clip": "clip-cnn"}


def default_architecture(task: Task) -> str:
    """The usual network for a kind of data."""
    return _USUAL[task.kind]


def mlp(task: Task, *, hidden: int = 128, layers: int = 2, dropout: float = 0.0) -> Classifier:
    """Fully connected: ``layers`` hidden layers of ``hidden`` ReLU units."""
    width = 1
    for size in task.shape:
        width *= size
    parts: list[nn.Module] = [nn.Flatten()]
    for _ in range(layers):
        parts += [nn.Linear(width, hidden), nn.ReLU()]
        parts += [nn.Dropout(dropout)] if dropout else []
        width = hidden
    return Plain(nn.Sequential(*parts, nn.Linear(width, task.classes)))


def lenet(
    task: Task,
    *,
    filters: int = 32,
    units: int = 640,
    normalize: bool = False,
    dropout: float = 0.0,
) -> Classifier:
    """Two 5×5 convolutions with pooling, one hidden layer; ``normalize`` divides the embedding by its length, as Cohen et al. do."""
    channels, height, width = task.shape
    flat = 2 * filters * (height // 4) * (width // 4)
    parts: list[nn.Module] = [
        nn.Conv2d(channels, filters, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(filters, 2 * filters, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(flat, units),
        nn.ReLU(),
    ]
    parts += [nn.Dropout(dropout)] if dropout else []
    parts += [UnitLength()] if normalize else []
    return Plain(nn.Sequential(*parts, nn.Linear(units, task.classes)))


def small_alexnet(
    task: Task, *, filters: int = 200, units: int = 384, dropout: float = 0.0
) -> Classifier:
    """Arpit et al.'s network for CIFAR-10; strides of the pooling (2) are ours, the paper gives none."""
    channels, height, width = task.shape
    crop = 2 if min(height, width) >= 28 else 0
    body = nn.Sequential(
        Crop(crop),
        nn.Conv2d(channels, filters, 5, padding=2),
        nn.BatchNorm2d(filters),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, padding=1),
        nn.Conv2d(filters, filters, 5, padding=2),
        nn.BatchNorm2d(filters),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, padding=1),
        nn.Flatten(),
    )
    with torch.no_grad():
        body.eval()
        flat = body(torch.zeros(1, channels, height, width)).shape[1]
        body.train()
    head: list[nn.Module] = []
    for wide, narrow in ((flat, units), (units, units // 2)):
        head += [nn.Linear(wide, narrow), nn.BatchNorm1d(narrow), nn.ReLU()]
        head += [nn.Dropout(dropout)] if dropout else []
    return Plain(nn.Sequential(*body, *head, nn.Linear(units // 2, task.classes)))


def clip_cnn(task: Task, *, filters: int = 16, units: int = 64) -> Classifier:
    """Two 3-D convolutions, mean over what is left, one hidden layer."""
    channels = task.shape[0]
    return Plain(
        nn.Sequential(
            nn.Conv3d(channels, filters, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool3d((1, 2, 2), ceil_mode=True),
            nn.Conv3d(filters, 2 * filters, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool3d((4, 2, 2)),
            nn.Flatten(),
            nn.Linear(2 * filters * 16, units),
            nn.ReLU(),
            nn.Linear(units, task.classes),
        )
    )


class UnitLength(nn.Module):
    """Divides each row by its Euclidean length."""

    def forward(self, rows: Tensor) -> Tensor:
        """Rows of length 1, shape as given."""
        return F.normalize(rows, dim=1)


class Crop(nn.Module):
    """Takes so many pixels off each side of an image."""

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.pixels = pixels

    def forward(self, images: Tensor) -> Tensor:
        """Smaller images."""
        p = self.pixels
        return images[..., p : images.shape[-2] - p, p : images.shape[-1] - p] if p else images


class _OfWords(Classifier):
    """Text classifiers: the points are embeddings, padding is left out."""

    embedding: nn.Embedding

    def continuous(self, inputs: Tensor) -> Tensor:
        """Embeddings, shape (n, T, d)."""
        found: Tensor = self.embedding(inputs)
        return found


class WordCNN(_OfWords):
    """Convolutions of several widths over word embeddings, the maximum of each over time.

    Args:
        vocabulary: Token ids.
        classes: K.
        dimension: Of the embeddings.
        filters: Per width.
        dropout: Before the last layer.
    """

    def __init__(
        self,
        vocabulary: int,
        classes: int,
        dimension: int = 64,
        filters: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, dimension, padding_idx=PADDING)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(dimension, filters, width, padding=width // 2) for width in (1, 3, 5)
        )
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(3 * filters, filters)
        self.head = nn.Linear(filters, classes)

    def from_continuous(self, points: Tensor, inputs: Tensor) -> Tensor:
        """Scores of embeddings."""
        shown = (inputs != PADDING).unsqueeze(1)
        over_time = (points * shown.transpose(1, 2)).transpose(1, 2)
        found = [F.relu(conv(over_time)) * shown for conv in self.convolutions]
        pooled = torch.cat([part.amax(2) for part in found], 1)
        scores: Tensor = self.head(F.relu(self.hidden(self.dropout(pooled))))
        return scores


class WordTransformer(_OfWords):
    """A small transformer encoder over word embeddings, the mean over tokens, a linear layer.

    Args:
        vocabulary: Token ids.
        classes: K.
        length: Most tokens.
        dimension: Of the embeddings.
        layers: Of the encoder.
        dropout: Inside the encoder.
    """

    def __init__(
        self,
        vocabulary: int,
        classes: int,
        length: int,
        dimension: int = 64,
        layers: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, dimension, padding_idx=PADDING)
        self.position = nn.Parameter(0.02 * torch.randn(length, dimension))
        layer = nn.TransformerEncoderLayer(
            dimension, 4, 2 * dimension, dropout, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(dimension, classes)

    def from_continuous(self, points: Tensor, inputs: Tensor) -> Tensor:
        """Scores of embeddings."""
        shown = inputs != PADDING
        shown = shown | ~shown.any(1, keepdim=True)  # a text of nothing attends to its padding
        hidden = self.encoder(
            points + self.position[: points.shape[1]], src_key_padding_mask=~shown
        )
        weight = shown.unsqueeze(2).to(hidden.dtype)
        scores: Tensor = self.head((hidden * weight).sum(1) / weight.sum(1))
        return scores


def word_cnn(task: Task, **dials: Any) -> Classifier:
    """``WordCNN`` for a task."""
    return WordCNN(task.vocabulary, task.classes, **dials)


def word_transformer(task: Task, **dials: Any) -> Classifier:
    """``WordTransformer`` for a task."""
    return WordTransformer(task.vocabulary, task.classes, task.shape[0], **dials)


#: Names for the command line.
ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "mlp": mlp,
    "lenet": lenet,
    "small-alexnet": small_alexnet,
    "word-cnn": word_cnn,
    "word-transformer": word_transformer,
    "clip-cnn": clip_cnn,
}
