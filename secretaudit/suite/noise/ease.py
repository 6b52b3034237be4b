"""Easy examples: which ones a network gets right after one epoch, whatever it started from (Arpit et al., section 3.1, figure 1).

M networks are trained for one epoch, each from its own initial weights and order of the examples; a_mi is 1 when network m then gives example i its
label. The *misclassification rate* of example i is 1 − r_i with r_i = Σ_m a_mi / M. When no example is easier than another, r_i is a draw of
Binomial(M, p) / M. The paper (read) sorts the rates and draws the binomial curve with p from randX beside them: randX cannot be told from it, randY
deviates, real data deviate most.

The number for it is ours, the over-dispersion

    ratio = Var_i(r_i) / (v / M),    v = mean over m of the variance of a_mi over examples (p(1 − p), were all networks equally good)

1 without easy examples, M at most. With S_ml the covariance of a_m and a_l over examples it is, as an identity,

    ratio = 1 + (M − 1) · ρ,    ρ = mean of S_ml over m ≠ l / mean of S_mm

ρ, the correlation of being right between two trainings, does not depend on M. Examples share networks, so they are not independent: one
network may give half of them one label. The mean of S_ml over pairs is a U-statistic in networks, which *are* independent, and its expectation is
Var_i(p_i) however the answers of one network hang together.

Interval (ours): variance over new networks (the unbiased variance of a U-statistic of degree 2, Hoeffding 1948; at least that of independent
answers) plus variance over new examples (by the influence of each), less what both count (the noise of independent answers), and quantiles of
Student's t with M − 1 degrees of freedom. ``tests/suite/test_noise_ease.py`` checks the coverage by simulation.

*Within labels*, means are taken off per label: what is left is not due to some labels being given more often than others. A network learns the
frequencies of the labels even on pure noise and gives the frequent ones first, so over all examples even randX is over-dispersed where labels are
not equally frequent. The orderings are judged within labels; both numbers are shown.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from secretaudit.suite.cells import Cell
from secretaudit.suite.classifier import predictions
from secretaudit.suite.fitting import FitSettings, fit
from secretaudit.suite.labelled import Labelled
from secretaudit.suite.noise.builders import KINDS, generator, noisy
from secretaudit.suite.noise.settings import NoiseSettings
from secretaudit.suite.statistics import mean_interval
from secretaudit.suite.subject import ClassifierSubject, Run

__all__ = ["binomial_curve", "measure", "over_dispersion", "trained_correct"]

#: Networks per piece of work.
_PER_CELL = 10
#: Stands for this part among the offsets of the seed.
_OFFSET = 11

Shared = tuple[ClassifierSubject, NoiseSettings, int]


def over_dispersion(
    correct: NDArray[Any], groups: NDArray[Any] | None = None
) -> dict[str, float | None]:
    """How much more the rates of examples vary than those of equally easy examples would.

    Args:
        correct: Shape (M, n), true where a network was right on an example; M ≥ 4.
        groups: Shape (n,), such as labels; means are taken off within each. ``None`` takes all examples as one group.

    Returns:
        ``ratio`` with its 95 % interval ``low`` and ``high``, and ``correlation`` (ρ); all ``None`` where nothing varies.
    """
    a = np.asarray(correct, dtype=float)
    networks, n = a.shape
    labels = np.zeros(n, dtype=int) if groups is None else np.asarray(groups)
    centred, free = _centred(a, labels)
    s = centred @ centred.T / free
    v = float(np.trace(s)) / networks
    if v <= 0:
        return {"ratio": None, "low": None, "high": None, "correlation": None}
    rho = float((s.sum() - np.trace(s)) / (networks * (networks - 1)) / v)
    own = np.diag(s)
    by_networks = _u_statistic_variance((s - rho * (own[:, None] + own[None, :]) / 2) / v)
    by_examples = _example_variance(centred, free, v, rho)
    chance = (2 / (networks * (networks - 1)) + 4 * max(rho, 0.0) / networks) / free
    spread = max(by_networks, chance) + max(0.0, by_examples - chance)
    half = float(stats.t.ppf(0.975, networks - 1)) * (networks - 1) * spread**0.5
    ratio = 1 + (networks - 1) * rho
    return {"ratio": ratio, "low": ratio - half, "high": ratio + half, "correlation": rho}


def _centred(a: NDArray[Any], labels: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Less the mean of each group, and the degrees of freedom over examples."""
    centred = a.copy()
    known = np.unique(labels)
    for label in known:
        rows = labels == label
        centred[:, rows] -= a[:, rows].mean(1, keepdims=True)
    return centred, max(1, a.shape[1] - len(known))


