"""From settings and a tokenizer to a model in training: one file per family, found here by name."""

from __future__ import annotations

from transformers import PreTrainedTokenizerFast

from secretaudit.training.recurrent_subject import recurrent_subject
from secretaudit.training.settings import RECURRENT, TrainingSettings
from secretaudit.training.subject import Subject

FAMILIES = {
    "recurrent": recurrent_subject,
}


def family_of(settings: TrainingSettings) -> str:
    """The family that the settings ask for: of ``arch``, or of the configuration of ``base`` or ``config``.

    Raises:
        UsageError: A setting has no meaning for the family.
        ModelError: The configuration cannot be read.
    """
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
    return FAMILIES[family_of(settings)](settings, tokenizer)
