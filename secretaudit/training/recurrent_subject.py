"""LSTM and GRU models in training, from nothing."""

from __future__ import annotations

import torch
from transformers import PreTrainedTokenizerFast

from secretaudit.models.language_model import Framing
from secretaudit.models.recurrent.language_model import RecurrentLanguageModel
from secretaudit.models.recurrent.network import RecurrentConfig, RecurrentForCausalLM, initialize
from secretaudit.models.tokens.view import FastTokenizerView
from secretaudit.training.settings import TrainingSettings
from secretaudit.training.subject import Subject


def recurrent_subject(settings: TrainingSettings, tokenizer: PreTrainedTokenizerFast) -> Subject:
    """A recurrent model with fresh weights, drawn from a generator with the settings' seed.

    Args:
        settings: ``arch`` is "lstm" or "gru".
        tokenizer: Made from the corpus.
    """
    view = FastTokenizerView(tokenizer)
    config = RecurrentConfig(
        vocab_size=len(tokenizer),
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
