"""Our own recurrent models from their directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from secretaudit.errors import ModelError, UsageError
from secretaudit.models.language_model import Framing
from secretaudit.models.model_directory import (
    WEIGHTS,
    check_choices,
    check_finite_weights,
    check_weights,
    load_tokenizer,
    on_device,
    tokenizer_directory,
    unreadable_weights,
)
from secretaudit.models.model_options import ModelOptions
from secretaudit.models.recurrent.language_model import RecurrentLanguageModel
from secretaudit.models.recurrent.network import RecurrentConfig, RecurrentForCausalLM
from secretaudit.models.tokens.view import FastTokenizerView


def load_recurrent(
    directory: Path, fields: dict[str, Any], options: ModelOptions
) -> RecurrentLanguageModel:
    """The recurrent model in a directory.

    Args:
        directory: Made by ``secretaudit train``, or by ``save_pretrained`` of a recurrent model.
        fields: Of its ``config.json``.
        options: How to open it; float32 only.

    Raises:
        ModelError: The configuration, the weights or the tokenizer are damaged or do not fit each other.
        UsageError: An option that such a model has no use for.
    """
    _check_options(options)
    view = FastTokenizerView(load_tokenizer(tokenizer_directory(directory, options)))
    model = load_recurrent_module(directory, fields, view)
    language_model = RecurrentLanguageModel(
        on_device(model, options.device),
        view,
        separator=view.separator,
        name=directory.resolve().name,
    )
    framing = language_model.framing
    language_model.framing = Framing(
        before=() if options.bos == "off" else framing.before,
        after=() if options.close == "off" else framing.after,
    )
    return language_model


def load_recurrent_module(
    directory: Path, fields: dict[str, Any], view: FastTokenizerView
) -> RecurrentForCausalLM:
    """The module alone.

    Args:
        directory: As of ``load_recurrent``.
        fields: Of its ``config.json``, possibly with another dropout.
        view: Of its tokenizer.

    Raises:
        ModelError: As ``load_recurrent``.
    """
    config = _make_config(directory / "config.json", fields)
    check_weights(directory, allow_pickle=False)
    _check_fit(directory, config, view)
    return _read_weights(directory, config)


def _check_options(options: ModelOptions) -> None:
    if options.dtype != "float32":
        raise UsageError(
            f"Recurrent models are not computed in {options.dtype}.",
            "Their states are kept in float32.",
            "Leave --dtype out.",
        )
    if options.chat is not None:
        raise UsageError(
            "A recurrent model has no chat template.",
            "It was trained on texts and not on conversations.",
            "Leave --chat out.",
        )
    check_choices(options)


def _make_config(path: Path, fields: dict[str, Any]) -> RecurrentConfig:
    """The configuration with these fields, or a refusal of the field that is wrong."""
    try:
        return RecurrentConfig.from_dict(fields)
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"{path} does not describe a recurrent model.",
            f"{str(error).splitlines()[-1].strip().rstrip('.')}.",
            "Restore it from the training, or train again.",
        ) from error


def _check_fit(directory: Path, config: RecurrentConfig, view: FastTokenizerView) -> None:
    """Refuse a tokenizer of another model."""
    if len(view) != config.vocab_size:
        raise ModelError(
            f"The tokenizer in {directory} does not fit the model.",
            f"It has {len(view)} tokens and the model predicts {config.vocab_size}.",
            "Put the tokenizer of the same training into the directory.",
        )


def _read_weights(directory: Path, config: RecurrentConfig) -> RecurrentForCausalLM:
    """The model with its weights, all of them present, of the right shape and finite."""
    path = directory / WEIGHTS
    try:
        with safe_open(path, framework="pt") as file:
            weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 # not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise unreadable_weights(path) from error
    with torch.random.fork_rng(devices=[]):  # weights drawn here are overwritten at once
        model = RecurrentForCausalLM(config)
    if config.tie_word_embeddings and "embed.weight" in weights:
        weights.setdefault("head.weight", weights["embed.weight"])
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelError(
            f"The weights in {path} do not fit config.json.",
            f"{str(error).splitlines()[-1].strip().rstrip('.')}.",
            "Put config.json and model.safetensors of the same training into the directory.",
        ) from error
    check_finite_weights(model, path)
    return model
