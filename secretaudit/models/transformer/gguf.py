"""GGUF files (llama.cpp) through the loader of transformers, which dequantizes them, and a second reading that checks what it made.

The loader renames and rearranges tensors, maps the file's settings to a configuration and rebuilds the tokenizer; what it does not know it
ignores. ``gguf_check`` reads the same file again, by itself, and refuses what does not agree.
"""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from secretaudit.errors import ModelError
from secretaudit.models.model_directory import (
    check_finite_weights,
    dtype_of,
    load_tokenizer,
    on_device,
    tokenizer_directory,
)
from secretaudit.models.model_options import ModelOptions
from secretaudit.models.quiet import quiet
from secretaudit.models.transformer.gguf_check import check_against_file, read_file
from secretaudit.models.transformer.language_model import TransformerLanguageModel
from secretaudit.models.transformer.loading import check_complete, first_line


def load_gguf(path: Path, options: ModelOptions) -> TransformerLanguageModel:
    """The model in a GGUF file.

    Args:
        path: The file.
        options: How to open it; ``tokenizer`` names a directory where the file's own tokenizer cannot be rebuilt.

    Raises:
        ModelError: No such file, gguf is not installed, the file is damaged or of an architecture that the loader does not know, or
            what the loader made of it does not agree with the file.
        UsageError: An option has a value that is not known.
    """
    _check_file(path)
    dtype = dtype_of(options)
    file = read_file(path)
    tokenizer = _tokenizer(path, file.tokenizer_kind, len(file.tokens), options)
    try:
        with quiet(), redirect_stderr(io.StringIO()), torch.random.fork_rng(devices=[]):
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                path.parent, gguf_file=path.name, dtype=dtype, local_files_only=True,
                trust_remote_code=False, output_loading_info=True,
            )  # fmt: skip
    except Exception as error:  # the loader raises whatever its many parts raise
        raise ModelError(
            f"{path} cannot be loaded.",
            f"transformers says: {first_line(error)}.",
            "Convert the original model to safetensors, and audit that.",
        ) from error
    module: nn.Module = loaded[0]
    check_complete(module, loaded[1], path)
    check_finite_weights(module, path)
    check_against_file(file, module, tokenizer)
    return TransformerLanguageModel(
        on_device(module, options.device), tokenizer, options=options, name=path.stem
    )


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise ModelError(
            f"There is no file {path}.",
            "The path does not exist or is a directory.",
            "Check the path.",
        )
    with path.open("rb") as file:
        magic = file.read(4)
    if magic != b"GGUF":
        raise ModelError(
            f"{path} is no GGUF file.",
            "It does not begin with the letters GGUF.",
            "Copy the file again, or give a model directory.",
        )
    if find_spec("gguf") is None:
        raise ModelError(
            "The model is a GGUF file, and gguf is not installed.",
            "transformers reads such files with that package.",
            "Install it with: pip install gguf",
        )


def _tokenizer(
    path: Path, kind: tuple[str, str | None], count: int, options: ModelOptions
) -> PreTrainedTokenizerFast:
    """The tokenizer that was named, or the one in the file where the loader knows its kind."""
    if options.tokenizer is not None:
        return load_tokenizer(tokenizer_directory(path.parent, options))
    if not _is_known(kind):
        raise ModelError(
            f"The tokenizer in {path} cannot be rebuilt.",
            f"It is of the kind {kind[0]!r} with the splitting rule {kind[1]!r}, which the loader does not know.",
            "Give the original tokenizer's directory with --tokenizer.",
        )
    try:
        with quiet():
            tokenizer: Any = AutoTokenizer.from_pretrained(
                path.parent, gguf_file=path.name, local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # the tokenizers library raises bare Exception
        raise ModelError(
            f"The tokenizer in {path} cannot be rebuilt.",
            f"transformers says: {first_line(error)}.",
            "Give the original tokenizer's directory with --tokenizer.",
        ) from error
    return _without_additions(tokenizer, count)


def _without_additions(tokenizer: PreTrainedTokenizerFast, count: int) -> PreTrainedTokenizerFast:
    """The tokenizer less special tokens that the loader put behind those of the file; no text is ever encoded as one."""
    if len(tokenizer) <= count:
        return tokenizer
    description = json.loads(tokenizer.backend_tokenizer.to_str())
    added = description["added_tokens"]
    if len([t for t in added if t["special"] and t["id"] >= count]) != len(tokenizer) - count:
        return tokenizer  # refused by the comparison with the file
    description["added_tokens"] = [t for t in added if t["id"] < count]
    named = {
        name: getattr(tokenizer, name)
        for name in ("bos_token", "eos_token")
        if (getattr(tokenizer, f"{name}_id") or 0) < count
    }
    trimmed = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(description)), **named
    )
    trimmed.chat_template = tokenizer.chat_template
    return trimmed


def _is_known(kind: tuple[str, str | None]) -> bool:
    """Whether the loader splits texts as this tokenizer does."""
    model, rule = kind
    if model == "llama":
        return True
    if model != "gpt2":
        return False
    try:
        from transformers.integrations.gguf.gguf_tokenizer_mapping import (  # not in older versions
            GGUF_PRE_TOKENIZER_SPLITS,
        )
    except ImportError:
        return rule == "gpt-2"
    return rule == "gpt-2" or rule in GGUF_PRE_TOKENIZER_SPLITS