def _u_statistic_variance(h: NDArray[Any]) -> float:
    """Variance of the mean of h_ml over m ≠ l, by unbiased estimates of E h_12², E h_12 h_13 and E h_12 h_34; not below 0.

    Args:
        h: Shape (M, M), symmetric; the diagonal does not count.
    """
    m = len(h)
    off = h - np.diag(np.diag(h))
    squares = float((off**2).sum())
    rows = off.sum(1)
    shared = float((rows**2).sum()) - squares
    apart = float(off.sum()) ** 2 - 4 * shared - 2 * squares
    e2 = squares / (m * (m - 1))
    e1 = shared / (m * (m - 1) * (m - 2))
    e0 = apart / (m * (m - 1) * (m - 2) * (m - 3))
    return max(0.0, (4 * (m - 2) * (e1 - e0) + 2 * (e2 - e0)) / (m * (m - 1)))


def _example_variance(centred: NDArray[Any], free: int, v: float, rho: float) -> float:
    """Variance of ρ over draws of the examples, by the influence of each on numerator and denominator."""
    m = len(centred)
    squared = (centred**2).sum(0)
    pairs = (centred.sum(0) ** 2 - squared) / (m * (m - 1))
    influence = (pairs - rho * squared / m) / v
    return float((influence**2).sum() / free**2)


def binomial_curve(networks: int, p: float, count: int) -> list[float]:
    """Sorted misclassification rates of ``count`` equally easy examples: quantiles of Binomial(M, 1 − p) / M at (i − ½) / count.

    >>> binomial_curve(4, 0.5, 3)
    [0.25, 0.5, 0.75]
    """
    at = (np.arange(1, count + 1) - 0.5) / count
    return [float(x) for x in stats.binom.ppf(at, networks, 1 - p) / networks]


def trained_correct(
    subject: ClassifierSubject, examples: Labelled, measured: int, settings: FitSettings, seed: int
) -> tuple[NDArray[np.bool_], bool]:
    """Train one network: which of the first ``measured`` examples it gets right, shape (measured,); and whether the training diverged."""
    model = subject.learner.fresh(seed)
    done = fit(model, examples, settings, seed)
    some = examples.first(measured)
    right: NDArray[np.bool_] = (predictions(model, some.inputs) == some.labels).numpy()
    return right, done.status == "diverged"


