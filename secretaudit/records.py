"""What a run leaves on disk: one versioned JSON document.

A record says what was *asked* (every setting, defaults included), what was *found*, and in what *environment*
(versions, device, seed, seconds). Everything shown to a person is made from a record, so that it can be made
again. On disk::

    {"schema": "secretaudit/exposure", "version": 1, "asked": …, "found": …, "environment": …}

A record is written whole or not at all (``secretaudit.atomic``), and holds no NaN and no infinity: a value
that could not be measured is ``null`` with a status beside it, so that no comparison can pass by accident.
"""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from secretaudit._version import __version__
from secretaudit.atomic import (
    check_output,
    directory_being_written,
    directory_lock,
    disk_errors,
    to_json,
    write_json,
    write_text,
)
from secretaudit.errors import RecordError, UsageError

__all__ = [
    "KINDS",
    "VERSION",
    "Record",
    "check_output",
    "check_record_place",
    "directory_being_written",
    "directory_lock",
    "disk_errors",
    "environment",
    "mask",
    "write_json",
    "write_text",
]

#: The kinds of runs that leave a record.
KINDS = (
    "insertion",
    "training",
    "monitoring",
    "exposure",
    "extraction",
    "gate",
    "suite-noise",
    "suite-neighbours",
    "suite-pretraining",
    "suite-dissection",
    "suite",
)
#: The version of the document that this code writes; it reads this one and all before.
VERSION = 1

_PREFIX = "secretaudit/"
_PARTS = ("asked", "found", "environment")
_SHOWN_FROM = 8
_LIBRARIES = ("numpy", "scipy", "torch", "transformers", "tokenizers", "datasets", "sklearn")


@dataclass(frozen=True, kw_only=True)
class Record:
    """One run: what was asked, what was found, and where.

    Values are brought to plain JSON types on construction (tuples to lists, numpy scalars to numbers, paths to
    strings), so that a record equals what is read back from its file.

    Attributes:
        kind: One of ``KINDS``.
        asked: Every setting of the run.
        found: Every result.
        environment: What ``environment()`` gives.
        version: Version of the document.

    Raises:
        RecordError: An unknown kind, NaN, an infinity, or something that JSON cannot hold.
    """

    kind: str
    asked: dict[str, Any]
    found: dict[str, Any]
    environment: dict[str, Any]
    version: int = VERSION

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise RecordError(
                f"A record of kind {self.kind!r} cannot be made.",
                "No run leaves such a record.",
                f"The kinds are: {', '.join(KINDS)}.",
            )
        for part in _PARTS:
            object.__setattr__(self, part, _plain(getattr(self, part), part))

    def to_json(self) -> str:
        """The document as it is written to disk."""
        return to_json(self._document())

    def write(self, path: str | Path, mode: int = 0o644) -> None:
        """Write the record to a file, atomically.

        Args:
            path: The file; what was there is replaced.
            mode: Permission bits; 0o600 when the record shows secrets.

        Raises:
            UsageError: The place cannot be written.
            CouldNotMeasure: The disk is full.
        """
        write_json(path, self._document(), mode=mode)

    @classmethod
    def read(cls, path: str | Path, kind: str | None = None) -> Record:
        """Read a record from a file.

        Args:
            path: The file.
            kind: The kind that is wanted; ``None`` takes any.

        Raises:
            RecordError: No such file, truncated, not a record, of another kind, or of a later version.
        """
        document = _read_document(Path(path))
        found_kind = _checked_kind(document, path, kind)
        version = _checked_version(document, path)
        for part in _PARTS:
            if not isinstance(document.get(part), dict):
                raise RecordError(
                    f"{path} is not a whole record.",
                    f"Its part {part!r} is missing.",
                    "Make it again with the command that wrote it.",
                )
        parts = {part: document[part] for part in _PARTS}
        return cls(kind=found_kind, version=version, **parts)

    def _document(self) -> dict[str, Any]:
        parts = {part: getattr(self, part) for part in _PARTS}
        return {"schema": _PREFIX + self.kind, "version": self.version, **parts}


