"""Labels that say nothing about their inputs.

``permute``: the label vector y_1 … y_n in a random order. The histogram and the number of classes stay; an example keeps its true label by chance, with
probability Σ_k p_k² for class shares p_k. This is what the authors' script does to the training folder (read: ``random.shuffle`` of the labels).

``uniform``: each label drawn from 0 … m − 1 with the same probability, independently (ours; the usual random labels of Zhang et al. 2017 and
Arpit et al. 2017). m need not be the number of true classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from secretaudit._checks import one_of

__all__ = ["SCHEMES", "permuted", "random_labels", "uniform"]

SCHEMES = ("permute", "uniform")


def permuted(labels: Tensor, seed: int) -> Tensor:
    """The labels in a random order.

    Args:
        labels: Shape (n,).
        seed: The same gives the same order.

    >>> sorted(permuted(torch.tensor([0, 0, 1, 2]), seed=3).tolist())
    [0, 0, 1, 2]
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return labels[order]


def uniform(count: int, classes: int, seed: int) -> Tensor:
    """``count`` labels in [0, ``classes``), each as likely as the others.

    >>> bool((uniform(100, 3, seed=0) < 3).all())
    True
    """
    return torch.randint(0, classes, (count,), generator=torch.Generator().manual_seed(seed))


def random_labels(labels: Tensor, scheme: str, classes: int, seed: int) -> Tensor:
    """Labels without information, shape (n,).

    Args:
        labels: The true ones.
        scheme: "permute" or "uniform".
        classes: Of uniform labels.
        seed: The same gives the same labels.

    Raises:
        UsageError: No such scheme.
    """
    one_of("labels", scheme, SCHEMES)
    return permuted(labels, seed) if scheme == "permute" else uniform(len(labels), classes, seed)
