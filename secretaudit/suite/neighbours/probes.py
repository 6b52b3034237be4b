"""Linear classifiers on the features of a layer: what a layer holds that can be read off by a plane.

Cohen et al.'s last version sets a linear support vector machine (C = 1, tolerance 0.001: read) and a logistic regression beside k-NN, at several
layers. Here both are scikit-learn's: the SVM decides between pairs of classes, the logistic regression is multinomial with an L2 penalty of C = 1
(theirs takes the norm of the k-NN's distance, L1). Each feature is first centred and divided by its standard deviation over the training
points, which is ours: without it neither would reach its optimum in a bounded number of steps on raw activations. Where it is not reached all the same, the
result says so.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secretaudit import _checks
from secretaudit.errors import UsageError
from secretaudit.suite.neighbours.threads import one_thread

__all__ = ["PROBES", "Probe", "linear_probe"]

PROBES = ("svm", "logistic")
#: The SVM's steps move two weights, those of logistic regression all; so it may take so many times as many.
_STEPS_OF_SVM = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class Probe:
    """What a linear classifier says.

    Attributes:
        classes: For each of the given sets of points, shape (q,).
        status: "measured", or "not converged" where the iterations were used up.
    """

    classes: tuple[NDArray[np.int64], ...]
    status: str


def linear_probe(
    kind: str,
    points: NDArray[np.float32],
    labels: NDArray[np.int64],
    asked: Sequence[NDArray[np.float32]],
    *,
    iterations: int = 1000,
) -> Probe:
    """Fit a linear classifier and ask it for classes.

    Args:
        kind: "svm" or "logistic".
        points: Shape (n, d).
        labels: Shape (n,), at least two classes.
        asked: Sets of points of shape (q, d).
        iterations: Most iterations; the SVM's smaller steps: a hundred times as many.

    Raises:
        UsageError: One class only, or an unknown kind.
    """
    _checks.one_of("probes", kind, PROBES)
    if len(np.unique(labels)) < 2:
        raise UsageError(
            f"The {len(labels)} examples of a linear classifier have one class.",
            "There is nothing to separate.",
            "Give examples of at least two classes, or more of them.",
        )
    from sklearn.exceptions import ConvergenceWarning  # heavy: only when a probe is fitted
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), _classifier(kind, iterations))
    with one_thread(), warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(points.astype(np.float64), labels)
        found = tuple(np.asarray(model.predict(q.astype(np.float64)), np.int64) for q in asked)
    stopped = any(issubclass(warning.category, ConvergenceWarning) for warning in heard)
    return Probe(classes=found, status="not converged" if stopped else "measured")


def _classifier(kind: str, iterations: int) -> Any:
    if kind == "svm":
        from sklearn.svm import SVC

        return SVC(kernel="linear", C=1.0, tol=1e-3, max_iter=_STEPS_OF_SVM * iterations)
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=1.0, max_iter=iterations)
