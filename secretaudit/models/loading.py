"""From what a user names as the model to a ``LanguageModel``, or to a refusal that says what to do.

    http://… or https://…     a model server
    FILE.gguf                 a model of llama.cpp, read by transformers
    DIRECTORY                 a PEFT adapter, an encoder–decoder, one of our recurrent or convolutional models, any other causal transformer
    organization/name         such a directory on the Hugging Face Hub

Each kind has a file of its own in this folder; this one only tells them apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import secretaudit.models.convolution.network  # noqa: F401 # registers our type of model
from secretaudit.errors import UsageError
from secretaudit.models.hub import hub_directory, is_hub_name
from secretaudit.models.language_model import LanguageModel
from secretaudit.models.model_directory import check_directory, read_config_fields
from secretaudit.models.model_options import ModelOptions
from secretaudit.models.recurrent.loading import load_recurrent
from secretaudit.models.recurrent.network import RecurrentConfig
from secretaudit.models.transformer.adapter import adapter_task, load_adapter
from secretaudit.models.transformer.gguf import load_gguf
from secretaudit.models.transformer.loading import load_transformer, read_configuration

if TYPE_CHECKING:  # loaded when such a model is
    from secretaudit.models.encoder_decoder.language_model import PairScorer

_DEFAULTS = ModelOptions()


def load_model(
    spec: str | Path, options: ModelOptions = _DEFAULTS, *, recorded_source: str | None = None
) -> LanguageModel | PairScorer:
    """The language model behind a name, ready to be measured.

    Args:
        spec: A directory, a GGUF file, the address of a server, or a name on the Hugging Face Hub.
        options: How to open it.
        recorded_source: The source that the ledger of the canaries names: taken by an encoder–decoder model when the options name none.

    Raises:
        ModelError: Nothing is there, weights or tokenizer are missing, pickled, damaged, not finite or do not fit each other, the
            model is of a kind that has no next-token probabilities, or there is no such device.
        UsageError: An option that the model has no use for, or that has a value that is not known.
    """
    if str(spec).startswith(("http://", "https://")):
        from secretaudit.models.server.opening import (
            open_server,  # only here: it needs an HTTP client
        )

        return open_server(str(spec), options)
    _check_no_server_options(options)
    if str(spec).endswith(".gguf"):
        return load_gguf(Path(spec), options)
    directory, name = _find(spec, options)
    check_directory(directory)
    if (directory / "adapter_config.json").is_file():
        if adapter_task(directory) == "SEQ_2_SEQ_LM":
            from secretaudit.models.encoder_decoder.adapter import load_pair_adapter

            return load_pair_adapter(directory, options, name, recorded_source)
        _check_no_source(options)
        return load_adapter(directory, options, name)
    fields = read_config_fields(directory)
    if fields["model_type"] == RecurrentConfig.model_type:
        _check_no_source(options)
        return load_recurrent(directory, fields, options)
    if read_configuration(directory).is_encoder_decoder:
        from secretaudit.models.encoder_decoder.loading import load_encoder_decoder

        return load_encoder_decoder(directory, options, recorded_source)
    _check_no_source(options)
    return load_transformer(directory, fields, options, name)


def _find(spec: str | Path, options: ModelOptions) -> tuple[Path, str]:
    """The directory of a model, and what reports call it."""
    if isinstance(spec, str) and is_hub_name(spec):
        found = hub_directory(spec, allow_pickle=options.allow_pickle)
        if found is not None:
            return found, spec
    return Path(spec), Path(spec).resolve().name


def _check_no_server_options(options: ModelOptions) -> None:
    """Refuse what only a server understands."""
    if options.server_model is not None or options.api != "auto":
        raise UsageError(
            "The model is no server.",
            "A model name and a dialect (--model-name, --api) belong to the address of a server.",
            "Leave them out, or give the address: --model http://…",
        )


def _check_no_source(options: ModelOptions) -> None:
    """Refuse a source text where there is no encoder."""
    if options.source is not None:
        raise UsageError(
            "The model reads no source text.",
            "--source is for encoder–decoder models.",
            "Put the text into the prefix of the format.",
        )
