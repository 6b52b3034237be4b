"""Input gradients: does the loss of two networks rise in the same direction around an example?

For example i with label y_i, g_i = ∂L(x_i, y_i)/∂x_i is taken of each of two networks, for the same label, and

    similarity = mean_i  ⟨g_i, g'_i⟩ / (‖g_i‖ ‖g'_i‖)

in [−1, 1]: 1 where both networks read the same features in the same way, about 0 where they read unrelated ones. Examples for which one of the gradients
is zero have no direction and are left out.

Token ids have no gradient, and the embeddings of two networks live in different spaces, so that the cosine of gradients by embeddings would be 0 whatever
the networks learned. For text the gradient is therefore brought to what both share, the positions: a_t = ⟨∂L/∂e_t, e_t⟩, the change of the loss when token t
fades, one number per token.

Gu & Tresp (2019, abstract) use gradient information to interpret similarity; which, is not known to us. This is ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from secretaudit.suite.classifier import Classifier
from secretaudit.suite.labelled import Labelled
from secretaudit.suite.per_example import input_gradients

__all__ = ["directions", "mean_cosine"]

_BATCH = 256


def directions(model: Classifier, examples: Labelled) -> NDArray[np.float32]:
    """Gradients of the loss by the input, divided by their lengths.

    Args:
        model: The network.
        examples: n inputs with the labels that the loss is of.

    Returns:
        Shape (n, features), or (n, tokens) for text; a row of zeros where the gradient is zero.

    Raises:
        ModelError: The scores have no gradient by the input.
    """
    rows = []
    for start in range(0, len(examples), _BATCH):
        some = examples.chosen(slice(start, start + _BATCH))
        slopes = input_gradients(model, some.inputs, some.labels)
        if examples.is_text:
            slopes = (slopes * model.continuous(some.inputs).detach()).sum(-1)
        rows.append(slopes.flatten(1).double().numpy())
    found = np.concatenate(rows)
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (found / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
    return unit


def mean_cosine(first: NDArray[Any], second: NDArray[Any]) -> float | None:
    """Mean cosine between the directions of two networks, in [−1, 1]; ``None`` where no example has both.

    Args:
        first: Unit or zero rows, shape (n, features).
        second: Those of another network for the same examples and labels.

    >>> mean_cosine(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [0.0, -1.0]]))
    0.0
    """
    a, b = first.astype(np.float64), second.astype(np.float64)
    both = (np.abs(a).sum(1) > 0) & (np.abs(b).sum(1) > 0)
    return float((a * b).sum(1)[both].mean()) if bool(both.any()) else None
