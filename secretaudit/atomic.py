"""Files and directories that are either whole or not there.

A run may be killed at any moment, and the disk may be full. What a reader finds under its final name is
therefore always complete:

* a file is written beside its place under a temporary name, flushed to the disk (fsync) and renamed;
* a directory is filled beside its place as ``.NAME.partial`` and renamed when it is complete.

A private file (mode 0600) is created with that mode, so nobody else can read it even for a moment.

Two runs into one directory are kept apart by a lock on ``.NAME.lock`` beside it. The lock belongs to the
process (``flock``), not to the file: when a process dies, its lock dies with it, and a file left behind
blocks nobody.

Replacing a directory (``force``) takes two renames. A kill between them leaves the old one as ``.NAME.old``;
the next run into the same place puts it back before it begins. Only a directory that secretaudit wrote is ever
replaced, known by the record in it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from secretaudit.errors import CouldNotMeasure, SecretauditError, UsageError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_text(path: str | Path, text: str, *, mode: int = 0o644) -> None:
    """Write a whole UTF-8 text file, or leave what was there.

    Args:
        path: The file. A symbolic link is followed.
        text: Its content.
        mode: Permission bits from the first moment on, further limited by the process's umask.

    Raises:
        CouldNotMeasure: The disk is full.
        UsageError: The place cannot be written.
    """
    write_bytes(path, text.encode("utf-8"), mode=mode)


def write_bytes(path: str | Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a whole file, such as a picture, as ``write_text`` does."""
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        raise UsageError(
            f"{path} cannot be written.",
            "Something that is not an ordinary file stands there.",
            "Choose another name.",
        )
    with disk_errors(path):
        _write_beside(target, data, mode)


def write_json(path: str | Path, value: object, *, mode: int = 0o644) -> None:
    """Write a JSON document as ``write_text`` does; NaN and infinities are refused (``ValueError``)."""
    write_text(path, to_json(value) + "\n", mode=mode)


def to_json(value: object) -> str:
    """The JSON that we write: indented, ASCII only, never NaN or Infinity.

    >>> print(to_json({"bits": 1.5}))
    {
      "bits": 1.5
    }
    """
    return json.dumps(value, indent=2, allow_nan=False)


@contextmanager
def disk_errors(path: str | Path) -> Iterator[None]:
    """Turn an ``OSError`` met while writing ``path`` into an error with a way out.

    Raises:
        CouldNotMeasure: The disk (or the quota) is full.
        UsageError: Any other reason that the system gives.
    """
    try:
        yield
    except OSError as error:
        raise _explained(error, path) from error


@contextmanager
def directory_lock(path: str | Path) -> Iterator[None]:
    """Hold the right to write the directory ``path``; the right ends with the process at the latest.

    Args:
        path: The directory, which need not exist. Its parents are made.

    Raises:
        UsageError: Another run holds it.
    """
    target = Path(path).resolve()
    lock = target.with_name(f".{target.name}.lock")
    with disk_errors(path):
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _locked_descriptor(lock)
    if descriptor is None:
        raise UsageError(
            f"{path} is being written by another run.",
            f"That run holds {lock}.",
            "Wait until it has ended, or choose another output directory.",
        )
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink()
        os.close(descriptor)


@contextmanager
def directory_being_written(
    path: str | Path, *, force: bool = False, kind: str | None = None
) -> Iterator[Path]:
    """Give an empty directory to fill, which takes the place ``path`` when the block ends well.

    When the block ends with an exception (Ctrl-C included), everything written is removed and ``path`` is as
    it was before.

    Args:
        path: The final place. Its parents are made. An empty directory there is taken over.
        force: Replace a directory that an earlier run of secretaudit wrote.
        kind: The kind of record that such a directory holds; ``None`` takes any.

    Yields:
        The directory to write into, on the same file system as ``path``.

    Raises:
        UsageError: Something stands there already, or another run is writing there.
        CouldNotMeasure: The disk is full.
    """
    target = Path(path).resolve()
    with directory_lock(target), disk_errors(path):
        partial = target.with_name(f".{target.name}.partial")
        old = target.with_name(f".{target.name}.old")
        if old.exists() and not target.exists():
            old.rename(target)
        check_output(path, force=force, kind=kind)
        _remove(partial)
        partial.mkdir()
        try:
            yield partial
            _sync_tree(partial)
            _take_place(partial, target, old)
        except BaseException:
            _remove(partial)
            raise


