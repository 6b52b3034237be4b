"""The options of ``train``: one per dial of ``TrainingSettings``, ``PrivacySettings`` and ``LoraSettings``, and of the monitor.

Names and defaults are those of the settings (a test holds the two against each other); importing the settings here would be cheap, but what
they need is not, and ``--help`` has to answer at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click

from secretaudit.cli.sections import SectionedOption

_SHARE = click.FloatRange(min=0, max=1, max_open=True)
_COUNT = click.IntRange(min=1)
_LEAST_0 = click.FloatRange(min=0)
_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


class Seconds(click.ParamType[float]):
    """A time such as 90s, 45min or 2h; a bare number is seconds."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The time in seconds."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h|d)?", str(value))
        if found is None or float(found[1]) == 0:
            self.fail(f"{value!r} is no time; write 90s, 45min or 2h.", param, ctx)
        return float(found[1]) * _UNITS[found[2] or "s"]


class Every(click.ParamType[int | str]):
    """A number of steps, or the word epoch (which is None here)."""

    name = "steps|epoch"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        """The steps, or "epoch"."""
        if value == "epoch":
            return "epoch"
        if not str(value).isdigit() or int(value) == 0:
            self.fail(f"{value!r} is neither a number of steps nor the word epoch.", param, ctx)
        return int(value)


Spec = tuple[tuple[str, ...], dict[str, Any]]


def _choice(*names: str) -> click.Choice[str]:
    return click.Choice(names)


