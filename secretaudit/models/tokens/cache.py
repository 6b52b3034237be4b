"""Tables that take seconds to build, kept on disk between runs.

They lie in ``$SECRETAUDIT_CACHE``, or else in ``secretaudit`` under the user's cache directory (``$XDG_CACHE_HOME``, ``~/.cache``), one file of
named int64 and bool arrays per table, under a name that is a hash of all that the table depends on,
the code that makes it included. A file is written whole or not at
all, and holds a checksum over its content: one that is damaged, or cannot be read, is as good as none, and is built again. A cache that
cannot be written is done without: it changes speed and never a number.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Folders of the package whose code makes the tables.
_MAKERS = ("canary", "models/tokens", "tree")
_MAGIC = b"secretaudit-table\n"


class Cache:
    """Tables by kind and key.

    Args:
        directory: Where they lie; ``None`` looks at the environment.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory or _directory()

    def path(self, kind: str, key: str) -> Path:
        """The file of a table."""
        name = hashlib.sha256(f"{code_fingerprint()}\n{kind}\n{key}".encode()).hexdigest()[:40]
        return self.directory / f"{kind}-{name}.npz"

    def read(self, kind: str, key: str) -> dict[str, NDArray[Any]] | None:
        """The arrays of a table by name, or ``None`` when it is not there whole."""
        try:
            data = self.path(kind, key).read_bytes()
        except OSError:
            return None
        head = len(_MAGIC) + 32
        if data[: len(_MAGIC)] != _MAGIC or data[len(_MAGIC) : head] != _checksum(data[head:]):
            return None
        with np.load(io.BytesIO(data[head:]), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}

    def write(self, kind: str, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep a table, if the disk lets us."""
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **dict(arrays))
        content = buffer.getvalue()
        target = self.path(kind, key)
        temporary = target.with_name(f".{target.name}.{os.urandom(6).hex()}.partial")
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary.write_bytes(_MAGIC + _checksum(content) + content)
            temporary.replace(target)
        except OSError:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@cache
def code_fingerprint() -> str:
    """A hash over the code that makes the tables: what another version of it made is never read."""
    package = Path(__file__).parents[2]
    digest = hashlib.sha256()
    for folder in _MAKERS:
        for file in sorted((package / folder).glob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _directory() -> Path:
    """Where tables lie by default."""
    own = os.environ.get("SECRETAUDIT_CACHE")
    if own:
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "secretaudit"