def check_output(path: str | Path, *, force: bool = False, kind: str | None = None) -> None:
    """Refuse an output directory that must not be written, before any work is done.

    Raises:
        UsageError: ``path`` is a file, holds the current directory, or is a directory with something in it
            (with ``force``: something that secretaudit did not write, or wrote in a run of another ``kind``).
    """
    target = Path(path).resolve()
    if Path.cwd().is_relative_to(target):
        raise UsageError(
            f"{path} cannot be the output directory.",
            "The current directory is in it, and the output takes its place as a whole.",
            "Name a directory of its own, for example -o out/.",
        )
    if not target.exists():
        return
    if not target.is_dir():
        raise UsageError(
            f"{path} cannot be the output directory.",
            "A file of that name exists.",
            "Choose another output directory.",
        )
    if not any(target.iterdir()):
        return
    if not force:
        raise UsageError(
            f"{path} already exists.",
            "It is not empty, and nothing is overwritten unasked.",
            "Choose another output directory, or add --force to replace it.",
        )
    if not _written_by_us(target, kind):
        raise UsageError(
            f"{path} is not replaced, not even with --force.",
            f"It holds no record of {'any' if kind is None else 'such a'} run of secretaudit, so something else is in it.",
            "Choose another output directory, or remove it yourself.",
        )


def _written_by_us(directory: Path, kind: str | None) -> bool:
    """Whether a record of ours, of that kind, lies in the directory."""
    mark = f'"schema": "secretaudit/{kind}"' if kind else '"schema": "secretaudit/'
    for document in directory.glob("*.json"):
        if document.is_file():
            with document.open("rb") as file:
                if mark.encode() in file.read(200):
                    return True
    return False


def _write_beside(target: Path, data: bytes, mode: int) -> None:
    """Write ``data`` under a temporary name in the same directory, then rename it to ``target``."""
    temporary = target.with_name(f".{target.name}.{os.urandom(6).hex()}.partial")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(target.parent)


def _take_place(partial: Path, target: Path, old: Path) -> None:
    """Rename ``partial`` to ``target``; what stood there is removed only after that has worked."""
    _remove(old)
    if target.exists():
        target.rename(old)
    try:
        partial.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    _sync_directory(target.parent)
    _remove(old)


def _locked_descriptor(lock: Path) -> int | None:
    """Open and lock the file; ``None`` when another process holds it.

    The holder removes the file before letting go, so the file that was locked may no longer be the one that
    bears the name; then try again.
    """
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), lock.stat()):
                return descriptor
        os.close(descriptor)


def _explained(error: OSError, path: str | Path) -> SecretauditError:
    """The error that a user reads in place of the system's."""
    if error.errno in _FULL:
        return CouldNotMeasure(
            f"{path} was not written.",
            f"The disk is full: {error.strerror}.",
            "Free some space, or choose a place on another disk; nothing half-written was left.",
        )
    return UsageError(
        f"{path} was not written.",
        f"The system says: {error.strerror or error} ({error.filename or path}).",
        "Check that the directory exists and that you may write there.",
    )


def _remove(directory: Path) -> None:
    if directory.is_dir():
        shutil.rmtree(directory)


def _sync_tree(directory: Path) -> None:
    """Flush every file and directory below to the disk."""
    for folder, _, names in os.walk(directory):
        for name in names:
            _sync(Path(folder, name))
        _sync_directory(Path(folder))


def _sync_directory(directory: Path) -> None:
    """Flush the names in a directory, where the file system can."""
    with suppress(OSError):
        _sync(directory)


def _sync(path: str | Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
