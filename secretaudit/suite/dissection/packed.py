"""Arrays as plain JSON, so that what a network showed is kept with the rest of its cell and a run that was killed goes on without the network."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["packed", "unpacked"]


def packed(array: ArrayLike) -> dict[str, Any]:
    """Little-endian float32, base64, with the shape.

    >>> packed([1.0])
    {'shape': [1], 'float32': 'AACAPw=='}
    """
    given = np.ascontiguousarray(array, dtype="<f4")
    return {"shape": list(given.shape), "float32": base64.b64encode(given.tobytes()).decode()}


def unpacked(document: dict[str, Any]) -> NDArray[np.float32]:
    """The array again, float32."""
    flat = np.frombuffer(base64.b64decode(document["float32"]), dtype="<f4")
    return flat.reshape(document["shape"]).astype(np.float32)