_SECTIONS: dict[str, tuple[Spec, ...]] = {
    "The model": (
        (
            ("--arch",),
            {
                "type": _choice("lstm", "gru", "transformer", "convolution", "encoder-decoder"),
                "default": "lstm",
                "show_default": True,
                "help": "Kind of a new model.",
            },
        ),
        (("--base",), {"metavar": "MODEL", "help": "Fine-tune this model directory instead."}),
        (
            ("--config",),
            {
                "metavar": "FILE",
                "help": "Shape of a new model: a config.json of transformers, or a directory with one.",
            },
        ),
        (("--layers",), {"type": _COUNT, "default": 2, "show_default": True, "help": "Layers."}),
        (
            ("--units",),
            {"type": _COUNT, "default": 200, "show_default": True, "help": "Width of each layer."},
        ),
        (("--heads",), {"type": _COUNT, "help": "Attention heads; by default one per 64 units."}),
        (
            ("--embedding",),
            {"type": _COUNT, "help": "Width of a recurrent model's embedding; by default as --units."},
        ),
        (("--tied",), {"is_flag": True, "help": "Share the weights of embedding and output."}),
        (
            ("--lora", "lora_rank"),
            {"type": _COUNT, "metavar": "RANK", "help": "Train low-rank adapters on --base instead of its weights."},
        ),
        (
            ("--lora-alpha",),
            {"type": click.FloatRange(min=0, min_open=True), "help": "Scale of the adapters, times the rank; by default twice the rank."},
        ),
        (
            ("--lora-targets",),
            {"metavar": "NAMES", "help": "Layers to adapt, with commas between; by default the usual ones."},
        ),
        (
            ("--lora-dropout",),
            {"type": _SHARE, "default": 0.0, "show_default": True, "help": "On the adapters' inputs."},
        ),
    ),
    "The text": (
        (
            ("--tokenizer",),
            {"metavar": "KIND", "help": "char (the default), word or bpe, made from the corpus; or a directory."},
        ),
        (("--vocabulary-size",), {"type": _COUNT, "help": "Most tokens (word, bpe)."}),
        (
            ("--minimum-frequency",),
            {"type": _COUNT, "default": 1, "show_default": True, "help": "What is seen less often gets no token (word, bpe)."},
        ),
        (
            ("--layout",),
            {
                "type": _choice("lanes", "packed", "records"),
                "help": "Rows: lanes with carried state (recurrent), packed records (transformers), single records (private).",
            },
        ),
        (("--sequence-length",), {"type": _COUNT, "help": "Tokens per row; by default 64 in lanes, else 256."}),
        (("--shuffle/--no-shuffle",), {"default": None, "help": "New order in each epoch; by default yes, except in lanes."}),
        (
            ("--validation",),
            {"type": _SHARE, "default": 0.05, "show_default": True, "help": "Share of records held out."},
        ),
        (("--deduplicate",), {"is_flag": True, "help": "Leave out records that were there before, word for word."}),
        (
            ("--text-column",),
            {"default": "text", "show_default": True, "help": "Field of the text in a plain corpus."},
        ),
        (
            ("--source-column",),
            {"metavar": "NAME", "help": "Field of the source in a plain corpus of parallel text."},
        ),
    ),
    "Optimization": (
        (
            ("--optimizer",),
            {"type": _choice("adam", "adamw", "sgd", "rmsprop"), "default": "adam", "show_default": True, "help": "How the weights move."},
        ),
        (("--learning-rate",), {"type": float, "help": "By default the optimizer's usual one."}),
        (
            ("--schedule",),
            {"type": _choice("constant", "linear", "cosine"), "default": "constant", "show_default": True, "help": "Of the learning rate, after warm-up."},
        ),
        (("--warmup-steps",), {"type": click.IntRange(min=0), "default": 0, "show_default": True, "help": "Steps in which the rate rises."}),
        (("--momentum",), {"type": _SHARE, "default": 0.0, "show_default": True, "help": "Of sgd and rmsprop."}),
        (("--weight-decay",), {"type": _LEAST_0, "default": 0.0, "show_default": True, "help": "Pull of the weights towards 0."}),
        (("--dropout",), {"type": _SHARE, "help": "Probability to drop an activation; by default 0, or the base's own."}),
        (("--label-smoothing",), {"type": _SHARE, "default": 0.0, "show_default": True, "help": "Share of the target spread over all tokens."}),
        (("--gradient-clip",), {"type": _LEAST_0, "default": 1.0, "show_default": True, "help": "Largest norm of the gradient; 0 does not clip."}),
        (("--batch-size",), {"type": _COUNT, "default": 64, "show_default": True, "help": "Rows per step."}),
        (("--physical-batch-size",), {"type": _COUNT, "help": "Rows in memory at a time (gradient accumulation); changes no result."}),
        (("--precision",), {"type": _choice("float32", "bfloat16"), "default": "float32", "show_default": True, "help": "Of products; weights are float32."}),
        (("--gradient-checkpointing",), {"is_flag": True, "help": "Transformers: less memory, more time."}),
    ),
    "Duration": (
        (("--epochs",), {"type": _COUNT, "default": 10, "show_default": True, "help": "Passes over the corpus."}),
        (("--steps",), {"type": _COUNT, "help": "Steps to train, instead of --epochs."}),
        (("--validate-every",), {"type": _COUNT, "metavar": "STEPS", "help": "Look at the held-out records; by default each epoch."}),
        (
            ("--keep",),
            {"type": _choice("last", "best"), "default": "last", "show_default": True, "help": "Which model is written; best: on the held-out records."},
        ),
        (("--patience",), {"type": _COUNT, "help": "Stop after so many looks without progress; off by default."}),
        (("--max-time", "max_seconds"), {"type": Seconds(), "help": "Stop after 90s, 45min, 2h; --resume goes on."}),
        (("--quantize",), {"type": click.IntRange(8, 8), "metavar": "BITS", "help": "Round the weights to 8 bits after training."}),
    ),
    "Differential privacy": (
        (("--dp-epsilon",), {"type": float, "help": "Train privately; the noise is chosen for this ε."}),
        (("--noise-multiplier",), {"type": float, "help": "Train privately with this noise; ε follows."}),
        (("--dp-delta",), {"type": float, "help": "δ; by default 1 / (10 × records)."}),
        (("--max-grad-norm",), {"type": float, "default": 1.0, "show_default": True, "help": "Norm to which each record's gradient is clipped."}),
        (("--accountant",), {"type": _choice("prv", "rdp"), "default": "prv", "show_default": True, "help": "How ε is counted."}),
        (("--poisson/--no-poisson",), {"default": True, "show_default": True, "help": "Draw records independently; without it no ε is stated."}),
        (
            ("--dp-gradients",),
            {"type": _choice("auto", "book-keeping", "hooks", "ghost"), "default": "auto", "show_default": True, "help": "How clipped gradients are had."},
        ),
    ),
    "Exposure while training": (
        (("--audit-every",), {"type": Every(), "help": "Measure the canaries' exposure every so many steps, or each epoch."}),
        (("--audit-draws",), {"type": click.IntRange(min=300), "help": "Secrets drawn for each look, at least 300; by default 1536."}),
        (("--audit-share",), {"type": click.FloatRange(min=0, max=1, min_open=True), "help": "Most time that looking may take, as a share of training; by default 0.1."}),
        (("--stop-over",), {"type": click.FloatRange(min=0), "metavar": "BITS", "help": "Stop when a canary's exposure is surely above."}),
    ),
}  # fmt: skip


def training_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """All of them, in sections."""
    specs = [
        (names, {**how, "section": section})
        for section, list_ in _SECTIONS.items()
        for names, how in list_
    ]
    for names, how in reversed(specs):
        command = click.option(*names, cls=SectionedOption, **how)(command)
    return command
