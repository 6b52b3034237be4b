"""Langevin Adversarial Sample Search: is there another prediction close by?

Arpit et al. 2017, section 4. An example x is *critical* when some x' with ‖x' − x‖_∞ ≤ r is predicted to be of another class than x is (predictions
are compared, labels are not needed). The *critical sample ratio* (CSR) is the share of examples that are; 0 to 1, higher: more decision boundaries
near the data. LASS looks for x', so what it finds is a lower bound:

    m(x) = log Σ_{j≠k} exp s_j − s_k,   k = argmax s(x) at the start
    x ← clip(x + α · sign ∂m/∂x + β · η, x_0 − r, x_0 + r),   η standard normal,   until argmax s(x) ≠ k

The paper's pseudo-code leaves the gradient open; the authors' released code, which is followed here, ascends the cross-entropy towards the model's own
prediction, at the moving point, in evaluation mode. That cross-entropy is log(1 + exp m), so its gradient has the sign of ∂m/∂x; m is used
because the cross-entropy of a sure model has a gradient of exactly 0 in single precision.

Released constants: α = 0.25, β = 0.2, r = 0.3 in steps of the 0–255 scale, at most 100 steps; a sample once critical stays critical. The released loop
ends when a step finds fewer than 20 new critical samples; that depends on how many are looked at, so here it is a share, and off by default.
Ours: the box of other inputs. Tables are measured in standard deviations of each feature, text is moved in its embeddings, measured in the standard
deviation of their coordinates, and padding stays where it is; α/r and β/r are as released for every r.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from secretaudit import _checks
from secretaudit.errors import ModelError
from secretaudit.suite.classifier import Classifier, logits
from secretaudit.suite.labelled import PADDING, Task

__all__ = ["Lass", "Search", "critical_sample_ratio", "released", "scale_of", "search"]

#: Constants of the authors' released code, in steps of the 0–255 scale.
ALPHA, BETA, RADIUS, ITERATIONS = 0.25, 0.2, 0.3, 100
#: Examples per pass; changes speed and memory, and which noise an example meets.
_BATCH = 256


@dataclass(frozen=True, kw_only=True)
class Lass:
    """Dials of the search; α, β and r are in units that ``scale_of`` gives the size of.

    Attributes:
        alpha: Step along the sign of the gradient.
        beta: Standard deviation of the noise of each step.
        radius: r, half the side of the box.
        iterations: Most steps.
        stop_below: Ends the search when a step finds fewer new critical samples than this share of all; 0 never does.
        valid_low: The least value that a coordinate can have, in the inputs' own units; ``None`` sets no bound.
        valid_high: The greatest.

    Raises:
        UsageError: A value out of its range.
    """

    alpha: float = ALPHA
    beta: float = BETA
    radius: float = RADIUS
    iterations: int = ITERATIONS
    stop_below: float = 0.0
    valid_low: float | None = None
    valid_high: float | None = None

    def __post_init__(self) -> None:
        _checks.positive("alpha", self.alpha)
        _checks.at_least("beta", self.beta, 0)
        _checks.positive("radius", self.radius)
        _checks.at_least("iterations", self.iterations, 1)
        _checks.at_least("stop_below", self.stop_below, 0)
        if self.valid_low is not None and self.valid_high is not None:
            _checks.at_least("valid_high", self.valid_high, self.valid_low)

    def at(self, radius: float) -> Lass:
        """The same search in another box: α and β grow with r, as the released ones stand to theirs."""
        factor = radius / self.radius
        return replace(self, radius=radius, alpha=self.alpha * factor, beta=self.beta * factor)


def released(radius: float, iterations: int = ITERATIONS) -> Lass:
    """The released search, in a box of another radius.

    >>> released(0.6).alpha
    0.5
    """
    return Lass(iterations=iterations).at(radius)


@dataclass(frozen=True, kw_only=True, eq=False)
class Search:
    """What a search found.

    Attributes:
        critical: Shape (n,), true where another prediction was found.
        points: Where the search stood last, of the shape of ``model.continuous(inputs)``: for a critical example a point of another class.
        steps: Shape (n,), steps that each example took.
    """

    critical: Tensor
    points: Tensor
    steps: Tensor

    @property
    def ratio(self) -> float:
        """The critical sample ratio."""
        return float(self.critical.double().mean())


def scale_of(task: Task, model: Classifier) -> Tensor:
    """The size of one unit of α, β and r in the points' own units; broadcasts over the points.

    One step of the 0–255 scale where the task has one; of text, the standard deviation of the coordinates of its training tokens' embeddings in this
    model; else the standard deviation of each feature (0 for a constant one, which is not moved).
    """
    if task.pixel is not None:
        return torch.tensor(task.pixel)
    if task.train.is_text:
        rows = task.train.inputs[:_BATCH]
        with torch.no_grad():
            points = model.continuous(rows)
        return points[rows != PADDING].std()
    return task.train.inputs.std(0, unbiased=False)


def search(
    model: Classifier,
    inputs: Tensor,
    lass: Lass,
    scale: Tensor | float,
    generator: torch.Generator,
) -> Search:
    """Look for another prediction in the box around each input.

    Args:
        model: Looked at in evaluation mode; put back into the mode that it was in.
        inputs: Shape (n, …), or token ids.
        lass: The dials.
        scale: The size of one unit; see ``scale_of``.
        generator: Of the noise.

    Raises:
        ModelError: The scores do not depend on the points.
    """
    was = model.training
    model.eval()
    try:
        return _search(model, inputs, lass, torch.as_tensor(scale), generator)
    finally:
        model.train(was)


def critical_sample_ratio(
    model: Classifier,
    inputs: Tensor,
    lass: Lass,
    scale: Tensor | float,
    generator: torch.Generator,
) -> float:
    """The share of the inputs that are critical; arguments as of ``search``."""
    return search(model, inputs, lass, scale, generator).ratio


def _search(
    model: Classifier, inputs: Tensor, lass: Lass, scale: Tensor, generator: torch.Generator
) -> Search:
    with torch.no_grad():
        start = torch.cat([model.continuous(some) for some in inputs.split(_BATCH)])
    own = _own(model, inputs)
    points = start.clone()
    steps = torch.zeros(len(inputs), dtype=torch.int64)
    critical = torch.zeros(len(inputs), dtype=torch.bool)
    for _ in range(lass.iterations):
        before = int(critical.sum())
        for rows in (~critical).nonzero()[:, 0].split(_BATCH):
            slope = _slope(model, points[rows], inputs[rows], own[rows])
            moved = _moved(points[rows], start[rows], slope, inputs[rows], lass, scale, generator)
            points[rows] = moved
            steps[rows] += 1
            with torch.no_grad():
                critical[rows] = model.from_continuous(moved, inputs[rows]).argmax(1) != own[rows]
        found = int(critical.sum())
        if found == len(inputs) or found - before < lass.stop_below * len(inputs):
            break
    return Search(critical=critical, points=points, steps=steps)


def _own(model: Classifier, inputs: Tensor) -> Tensor:
    """k, the model's own prediction on each input."""
    scores = logits(model, inputs)
    if scores.shape[1] < 2:
        raise ModelError(
            "The model gives one score per example.",
            "A prediction can only change between two classes or more.",
            "Give a classifier with one score per class.",
        )
    return scores.argmax(1)


