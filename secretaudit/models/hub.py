"""Models named as on the Hugging Face Hub: "organization/name".

Files that are in the local cache are used as they are, without asking anybody. Otherwise they are downloaded, unless
``HF_HUB_OFFLINE`` forbids it: configuration, tokenizer and safetensors only (pickled weights where they are allowed).
"""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import is_offline_mode, snapshot_download

from secretaudit.errors import ModelError
from secretaudit.models.model_directory import INDEX, PICKLED, WEIGHTS
from secretaudit.models.quiet import quiet

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_FILES = ["*.json", "*.jinja", "*.model", "*.txt", "*.safetensors"]


def is_hub_name(spec: str | Path) -> bool:
    """Whether this may be a name on the Hub and is no path that exists."""
    return isinstance(spec, str) and bool(_NAME.fullmatch(spec)) and not Path(spec).exists()


def hub_directory(name: str, *, allow_pickle: bool = False) -> Path | None:
    """The directory with the files of a model on the Hub; ``None`` for a name without organization that is not cached.

    Raises:
        ModelError: The files are neither cached nor to be had.
    """
    cached = _cached(name)
    if cached is not None and _has_weights(cached):
        return cached
    if "/" not in name:
        return cached
    if is_offline_mode():
        raise _not_to_be_had(
            name, "It is not in the local cache, and HF_HUB_OFFLINE forbids to ask the Hub"
        )
    wanted = [*_FILES, *PICKLED] if allow_pickle else _FILES
    try:
        with quiet():
            return Path(snapshot_download(name, allow_patterns=wanted))
    except Exception as error:  # the network fails in many ways, and the Hub answers in many
        said = str(error).strip().splitlines()
        reason = said[0].rstrip(".") if said else type(error).__name__
        raise _not_to_be_had(name, reason) from error


def _cached(name: str) -> Path | None:
    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (OSError, ValueError):  # nothing cached, or a name that the Hub would not have
        return None


def _has_weights(directory: Path) -> bool:
    names = (WEIGHTS, INDEX, "adapter_model.safetensors")
    pickled = any(True for pattern in PICKLED for _ in directory.glob(pattern))
    return pickled or any((directory / name).is_file() for name in names)


def _not_to_be_had(name: str, reason: str) -> ModelError:
    return ModelError(
        f"There is no model directory {name}, and the Hub gives no model of that name.",
        f"{reason}.",
        "Check the name, the network and your access (HF_TOKEN), or give a directory.",
    )
