"""From settings and a tokenizer to a model in training: one file per family, found here by name."""

from __future__ import annotations

from dataclasses import fields

from transformers import PreTrainedTokenizerFast

from secretaudit.errors import UsageError
from secretaudit.training.base import (
    base_directory,
    base_family,
    check_shape_is_left_open,
    configuration_family,
)
from secretaudit.training.convolution_subject import convolution_subject
from secretaudit.training.encoder_decoder_subject import encoder_decoder_subject
from secretaudit.training.lora_subject import lora_subject
from secretaudit.training.recurrent_subject import recurrent_subject
from secretaudit.training.settings import RECURRENT, TrainingSettings
from secretaudit.training.subject import Subject
from secretaudit.training.transformer_subject import transformer_subject

FAMILIES = {
    "recurrent": recurrent_subject,
    "transformer": transformer_subject,
    "convolution": convolution_subject,
    "encoder-decoder": encoder_decoder_subject,
}
#: Families with low-rank adapters.
ADAPTED = {
    "transformer": lora_subject,
    "encoder-decoder": encoder_decoder_subject,
}
#: Dials that a family has no use for.
NOT_FOR = {
    "recurrent": ("heads", "gradient_checkpointing"),
    "transformer": ("embedding",),
    "convolution": ("heads", "embedding", "gradient_checkpointing"),
    "encoder-decoder": ("embedding",),
}


def family_of(settings: TrainingSettings) -> str:
    """The family that the settings ask for: of ``arch``, or of the configuration of ``base`` or ``config``.

    Raises:
        UsageError: The base or the configuration is of no kind that can be trained.
        ModelError: It cannot be read.
    """
    if settings.base is not None:
        return base_family(base_directory(settings.base))
    if settings.config is not None:
        return configuration_family(settings.config)
    return "recurrent" if settings.arch in RECURRENT else settings.arch


def make_subject(settings: TrainingSettings, tokenizer: PreTrainedTokenizerFast) -> Subject:
    """The model to train, on the CPU.

    Args:
        settings: What was asked.
        tokenizer: That the model reads and writes with.

    Raises:
        UsageError: A setting has no meaning for the family.
        ModelError: A base or configuration cannot be used.
    """
    family = family_of(settings)
    if settings.base is not None or settings.config is not None:
        check_shape_is_left_open(settings)
    _check_dials(settings, family)
    if settings.lora is None:
        return FAMILIES[family](settings, tokenizer)
    if family not in ADAPTED:
        raise UsageError(
            f"A {family} model takes no low-rank adapters.",
            "LoRA is for transformers; these weights are few enough to be trained themselves.",
            "Leave --lora out.",
        )
    return ADAPTED[family](settings, tokenizer)


def _check_dials(settings: TrainingSettings, family: str) -> None:
    """Refuse dials that would be ignored."""
    usual = {field.name: field.default for field in fields(TrainingSettings)}
    for name in NOT_FOR[family]:
        if getattr(settings, name) != usual[name]:
            raise UsageError(
                f"A {family} model has no use for {name}.",
                f"{name} = {getattr(settings, name)!r} would be ignored.",
                f"Leave --{name.replace('_', '-')} out.",
            )
