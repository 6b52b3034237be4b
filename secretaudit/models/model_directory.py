"""What a model directory must hold before anything in it is opened, and its tokenizer.

A model directory holds ``config.json``, weights (``model.safetensors``, or several files with an index) and a tokenizer, as
``save_pretrained`` writes them. Pickled weights are not opened unless that was asked for: unpickling a file may run the code inside it.
Code that a model brings along is never run. What is damaged is refused here, before anything is measured with it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from secretaudit.errors import ModelError, UsageError
from secretaudit.models.model_options import ModelOptions
from secretaudit.models.quiet import quiet
from secretaudit.models.tokens.files import open_tokenizer
from secretaudit.models.transformer.framing import PROBES

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
#: Files of which a tokenizer has at least one; without any, transformers would make up an empty tokenizer.
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.json", "vocab.txt",
)  # fmt: skip
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

_Module = TypeVar("_Module", bound=nn.Module)


def check_directory(directory: Path) -> None:
    """Refuse what is no directory.

    Raises:
        ModelError: A file, or nothing at all.
    """
    if directory.is_file():
        raise ModelError(
            f"{directory} is a file.",
            "A model is a directory with config.json, model.safetensors and a tokenizer, or a .gguf file.",
            "Give the directory; weights alone, pickled ones above all, are not opened.",
        )
    if not directory.is_dir():
        raise ModelError(
            f"There is no model directory {directory}.",
            "The path does not exist, and is no name of a model on the Hugging Face Hub (organization/name).",
            "Check the path, or train a model with: secretaudit train CORPUS -o DIRECTORY",
        )


def read_config_fields(directory: Path) -> dict[str, Any]:
    """The fields of ``config.json``, ``model_type`` among them.

    Raises:
        ModelError: There is no such file, or it cannot be read.
    """
    path = directory / "config.json"
    if not path.is_file():
        raise ModelError(
            f"{directory} holds no model.",
            "It has no config.json.",
            "Give the directory that secretaudit train or save_pretrained wrote.",
        )
    try:
        fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        str(fields["model_type"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path} cannot be read.",
            "It is not a JSON object with a model_type; it may be truncated.",
            "Restore it from the training, or train again.",
        ) from error
    return fields


def check_weights(directory: Path, *, allow_pickle: bool) -> None:
    """Refuse missing, truncated and pickled weights.

    Args:
        directory: The model directory.
        allow_pickle: Whether pickled weights will do.

    Raises:
        ModelError: There are no weights, pickled ones only, or they cannot be read.
    """
    files = _weight_files(directory)
    for file in files:
        check_safetensors(file)
    if files:
        return
    pickled = sorted(file.name for pattern in PICKLED for file in directory.glob(pattern))
    if pickled and allow_pickle:
        return
    if pickled:
        raise ModelError(
            f"{directory} has pickled weights only ({pickled[0]}).",
            "Reading a pickled file may run whatever code is inside it.",
            "Save the model again with save_pretrained, which writes safetensors; or, if you trust it: --allow-pickle.",
        )
    raise ModelError(
        f"{directory} has no weights.",
        f"There is no {WEIGHTS} in it.",
        "Finish the training (secretaudit train … --resume), or copy the weights into the directory.",
    )


def _weight_files(directory: Path) -> list[Path]:
    """The safetensors files that hold the weights; those that an index names must all be there."""
    if (directory / WEIGHTS).is_file():
        return [directory / WEIGHTS]
    index = directory / INDEX
    if not index.is_file():
        return []
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{index} cannot be read.",
            "It is not a JSON object with a weight_map; it may be truncated.",
            "Copy the model again.",
        ) from error
    for name in names:
        if not (directory / name).is_file():
            raise ModelError(
                f"{directory} lacks a part of its weights.",
                f"{INDEX} names {name}, which is not there.",
                "Copy the model again.",
            )
    return [directory / name for name in names]


def check_safetensors(path: Path) -> None:
    """Refuse a file whose header and length disagree.

    Raises:
        ModelError: The file is truncated or no safetensors file.
    """
    try:
        with safe_open(path, framework="pt"):
            pass
    except (SafetensorError, OSError, ValueError) as error:
        raise unreadable_weights(path) from error


def unreadable_weights(path: Path) -> ModelError:
    """The refusal of a damaged file of weights."""
    return ModelError(
        f"{path} cannot be read.",
        "The file is truncated or is no safetensors file.",
        "Copy it again, or train again (secretaudit train … --resume).",
    )


def check_finite_weights(module: nn.Module, where: Path | str) -> None:
    """Refuse weights with NaN or infinite values.

    Raises:
        ModelError: One is not finite.
    """
    for name, tensor in module.named_parameters():
        if not bool(torch.isfinite(tensor).all()):
            raise ModelError(
                f"The weights in {where} are not finite.",
                f"{name} has NaN or infinite values, as after a training that diverged, or in too small a number format.",
                "Train again with a smaller learning rate or gradient clipping, or use --dtype float32.",
            )


def load_tokenizer(directory: Path) -> PreTrainedTokenizerFast:
    """The fast tokenizer of a model directory.

    Raises:
        ModelError: There is none, it cannot be read, or it needs code of its own.
    """
    if not any((directory / name).is_file() for name in TOKENIZER_FILES):
        raise ModelError(
            f"{directory} has no tokenizer.json.",
            "Without the tokenizer that a model was trained with, its probabilities mean nothing.",
            "Copy tokenizer.json and tokenizer_config.json of that training into the directory, or give --tokenizer.",
        )
    if _has_own_code(directory):
        raise needs_own_code(directory)
    if not any((directory / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        return open_tokenizer(directory)
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(
                directory, local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # the tokenizers library raises bare Exception
        raise ModelError(
            f"The tokenizer in {directory} cannot be read.",
            f"tokenizer.json or tokenizer_config.json is damaged ({type(error).__name__}).",
            "Restore both files from the training, or train again.",
        ) from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ModelError(
            f"The tokenizer in {directory} is not a fast tokenizer.",
            "An audit reads the tokens' bytes from tokenizer.json.",
            "Convert it to a fast tokenizer and save it again.",
        )
    _check_as_written(directory, tokenizer)
    return tokenizer


def _has_own_code(directory: Path) -> bool:
    """Whether the tokenizer names a class of its own, in place of which transformers may take another."""
    try:
        text = (directory / "tokenizer_config.json").read_text(encoding="utf-8")
        return "AutoTokenizer" in (json.loads(text).get("auto_map") or {})
    except (OSError, ValueError, AttributeError):  # absent or damaged: what reads it will say so
        return False


def _check_as_written(directory: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    """Refuse a tokenizer that transformers, going by the type of the model, makes into another than ``tokenizer.json`` describes."""
    file = directory / "tokenizer.json"
    if not file.is_file():
        return
    written = Tokenizer.from_file(str(file))
    taken = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    for text in PROBES:
        if _ids(written, text) != _ids(taken, text):
            raise ModelError(
                f"The tokenizer in {directory} can be read in two ways.",
                f"tokenizer.json and {type(tokenizer).__name__}, which transformers takes for this type of model, split texts differently.",
                "Put the tokenizer files that the model was trained with into a directory without config.json: --tokenizer DIRECTORY.",
            )


def _ids(backend: Tokenizer, text: str) -> list[int] | None:
    """The tokens of a text; ``None`` when it has a character that the tokenizer lacks."""
    backend.no_padding()
    backend.no_truncation()
    try:
        return list(backend.encode(text, add_special_tokens=False).ids)
    except Exception:  # noqa: BLE001 # the tokenizers library raises bare Exception
        return None


def tokenizer_directory(directory: Path, options: ModelOptions) -> Path:
    """Where the tokenizer is: in the model's directory, unless another one was named."""
    if options.tokenizer is None:
        return directory
    named = Path(options.tokenizer)
    if not named.is_dir():
        raise ModelError(
            f"There is no tokenizer directory {named}.",
            "The path does not exist or is a file.",
            "Give the directory that holds tokenizer.json.",
        )
    _check_not_another(directory, named)
    return named


