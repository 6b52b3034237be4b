"""Decoder-only models of transformers in training: a GPT-2 made by dials, any other one by its configuration, or a base that is fine-tuned.

*A new model by dials* is GPT-2's (Radford et al. 2019): learned positions, normalization before each part, attention and a feed-forward part of four
times the width. It has one position more than a row has inputs, so that the audit can read whatever a row held.

*Framing.* A record is trained with the tokens that an audit of the written directory reads around it: what begins a text for this tokenizer, and
the end-of-text token behind it (``models.transformer.framing``).

Every model is tried before it is trained, in the way in which it will be audited: that it does not look ahead, and that its tokenizer fits.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForCausalLM, GPT2Config, PreTrainedTokenizerFast

from secretaudit.errors import ModelError, UsageError
from secretaudit.models.language_model import Framing
from secretaudit.models.model_directory import read_config_fields
from secretaudit.models.model_options import ModelOptions
from secretaudit.models.quiet import quiet
from secretaudit.models.tokens.view import FastTokenizerView
from secretaudit.models.transformer.framing import framing_of
from secretaudit.models.transformer.language_model import TransformerLanguageModel
from secretaudit.models.transformer.loading import first_line, load_module, read_configuration
from secretaudit.training.base import base_directory, configuration_at, set_dropout
from secretaudit.training.settings import LENGTHS, TrainingSettings
from secretaudit.training.subject import Subject

#: Units per attention head when the number of heads is not given.
HEAD_UNITS = 64


def transformer_subject(settings: TrainingSettings, tokenizer: PreTrainedTokenizerFast) -> Subject:
    """A decoder-only transformer; weights that are new are drawn from torch's global generator, which the training has seeded.

    Args:
        settings: ``base``, ``config``, or ``arch`` "transformer" with its dials.
        tokenizer: Of the base, or the one that a new model is to have.

    Raises:
        UsageError: A dial does not fit the model.
        ModelError: The base or the configuration cannot be used, the model looks ahead, or the tokenizer does not fit.
    """
    if settings.base is not None:
        module = load_base(settings)
    elif settings.config is not None:
        module = _from_configuration(settings, tokenizer)
    else:
        module = from_config(_gpt2(settings, tokenizer))
    return causal_subject(module, tokenizer, settings, family="transformer")


def load_base(settings: TrainingSettings) -> Any:
    """The module of the base with its weights in float32, all of them to be trained.

    Raises:
        UsageError: Dropout was asked of a model that has none.
        ModelError: The directory or its weights cannot be used.
    """
    directory = base_directory(str(settings.base))
    configuration = read_configuration(directory)
    set_dropout(configuration, settings.dropout)
    fields = read_config_fields(directory)
    return load_module(directory, fields, ModelOptions(), configuration)


def _from_configuration(settings: TrainingSettings, tokenizer: PreTrainedTokenizerFast) -> Any:
    """A new model of the shape that a configuration gives, with the tokenizer's vocabulary."""
    configuration = configuration_at(str(settings.config))
    set_dropout(configuration, settings.dropout)
    text = configuration.get_text_config()
    text.vocab_size = len(FastTokenizerView(tokenizer))
    text.bos_token_id, text.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
    text.pad_token_id = None  # the embedding of a padding token would never be trained
    return from_config(configuration)


