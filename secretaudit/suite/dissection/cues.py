"""Graded cues: which of two patterns that both give the class away does a network use?

Every training example gets, beside its own content, a *cue* that tells its class by another and simpler pattern. Either would do. Held-out examples that carry
the cue of *another* class tell which was used: the prediction is the cue's class, the content's class, or neither.

Cues have grades of complexity:

- numbers (images, clips, tables): m pixels (features), drawn per class, are set to the largest value that occurs in training. More pixels weigh more in
  every linear combination, so a larger m is simpler.
- text: a phrase of g tokens is put in front. The token at place j says a digit d_j in 0 … K − 1, and the class is Σ d_j mod K. With g = 1 a single token
  gives the class; with g = 2 neither token alone says anything; so a larger g is more complex. The tokens are a text's own vocabulary's rarest ones.

That networks prioritize simple patterns is Gu & Tresp's (2019, abstract); how they built the patterns is not known to us, and this construction is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from secretaudit.errors import UsageError
from secretaudit.suite.labelled import PADDING, Labelled, Task

__all__ = ["Cue", "Phrase", "Pixels", "conflicting", "cue_for"]


class Cue:
    """Writes the cue of a class into each example."""

    def write(self, inputs: Tensor, classes: Tensor, rng: np.random.Generator) -> Tensor:
        """Inputs with the cues of the given classes, shape as given.

        Args:
            inputs: Shape (n, …).
            classes: Shape (n,): the class whose cue each gets.
            rng: Draws what the cue leaves open.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True, eq=False)
class Pixels(Cue):
    """Some places set to one value.

    Attributes:
        places: Shape (K, m): places of each class among the last two dimensions (images, clips) or the features (tables), flattened.
        value: What is written.
    """

    places: Tensor
    value: float

    def write(self, inputs: Tensor, classes: Tensor, rng: np.random.Generator) -> Tensor:  # noqa: ARG002  (nothing is left open)
        """All channels and frames of the places set to the value."""
        flat = inputs.clone().flatten(-2) if inputs.ndim > 2 else inputs.clone()
        rows = flat.reshape(len(inputs), -1, flat.shape[-1])
        where = self.places[classes].unsqueeze(1).expand(-1, rows.shape[1], -1)
        return rows.scatter(2, where, self.value).reshape(inputs.shape)


@dataclass(frozen=True, kw_only=True, eq=False)
class Phrase(Cue):
    """Tokens in front that say the class together.

    Attributes:
        tokens: Shape (g, K): the token at place j for digit d.
    """

    tokens: Tensor

    def write(self, inputs: Tensor, classes: Tensor, rng: np.random.Generator) -> Tensor:
        """The phrase, then the text as far as it has place."""
        places, base = self.tokens.shape
        digits = torch.from_numpy(rng.integers(0, base, (len(inputs), places)))
        digits[:, -1] = (classes - digits[:, :-1].sum(1)) % base
        phrase = torch.stack([self.tokens[j][digits[:, j]] for j in range(places)], 1)
        return torch.cat([phrase, inputs], 1)[:, : inputs.shape[1]]


def cue_for(task: Task, grade: int, rng: np.random.Generator) -> Cue:
    """A cue of a grade for a task: ``grade`` pixels (features), or tokens.

    Raises:
        UsageError: There are not as many places, or the vocabulary has no room for the cue's tokens.
    """
    if task.kind == "text":
        return _phrase(task, grade, rng)
    size = task.shape[-1] * (task.shape[-2] if len(task.shape) > 1 else 1)
    if grade >= size:
        raise UsageError(
            f"A cue of {grade} pixels does not fit into {size}.",
            "The content must stay visible beside the cue.",
            "Give smaller cue_pixels.",
        )
    places = np.stack([rng.permutation(size)[:grade] for _ in range(task.classes)])
    return Pixels(places=torch.from_numpy(places), value=float(task.train.inputs.max()))


def conflicting(labels: Tensor, classes: int, rng: np.random.Generator) -> Tensor:
    """For each label another class, uniformly, shape (n,)."""
    return (labels + torch.from_numpy(rng.integers(1, classes, len(labels)))) % classes


def cued(
    examples: Labelled, cue: Cue, classes: Tensor | None, rng: np.random.Generator
) -> Labelled:
    """Examples with the cues of the given classes, or of their own labels; the labels stay."""
    shown = examples.labels if classes is None else classes
    return Labelled(inputs=cue.write(examples.inputs, shown, rng), labels=examples.labels)


def _phrase(task: Task, grade: int, rng: np.random.Generator) -> Phrase:
    """Its tokens: the rarest of the vocabulary, which the texts have least to say with."""
    wanted = grade * task.classes
    counts = torch.bincount(task.train.inputs.flatten(), minlength=task.vocabulary)
    usable = [t for t in torch.argsort(counts, stable=True).tolist() if t != PADDING]
    if wanted > len(usable) // 2 or grade >= task.shape[0]:
        raise UsageError(
            f"A cue of {grade} tokens does not fit.",
            f"It needs {wanted} of {len(usable)} tokens, and texts have at most {task.shape[0]}.",
            "Give fewer cue_tokens.",
        )
    chosen = rng.permutation(np.array(usable[:wanted])).reshape(grade, task.classes)
    return Phrase(tokens=torch.from_numpy(chosen))
