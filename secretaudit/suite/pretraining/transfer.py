"""From memorized random labels to true ones, beside a network that differs in nothing else.

For one seed: θ_0 are random weights, θ_R what memorization made of them, and h a new random head. All conditions are trained on the same true labels in the
same order, for the same epochs, with the same head h:

    pre-trained        body of θ_R
    scratch            body of θ_0: the control that is paired with it
    rescaled           body of θ_0, each tensor w multiplied by ‖w_R‖ / ‖w_0‖ (Frobenius norms)
    re-initialized j   body of θ_R, its last j layers drawn anew

The paper compares the same network with and without the pre-training (read); whether it drops the head is not known. The last two conditions are ours; their reason is
Maennel et al. 2020 (read in part): random labels can help *even after weight scaling is accounted for*, and specialized late layers can hide it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from secretaudit.suite.classifier import Classifier, copied, layer
from secretaudit.suite.fitting import FitSettings, fit
from secretaudit.suite.labelled import Labelled
from secretaudit.suite.pretraining.heads import body_layers, copy_layers, last_layers

__all__ = ["epochs_to", "fine_tuned", "rescale_body", "starting_points"]


def rescale_body(model: nn.Module, like: nn.Module, head: str) -> None:
    """Multiply each parameter of the body so that it has the norm it has in another model; zeros stay zeros.

    Args:
        model: Changed in place.
        like: The same kind of model, whose norms are taken.
        head: Left as it is.
    """
    with torch.no_grad():
        for name in body_layers(model, head):
            theirs = dict(layer(like, name).named_parameters(recurse=False))
            for key, value in layer(model, name).named_parameters(recurse=False):
                norm = value.norm()
                if float(norm) > 0:
                    value.mul_(theirs[key].norm() / norm)


def starting_points(
    pretrained: Classifier,
    scratch: Classifier,
    other: Classifier,
    head: str,
    *,
    reinitialize: Iterable[int] = (),
    rescale: bool = True,
) -> dict[str, Classifier]:
    """The conditions' networks before fine-tuning, by name; all have the head of ``other``.

    Args:
        pretrained: After memorization, with a head as wide as the others'.
        scratch: The random weights that memorization began with.
        other: Other random weights: the new head, and new last layers, come from it.
        head: Name of the head.
        reinitialize: Numbers of last layers, one condition each.
        rescale: Whether "rescaled" is among them.
    """
    made = {"scratch": copied(scratch), "pre-trained": copied(pretrained)}
    if rescale:
        made["rescaled"] = copied(scratch)
        rescale_body(made["rescaled"], pretrained, head)
    for count in reinitialize:
        made[f"re-initialized {count}"] = again = copied(pretrained)
        copy_layers(other, again, last_layers(again, head, count))
    for model in made.values():
        copy_layers(other, model, [head])
    return made


def fine_tuned(
    model: Classifier, examples: Labelled, held_out: Labelled, settings: FitSettings, seed: int
) -> dict[str, Any]:
    """Train on the true labels; held-out accuracy after every epoch, in [0, 1].

    Returns:
        ``status``, ``curve`` (held-out accuracy by epoch), ``train`` (training accuracy by epoch) and ``final`` (the last held-out accuracy; ``None`` when
        it diverged).
    """
    found = fit(model, examples, settings, seed, held_out=held_out)
    diverged = found.status == "diverged"
    return {
        "status": found.status,
        "curve": found.curve("held_out_accuracy"),
        "train": found.curve("train_accuracy"),
        "final": None if diverged else found.held_out_accuracy,
    }


def epochs_to(curve: Iterable[float], accuracy: float) -> int | None:
    """The first epoch, from 1, whose accuracy is at least so high; ``None`` if none is.

    >>> epochs_to([0.2, 0.5, 0.4, 0.6], 0.5)
    2
    """
    return next((at for at, value in enumerate(curve, 1) if value >= accuracy), None)
