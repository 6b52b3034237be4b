"""Language models: does memorizing random text first make a model give away more of its canaries? All of this is ours.

Predicting the next token is classification, so random continuations are random labels. For one seed, with the tokenizer and the settings the same throughout:

    scratch        random weights → real text with canaries
    pre-trained    the same random weights → random text → the same real text with the same canaries, the same order, rate and number of epochs

Random text is made of the real lines (``language.noise_text``) and has no canaries. Compared are the bits per token on lines that neither saw, and the exposure of each
canary, log2 |R| − log2 rank in bits: more is more memorized. The difference is taken canary by canary, averaged over the inserted canaries of a seed, and its interval is
Student's t over the seeds. A model that was memorizing already may memorize canaries sooner: the paper's "memorization infrastructure", read as a risk.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from secretaudit.errors import UsageError
from secretaudit.suite.cells import Cell
from secretaudit.suite.language.noise_text import noisy_lines
from secretaudit.suite.language.records import open_records, record_nats
from secretaudit.suite.language.training import TrainedModel, exposures, train_model
from secretaudit.suite.pretraining.settings import PretrainingSettings
from secretaudit.suite.statistics import mean_interval, paired_difference
from secretaudit.suite.subject import LanguageSubject, Run
from secretaudit.suite.wording import counted, interval, said
from secretaudit.training.base import SHAPE
from secretaudit.training.run import train
from secretaudit.training.settings import TrainingSettings

__all__ = ["continuations_part", "noise_settings", "run", "tuned_settings"]

_NATS_TO_BITS = 1.0 / float(np.log(2.0))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Shared:
    """What every seed works with."""

    subject: LanguageSubject
    settings: PretrainingSettings
    seed: int
    place: Path | None


def run(
    subject: LanguageSubject, settings: PretrainingSettings, run: Run
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The part "continuations"; there is no ordering of the paper to hold it against.

    Raises:
        UsageError: The training is one of adapters or ends in quantized weights.
    """
    _refuse(subject.settings)
    cells = [
        Cell(name=f"continuations/{index}", work=one_seed, arguments={"index": index})
        for index in range(settings.seeds)
    ]
    shared = _Shared(subject=subject, settings=settings, seed=run.seed, place=run.place)
    identity = f"{run.identity} {run.seed} {settings!r}"
    found = run.cells.run(cells, shared, identity=identity, stage="continuations")
    return {"continuations": continuations_part(list(found.values()))}, []


def _refuse(settings: TrainingSettings) -> None:
    """Trainings whose result cannot be trained on."""
    for is_so, what in (
        (settings.lora is not None, "adapters"),
        (settings.quantize is not None, "quantized weights"),
    ):
        if is_so:
            raise UsageError(
                f"A model of {what} cannot be pre-trained on random text.",
                "Its weights are not trained on when real text follows.",
                f"Leave out the settings that ask for {what}.",
            )


def noise_settings(
    settings: TrainingSettings, scratch: TrainingSettings, noise_epochs: int | None
) -> TrainingSettings:
    """How the random text is trained on: as the real text is, with its tokenizer, for a number of epochs of its own, and never private (it is nobody's).

    Args:
        settings: Of the subject.
        scratch: With which the control was trained: seed, layout and tokenizer are taken from there.
        noise_epochs: Passes; ``None``: as long as the control.
    """
    return replace(
        settings,
        seed=scratch.seed,
        layout=scratch.layout,
        tokenizer=scratch.tokenizer,
        vocabulary_size=None,
        minimum_frequency=1,
        validation=0.0,
        keep="last",
        patience=None,
        deduplicate=False,
        privacy=None,
        epochs=settings.epochs if noise_epochs is None else noise_epochs,
        steps=settings.steps if noise_epochs is None else None,
    )


def tuned_settings(settings: TrainingSettings, base: Path) -> TrainingSettings:
    """The subject's settings from other weights: the same rate, although a base would usually have a smaller one; the shape is the base's."""
    usual = TrainingSettings()
    return replace(
        settings,
        **{name: getattr(usual, name) for name in SHAPE},
        base=str(base),
        config=None,
        tokenizer=None,
        learning_rate=settings.rate,
    )


def one_seed(shared: _Shared, *, index: int) -> dict[str, Any]:
    """Control, random text, and real text after it."""
    seed = int(np.random.SeedSequence((shared.seed, index)).generate_state(1)[0]) & 0x7FFFFFFF
    task, settings = shared.subject.task, shared.settings
    with tempfile.TemporaryDirectory(prefix="pretraining-", dir=shared.place) as name:
        place = Path(name)
        scratch = train_model(task, task.train, shared.subject.settings, seed, place / "scratch")
        noise = noisy_lines(
            task.train, settings.noise, settings.unit, 1.0, np.random.default_rng([seed, 1])
        )
        memorized = _on_noise(noise, scratch, shared, place)
        tuned = train_model(
            task,
            task.train,
            tuned_settings(shared.subject.settings, place / "memorized"),
            seed,
            place / "tuned",
        )
        return {
            "noise_bits": [look["training"] for look in memorized["losses"]],
            "scratch": _measured(scratch, task.held_out, seed),
            "pre-trained": _measured(tuned, task.held_out, seed),
        }


