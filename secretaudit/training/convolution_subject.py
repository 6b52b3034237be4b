"""Causal convolutional models in training: new ones by dials, or a base that is fine-tuned."""

from __future__ import annotations

from transformers import PreTrainedTokenizerFast

from secretaudit.models.convolution.network import ConvolutionConfig
from secretaudit.models.tokens.view import FastTokenizerView
from secretaudit.training.settings import TrainingSettings
from secretaudit.training.subject import Subject
from secretaudit.training.transformer_subject import causal_subject, from_config, load_base


def convolution_subject(settings: TrainingSettings, tokenizer: PreTrainedTokenizerFast) -> Subject:
    """A convolutional model; new weights are drawn from torch's global generator, which the training has seeded.

    Args:
        settings: ``base``, or ``arch`` "convolution" with layers, units, dropout and tied.
        tokenizer: Of the base, or the one that a new model is to have.

    Raises:
        ModelError: The base cannot be used, or the tokenizer has no token that ends a text.
    """
    if settings.base is not None:
        module = load_base(settings)
    else:
        module = from_config(
            ConvolutionConfig(
                vocab_size=len(FastTokenizerView(tokenizer)),
                layers=settings.layers,
                units=settings.units,
                dropout=settings.dropout or 0.0,
                tie_word_embeddings=settings.tied,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
            )
        )
    return causal_subject(module, tokenizer, settings, family="convolution")
