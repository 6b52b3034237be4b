"""Causal transformers from their directory: all weights found, none made up, none left over.

``from_pretrained`` draws weights at random where the file has none, and ignores those that it has no place for; both end in a
warning there and in a refusal here, since the numbers would be those of another model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from secretaudit.errors import ModelError
from secretaudit.models.model_directory import (
    check_finite_weights,
    check_weights,
    dtype_of,
    load_tokenizer,
    needs_own_code,
    on_device,
    tokenizer_directory,
)
from secretaudit.models.model_options import ModelOptions
from secretaudit.models.quiet import quiet
from secretaudit.models.transformer.language_model import TransformerLanguageModel

#: Entries of old checkpoints that are computed and not learned.
_COMPUTED = re.compile(r"(inv_freq|masked_bias|attn\.bias|attention\.bias|position_ids)$")
#: Heads for other tasks than predicting the next token.
_OTHER_TASKS = re.compile(
    r"For(SequenceClassification|TokenClassification|QuestionAnswering|MultipleChoice|MaskedLM|PreTraining"
    r"|NextSentencePrediction|ImageClassification|AudioClassification)$"
)


def load_transformer(
    directory: Path, fields: dict[str, Any], options: ModelOptions, name: str
) -> TransformerLanguageModel:
    """The causal transformer in a directory.

    Args:
        directory: As ``save_pretrained`` writes it.
        fields: Of its ``config.json``.
        options: How to open it.
        name: What reports call it.

    Raises:
        ModelError: The directory, the weights or the tokenizer cannot be used; see the refusals of this folder.
        UsageError: An option has a value that is not known.
    """
    module = load_module(directory, fields, options)
    return TransformerLanguageModel(
        module,
        load_tokenizer(tokenizer_directory(directory, options)),
        options=options,
        closes=(directory / "training.json").is_file(),  # our trainer ends every record
        name=name,
    )


def load_module(
    directory: Path, fields: dict[str, Any], options: ModelOptions, configuration: Any = None
) -> nn.Module:
    """The module with its weights on its device, all of them found in the directory, and finite.

    Args:
        directory: As ``save_pretrained`` writes it.
        fields: Of its ``config.json``.
        options: How to open it.
        configuration: Taken in place of the directory's own: the same shape with another dropout.

    Raises:
        ModelError: As ``load_transformer``.
        UsageError: As ``load_transformer``.
    """
    dtype = dtype_of(options)
    _check_fields(directory, fields)
    check_weights(directory, allow_pickle=options.allow_pickle)
    config = read_configuration(directory) if configuration is None else configuration
    try:
        with quiet(), torch.random.fork_rng(devices=[]):  # no weight is drawn that stays
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                directory,
                config=config,
                dtype=dtype,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=None if options.allow_pickle else True,
                output_loading_info=True,
            )
    except Exception as error:  # from_pretrained raises whatever its many parts raise
        raise _cannot_load(directory, fields, error) from error
    module: nn.Module = loaded[0]
    check_complete(module, loaded[1], directory)
    check_finite_weights(module, directory)
    return on_device(module, options.device)


def read_configuration(place: Path) -> Any:
    """The configuration in a directory, or in a file, as transformers reads it.

    Raises:
        ModelError: The model needs code of its own, is of a kind that transformers does not know, or the file is wrong.
    """
    try:
        with quiet():
            return AutoConfig.from_pretrained(place, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # configurations validate themselves in many ways
        if "trust_remote_code" in str(error):
            raise needs_own_code(place) from error
        raise ModelError(
            f"{place / 'config.json' if place.is_dir() else place} does not describe a model that transformers knows.",
            f"{first_line(error)}.",
            "Install the version of transformers that the model was saved with, or check the file.",
        ) from error


def _check_fields(directory: Path, fields: dict[str, Any]) -> None:
    """Refuse models made for other tasks, and quantized weights."""
    architectures = fields.get("architectures") or []
    if architectures and all(_OTHER_TASKS.search(str(name)) for name in architectures):
        raise ModelError(
            f"The model in {directory} does not predict the next token.",
            f"It is a {architectures[0]}.",
            "Give a causal language model.",
        )
    if fields.get("quantization_config"):
        raise ModelError(
            f"The weights in {directory} are quantized.",
            "They would be computed in a way that was not checked against plain weights.",
            "Dequantize the model and save it again with save_pretrained.",
        )


def check_complete(module: nn.Module, found: dict[str, Iterable[Any]], where: Path | str) -> None:
    """Refuse weights that are missing, and weights of the model's own layers that have no place.

    Args:
        module: The model that was loaded.
        found: What ``from_pretrained`` says of loading (``output_loading_info``).
        where: For the message.

    Raises:
        ModelError: Some are missing or left over.
    """
    missing = sorted(str(key) for key in found["missing_keys"])
    if missing:
        raise ModelError(
            f"The weights in {where} are not complete.",
            f"{_listed(missing)} would be drawn at random.",
            "Copy the whole model, or train again; a config.json of another model has the same effect.",
        )
    wrong = sorted(str(key[0]) for key in found.get("mismatched_keys", ()))
    if wrong:
        raise ModelError(
            f"The weights in {where} do not fit config.json.",
            f"{_listed(wrong)} have another shape.",
            "Put the configuration and the weights of the same training into the directory.",
        )
    modules = {name for name, _ in module.named_modules() if "." in name}
    extra = sorted(key for key in map(str, found["unexpected_keys"]) if _is_inside(key, modules))
    if extra:
        raise ModelError(
            f"The weights in {where} do not fit config.json.",
            f"{_listed(extra)} have no place in the model and would be ignored.",
            "Put the configuration and the weights of the same training into the directory.",
        )


def _is_inside(key: str, modules: set[str]) -> bool:
    """Whether a left-over weight belongs to the model's own layers, and not to another head beside them."""
    if _COMPUTED.search(key):
        return False
    parts = key.split(".")
    return any(".".join(parts[:count]) in modules for count in range(2, len(parts)))


def _listed(names: list[str]) -> str:
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else names[0]


def _cannot_load(directory: Path, fields: dict[str, Any], error: Exception) -> ModelError:
    said = str(error)
    if "trust_remote_code" in said:
        return needs_own_code(directory)
    if "Unrecognized configuration class" in said:
        return ModelError(
            f"Models of type {fields['model_type']!r} do not predict the next token.",
            "transformers has no causal language model of this type.",
            "Give a causal language model.",
        )
    if "size mismatch" in said or "ignore_mismatched_sizes" in said:
        return ModelError(
            f"The weights in {directory} do not fit config.json.",
            "Some have another shape than the configuration says.",
            "Put the configuration and the weights of the same training into the directory.",
        )
    return ModelError(
        f"The model in {directory} cannot be loaded.",
        f"{first_line(error)}.",
        "Check that transformers loads it: AutoModelForCausalLM.from_pretrained(DIRECTORY).",
    )


def first_line(error: Exception) -> str:
    """The first line that an error says, without its full stop."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".:")
