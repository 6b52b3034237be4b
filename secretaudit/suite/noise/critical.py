"""Critical samples while a network learns: real data, noise, and mixtures (Arpit et al. 2017, section 4, figures 7 to 9).

The critical sample ratio (CSR, see ``lass``) is the share of examples with another prediction within a small box. A network that fits noise has decision
boundaries everywhere, so its CSR on held-out examples is high; one that has learnt a simple pattern has few of them near the data.

The paper's claims [read]: CSR on held-out examples is much higher for randX and randY than for real data, all along the training; the more noise is mixed
in (20 to 80 %), the higher the CSR and the lower the held-out accuracy; with random labels mixed in, held-out accuracy is best *before*
training accuracy is high, and the CSR climbs from there on.

Ours: held-out examples are the clean ones under every condition, and of randX random ones besides; several radii are looked at, since the paper's box of
0.3 steps of 255 is small for inputs of few pixels, and the paper says that other radii gave the same picture. Looks are at geometrically spaced
epochs. A model that the user brought is looked at as it is.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from secretaudit.suite.cells import Cell
from secretaudit.suite.classifier import Classifier
from secretaudit.suite.fitting import Epoch, Fit, accuracy, fit
from secretaudit.suite.labelled import Labelled, Task
from secretaudit.suite.noise.builders import generator, noisy, random_inputs_like
from secretaudit.suite.noise.critical_summary import condition, sentence
from secretaudit.suite.noise.critical_summary import orderings as orderings_of
from secretaudit.suite.noise.judging import Shared, training_of
from secretaudit.suite.noise.lass import Lass, critical_sample_ratio, scale_of
from secretaudit.suite.noise.settings import NoiseSettings
from secretaudit.suite.subject import ClassifierSubject, Run

__all__ = ["look_epochs", "measure", "ratios", "searches"]

#: Stands for this part among the offsets of the seed.
_OFFSET = 33


def measure(
    subject: ClassifierSubject, settings: NoiseSettings, run: Run
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Part "critical": CSR on held-out and training examples during trainings on data and on noise.

    Returns:
        The part, and the paper's orderings.
    """
    wanted = [("real", 0.0)] + [
        (kind, share) for kind in ("randX", "randY") for share in (*settings.csr_fractions, 1.0)
    ]
    cells = [
        Cell(
            name=f"critical/{kind}/{share}/{number}",
            work=_trained,
            arguments={"kind": kind, "fraction": share, "number": number},
        )
        for number in range(settings.csr_seeds)
        for kind, share in wanted
    ]
    cells.append(Cell(name="critical/given", work=_given))
    done = run.cells.run(
        cells,
        Shared(subject=subject, settings=settings, seed=run.seed),
        identity=f"{run.identity} {settings!r}",
        stage="critical samples",
    )
    conditions = [
        condition(
            kind,
            share,
            [done[f"critical/{kind}/{share}/{number}"] for number in range(settings.csr_seeds)],
        )
        for kind, share in wanted
    ]
    given = done["critical/given"]["found"]
    part = _part(subject.task, settings, conditions, given)
    orderings = orderings_of(part["radii"], conditions)
    for one in conditions:
        del one["seeds"]
    return part, orderings


def look_epochs(epochs: int, looks: int) -> list[int]:
    """At most ``looks`` epochs, geometrically spaced, the first and the last among them.

    >>> look_epochs(100, 5)
    [1, 3, 10, 32, 100]
    """
    if looks < 2 or epochs < 2:
        return [epochs]
    return sorted({round(epochs ** (i / (looks - 1))) for i in range(looks)})


def searches(task: Task, settings: NoiseSettings) -> list[Lass]:
    """The searches of the part, one per radius, in the unit of the task."""
    radii = settings.csr_radii if task.pixel is not None else settings.csr_deviation_radii
    low, high = None, None
    if settings.csr_clip and not task.train.is_text:
        low, high = float(task.train.inputs.min()), float(task.train.inputs.max())
    one = Lass(
        alpha=settings.csr_alpha,
        beta=settings.csr_beta,
        iterations=settings.csr_iterations,
        stop_below=settings.csr_stop_below,
        valid_low=low,
        valid_high=high,
    )
    return [one.at(radius) for radius in radii]


