"""PEFT adapters over an encoder–decoder base: merged as those of causal models are (``models.transformer.adapter``), then read like any other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from secretaudit.models.encoder_decoder.language_model import (
    EncoderDecoderLanguageModel,
    PairScorer,
)
from secretaudit.models.encoder_decoder.loading import (
    load_pair_module,
    load_pair_tokenizer,
    source_of,
    unbound_model,
)
from secretaudit.models.model_directory import on_device
from secretaudit.models.model_options import ModelOptions
from secretaudit.models.transformer.adapter import adapt, base_of_adapter, tokenizer_beside


def load_pair_adapter(
    directory: Path, options: ModelOptions, name: str, recorded_source: str | None = None
) -> EncoderDecoderLanguageModel | PairScorer:
    """The base model with the adapter in a directory, bound to the source that the options name.

    Args:
        directory: Holds ``adapter_config.json`` and ``adapter_model.safetensors``, and the tokenizer where it is not the base model's.
        options: How to open both; without a ``source`` the recorded one is taken.
        name: What reports call it.
        recorded_source: What the ledger of the canaries says that they stood beside.

    Raises:
        UsageError: No source, or an option that means nothing here.
        ModelError: As ``load_adapter`` and ``load_encoder_decoder``.
    """
    source = source_of(directory, options, recorded_source)
    base = base_of_adapter(directory, options, ("SEQ_2_SEQ_LM",))
    module = adapt(load_pair_module(base, replace(options, device="cpu")), directory)
    tokenizer = load_pair_tokenizer(tokenizer_beside(directory, base, options))
    placed = on_device(module, options.device)
    return unbound_model(placed, tokenizer, close=options.close != "off", name=name).asked(source)
