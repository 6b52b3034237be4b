"""Noise in place of data: randX, randY, and mixtures.

- **randY**: labels are random, inputs stay. "uniform" draws each label from {0, …, K − 1} by itself, so 1/K of them are right by chance;
  "permuted" shuffles the labels there are, which keeps how often each occurs.
- **randX**: inputs are independent Gaussian noise with the mean and variance of the data set, one mean and one variance over all features, as
  the paper says (read); labels stay (its text does not spell that out; ours). Of text, each token is drawn from the frequencies of the
  tokens in the data set, and rows keep their lengths (ours; the paper has images only).

A *fraction* of noise makes exactly round(fraction · n) examples noise, drawn without replacement; ``mask`` says which. All randomness comes from a
``torch.Generator``; from the same state, what is noise at a smaller fraction is noise at a larger one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from secretaudit._checks import one_of
from secretaudit.errors import UsageError
from secretaudit.suite.labelled import PADDING, Labelled

__all__ = [
    "KINDS",
    "Noisy",
    "generator",
    "noisy",
    "random_inputs",
    "random_inputs_like",
    "random_labels",
]

#: The three kinds of data, and how a person reads them.
KINDS = {"real": "real data", "randX": "random inputs", "randY": "random labels"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Noisy:
    """Examples of which some are noise.

    Attributes:
        examples: All of them, in the order of the data.
        mask: Shape (n,), bool: which were made noise.
        kind: "real", "randX" or "randY".
    """

    examples: Labelled
    mask: Tensor
    kind: str


def generator(seed: int, *offsets: int) -> torch.Generator:
    """A generator for a seed and what it is used for: other offsets, other draws.

    >>> int(generator(0, 1).initial_seed()) != int(generator(0, 2).initial_seed())
    True
    """
    from numpy.random import SeedSequence  # mixes the numbers

    mixed = int(SeedSequence([seed, *offsets]).generate_state(1, "uint64")[0])
    return torch.Generator().manual_seed(mixed % 2**63)


def random_inputs_like(inputs: Tensor, data: Tensor, rng: torch.Generator) -> Tensor:
    """Noise of the shape of ``inputs``, with the statistics of ``data``.

    Args:
        inputs: Shape (n, …); of text, its padding is kept.
        data: The data set that mean and variance, or the frequencies of tokens, are taken from; shape (m, …).
        rng: Of the draws.

    Raises:
        UsageError: Text without a single token.
    """
    if inputs.is_floating_point():
        spread, middle = torch.std_mean(data, correction=0)
        return torch.randn(inputs.shape, generator=rng, dtype=inputs.dtype) * spread + middle
    tokens = data[data != PADDING]
    if len(tokens) == 0:
        raise UsageError(
            "The text has no tokens.",
            "Random tokens are drawn from the frequencies of those that there are.",
            "Check the text column and the tokenizer.",
        )
    drawn = tokens[torch.randint(len(tokens), inputs.shape, generator=rng)]
    return torch.where(inputs == PADDING, inputs, drawn)


def random_inputs(examples: Labelled, rng: torch.Generator, fraction: float = 1.0) -> Noisy:
    """randX: a fraction of the examples with noise for inputs, their labels kept.

    Args:
        examples: The data.
        rng: Of the choice and of the noise.
        fraction: Of examples made noise, in [0, 1].
    """
    mask = _chosen(len(examples), fraction, rng)
    noise = random_inputs_like(examples.inputs, examples.inputs, rng)
    shaped = mask.reshape(-1, *[1] * (noise.ndim - 1))
    inputs = torch.where(shaped, noise, examples.inputs)
    return Noisy(examples=Labelled(inputs=inputs, labels=examples.labels), mask=mask, kind="randX")


def random_labels(
    examples: Labelled,
    classes: int,
    rng: torch.Generator,
    fraction: float = 1.0,
    how: str = "uniform",
) -> Noisy:
    """randY: a fraction of the examples with random labels, their inputs kept.

    Args:
        examples: The data.
        classes: K.
        rng: Of the choice and of the labels.
        fraction: Of examples made noise, in [0, 1]; some of their labels are right by chance.
        how: "uniform", or "permuted" among the chosen examples.
    """
    one_of("labels", how, ("uniform", "permuted"))
    mask = _chosen(len(examples), fraction, rng)
    rows = mask.nonzero().squeeze(1)
    if how == "uniform":
        fresh = torch.randint(classes, mask.shape, generator=rng)[rows]
    else:
        fresh = examples.labels[rows[torch.randperm(len(rows), generator=rng)]]
    labels = examples.labels.clone()
    labels[rows] = fresh
    return Noisy(examples=examples.relabelled(labels), mask=mask, kind="randY")


def noisy(
    kind: str,
    examples: Labelled,
    classes: int,
    rng: torch.Generator,
    fraction: float = 1.0,
    how: str = "uniform",
) -> Noisy:
    """One of the kinds of data by its name: "real", "randX" or "randY"."""
    one_of("kind of noise", kind, KINDS)
    match kind:
        case "randX":
            return random_inputs(examples, rng, fraction)
        case "randY":
            return random_labels(examples, classes, rng, fraction, how)
        case _:
            nothing = torch.zeros(len(examples), dtype=torch.bool)
            return Noisy(examples=examples, mask=nothing, kind="real")


def _chosen(count: int, fraction: float, rng: torch.Generator) -> Tensor:
    """Which examples become noise: exactly round(fraction · n) of them."""
    if not (math.isfinite(fraction) and 0 <= fraction <= 1):
        raise UsageError(
            f"fraction must be between 0 and 1, got {fraction}.",
            "It is the share of examples that are made noise.",
            "Give 0 for none, 1 for all.",
        )
    mask = torch.zeros(count, dtype=torch.bool)
    mask[torch.randperm(count, generator=rng)[: round(fraction * count)]] = True
    return mask
