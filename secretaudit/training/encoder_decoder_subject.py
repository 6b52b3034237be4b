"""Encoder–decoder models in training: one made by dials, any other by its configuration, or a base that is fine-tuned.

*A new model by dials* is the transformer of Vaswani et al. (2017) with normalization before each part, which trains without warm-up: Pegasus' shape
(Zhang et al. 2020), with sinusoidal positions, so that nothing but the weights of layers is learned, and ``layers`` layers on each side. Tied, one
embedding serves the sources, the targets and the output; otherwise each has its own.

*Framing.* What the decoder reads before a target and what ends one is asked of model and tokenizer as an audit of the written directory asks it
(``models.encoder_decoder.loading``).

An audit of a model in training asks for the canaries given the source that the ledger names; a source with ``{secret}`` has another for each candidate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM, PegasusConfig, PreTrainedTokenizerFast

from secretaudit.canary.ledger import Ledger
from secretaudit.errors import LedgerError, ModelError
from secretaudit.models.encoder_decoder.language_model import (
    EncoderDecoderLanguageModel,
    PairScorer,
)
from secretaudit.models.encoder_decoder.loading import load_pair_module, sides, unbound_model
from secretaudit.models.model_options import ModelOptions
from secretaudit.models.quiet import quiet
from secretaudit.models.tokens.view import FastTokenizerView
from secretaudit.models.transformer.loading import first_line, read_configuration
from secretaudit.training.base import base_directory, configuration_at, set_dropout
from secretaudit.training.lora_subject import with_adapters
from secretaudit.training.settings import LENGTHS, TrainingSettings
from secretaudit.training.subject import Subject
from secretaudit.training.transformer_subject import count_heads, recompute_activations

#: The feed-forward parts are so many times wider than the model.
_WIDENING = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class PairSubject(Subject):
    """An encoder–decoder model in training.

    Attributes:
        make_language_model: Wraps the weights as they are, bound to no source.
    """

    make_language_model: Callable[[], EncoderDecoderLanguageModel]

    def language_models(
        self, ledger: Ledger | None
    ) -> Callable[[], EncoderDecoderLanguageModel | PairScorer]:
        """Wraps the weights as they are, bound to the source that the ledger names.

        Raises:
            LedgerError: It names none.
        """
        source = None if ledger is None else ledger.corpus.get("source")
        if source is None:
            raise LedgerError(
                "The ledger names no source.",
                "An encoder–decoder model is asked for a canary given the source beside it.",
                "Insert the canaries as pairs: insert --source-column NAME --source-text TEXT.",
            )
        return lambda: self.make_language_model().asked(str(source))


def encoder_decoder_subject(
    settings: TrainingSettings, tokenizer: PreTrainedTokenizerFast
) -> PairSubject:
    """An encoder–decoder model; weights that are new are drawn from torch's global generator, which the training has seeded.

    Args:
        settings: ``base`` (with ``lora`` or without), ``config``, or ``arch`` "encoder-decoder" with its dials.
        tokenizer: Of the base, or the one that a new model is to have: it writes what ends a text by itself.

    Raises:
        UsageError: A dial does not fit the model.
        ModelError: The base or the configuration cannot be used, or the tokenizer does not fit.
    """
    module = _module(settings, tokenizer)
    adapted = module
    if settings.lora is not None:
        adapted = with_adapters(module, settings.lora, str(settings.base), "SEQ_2_SEQ_LM")
    tried = unbound_model(module, tokenizer, name="model in training")
    if settings.gradient_checkpointing:
        recompute_activations(module)
    view, encode_source = sides(tokenizer)
    if not isinstance(view, FastTokenizerView):
        raise ModelError(
            f"Tokenizers of the kind {type(tokenizer).__name__} cannot be trained with.",
            "A base is trained with a fast tokenizer.",
            "Convert it to a fast tokenizer and save it beside the base.",
        )
    wrap = partial(unbound_model, module, tokenizer, name="model in training")
    lengths = [n for n in (tried.context, tried.source_context) if n is not None]
    return PairSubject(
        model=adapted.train(),
        family="encoder-decoder",
        tokenizer=tokenizer,
        view=view,
        framing=tried.framing,
        context=min(lengths, default=None),
        make_language_model=wrap,
        encode_source=encode_source,
    )


def _module(settings: TrainingSettings, tokenizer: PreTrainedTokenizerFast) -> Any:
    """The module that the settings ask for, in float32."""
    if settings.base is not None:
        directory = base_directory(settings.base)
        configuration = read_configuration(directory)
        set_dropout(configuration, settings.dropout)
        return load_pair_module(directory, ModelOptions(), configuration)
    _check_tokenizer(tokenizer)
    if settings.config is not None:
        return _new(_described(settings, tokenizer))
    module = _new(_pegasus(settings, tokenizer))
    if not settings.tied:
        module.model.shared.requires_grad_(False)  # each side has its own; this one is never read
    return module


def _check_tokenizer(tokenizer: PreTrainedTokenizerFast) -> None:
    """Refuse a tokenizer that a new model cannot be made for."""
    for name, what in (("eos_token", "ends a text"), ("pad_token", "fills rows up")):
        if getattr(tokenizer, name) is None:
            raise ModelError(
                f"The tokenizer has no token that {what}.",
                f"Encoder–decoder models need one, and tokenizer_config.json names no {name}.",
                "Name the token there, or let the tokenizer be made from the corpus.",
            )


def _described(settings: TrainingSettings, tokenizer: PreTrainedTokenizerFast) -> Any:
    """The configuration that was given, with the tokenizer's vocabulary."""
    configuration = configuration_at(str(settings.config))
    set_dropout(configuration, settings.dropout)
    configuration.vocab_size = len(FastTokenizerView(tokenizer))
    for name, value in _special(tokenizer).items():
        setattr(configuration, name, value)
    return configuration


def _pegasus(settings: TrainingSettings, tokenizer: PreTrainedTokenizerFast) -> PegasusConfig:
    """The configuration that the dials ask for."""
    layers, heads, wide = settings.layers, count_heads(settings), _WIDENING * settings.units
    dropout = settings.dropout or 0.0
    return PegasusConfig(
        vocab_size=len(FastTokenizerView(tokenizer)),
        max_position_embeddings=(settings.sequence_length or LENGTHS["records"]) + 1,
        d_model=settings.units,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=wide,
        decoder_ffn_dim=wide,
        dropout=dropout,
        attention_dropout=dropout,
        activation_dropout=dropout,
        scale_embedding=True,
        tie_word_embeddings=settings.tied,
        **_special(tokenizer),
    )


def _special(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """Ids that a configuration names; the decoder begins with the token that ends a text."""
    end = tokenizer.eos_token_id
    return {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": end,
        "pad_token_id": tokenizer.pad_token_id,
        "decoder_start_token_id": end,
        "forced_bos_token_id": None,
        "forced_eos_token_id": None,
    }


def _new(configuration: Any) -> Any:
    """A module with fresh weights in float32.

    Raises:
        ModelError: transformers makes no such model of it.
    """
    try:
        with quiet():
            return AutoModelForSeq2SeqLM.from_config(
                configuration, dtype=torch.float32, trust_remote_code=False
            )
    except Exception as error:  # models check their configurations in many ways
        raise ModelError(
            f"No model can be made of a configuration of type {configuration.model_type!r}.",
            f"{first_line(error)}.",
            "Give the configuration of an encoder–decoder model, or check its fields.",
        ) from error
