"""Low-rank adapters on a base in training (LoRA: Hu et al. 2021), through ``peft``.

For chosen layers with weights W the product (α/r) B A with A ∈ R^{r × n}, B ∈ R^{m × r} is added, B being zero at first; only A and B are trained.
What is written is an adapter directory, which names its base: by its absolute path, or by its name on the Hub.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedTokenizerFast
from transformers.pytorch_utils import Conv1D

from secretaudit.errors import ModelError, UsageError
from secretaudit.models.quiet import quiet
from secretaudit.models.transformer.loading import first_line
from secretaudit.training.settings import LoraSettings, TrainingSettings
from secretaudit.training.subject import Subject
from secretaudit.training.transformer_subject import causal_subject, load_base


def lora_subject(settings: TrainingSettings, tokenizer: PreTrainedTokenizerFast) -> Subject:
    """A decoder-only transformer with fresh adapters, drawn from torch's global generator, which the training has seeded.

    Args:
        settings: ``base`` and ``lora``.
        tokenizer: Of the base.

    Raises:
        UsageError: No such layers, or the layers to adapt must be named.
        ModelError: peft is not installed, or the base cannot be used.
    """
    module = load_base(settings)
    adapted = with_adapters(module, settings.lora or LoraSettings(), str(settings.base))
    return causal_subject(module, tokenizer, settings, family="transformer", adapted=adapted)


def with_adapters(module: Any, settings: LoraSettings, base: str, task: str = "CAUSAL_LM") -> Any:
    """A ``PeftModel`` around a module, which is changed in place: its weights are frozen, and adapters stand beside them.

    Args:
        module: The base, loaded.
        settings: Rank, scale, layers and dropout.
        base: What the written adapter is to find its base by: a directory or a name on the Hub.
        task: In peft's words: "CAUSAL_LM" or "SEQ_2_SEQ_LM".

    Raises:
        UsageError: No such layers, or peft does not know the architecture's.
        ModelError: peft is not installed.
    """
    try:
        from peft import (
            LoraConfig,  # only here: most trainings need no adapter
            get_peft_model,
        )
    except ImportError as error:
        raise ModelError(
            "LoRA needs peft, which is not installed.",
            "Adapters are made, trained and written by it.",
            "Install it with: pip install 'secretaudit[models]'",
        ) from error
    alpha: Any = 2 * settings.rank if settings.alpha is None else settings.alpha
    configuration = LoraConfig(
        r=settings.rank,
        lora_alpha=alpha,  # any number, whatever the annotation says
        target_modules=_targets(module, settings),
        lora_dropout=settings.dropout,
        task_type=task,
    )
    try:
        with quiet():
            adapted: Any = get_peft_model(module, configuration)
    except ValueError as error:
        raise UsageError(
            "The adapters cannot be put into the model.",
            f"{first_line(error)}.",
            f"Name other layers with --lora-targets; linear ones are {_listed(module)}.",
        ) from error
    place = Path(base)
    named = str(place.resolve()) if place.is_dir() else base
    adapted.peft_config["default"].base_model_name_or_path = named
    return adapted


def _targets(module: Any, settings: LoraSettings) -> list[str] | str:
    """Names of the layers to adapt.

    Raises:
        UsageError: A name fits no linear layer, or none was given and peft does not know which to take.
    """
    if settings.targets is None:
        from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as KNOWN

        kind = str(module.config.model_type)
        if kind not in KNOWN:
            raise UsageError(
                f"peft does not know which layers of a {kind} model to adapt.",
                f"Its linear layers are {_listed(module)}.",
                "Name some of them with --lora-targets.",
            )
        known = KNOWN[kind]
        return known if isinstance(known, str) else list(known)
    for target in settings.targets:
        if not any(name == target or name.endswith(f".{target}") for name in _linear(module)):
            raise UsageError(
                f"The model has no linear layer {target!r}.",
                f"Its linear layers are {_listed(module)}.",
                "Name some of them with --lora-targets.",
            )
    return list(settings.targets)


def _linear(module: nn.Module) -> list[str]:
    """Full names of the linear layers."""
    return [name for name, m in module.named_modules() if isinstance(m, (nn.Linear, Conv1D))]


def _listed(module: nn.Module) -> str:
    """The last parts of their names, once each, the output layer's left out."""
    names = {name.rsplit(".", 1)[-1] for name in _linear(module) if "." in name}
    return ", ".join(sorted(names))