def _gpt2(settings: TrainingSettings, tokenizer: PreTrainedTokenizerFast) -> GPT2Config:
    """The configuration that the dials ask for."""
    dropout = settings.dropout or 0.0
    return GPT2Config(
        vocab_size=len(FastTokenizerView(tokenizer)),
        n_positions=(settings.sequence_length or LENGTHS["packed"]) + 1,
        n_embd=settings.units,
        n_layer=settings.layers,
        n_head=count_heads(settings),
        resid_pdrop=dropout,
        embd_pdrop=dropout,
        attn_pdrop=dropout,
        tie_word_embeddings=settings.tied,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def count_heads(settings: TrainingSettings) -> int:
    """Attention heads: as asked, or the largest divisor of the units with no fewer than 64 units a head.

    Raises:
        UsageError: The units cannot be divided among so many.

    >>> count_heads(TrainingSettings(arch="transformer", units=200))
    2
    """
    units = settings.units
    if settings.heads is None:
        return next(h for h in range(max(1, units // HEAD_UNITS), 0, -1) if units % h == 0)
    if units % settings.heads:
        raise UsageError(
            f"{units} units cannot be divided among {settings.heads} heads.",
            "Each head reads an equal share of the units.",
            "Give a number of heads that divides the units.",
        )
    return settings.heads


def from_config(configuration: Any) -> Any:
    """A module with fresh weights in float32.

    Raises:
        ModelError: transformers makes no causal language model of it.
    """
    try:
        with quiet():
            return AutoModelForCausalLM.from_config(
                configuration, dtype=torch.float32, trust_remote_code=False
            )
    except Exception as error:  # models check their configurations in many ways
        unknown = "Unrecognized configuration class" in str(error)
        raise ModelError(
            f"No model can be made of a configuration of type {configuration.model_type!r}.",
            "transformers has no causal language model of this type."
            if unknown
            else f"{first_line(error)}.",
            "Give the configuration of a causal language model, or check its fields.",
        ) from error


def causal_subject(
    module: Any,
    tokenizer: PreTrainedTokenizerFast,
    settings: TrainingSettings,
    *,
    family: str,
    adapted: Any = None,
) -> Subject:
    """A causal module of transformers, tried and ready to be trained.

    Args:
        module: What computes logits; an audit reads it as it is at that time.
        tokenizer: Its tokenizer.
        settings: ``gradient_checkpointing`` is read.
        family: What to call it.
        adapted: What is trained and saved in place of the module: a ``PeftModel`` around it.

    Raises:
        UsageError: It cannot compute activations again.
        ModelError: It looks ahead, or the tokenizer does not fit or has no token that ends a text.
    """
    view = FastTokenizerView(tokenizer)
    framing = closed_framing(tokenizer, view)

    def make_language_model() -> TransformerLanguageModel:
        return TransformerLanguageModel(module, view, framing=framing, name="model in training")

    tried = make_language_model()
    if settings.gradient_checkpointing:
        recompute_activations(module)
    model = module if adapted is None else adapted
    return Subject(
        model=model.train(),
        family=family,
        tokenizer=tokenizer,
        view=view,
        framing=framing,
        context=tried.context,
        make_language_model=make_language_model,
    )


def closed_framing(tokenizer: PreTrainedTokenizerFast, view: FastTokenizerView) -> Framing:
    """What stands around each record: what ``load_model`` reads around the texts of a model that secretaudit has trained.

    Raises:
        ModelError: The tokenizer has no token that ends a text.
    """
    if tokenizer.eos_token_id is None:
        raise ModelError(
            "The tokenizer has no token that ends a text.",
            "Each record is trained with its end, and tokenizer_config.json names no eos_token.",
            "Name the token in the tokenizer_config.json of the base or of --tokenizer.",
        )
    return framing_of(tokenizer, view, ModelOptions(), closes=True)


def recompute_activations(module: Any) -> None:
    """Let a module compute its activations again in the backward pass, in place of keeping them.

    Raises:
        UsageError: It cannot.
    """
    if not getattr(module, "supports_gradient_checkpointing", False):
        raise UsageError(
            f"A {type(module).__name__} cannot compute its activations again.",
            "Gradient checkpointing is for the transformers that support it.",
            "Leave --gradient-checkpointing out.",
        )
    renamed = getattr(module, "activation_checkpointing_enable", None)  # in transformers 5.2x
    (renamed or module.gradient_checkpointing_enable)({"use_reentrant": False})
