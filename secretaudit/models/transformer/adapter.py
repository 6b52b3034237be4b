"""PEFT adapters (LoRA and its relatives) over the base model that their configuration names.

An adapter adds small trained matrices to a model's weights: W' = W + ΔW. It is *merged*: W' is computed once, and must give the
numbers that the model gives with its adapter beside it; an adapter for which it does not is refused. So are adapters that change what the
model reads (prompt and prefix tuning): their virtual tokens have no place in a tree of texts.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from secretaudit.errors import ModelError
from secretaudit.models.hub import hub_directory, is_hub_name
from secretaudit.models.model_directory import (
    TOKENIZER_FILES,
    check_finite_weights,
    check_safetensors,
    load_tokenizer,
    on_device,
    read_config_fields,
    tokenizer_directory,
)
from secretaudit.models.model_options import ModelOptions
from secretaudit.models.quiet import quiet
from secretaudit.models.transformer.language_model import TransformerLanguageModel
from secretaudit.models.transformer.loading import load_module
from secretaudit.models.transformer.state_check import TOLERANCE_NATS

ADAPTER_WEIGHTS = "adapter_model.safetensors"


def load_adapter(directory: Path, options: ModelOptions, name: str) -> TransformerLanguageModel:
    """The base model with the adapter in a directory.

    Args:
        directory: Holds ``adapter_config.json`` and ``adapter_model.safetensors``, and the tokenizer where it is not the base model's.
        options: How to open both.
        name: What reports call it.

    Raises:
        ModelError: peft is not installed, the base model is not there, or the adapter is damaged, incomplete or of a kind without
            merged form; and what can be wrong with the base model.
    """
    base = base_of_adapter(directory, options, ("CAUSAL_LM", None))
    module = load_module(base, read_config_fields(base), replace(options, device="cpu"))
    adapted = adapt(module, directory)
    place = tokenizer_beside(directory, base, options)
    return TransformerLanguageModel(
        on_device(adapted, options.device),
        load_tokenizer(place),
        options=options,
        closes=(directory / "training.json").is_file(),  # our trainer ends every record
        name=name,
    )


def base_of_adapter(directory: Path, options: ModelOptions, tasks: tuple[str | None, ...]) -> Path:
    """The directory of the base model of an adapter that can be opened.

    Args:
        directory: Of the adapter.
        options: How to open both.
        tasks: In peft's words, what it may have been made for.

    Raises:
        ModelError: As ``load_adapter``.
    """
    described = _read_adapter_config(directory)
    if described.get("task_type") not in tasks:
        raise ModelError(
            f"The adapter in {directory} is not for a causal language model or an encoder–decoder.",
            f"It was made for the task {described['task_type']}.",
            "Merge it into its base model and audit the merged model.",
        )
    _check_adapter_weights(directory, options)
    return _base_directory(directory, described, options)


def adapter_task(directory: Path) -> str | None:
    """What an adapter was made for, in peft's words, such as "CAUSAL_LM".

    Raises:
        ModelError: Its configuration cannot be read.
    """
    task = _read_adapter_config(directory).get("task_type")
    return None if task is None else str(task)


def tokenizer_beside(directory: Path, base: Path, options: ModelOptions) -> Path:
    """Where the tokenizer is: beside the adapter, or else beside its base."""
    own = any((directory / file).is_file() for file in TOKENIZER_FILES)
    return tokenizer_directory(directory if own else base, options)


def _read_adapter_config(directory: Path) -> dict[str, Any]:
    path = directory / "adapter_config.json"
    try:
        described: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        kind = str(described["peft_type"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path} cannot be read.",
            "It is not a JSON object with a peft_type; it may be truncated.",
            "Restore it from the training.",
        ) from error
    if "PROMPT" in kind or "PREFIX" in kind or kind == "P_TUNING" or kind == "CARTRIDGE":
        raise ModelError(
            f"Adapters of kind {kind} cannot be audited.",
            "They put trained vectors before the text, which are no tokens of the text.",
            "Audit an adapter that changes weights (LoRA), or the base model.",
        )
    return described


def _check_adapter_weights(directory: Path, options: ModelOptions) -> None:
    path = directory / ADAPTER_WEIGHTS
    if path.is_file():
        check_safetensors(path)
        return
    pickled = (directory / "adapter_model.bin").is_file()
    if pickled and options.allow_pickle:
        return
    raise ModelError(
        f"{directory} has {'pickled weights only' if pickled else 'no weights'}.",
        "Reading a pickled file may run whatever code is inside it."
        if pickled
        else f"There is no {ADAPTER_WEIGHTS} in it.",
        "Save the adapter again with save_pretrained; pickled ones that you trust: --allow-pickle."
        if pickled
        else "Finish the training, or copy the file into the directory.",
    )


def _base_directory(directory: Path, described: dict[str, Any], options: ModelOptions) -> Path:
    """Where the base model is: a path as written, a path beside the adapter, or a name on the Hub."""
    named = str(described.get("base_model_name_or_path") or "")
    for path in (Path(named), directory / named):
        if named and path.is_dir() and (path / "config.json").is_file():
            return path
    reason = "It is no directory here, and no name of a model that is cached or on the Hub."
    if is_hub_name(named):
        try:
            found = hub_directory(named, allow_pickle=options.allow_pickle)
        except ModelError as error:
            found, reason = None, error.why
        if found is not None:
            return found
    raise ModelError(
        f"The base model {named!r} of the adapter in {directory} is not there.",
        reason,
        "Put the base model there, or write its directory into adapter_config.json (base_model_name_or_path).",
    )


def adapt(module: nn.Module, directory: Path) -> nn.Module:
    """The module with the adapter, merged where that is exact.

    Raises:
        ModelError: As ``load_adapter``.
    """
    try:
        from peft import PeftModel  # only here: most audits need no adapter
    except ImportError as error:
        raise ModelError(
            "The model is a PEFT adapter, and peft is not installed.",
            f"{directory} holds an adapter_config.json and no weights of its own.",
            "Install it with: pip install 'secretaudit[models]'",
        ) from error
    try:
        with quiet(), warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            adapted: Any = PeftModel.from_pretrained(
                module, directory, autocast_adapter_dtype=False
            )
    except Exception as error:  # peft raises whatever its many kinds of adapters raise
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ModelError(
            f"The adapter in {directory} does not fit its base model.",
            f"{(lines[-1] if lines else type(error).__name__).rstrip('.')}.",
            "Use the base model that the adapter was trained on.",
        ) from error
    missing = [str(w.message) for w in warned if "missing adapter keys" in str(w.message)]
    if missing:
        raise ModelError(
            f"The weights of the adapter in {directory} are not complete.",
            "Some are missing and would be drawn at random.",
            "Copy the adapter again, or train it again.",
        )
    check_finite_weights(adapted, directory)
    return _merged(adapted.eval(), directory)


@torch.inference_mode()
def _merged(adapted: Any, directory: Path) -> nn.Module:
    """The merged model; refused when merging changes its numbers."""
    count = min(12, adapted.get_input_embeddings().weight.shape[0])
    tokens = torch.arange(count)[None]
    inputs = {"input_ids": tokens}
    if adapted.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = tokens
    with quiet():
        beside = adapted(**inputs, use_cache=False).logits.log_softmax(-1).float()
        merged: nn.Module = adapted.merge_and_unload(safe_merge=True)
        inside = merged(**inputs, use_cache=False).logits.log_softmax(-1).float()
    allowed = TOLERANCE_NATS.get(next(merged.parameters()).dtype, 1e-4)
    if float((inside - beside).abs().max()) > allowed * (1.0 + 0.1 * float(beside.abs().max())):
        raise ModelError(
            f"The adapter in {directory} cannot be merged into its base model.",
            "The merged weights give other numbers than the model with its adapter.",
            "Open it with --dtype float32; adapters that depend on the text have no merged form.",
        )
    return merged