def environment(*, seed: int | None, started: float, device: str = "cpu") -> dict[str, Any]:
    """Where and when a run took place, for its record.

    Libraries are named only when they have been imported already: asking imports nothing.

    Args:
        seed: The seed of the run, if it used one.
        started: ``time.time()`` when the run began, in seconds.
        device: Where the model was, as torch names it.

    Returns:
        Versions, platform, commit of the current directory (``None`` outside git), device, seed, date (UTC, of
        the start) and ``seconds`` (length of the run so far).
    """
    versions = {"secretaudit": __version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        version = getattr(sys.modules.get(name), "__version__", None)
        if version is not None:
            versions[name] = str(version)
    return {
        "versions": versions,
        "platform": platform.platform(),
        "commit": _commit(),
        "device": device,
        "seed": seed,
        "date": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        "seconds": round(max(0.0, time.time() - started), 3),
    }


def mask(secret: str) -> str:
    """A secret as it is shown to people who did not ask to see it; always eight characters wide.

    At most the first and the last character are shown, and nothing of a secret shorter than eight, where one
    character would be a large part of it.

    >>> mask("281265017"), mask("1234"), mask("correct horse battery staple")
    ('2••••••7', '••••••••', 'c••••••e')
    """
    if len(secret) < _SHOWN_FROM:
        return "•" * 8
    return f"{secret[0]}{'•' * 6}{secret[-1]}"


def _plain(value: object, where: str) -> Any:
    """The value in JSON's own types, or ``RecordError`` naming the place of what has none."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise RecordError(
                f"The record was not made: {where} is {value}.",
                "A value that is not finite would compare wrongly wherever the record is used.",
                "Check the model for NaN weights; an unknown value must be null with a status beside it.",
            )
        return float(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Path):
        return str(value)
    scalar = getattr(value, "item", None)
    if callable(scalar) and getattr(value, "ndim", None) == 0:
        return _plain(scalar(), where)
    raise RecordError(
        f"The record was not made: {where} is of type {type(value).__name__}.",
        "JSON has no such type.",
        "Pass numbers, strings, booleans, null, lists and dicts.",
    )


def _read_document(path: Path) -> dict[str, Any]:
    """The JSON object in a file, whatever it says."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except FileNotFoundError as error:
        raise RecordError(
            f"There is no record {path}.",
            "No file of that name exists.",
            "Check the path, or make the record first.",
        ) from error
    except OSError as error:
        raise RecordError(
            f"The record {path} cannot be read.",
            f"The system says: {error.strerror}.",
            "Name the record file itself, one that you may read.",
        ) from error
    except (ValueError, RecursionError) as error:
        raise RecordError(
            f"{path} is not a record.",
            f"It is truncated or not JSON: {error}.",
            "Make it again with the command that wrote it.",
        ) from error
    if not isinstance(document, dict):
        raise RecordError(
            f"{path} is not a record.",
            "Its JSON is not an object with a schema.",
            "Name a file that secretaudit wrote.",
        )
    return document


def _refuse_constant(name: str) -> None:
    """JSON has no NaN and no infinities, although many programs write them."""
    raise ValueError(f"it holds {name}")


def _checked_kind(document: Mapping[str, Any], path: str | Path, wanted: str | None) -> str:
    schema = document.get("schema")
    kind = schema.removeprefix(_PREFIX) if isinstance(schema, str) else None
    if not isinstance(schema, str) or not schema.startswith(_PREFIX) or kind not in KINDS:
        raise RecordError(
            f"{path} is not a record of secretaudit.",
            f"Its schema is {schema!r}.",
            "Name a file that secretaudit wrote.",
        )
    if wanted is not None and kind != wanted:
        raise RecordError(
            f"{path} is not a record of kind {wanted!r}.",
            f"It is a record of kind {kind!r}.",
            f"Name the {wanted} record of the run.",
        )
    return kind


def _checked_version(document: Mapping[str, Any], path: str | Path) -> int:
    version = document.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise RecordError(
            f"{path} is not a whole record.",
            f"Its version is {version!r}.",
            "Make it again with the command that wrote it.",
        )
    if version > VERSION:
        raise RecordError(
            f"{path} cannot be understood.",
            f"It has version {version}; this secretaudit knows up to {VERSION}.",
            "Update secretaudit, or make the record again with this version.",
        )
    return version


def _commit() -> str | None:
    """The git commit of the current directory, if it is under git."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def check_record_place(path: str | Path, kind: str, *, force: bool = False) -> None:
    """Refuse a place for a record before any work is done for it.

    A record of the same kind may be replaced: measuring again is the rule. Anything else there is not ours.

    Raises:
        UsageError: The directory is missing or cannot be written, or something else stands there.
    """
    target = Path(path).resolve()
    if not target.parent.is_dir() or not os.access(target.parent, os.W_OK):
        raise UsageError(
            f"{path} cannot be written.",
            f"The directory {target.parent} is missing or closed to you.",
            "Make it, or choose another output with -o.",
        )
    if not target.exists():
        return
    try:
        Record.read(target, None if force else kind)
    except RecordError as error:
        raise UsageError(
            f"{path} already exists.",
            f"It is not a whole record of kind {kind!r}, and nothing else is overwritten.",
            "Choose another output with -o; --force replaces records of other kinds, and nothing but records.",
        ) from error