def measure(
    subject: ClassifierSubject, settings: NoiseSettings, run: Run
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Part "ease": rates of examples on real data, randX and randY, against the binomial curve.

    Returns:
        The part, and the paper's orderings.
    """
    starts = range(0, settings.ease_initializations, _PER_CELL)
    cells = [
        Cell(
            name=f"ease/{kind}/{start}",
            work=_networks,
            arguments={
                "kind": kind,
                "first": start,
                "count": min(_PER_CELL, settings.ease_initializations - start),
            },
        )
        for kind in KINDS
        for start in starts
    ]
    shared: Shared = (subject, settings, run.seed)
    done = run.cells.run(
        cells, shared, identity=f"{run.identity} {settings!r}", stage="easy examples"
    )
    kinds = {}
    for kind in KINDS:
        rows = [row for start in starts for row in done[f"ease/{kind}/{start}"]["correct"]]
        kinds[kind] = _bits_of(rows, _measured(subject, settings))
    part, orderings = _part(subject, settings, run.seed, kinds)
    part["diverged"] = sum(found["diverged"] for found in done.values())
    if part["diverged"]:
        part["status"] = "could not measure"
        part["sentence"] = (
            f"{part['diverged']} of {len(KINDS) * settings.ease_initializations} trainings diverged; take a smaller ease_learning_rate."
        )
        return part, []
    return part, orderings


def _examples(
    subject: ClassifierSubject, settings: NoiseSettings, seed: int, kind: str
) -> Labelled:
    """What is trained on; the same for all networks, since a rate is an example's."""
    rng = generator(seed, _OFFSET, list(KINDS).index(kind))
    train = subject.task.train.first(settings.ease_training)
    return noisy(kind, train, subject.task.classes, rng, how=settings.labels).examples


def _measured(subject: ClassifierSubject, settings: NoiseSettings) -> int:
    """Examples whose rate is taken."""
    return min(len(subject.task.train), settings.ease_training, settings.ease_examples)


def _networks(shared: Shared, kind: str, first: int, count: int) -> dict[str, Any]:
    """A cell: some networks of one kind of data; the m-th starts alike on every kind."""
    subject, settings, seed = shared
    examples = _examples(subject, settings, seed, kind)
    how = FitSettings(
        epochs=settings.ease_epochs,
        batch_size=settings.ease_batch_size,
        learning_rate=settings.ease_learning_rate,
        momentum=settings.ease_momentum,
    )
    rows, diverged = [], 0
    for number in range(first, first + count):
        start = generator(seed, _OFFSET, 100, number).initial_seed()
        right, lost = trained_correct(subject, examples, _measured(subject, settings), how, start)
        rows.append(np.packbits(right).tobytes().hex())
        diverged += lost
    return {"correct": rows, "diverged": diverged}


def _bits_of(rows: list[str], count: int) -> NDArray[np.bool_]:
    """Rows of packed bits as an array (M, count)."""
    packed = np.stack([np.frombuffer(bytes.fromhex(row), dtype=np.uint8) for row in rows])
    return np.unpackbits(packed, axis=1, count=count).astype(bool)


def _part(
    subject: ClassifierSubject,
    settings: NoiseSettings,
    seed: int,
    correct: dict[str, NDArray[np.bool_]],
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Numbers of each kind, the sentence, and the orderings."""
    networks, count = correct["real"].shape
    reference = float(correct["randX"].mean())
    kinds = {}
    for kind, right in correct.items():
        labels = _examples(subject, settings, seed, kind).labels[:count].numpy()
        kinds[kind] = _kind(right, labels, settings.ease_curves)
    part = {
        "status": "measured",
        "sentence": _sentence(kinds),
        "initializations": networks,
        "examples": count,
        "trained_on": min(len(subject.task.train), settings.ease_training),
        "epochs": settings.ease_epochs,
        "reference": {
            "p_correct": reference,
            "curve": binomial_curve(networks, reference, min(settings.ease_curves, count)),
        },
        "kinds": kinds,
    }
    return part, _orderings(kinds)


def _kind(right: NDArray[np.bool_], labels: NDArray[Any], points: int) -> dict[str, Any]:
    """What is known of one kind of data."""
    wrong = np.sort(1 - right.mean(0))
    count = len(wrong)
    at = np.minimum(((np.arange(min(points, count)) + 0.5) / min(points, count) * count), count - 1)
    return {
        "accuracy": mean_interval(right.mean(1)),
        **over_dispersion(right),
        "within_labels": over_dispersion(right, labels),
        "always_right": float((wrong == 0).mean()),
        "always_wrong": float((wrong == 1).mean()),
        "curve": [float(x) for x in wrong[at.astype(int)]],
    }


def _shown(kind: dict[str, Any]) -> str:
    """A ratio with its interval."""
    if kind["ratio"] is None:
        return "no spread"
    return f"{kind['ratio']:.2f} ({kind['low']:.2f} to {kind['high']:.2f})"


def _sentence(kinds: dict[str, dict[str, Any]]) -> str:
    shown = ", ".join(
        f"{_shown(kinds[kind]['within_labels'])} on {said}" for kind, said in KINDS.items()
    )
    return f"Among examples of one label, rates of misclassification vary by this many times what chance alone gives: {shown}."


def _orderings(kinds: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The paper's, with the rule of each, judged within labels."""
    real, y, x = (kinds[kind]["within_labels"] for kind in ("real", "randY", "randX"))
    known = None not in (x["ratio"], y["ratio"], real["ratio"])
    seen = f"real {_shown(real)}, randY {_shown(y)}, randX {_shown(x)}"
    return [
        {
            "part": "ease",
            "claim": "Random inputs: no example is easier than another (1 lies in the interval of the ratio within labels).",
            "seen": _shown(x),
            "holds": bool(x["low"] <= 1 <= x["high"]) if x["ratio"] is not None else None,
        },
        {
            "part": "ease",
            "claim": "Random labels: some examples are easier (the interval of the ratio within labels lies above 1).",
            "seen": _shown(y),
            "holds": bool(y["low"] > 1) if y["ratio"] is not None else None,
        },
        {
            "part": "ease",
            "claim": "Rates vary most on real data, less with random labels, least with random inputs (ratios within labels).",
            "seen": seen,
            "holds": bool(real["ratio"] > y["ratio"] > x["ratio"]) if known else None,
        },
    ]