def _on_noise(
    noise: Sequence[str], scratch: TrainedModel, shared: _Shared, place: Path
) -> dict[str, Any]:
    """Train on the random text from the control's initial weights; ``found`` of the training's record."""
    text = place / "noise.jsonl"
    rows = (json.dumps({"text": line}, ensure_ascii=False) for line in noise)
    text.write_text("\n".join(rows) + "\n", "utf-8")
    settings = noise_settings(
        shared.subject.settings, scratch.settings, shared.settings.noise_epochs
    )
    return train(text, place / "memorized", settings=settings).found


def _measured(trained: TrainedModel, held_out: Sequence[str], seed: int) -> dict[str, Any]:
    """Bits on held-out lines and exposures of the canaries."""
    losses = record_nats(open_records(trained.directory, list(held_out)))
    rows = exposures(trained, seed)
    return {
        "held_out_bits": losses.nats_per_token * _NATS_TO_BITS,
        "training_bits": trained.found["train_loss_bits_per_token"],
        "curve": [look["training"] for look in trained.found["losses"]],
        "exposures": [
            {
                "id": row["id"],
                "insertions": row["insertions"],
                "bits": row["exposure_low_bits"]
                if row["exposure_bits"] is None
                else row["exposure_bits"],
                "is_bound": row["exposure_bits"] is None,
            }
            for row in rows
        ],
    }


def continuations_part(per_seed: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the seeds say together.

    Returns:
        The part of the record: ``held_out_bits`` and ``exposure_bits`` of both conditions with intervals, ``held_out_difference`` and ``exposure_difference`` (pre-trained minus
        scratch, paired), the same by number of insertions, and the random text's bits by epoch.
    """
    names = ("scratch", "pre-trained")
    times = sorted({row["insertions"] for row in per_seed[0]["scratch"]["exposures"]})
    by_times = {str(count): _exposure(per_seed, [count]) for count in times}
    inserted = _exposure(per_seed, [count for count in times if count])
    held = {name: [seed[name]["held_out_bits"] for seed in per_seed] for name in names}
    part: dict[str, Any] = {
        "status": "measured",
        "seeds": len(per_seed),
        "held_out_bits": {name: mean_interval(held[name]) for name in names},
        "held_out_difference": paired_difference(held["pre-trained"], held["scratch"]),
        "exposure_bits": inserted["bits"],
        "exposure_difference": inserted["difference"],
        "by_insertions": by_times,
        "bounds": sum(
            row["is_bound"]
            for seed in per_seed
            for name in names
            for row in seed[name]["exposures"]
        ),
        "noise_bits": np.mean([seed["noise_bits"] for seed in per_seed], axis=0).tolist(),
        "curves": {
            name: np.mean([seed[name]["curve"] for seed in per_seed], axis=0).tolist()
            for name in names
        },
        "per_seed": list(per_seed),
    }
    part["sentence"] = _sentence(part)
    return part


def _exposure(per_seed: Sequence[dict[str, Any]], times: Sequence[int]) -> dict[str, Any]:
    """Mean exposure of the canaries with some numbers of insertions, and the paired difference."""
    means = {
        name: [
            float(np.mean([r["bits"] for r in seed[name]["exposures"] if r["insertions"] in times]))
            for seed in per_seed
        ]
        for name in ("scratch", "pre-trained")
    }
    return {
        "bits": {name: mean_interval(values) for name, values in means.items()},
        "difference": paired_difference(means["pre-trained"], means["scratch"]),
    }


def _sentence(part: dict[str, Any]) -> str:
    gain, held = part["exposure_difference"], part["held_out_difference"]
    bits = part["exposure_bits"]
    text = (
        f"After pre-training on random text the inserted canaries have an exposure of {bits['pre-trained']['mean']:.1f} bits, from scratch {bits['scratch']['mean']:.1f}: "
        f"{said(gain['mean'], '+.1f')} bits"
    )
    if gain["low"] is None:
        return text + ", one seed, no interval."
    text += f"{interval(gain, '+.1f')}, {counted(gain['n'], 'paired seed')}"
    verdict = (
        "it raises exposure"
        if gain["low"] > 0
        else "it lowers exposure"
        if gain["high"] < 0
        else "no difference is shown"
    )
    return f"{text}; {verdict}. Held-out text costs {said(held['mean'], '+.3f')} bits per token more{interval(held, '+.3f')}."
