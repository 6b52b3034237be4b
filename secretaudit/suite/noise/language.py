"""Noise for language models: how much of a recipe is capacity to memorize, and what takes it away at no cost.

Arpit et al. 2017 hold networks on noise against networks on data; their networks are classifiers (section 2 of the paper, figures 5 to 8, 10 and 11
[read]). What follows carries their questions over to next-token prediction; how, is ours.

*Fit.* The same recipe on the real lines, on random text (``tokens``), on shuffled lines, and on mixtures. Real and random text have the same unigram
distribution, so a model that only counted would be equally good on both; what is fitted faster on real text is structure, and whatever is fitted of
random text is memorized. Epochs to a target accuracy of the next token, as in figure 6; a target that was never reached is told with what was reached.

*Capacity.* Bits of random text that the model has memorized, a lower bound, and the same per parameter (``language_cells``).

*Regularizers.* For each and each strength: bits of random text memorized (the paper's x axis is training accuracy on noise), bits per token of
clean held-out text (its y axis is clean validation accuracy), and, what the paper does not have, the exposure of canaries in the very training on clean text.
A regularizer buys privacy *at no cost* when its mean held-out bits are within the interval over seeds of the plain recipe, or below it, while exposure falls
(95 % interval of the paired differences below zero).

Seeds are paired: seed i gives the same noise, canaries, initial weights and order in all conditions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from secretaudit.suite.cells import Cell
from secretaudit.suite.language.noise_text import unit_entropy_bits
from secretaudit.suite.language.task import LanguageTask
from secretaudit.suite.noise.language_cells import Shared, one_training
from secretaudit.suite.noise.language_summary import (
    capacity,
    fit_of,
    judged_regularizers,
    orderings,
    sentence,
)
from secretaudit.suite.noise.settings import NoiseSettings
from secretaudit.suite.subject import LanguageSubject, Run
from secretaudit.training.settings import TrainingSettings

__all__ = ["measure"]


def measure(
    subject: LanguageSubject, settings: NoiseSettings, run: Run
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The part "language" of ``suite noise``.

    Args:
        subject: The text, and the recipe of the trainings.
        settings: The dials ``language_…``.
        run: Seed and cells.

    Returns:
        The part, and the orderings that were judged.

    Raises:
        UsageError: A format or a dial of the recipe that does not fit.
        CorpusError: Too few lines.
    """
    if subject.settings.arch == "encoder-decoder":
        return {
            "status": "not applicable",
            "sentence": "An encoder–decoder is trained on pairs, and this part is for models of plain text.",
        }, []
    task = _shortened(subject.task, settings.language_lines, run.seed)
    unit = unit_of(subject.settings, settings)
    training = subject.settings
    if settings.language_epochs is not None:
        training = replace(training, epochs=settings.language_epochs, steps=None)
    shared = Shared(task=task, training=training, settings=settings, unit=unit, place=run.place)
    plan = _plan(settings, run.seed)
    found = run.cells.run(
        [Cell(name=name, work=one_training, arguments=arguments) for name, arguments in plan],
        shared,
        identity=run.identity + repr(settings),
        stage="language models",
    )
    return _part(shared, found)


def unit_of(training: TrainingSettings, settings: NoiseSettings) -> str:
    """What noise is made of: as asked, or characters where tokens are characters, else words."""
    if settings.language_unit != "auto":
        return settings.language_unit
    characters = training.base is None and (training.tokenizer or "char") == "char"
    return "character" if characters else "word"


def _shortened(task: LanguageTask, most: int, seed: int) -> LanguageTask:
    """So many lines of the task at most, in their order; of those held out half as many."""
    rng = np.random.default_rng([seed, 7])

    def some(lines: tuple[str, ...], count: int) -> tuple[str, ...]:
        if len(lines) <= count:
            return lines
        return tuple(lines[i] for i in sorted(rng.permutation(len(lines))[:count].tolist()))

    return replace(
        task, train=some(task.train, most), held_out=some(task.held_out, max(2, most // 2))
    )


def _plan(settings: NoiseSettings, seed: int) -> list[tuple[str, dict[str, Any]]]:
    """All trainings: name and arguments."""
    plan = []
    seeds = np.random.SeedSequence([seed, 17]).generate_state(settings.language_seeds).tolist()
    texts = [("real", 1.0), ("tokens", 1.0), ("shuffled", 1.0)]
    texts += [("tokens", share) for share in settings.language_shares if share < 1.0]
    changes = [
        *(("dropout", value) for value in settings.language_dropout),
        *(("weight decay", value) for value in settings.language_weight_decay),
        *(("early stopping", float(value)) for value in settings.language_patience),
        *(("privacy", value) for value in settings.language_noise_multipliers),
    ]
    for number, own in enumerate(seeds):
        for kind, share in texts:
            name = f"language/{text_name(kind, share)}/none/0/{number}"
            plan.append((name, _arguments(kind, share, "none", 0.0, own, looks=True)))
        for regularizer, value in changes:
            for kind in ("real", "tokens"):
                name = f"language/{kind}/{regularizer}/{value:g}/{number}"
                plan.append((name, _arguments(kind, 1.0, regularizer, value, own, looks=False)))
    return plan


def text_name(kind: str, share: float) -> str:
    """A condition by name, such as "tokens 0.5"."""
    return kind if share == 1.0 else f"{kind} {share:g}"


def _arguments(
    kind: str, share: float, regularizer: str, value: float, seed: int, *, looks: bool
) -> dict[str, Any]:
    return {
        "kind": kind,
        "share": share,
        "regularizer": regularizer,
        "value": value,
        "seed": seed,
        "looks": looks,
    }


def _part(
    shared: Shared, found: dict[str, dict[str, Any]]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Trainings, gathered by condition over seeds."""
    gathered: dict[tuple[str, str, float], list[dict[str, Any]]] = {}
    for name, result in found.items():
        _, text, regularizer, value, _ = name.split("/")
        gathered.setdefault((text, regularizer, float(value)), []).append(result)
    failed = {
        f"{text}, {regularizer} {value:g}" if regularizer != "none" else text: first["failed"]
        for (text, regularizer, value), results in gathered.items()
        if (first := next((r for r in results if "failed" in r), None)) is not None
    }
    whole = {key: rows for key, rows in gathered.items() if not any("failed" in r for r in rows)}
    plain = {text: rows for (text, name, _), rows in whole.items() if name == "none"}
    part: dict[str, Any] = {
        "unit": shared.unit,
        "entropy_bits_per_unit": unit_entropy_bits(
            (*shared.task.train, *shared.task.held_out), shared.unit
        ),
        "lines": len(shared.task.train),
        "epochs": shared.training.epochs,
        "seeds": shared.settings.language_seeds,
        "target_accuracy": shared.settings.language_target,
        "fit": {
            text: fit_of(rows, shared.settings.language_target) for text, rows in plain.items()
        },
        "capacity": capacity(plain.get("tokens")),
        "regularizers": judged_regularizers(whole),
        "failed": failed,
    }
    if "real" not in plain or "tokens" not in plain:
        return {"status": "could not measure", "sentence": _why(failed), **part}, []
    return {"status": "measured", "sentence": sentence(part), **part}, orderings(part, plain)


def _why(failed: dict[str, str]) -> str:
    name, why = next(iter(failed.items()))
    return f"Trainings failed, the first on {name}: {why}"