def ratios(
    model: Classifier, inputs: Tensor, searched: list[Lass], scale: Tensor, seed: int
) -> list[float]:
    """CSR of some inputs at each radius; the noise of the search is the same for every radius."""
    return [
        critical_sample_ratio(model, inputs, lass, scale, generator(seed, _OFFSET, 1))
        for lass in searched
    ]


def _looked(
    model: Classifier, task: Task, sets: dict[str, Tensor], settings: NoiseSettings, seed: int
) -> dict[str, list[float]]:
    """CSR at each radius of each set of inputs."""
    scale, searched = scale_of(task, model), searches(task, settings)
    return {name: ratios(model, inputs, searched, scale, seed) for name, inputs in sets.items()}


def _trained(shared: Shared, kind: str, fraction: float, number: int) -> dict[str, Any]:
    """A cell: one training under one condition, looked at on the way."""
    settings, task = shared.settings, shared.subject.task
    base = task.train.first(settings.csr_training)
    rng = generator(shared.seed, _OFFSET, 2, number)
    examples = noisy(kind, base, task.classes, rng, fraction, settings.labels).examples
    sets = _sets(task, examples, kind, settings, generator(shared.seed, _OFFSET, 3, number))
    start = generator(shared.seed, _OFFSET, 4, number).initial_seed()
    at, looks = set(look_epochs(settings.csr_epochs, settings.csr_looks)), []

    def watch(model: Classifier, epoch: Epoch) -> None:
        if epoch.epoch in at:
            looks.append(
                {"epoch": epoch.epoch, "csr": _looked(model, task, sets, settings, shared.seed)}
            )

    done = fit(
        shared.subject.learner.fresh(start),
        examples,
        training_of(settings, "csr"),
        start,
        held_out=task.held_out,
        watch=watch,
    )
    return {"status": done.status, "looks": looks, **_accuracies(done)}


def _accuracies(done: Fit) -> dict[str, Any]:
    """Of every epoch."""
    return {
        "train_accuracy": done.curve("train_accuracy"),
        "held_out_accuracy": done.curve("held_out_accuracy"),
    }


def _sets(
    task: Task, examples: Labelled, kind: str, settings: NoiseSettings, rng: Any
) -> dict[str, Tensor]:
    """What is looked at: held-out examples, training examples as they were trained on, and for randX random ones that were held out."""
    held = task.held_out.first(settings.csr_examples).inputs
    sets = {"held_out": held, "training": examples.first(settings.csr_examples).inputs}
    if kind == "randX":
        sets["held_out_noise"] = random_inputs_like(held, task.train.inputs, rng)
    return sets


def _given(shared: Shared) -> dict[str, Any]:
    """A cell: the user's model, as it is."""
    model, settings, task = shared.subject.learner.given(), shared.settings, shared.subject.task
    if model is None:
        return {"found": None}
    sets = {
        "held_out": task.held_out.first(settings.csr_examples).inputs,
        "training": task.train.first(settings.csr_examples).inputs,
    }
    return {
        "found": {
            "csr": _looked(model, task, sets, settings, shared.seed),
            "train_accuracy": accuracy(model, task.train),
            "held_out_accuracy": accuracy(model, task.held_out),
        }
    }


def _part(
    task: Task, settings: NoiseSettings, conditions: list[dict[str, Any]], given: Any
) -> dict[str, Any]:
    diverged = sum(one["diverged"] for one in conditions)
    known = [one for one in conditions if one["looks"]]
    short = "steps of 255" if task.pixel is not None else "standard deviations"
    return {
        "status": "measured" if known else "could not measure",
        "sentence": sentence(known, diverged, searches(task, settings)[-1].radius, short),
        "unit": "steps of the 0–255 scale"
        if task.pixel is not None
        else "standard deviations of the inputs",
        "radii": [lass.radius for lass in searches(task, settings)],
        "alpha": settings.csr_alpha,
        "beta": settings.csr_beta,
        "iterations": settings.csr_iterations,
        "examples": min(settings.csr_examples, len(task.held_out)),
        "trained_on": min(settings.csr_training, len(task.train)),
        "diverged": diverged,
        "conditions": conditions,
        "given": given,
    }
