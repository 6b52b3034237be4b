"""The tokenizer of a model that somebody else serves.

A server tells token ids at best, never the tokenizer. It is taken, in this order, from the directory that the user names, from the directory or
name that the server says it loaded the model from (``root`` in ``/models``), when that is on this machine; nothing is downloaded.
"""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from secretaudit.errors import ModelError, UsageError
from secretaudit.models.model_directory import TOKENIZER_FILES, load_tokenizer
from secretaudit.models.quiet import quiet

_WAY_OUT = "Name a directory with the model's tokenizer.json: --tokenizer DIRECTORY."


def served_tokenizer(named: str | None, root: str | None) -> PreTrainedTokenizerFast:
    """The fast tokenizer of a served model.

    Args:
        named: What the user gave: a directory, or a name in the local Hugging Face cache.
        root: What the server says to have loaded.

    Raises:
        UsageError: Neither is given, or what the user named is not there.
        ModelError: It cannot be read, or is no fast tokenizer.
    """
    if named is not None:
        found = _local(named)
        if found is None:
            raise UsageError(
                f"There is no tokenizer in {named}.",
                "It is neither a directory with tokenizer.json nor a name in the local Hugging Face cache.",
                _WAY_OUT,
            )
        return found
    found = _local(root) if root else None
    if found is None:
        raise UsageError(
            "The tokenizer of the served model is not known.",
            f"The server says that it loaded {root!r}, which is not on this machine."
            if root
            else "The server does not say what it loaded.",
            _WAY_OUT,
        )
    return found


def _local(place: str) -> PreTrainedTokenizerFast | None:
    """The tokenizer in a directory or in the local cache; ``None`` where there is none."""
    directory = Path(place)
    if directory.is_dir():
        there = any((directory / name).is_file() for name in TOKENIZER_FILES)
        return load_tokenizer(directory) if there else None
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=True)
    except (OSError, ValueError):
        return None
    except Exception as error:  # the tokenizers library raises bare Exception
        raise _unreadable(place, error) from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ModelError(
            f"The tokenizer in {place} is not a fast tokenizer.",
            "An audit reads the tokens' bytes from tokenizer.json.",
            "Convert it to a fast tokenizer and save it again.",
        )
    return tokenizer


def _unreadable(place: str, error: Exception) -> ModelError:
    return ModelError(
        f"The tokenizer in {place} cannot be read.",
        f"tokenizer.json or tokenizer_config.json is damaged ({type(error).__name__}).",
        "Restore both files, or name another directory with --tokenizer.",
    )
