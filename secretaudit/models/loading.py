"""From a model directory to a ``LanguageModel``, or to a refusal that says what to do.

A model directory holds ``config.json``, ``model.safetensors`` and a tokenizer, as ``save_pretrained`` writes them.
Pickled weights are never opened: unpickling a file runs the code inside it. What is damaged is refused here, before
anything is measured with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import logging

from secretaudit.errors import ModelError
from secretaudit.models.language_model import LanguageModel
from secretaudit.models.recurrent import RecurrentConfig, RecurrentForCausalLM
from secretaudit.models.recurrent_language_model import RecurrentLanguageModel
from secretaudit.models.token_view import FastTokenizerView

WEIGHTS = "model.safetensors"
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")


def load_model(path: str | Path, device: str = "cpu") -> LanguageModel:
    """The language model in a directory, ready to be measured.

    Args:
        path: A directory made by ``secretaudit train`` or by ``save_pretrained`` of a recurrent model.
        device: Where to compute, in torch's words ("cpu", "cuda", "cuda:1").

    Raises:
        ModelError: No directory, no weights, pickled or damaged weights, weights that are not finite, no tokenizer or
            one that does not fit, a kind of model that is not supported, or no such device.
    """
    directory = Path(path)
    _check_directory(directory)
    config = _read_config(directory)
    _check_weights_file(directory)
    tokenizer = load_tokenizer(directory)
    view = FastTokenizerView(tokenizer)
    _check_fit(directory, config, view)
    model = _read_weights(directory, config)
    name = directory.resolve().name
    return RecurrentLanguageModel(
        _to_device(model, device), view, separator=view.separator, name=name
    )


def load_tokenizer(directory: Path) -> PreTrainedTokenizerFast:
    """The fast tokenizer of a model directory.

    Raises:
        ModelError: There is none, or it cannot be read.
    """
    if not (directory / "tokenizer.json").is_file():
        raise ModelError(
            f"{directory} has no tokenizer.json.",
            "Without the tokenizer that a model was trained with, its probabilities mean nothing.",
            "Copy tokenizer.json and tokenizer_config.json of that training into the directory.",
        )
    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
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
    return tokenizer


def _check_directory(directory: Path) -> None:
    """Refuse what is no directory with a model in it."""
    if directory.is_file():
        raise ModelError(
            f"{directory} is a file.",
            "A model is a directory with config.json, model.safetensors and a tokenizer.",
            "Give the directory; weights alone, pickled ones above all, are not opened.",
        )
    if not directory.is_dir():
        raise ModelError(
            f"There is no model directory {directory}.",
            "The path does not exist.",
            "Check the path, or train a model with: secretaudit train CORPUS -o DIRECTORY",
        )


def _read_config(directory: Path) -> RecurrentConfig:
    """The shape of the model."""
    path = directory / "config.json"
    if not path.is_file():
        raise ModelError(
            f"{directory} holds no model.",
            "It has no config.json.",
            "Give the directory that secretaudit train wrote.",
        )
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        kind = fields["model_type"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path} cannot be read.",
            "It is not a JSON object with a model_type; it may be truncated.",
            "Restore it from the training, or train again.",
        ) from error
    if kind != RecurrentConfig.model_type:
        raise ModelError(
            f"Models of type {kind!r} cannot be audited yet.",
            f"This version reads its own recurrent models ({RecurrentConfig.model_type}).",
            "Train one with: secretaudit train CORPUS -o DIRECTORY",
        )
    return _make_config(path, fields)


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


def _check_weights_file(directory: Path) -> None:
    """Refuse missing and pickled weights."""
    if (directory / WEIGHTS).is_file():
        return
    pickled = sorted(file.name for pattern in PICKLED for file in directory.glob(pattern))
    if pickled:
        raise ModelError(
            f"{directory} has pickled weights only ({pickled[0]}).",
            "Reading a pickled file runs whatever code is inside it.",
            "Load it where you trust it and save again with save_pretrained, which writes safetensors.",
        )
    raise ModelError(
        f"{directory} has no weights.",
        f"There is no {WEIGHTS} in it.",
        "Finish the training (secretaudit train … --resume), or copy the weights into the directory.",
    )


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
        raise ModelError(
            f"{path} cannot be read.",
            "The file is truncated or is no safetensors file.",
            "Copy it again, or train again (secretaudit train … --resume).",
        ) from error
    for name, tensor in weights.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ModelError(
                f"The weights in {path} are not finite.",
                f"{name} has NaN or infinite values, as after a training that diverged.",
                "Train again with a smaller learning rate or gradient clipping.",
            )
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
    return model


def _to_device(model: RecurrentForCausalLM, device: str) -> RecurrentForCausalLM:
    """The model on a device that exists."""
    try:
        nn.Module.to(model, torch.device(device))
    except (RuntimeError, AssertionError) as error:  # torch asserts when built without CUDA
        raise ModelError(
            f"The device {device!r} cannot be used.",
            f"{str(error).splitlines()[0].strip().rstrip('.')}.",
            "Use cpu, or a device that torch finds on this machine.",
        ) from error
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's own progress and warnings off the terminal."""
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