def _check_not_another(directory: Path, named: Path) -> None:
    """Refuse a tokenizer that splits texts otherwise than the model's own, where the model has one that can be used."""
    try:
        own = load_tokenizer(directory).backend_tokenizer.to_str()
    except ModelError:
        return
    other = load_tokenizer(named).backend_tokenizer.to_str()
    for text in PROBES:
        if _ids(Tokenizer.from_str(own), text) != _ids(Tokenizer.from_str(other), text):
            raise UsageError(
                f"The model in {directory} has a tokenizer of its own.",
                f"The one in {named} splits texts differently, so its tokens are not those that the model was trained on.",
                "Leave --tokenizer out.",
            )


def needs_own_code(where: Path | str) -> ModelError:
    """The refusal of a model that brings program code."""
    return ModelError(
        f"The model in {where} needs program code of its own.",
        "Code that comes with a model is never run here: it could do anything.",
        "Load it where you trust it, and audit it as a callable from Python (LanguageModel).",
    )


def check_choices(options: ModelOptions) -> None:
    """Refuse a word for ``bos`` or ``close`` that is not known."""
    for name, value in (("bos", options.bos), ("close", options.close)):
        if value not in ("auto", "on", "off"):
            raise UsageError(
                f"There is no choice {value!r} for {name}.",
                "Known choices are auto, on and off.",
                "Choose one of them.",
            )


def dtype_of(options: ModelOptions) -> torch.dtype:
    """The number format that was asked for.

    Raises:
        UsageError: It is not known.
    """
    try:
        return DTYPES[options.dtype]
    except KeyError:
        raise UsageError(
            f"There is no number format {options.dtype!r}.",
            f"Known formats are {', '.join(DTYPES)}.",
            "Choose one of them.",
        ) from None


def on_device(module: _Module, device: str) -> _Module:
    """The model on a device that exists.

    Raises:
        ModelError: This torch or this machine has no such device, or it has no room.
    """
    try:
        nn.Module.to(module, torch.device(device))
    except (RuntimeError, AssertionError) as error:  # torch asserts when built without CUDA
        raise ModelError(
            f"The device {device!r} cannot be used.",
            f"{str(error).splitlines()[0].strip().rstrip('.')}.",
            "Use cpu, or a device that torch finds on this machine.",
        ) from error
    return module
