"""What a server has said, kept on disk, so that an interrupted audit goes on where it was.

Prompts hold secrets, so none are kept: a row is the hash of a question and the numbers that answered it, in a file that only its owner
may read (0600). The hash is no protection against somebody who has the file and guesses short secrets; the numbers in it are as private as the
audit's record.

A server may load other weights under the same name. Rows therefore belong to a *generation*: server, model, dialect, and the costs of some
probes as measured at the start of an audit. Only if the probes still cost the same are the rows of that generation used again.

The file is an SQLite database in write-ahead mode: a process may be killed at any moment and leaves it whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from secretaudit.errors import CouldNotMeasure, UsageError
from secretaudit.models.server.dialects import NOT_ASKED, Prompt, Reading

#: Name that keeps nothing on disk.
IN_MEMORY = ":memory:"
_VERSION = 1
#: How every SQLite file begins.
_MAGIC = b"SQLite format 3\x00"
#: Rows looked up in one statement.
_AT_ONCE = 500
_TABLES = """
CREATE TABLE IF NOT EXISTS generation (id INTEGER PRIMARY KEY, identity TEXT NOT NULL, probes TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS reply (
    generation INTEGER NOT NULL, question BLOB NOT NULL, log_p BLOB NOT NULL, tokens BLOB NOT NULL,
    following BLOB NOT NULL, PRIMARY KEY (generation, question)
) WITHOUT ROWID;
"""


def default_cache() -> Path:
    """The user's own file: ``$XDG_CACHE_HOME/secretaudit/replies.sqlite``."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home, "secretaudit", "replies.sqlite")


class ReplyCache:
    """Replies of one server, in one file.

    Args:
        path: The file, made if need be; ``":memory:"`` keeps nothing.

    Raises:
        UsageError: The file cannot be written, or is something else.
        CouldNotMeasure: The disk is full.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._generation: int | None = None
        with self._explained():
            if self.path != IN_MEMORY:
                _prepare(Path(path))
            self._file = sqlite3.connect(self.path, timeout=30.0)
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = NORMAL")
            self._check_version()
            self._file.executescript(_TABLES)

    def _check_version(self) -> None:
        (version,) = self._file.execute("PRAGMA user_version").fetchone()
        (tables,) = self._file.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version != _VERSION and (version or tables):
            raise sqlite3.DatabaseError("it holds other tables")
        self._file.execute(f"PRAGMA user_version = {_VERSION}")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def begin(self, identity: Sequence[str], probes: NDArray[np.float64], tolerance: float) -> int:
        """Choose the generation: the one whose probes cost what they cost now, or a new one.

        Args:
            identity: Server, model and dialect.
            probes: Log-probabilities of the probes, as measured now.
            tolerance: Largest difference, in nats, between equal probes.

        Returns:
            How many replies it holds already.
        """
        name, now = json.dumps(list(identity)), probes.tolist()
        with self._explained(), self._file:
            known = self._file.execute(
                "SELECT id, probes FROM generation WHERE identity = ? ORDER BY id DESC", (name,)
            )
            for number, text in known.fetchall():
                then = json.loads(text)
                if len(then) == len(now) and np.allclose(then, now, rtol=0, atol=tolerance):
                    self._generation = number
                    break
            else:
                written = self._file.execute(
                    "INSERT INTO generation (identity, probes) VALUES (?, ?)",
                    (name, json.dumps(now)),
                )
                self._generation = written.lastrowid
            return self._count()

    def _count(self) -> int:
        row = self._file.execute(
            "SELECT count(*) FROM reply WHERE generation = ?", (self._generation,)
        ).fetchone()
        return int(row[0])

    def find(self, prompts: Sequence[Prompt]) -> dict[Prompt, Reading]:
        """The readings that are known already."""
        if self._generation is None:
            return {}
        found: dict[Prompt, Reading] = {}
        by_hash = {question(prompt): prompt for prompt in prompts}
        with self._explained():
            hashes = list(by_hash)
            for low in range(0, len(hashes), _AT_ONCE):
                some = hashes[low : low + _AT_ONCE]
                marks = ",".join("?" * len(some))
                rows = self._file.execute(
                    f"SELECT question, log_p, tokens, following FROM reply WHERE generation = ? AND question IN ({marks})",  # noqa: S608 # only question marks are put in
                    (self._generation, *some),
                )
                for asked, log_p, tokens, following in rows:
                    found[by_hash[asked]] = _unpacked(log_p, tokens, following)
        return found

    def keep(self, readings: Iterable[tuple[Prompt, Reading]]) -> None:
        """Write readings down; they outlive the process once this returns."""
        if self._generation is None:
            return
        rows = [(self._generation, question(p), *_packed(r)) for p, r in readings]
        with self._explained(), self._file:
            self._file.executemany("INSERT OR REPLACE INTO reply VALUES (?, ?, ?, ?, ?)", rows)

    def discard(self) -> None:
        """Forget this generation: the server was found to answer differently from one time to the next."""
        with self._explained(), self._file:
            for table, column in (("reply", "generation"), ("generation", "id")):
                self._file.execute(
                    f"DELETE FROM {table} WHERE {column} = ?",  # noqa: S608 # names of our own
                    (self._generation,),
                )
        self._generation = None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if "full" in str(error) or getattr(error, "errno", None) in (28, 122):
                raise CouldNotMeasure(
                    f"The server's replies could not be kept in {self.path}.",
                    "The disk is full.",
                    "Free some space, or name another file with --reply-cache.",
                ) from error
            raise UsageError(
                f"The reply cache {self.path} cannot be used.",
                f"The file cannot be opened as one: {error}.",
                "Remove it, or name another file with --reply-cache.",
            ) from error


def _prepare(path: Path) -> None:
    """Make the file, or see that it is one of ours; only its owner may read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        if os.read(descriptor, len(_MAGIC)) not in (b"", _MAGIC):
            raise sqlite3.DatabaseError("it holds something else")
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def question(prompt: Prompt) -> bytes:
    """The hash that stands for a prompt."""
    text = json.dumps([prompt.tokens, prompt.wanted, prompt.listed])
    return hashlib.sha256(text.encode()).digest()


def _packed(reading: Reading) -> tuple[bytes, bytes, bytes]:
    tokens = np.fromiter(reading.following, dtype=np.int64, count=len(reading.following))
    values = np.fromiter(reading.following.values(), dtype=np.float64, count=len(tokens))
    return reading.log_p.tobytes(), tokens.tobytes(), values.tobytes()


def _unpacked(log_p: bytes, tokens: bytes, following: bytes) -> Reading:
    keys, values = np.frombuffer(tokens, dtype=np.int64), np.frombuffer(following)
    return Reading(
        log_p=np.frombuffer(log_p) if log_p else NOT_ASKED,
        following=dict(zip(keys.tolist(), values.tolist(), strict=True)),
    )
