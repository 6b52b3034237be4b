"""LSTM and GRU models in training: new ones by dials, or a base that is fine-tuned."""

from __future__ import annotations

import torch
from transformers import PreTrainedTokenizerFast

from secretaudit.models.language_model import Framing
from secretaudit.models.model_directory import read_config_fields
from secretaudit.models.recurrent.language_model import RecurrentLanguageModel
from secretaudit.models.recurrent.loading import load_recurrent_module
from secretaudit.models.recurrent.network import RecurrentConfig, RecurrentForCausalLM, initialize
from secretaudit.models.tokens.view import FastTokenizerView
from secretaudit.training.base import base_directory
from secretaudit.training.settings import TrainingSettings
from secretaudit.training.subject import Subject


def recurrent_subject(settings: TrainingSettings, tokenizer: PreTrainedTokenizerFast) -> Subject:
    """A recurrent model with fresh weights, drawn from a generator with the settings' seed, or with those of a base.

    Args:
        settings: ``base``, or ``arch`` "lstm" or "gru" with its dials.
        tokenizer: Of the base, or the one that a new model is to have.

    Raises:
        ModelError: The base cannot be used.
    """
    view = FastTokenizerView(tokenizer)
    model = _fresh(settings, view) if settings.base is None else _base(settings, view)
    return Subject(
        model=model,
        family="recurrent",
        tokenizer=tokenizer,
        view=view,
        framing=Framing(before=(view.separator,), after=(view.separator,)),
        context=None,
        make_language_model=lambda: RecurrentLanguageModel(
            model, view, separator=view.separator, name="model in training"
        ),
    )


def _fresh(settings: TrainingSettings, view: FastTokenizerView) -> RecurrentForCausalLM:
    config = RecurrentConfig(
        vocab_size=len(view),
        cell=settings.arch,
        layers=settings.layers,
        units=settings.units,
        embedding=settings.embedding,
        dropout=settings.dropout or 0.0,
        tie_word_embeddings=settings.tied,
        bos_token_id=view.separator,
        eos_token_id=view.separator,
    )
    model = RecurrentForCausalLM(config)
    initialize(model, torch.Generator().manual_seed(settings.seed))
    return model


def _base(settings: TrainingSettings, view: FastTokenizerView) -> RecurrentForCausalLM:
    directory = base_directory(str(settings.base))
    fields = read_config_fields(directory)
    if settings.dropout is not None:
        fields["dropout"] = settings.dropout
    return load_recurrent_module(directory, fields, view)
