"""What a training starts from that lies on the disk: a model to fine-tune, or a configuration that gives a new model its shape.

A *base* is a model directory, or a name on the Hugging Face Hub, with its weights and its tokenizer; both are taken as they are, so that dials
which would make others are refused. A *configuration* is the ``config.json`` of any causal model of transformers; the weights are drawn, and its
vocabulary is that of the training's tokenizer.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from secretaudit.errors import ModelError, UsageError
from secretaudit.models.convolution.network import ConvolutionConfig
from secretaudit.models.hub import hub_directory, is_hub_name
from secretaudit.models.model_directory import (
    PICKLED,
    TOKENIZER_FILES,
    check_directory,
    load_tokenizer,
    read_config_fields,
)
from secretaudit.models.recurrent.network import RecurrentConfig
from secretaudit.models.transformer.loading import read_configuration
from secretaudit.training.settings import TrainingSettings

#: Dials that give a new model its shape, which a base or a configuration has already.
SHAPE = ("arch", "layers", "units", "heads", "embedding", "tied")
#: Dials that make a tokenizer, which a base has already.
TOKENIZER = ("tokenizer", "vocabulary_size", "minimum_frequency")
#: Our own kinds of model, by the type that their configurations name.
OURS = {
    RecurrentConfig.model_type: "recurrent",
    ConvolutionConfig.model_type: "convolution",
}


def base_directory(spec: str) -> Path:
    """Where the files of a base are.

    Raises:
        UsageError: It is no directory of weights: a server, an adapter.
        ModelError: There is no such directory, it has no configuration, or its weights are pickled.
    """
    if spec.startswith(("http://", "https://")):
        raise UsageError(
            "A model server cannot be trained.",
            f"{spec} answers questions and keeps its weights to itself.",
            "Give the directory of the model.",
        )
    found = hub_directory(spec) if is_hub_name(spec) else None
    directory = found or Path(spec)
    if directory.is_file():
        raise ModelError(
            f"{directory} is a file.",
            "A base is a directory with config.json, model.safetensors and a tokenizer.",
            "Give the directory; quantized files and weights alone cannot be trained.",
        )
    check_directory(directory)
    if (directory / "adapter_config.json").is_file():
        raise UsageError(
            f"{directory} holds an adapter.",
            "Training starts from whole weights.",
            "Merge it into its base (peft: merge_and_unload, then save_pretrained), or start from that base.",
        )
    read_config_fields(directory)
    _check_not_pickled(directory)
    return directory


def _check_not_pickled(directory: Path) -> None:
    """Refuse weights that are pickled only."""
    pickled = sorted(file.name for pattern in PICKLED for file in directory.glob(pattern))
    if pickled and not any(directory.glob("*.safetensors")):
        raise ModelError(
            f"{directory} has pickled weights only ({pickled[0]}).",
            "Reading a pickled file may run whatever code is inside it.",
            "Save the model again with save_pretrained, which writes safetensors.",
        )


def check_apart(output: Path, settings: TrainingSettings) -> None:
    """Refuse to train into the directory that the training starts from.

    Args:
        output: Where the model is to be written.
        settings: ``base``, ``config`` and ``tokenizer`` are read.

    Raises:
        UsageError: One of them lies there.
    """
    for name in ("base", "config", "tokenizer"):
        given = getattr(settings, name)
        place = Path(given or "")
        if given and place.exists() and place.resolve().is_relative_to(output.resolve()):
            raise UsageError(
                f"{output} cannot be the output directory.",
                f"The {name} of the training lies in it, and what an output directory holds is replaced.",
                "Choose another directory.",
            )


def base_tokenizer(settings: TrainingSettings) -> PreTrainedTokenizerFast:
    """The tokenizer of the base.

    Raises:
        UsageError: Another one was asked for.
        ModelError: The base has none, or none that can be read.
    """
    _check_untouched(settings, TOKENIZER, "a tokenizer", "A base is read with its own tokenizer")
    directory = base_directory(str(settings.base))
    if not any((directory / name).is_file() for name in TOKENIZER_FILES):
        raise ModelError(
            f"The base {directory} has no tokenizer.",
            "Its weights know the tokens of the tokenizer that it was trained with, and no others.",
            "Copy tokenizer.json and tokenizer_config.json of that training into the directory.",
        )
    return load_tokenizer(directory)


def base_family(directory: Path) -> str:
    """The family of the model in a directory.

    Raises:
        ModelError: Its configuration cannot be read.
    """
    named = str(read_config_fields(directory)["model_type"])
    return OURS.get(named) or _family(read_configuration(directory))


def configuration_family(spec: str) -> str:
    """The family of the models that a configuration describes.

    Raises:
        UsageError: It is one of ours, which are made by dials.
        ModelError: It cannot be read.
    """
    configuration = configuration_at(spec)
    if configuration.model_type in OURS:
        raise UsageError(
            f"{spec} describes a {OURS[configuration.model_type]} model of secretaudit.",
            "A new one is made by dials.",
            "Give --arch, --layers and --units in place of --config.",
        )
    return _family(configuration)


def configuration_at(spec: str) -> Any:
    """A configuration as transformers reads it, from a file or a directory.

    Raises:
        ModelError: It is not there, or describes no model that transformers knows.
    """
    path = Path(spec)
    file = path / "config.json" if path.is_dir() else path
    if not file.is_file():
        raise ModelError(
            f"There is no configuration {file}.",
            "It is the config.json of a model, or a directory with one.",
            "Check the path.",
        )
    return read_configuration(path)


def _family(configuration: Any) -> str:
    return "encoder-decoder" if configuration.is_encoder_decoder else "transformer"


def check_shape_is_left_open(settings: TrainingSettings) -> None:
    """Refuse dials of shape where the base or the configuration decides.

    Raises:
        UsageError: One was set.
    """
    owner = "A base has its shape" if settings.base else "A configuration gives the shape"
    _check_untouched(settings, SHAPE, "a shape", owner)


def _check_untouched(
    settings: TrainingSettings, names: tuple[str, ...], what: str, owner: str
) -> None:
    """Refuse dials that are not as they are when nobody turns them."""
    usual = {field.name: field.default for field in fields(TrainingSettings)}
    for name in names:
        value = getattr(settings, name)
        if value != usual[name]:
            raise UsageError(
                f"{owner}.",
                f"{name} = {value!r} asks for {what} of its own.",
                f"Leave --{name.replace('_', '-')} out.",
            )


def set_dropout(configuration: Any, dropout: float | None) -> None:
    """Let every activation that a model can drop be dropped with one probability.

    Args:
        configuration: Changed in place, before the model is made.
        dropout: In [0, 1); ``None`` leaves all as they are.

    Raises:
        UsageError: The model has no dropout.
    """
    if dropout is None:
        return
    text = configuration.get_text_config()
    names = [
        name
        for name, value in text.to_dict().items()
        if ("dropout" in name or name.endswith("_pdrop"))
        and not name.startswith(("classifier", "summary"))  # of heads for other tasks
        and isinstance(value, (int, float))
        and not isinstance(value, bool)
    ]
    if not names:
        raise UsageError(
            f"Models of type {text.model_type!r} have no dropout.",
            "Their configuration has no field for it.",
            "Leave --dropout out.",
        )
    for name in names:
        setattr(text, name, dropout)
