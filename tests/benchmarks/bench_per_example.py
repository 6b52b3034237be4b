"""Quantities of single examples, vectorized against a loop over examples.

``python -m tests.benchmarks.bench_per_example [RUNS]``, medians of RUNS runs (default 5) that take turns, one thread, on scikit-learn's digits.
The loops call the same model on one example at a time; that both give the same numbers is tested in ``tests/suite/test_per_example.py`` and
``tests/suite/test_noise_sensitivity.py``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from secretaudit.suite.classifier import Classifier
from secretaudit.suite.data.arrays import digits
from secretaudit.suite.labelled import Labelled
from secretaudit.suite.learner import Architecture
from secretaudit.suite.noise.unrolled import Trajectory, sensitivities, train_unrolled
from secretaudit.suite.per_example import (
    input_gradients,
    parameter_gradients,
    parameter_gradients_one_by_one,
)
from tests.benchmarks.timing import row, take_turns

WANTED = 5.0


def main(runs: int) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    task = digits()
    print(f"{'':<58} {'wanted':>14} {'loop s / at once s':>20}")
    for name, dials, count in (
        ("mlp", {"hidden": 16}, 256),
        ("mlp", {"hidden": 128}, 256),
        ("lenet", {"filters": 8, "units": 32}, 128),
    ):
        model = Architecture(task=task, architecture=name, options=dials).fresh(0)
        some = task.train.first(count)
        size = sum(p.numel() for p in model.parameters())
        said = f"{name}, {size:,} parameters, {count} examples"
        _compare(f"parameter gradients: {said}", *_gradients(model, some, None), runs)
        _compare(f"their norms: {said}", *_gradients(model, some, _norm), runs)
        _compare(f"input gradients: {said}", *_by_input(model, some), runs)
    _compare("sensitivity through 50 updates: mlp of 16, 64 examples", *_unrolled(task), runs)


def _compare(
    what: str, loop: Callable[[], object], together: Callable[[], object], runs: int
) -> None:
    seconds = take_turns({"loop": loop, "together": together}, runs)
    ratio = seconds["loop"] / seconds["together"]
    row(
        what,
        f">= {WANTED:.0f}x",
        f"{seconds['loop']:.4f} / {seconds['together']:.4f} = {ratio:.1f}x",
    )


def _norm(rows: Tensor) -> Tensor:
    return rows.norm(dim=1, keepdim=True)


def _gradients(
    model: Classifier, some: Labelled, reduce: Callable[[Tensor], Tensor] | None
) -> tuple[Callable[[], object], Callable[[], object]]:
    """By the parameters."""

    def loop() -> Tensor:
        if reduce is None:
            return parameter_gradients_one_by_one(model, some.inputs, some.labels)
        pairs = zip(some.inputs.split(1), some.labels.split(1), strict=True)
        return torch.cat([reduce(parameter_gradients_one_by_one(model, *pair)) for pair in pairs])

    return loop, lambda: parameter_gradients(model, some.inputs, some.labels, reduce=reduce)


def _by_input(
    model: Classifier, some: Labelled
) -> tuple[Callable[[], object], Callable[[], object]]:
    def loop() -> list[Tensor]:
        pairs = zip(some.inputs.split(1), some.labels.split(1), strict=True)
        return [input_gradients(model, one, label) for one, label in pairs]

    return loop, lambda: input_gradients(model, some.inputs, some.labels)


def _unrolled(task: Any) -> tuple[Callable[[], object], Callable[[], object]]:
    """The graph of the whole training, gone back through for one example after the other; and the recursion for all."""
    some = task.train.first(64)
    model = Architecture(task=task, architecture="mlp", options={"hidden": 16}).fresh(0)
    kept = train_unrolled(
        model,
        some,
        updates=50,
        learning_rate=0.1,
        batch_size=None,
        rng=torch.Generator().manual_seed(0),
    )
    mean = torch.full((1, len(some)), 1 / len(some))
    return lambda: _one_after_the_other(model, some, kept), lambda: sensitivities(kept, [50], mean)


def _one_after_the_other(model: Classifier, some: Labelled, kept: Trajectory) -> list[Tensor]:
    points = [x.clone().requires_grad_(True) for x in some.inputs.split(1)]
    weights = {name: p.detach().requires_grad_(True) for name, p in model.named_parameters()}

    def loss() -> Tensor:
        scores = functional_call(model, weights, (torch.cat(points),))
        return torch.nn.functional.cross_entropy(scores, some.labels)

    for _ in range(kept.updates):
        slopes = torch.autograd.grad(loss(), list(weights.values()), create_graph=True)
        weights = {
            name: w - kept.learning_rate * g
            for (name, w), g in zip(weights.items(), slopes, strict=True)
        }
    last = loss()
    return [torch.autograd.grad(last, x, retain_graph=True)[0] for x in points]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
