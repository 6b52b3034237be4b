"""The dials of ``suite neighbours``.

From Cohen et al. (read in the authors' code): k = 30, L1 distance, uniform votes, the k of the sweep, no weight decay in the over-fitting runs,
full batches with a large rate. Ours: the sizes, chosen so that the default on scikit-learn's digits takes a minute or two; leaving the point out
is what their later code does and our default.
"""

from __future__ import annotations

from dataclasses import dataclass

from secretaudit import _checks

__all__ = ["CONDITIONS", "ENGINES", "METRICS", "PARTS", "POOLS", "TRAINED", "NeighboursSettings"]

PARTS = ("layers", "agreement", "k", "language")
METRICS = ("l1", "l2", "cosine")
ENGINES = ("scikit-learn", "faiss")
POOLS = ("sequences", "all", "none")
#: Trainings; "given" is the user's model as it is.
TRAINED = ("true labels", "random labels", "over-fit", "large batch")
CONDITIONS = ("given", *TRAINED)


@dataclass(frozen=True, kw_only=True)
class NeighboursSettings:
    """What is measured, and how.

    Attributes:
        parts: Which measures run: "layers", "agreement", "k", "language".
        conditions: Which networks are looked at: "given", "true labels", "random labels", "over-fit", "large batch"; none named: "given" for a model that was trained already, else the other four.
        seeds: Networks per condition, each with its own initial weights and order.
        k: Neighbours that vote.
        k_values: Numbers of neighbours in the sweep.
        metric: Distance between embeddings: "l1", "l2" or "cosine".
        leave_one_out: A training example is not among its own neighbours.
        engine: "scikit-learn", or "faiss" for large sets (pip install 'secretaudit[faiss]').
        embedding: Name of the layer whose output is the embedding; empty: the input of the last linear layer (of a language model, of the output layer).
        layers: Names of the layers to look at ("input" is the example itself); none named: each layer without layers inside, in the order they are used.
        most_layers: Where none is named, most layers to look at; of more, some at equal steps, and the embedding.
        pool: What is replaced by its mean over places before distances are taken: "sequences" (by the mean over tokens), "all" (the maps of convolutions and images too), or "none".
        pca: Project a layer's features to so many principal components of the training examples; without it, they stay as they are.
        queries: Most examples of each part that are asked for a class, drawn by the seed; neighbours come from all training examples.
        probes: Linear classifiers to fit on each layer: "svm", "logistic".
        probe_examples: Most training examples that a linear classifier is fitted on, drawn by the seed.
        probe_iterations: Most iterations of a linear classifier.
        epochs: Most passes over the training examples; random labels and large batches take up to four times as many.
        target: Training accuracy at which a training stops.
        batch_size: Examples per step.
        learning_rate: Of each step of SGD.
        momentum: Of SGD.
        weight_decay: L2 penalty with true labels and with large batches; the other conditions have none.
        overfit_examples: Training examples of the over-fitting runs.
        large_batch: Examples per step of the large-batch runs; without it, all of them.
        large_batch_rate: Learning rate of the large-batch runs.
        text_models: Language models to train, each with its own seed.
        text_positions: Most token positions of the training text that serve as neighbours, whole records.
        text_queries: Most token positions of the training text, and of the held-out text, that are asked for the next token.

    Raises:
        UsageError: A value out of its range.
    """

    parts: tuple[str, ...] = PARTS
    conditions: tuple[str, ...] = ()
    seeds: int = 3
    k: int = 30
    k_values: tuple[int, ...] = (1, 5, 30, 100)
    metric: str = "l1"
    leave_one_out: bool = True
    engine: str = "scikit-learn"
    embedding: str = ""
    layers: tuple[str, ...] = ()
    most_layers: int = 12
    pool: str = "sequences"
    pca: int | None = None
    queries: int = 2000
    probes: tuple[str, ...] = ("svm", "logistic")
    probe_examples: int = 2000
    probe_iterations: int = 1000
    epochs: int = 100
    target: float = 1.0
    batch_size: int = 64
    learning_rate: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 0.0005
    overfit_examples: int = 400
    large_batch: int | None = None
    large_batch_rate: float = 0.5
    text_models: int = 2
    text_positions: int = 10000
    text_queries: int = 2000

    def __post_init__(self) -> None:
        for name, known in (
            ("parts", PARTS),
            ("conditions", CONDITIONS),
            ("probes", ("svm", "logistic")),
        ):
            for value in getattr(self, name):
                _checks.one_of(name, value, known)
        _checks.one_of("metric", self.metric, METRICS)
        _checks.one_of("engine", self.engine, ENGINES)
        _checks.one_of("pool", self.pool, POOLS)
        for name in _COUNTS:
            value = getattr(self, name)
            _checks.at_least(name, 1 if value is None else value, 1)
        for value in self.k_values:
            _checks.at_least("k_values", value, 1)
        _checks.fraction("target", self.target)
        for name in ("learning_rate", "large_batch_rate"):
            _checks.positive(name, getattr(self, name))
        for name in ("momentum", "weight_decay"):
            _checks.at_least(name, getattr(self, name), 0)


_COUNTS = (
    "seeds", "k", "pca", "queries", "probe_examples", "probe_iterations", "most_layers", "epochs", "batch_size", "overfit_examples", "large_batch", "text_models",
    "text_positions", "text_queries",
)  # fmt: skip