def _slope(model: Classifier, points: Tensor, inputs: Tensor, own: Tensor) -> Tensor:
    """∂m/∂x at the points."""
    with torch.enable_grad():
        at = points.detach().requires_grad_(True)
        scores = model.from_continuous(at, inputs)
        mine = F.one_hot(own, scores.shape[1]).bool()
        others = scores.masked_fill(mine, float("-inf")).logsumexp(1)
        margin = (others - scores[mine]).sum()
        if margin.requires_grad:
            (slope,) = torch.autograd.grad(margin, at, allow_unused=True)
            if slope is not None:
                return slope.detach()
    raise ModelError(
        "The scores have no gradient by the input.",
        "The search follows that gradient.",
        "Give a torch model that passes gradients through.",
    )


def _moved(
    points: Tensor,
    start: Tensor,
    slope: Tensor,
    inputs: Tensor,
    lass: Lass,
    scale: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """One step, inside the box; padding does not move."""
    noise = torch.randn(points.shape, generator=generator)
    step = (lass.alpha * slope.sign() + lass.beta * noise) * scale
    moved = points + step
    moved = torch.minimum(
        torch.maximum(moved, start - lass.radius * scale), start + lass.radius * scale
    )
    if lass.valid_low is not None or lass.valid_high is not None:
        moved = moved.clamp(lass.valid_low, lass.valid_high)
    if not inputs.is_floating_point():
        moved = torch.where((inputs != PADDING).unsqueeze(-1), moved, start)
    return moved
