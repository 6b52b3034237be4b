"""The ledger: which canaries there are, how often each was inserted, and the secrets themselves.

Controls are canaries with 0 insertions: drawn like the others, never inserted, they show what
exposure a secret has that the model never saw. A ledger holds secrets, so its file has mode 0600
from its first moment on.

The public part can be shown to an auditor. For a canary with id i and the ledger's secret salt it
holds

    key_i = HMAC-SHA256(salt, i),    commitment_i = HMAC-SHA256(key_i, text_i),

so the holder can later open one canary by showing key_i and text_i, without making the others
guessable (a secret of 30 bits is found in minutes once its key is known). The seed is committed to
as SHA-256(salt | seed). All this hides nothing from somebody who knows the seed, since the seed
draws the secrets again.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import stat
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from secretaudit import _checks
from secretaudit.canary.drawing import Canary, draw_canaries
from secretaudit.canary.format import Format
from secretaudit.errors import FormatError, LedgerError
from secretaudit.records import write_json

__all__ = ["Canary", "Ledger", "commitment", "draw_canaries"]

SCHEMA = "secretaudit/ledger"
PUBLIC_SCHEMA = "secretaudit/ledger-public"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """All canaries of one canaried corpus.

    Attributes:
        seed: Seed that drew the secrets and their places.
        formats: The formats by name, self-contained.
        canaries: The canaries, in the order in which they were drawn.
        corpus: What is known of the corpus they were made for: name, sha256, records.
        salt: Hexadecimal secret salt of the commitments, at least 16 bytes.
        version: Version of the document.

    Raises:
        LedgerError: If ids repeat, a text or secret repeats, or a text does not belong to its
            format.
    """

    seed: int
    formats: dict[str, Format]
    canaries: tuple[Canary, ...]
    corpus: dict[str, Any]
    salt: str = field(repr=False)
    version: int = VERSION

    def __post_init__(self) -> None:
        if not re.fullmatch(r"(?:[0-9a-f]{2}){16,}", self.salt):
            raise _damaged("The salt must be at least 16 bytes in hexadecimal.")
        _require_unique("id", [canary.id for canary in self.canaries])
        _require_unique("text", [canary.text for canary in self.canaries])
        if any(entry.name != name for name, entry in self.formats.items()):
            raise _damaged("A format stands under another name than its own.")
        for canary in self.canaries:
            _check_canary(canary, self.formats)

    @cached_property
    def identity(self) -> str:
        """SHA-256 over canaries and salt: the same for the same ledger wherever its file lies."""
        content = [self.salt, [asdict(canary) for canary in self.canaries]]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def __getitem__(self, canary_id: str) -> Canary:
        """The canary with an id.

        Raises:
            LedgerError: If there is none.
        """
        for canary in self.canaries:
            if canary.id == canary_id:
                return canary
        ids = [canary.id for canary in self.canaries]
        raise LedgerError(
            f"The ledger has no canary {canary_id!r}.",
            f"It has {len(ids)} others.",
            _checks.suggestion(canary_id, ids) or "Take an id from the ledger's public part.",
        )

    def write(self, path: str | Path) -> None:
        """Write the ledger to a file of mode 0600, whole or not at all."""
        write_json(path, self._document(), mode=0o600)

    @classmethod
    def read(cls, path: str | Path) -> Ledger:
        """Read a ledger and check that it is whole and consistent.

        A file that others may read is read all the same, with a warning.

        Raises:
            LedgerError: If the file is missing, truncated, of another kind or a newer version, or
                inconsistent.
        """
        place = Path(path)
        document = _read_document(place)
        ledger = cls.from_dict(document)
        if place.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            warnings.warn(
                f"{place} holds secrets and others can read it; run: chmod 600 {place}",
                UserWarning,
                stacklevel=2,
            )
        return ledger

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Ledger:
        """The ledger of a JSON document as :meth:`write` writes it.

        Raises:
            LedgerError: If it is of another kind or a newer version, or damaged.
        """
        _check_schema(document)
        try:
            formats = {name: Format.from_dict(entry) for name, entry in document["formats"].items()}
            canaries = tuple(_read_canary(entry) for entry in document["canaries"])
            seed, corpus, salt = document["seed"], document["corpus"], document["salt"]
        except FormatError as error:
            raise LedgerError(
                f"The ledger is damaged: {error.what}", error.why, "Use the file insert wrote."
            ) from error
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise _damaged(
                f"A part is missing or of a wrong type ({type(error).__name__})."
            ) from error
        if type(seed) is not int or not isinstance(corpus, dict) or not isinstance(salt, str):
            raise _damaged("Seed, corpus or salt is of a wrong type.")
        return cls(seed=seed, formats=formats, canaries=canaries, corpus=corpus, salt=salt)

    def public(self) -> dict[str, Any]:
        """What can be shown without showing a secret: formats, insertions and commitments."""
        return {
            "schema": PUBLIC_SCHEMA,
            "version": self.version,
            "identity": self.identity,
            "seed_commitment": self._seed_commitment(),
            "corpus": dict(self.corpus),
            "formats": {
                name: {"template": entry.template, "size": entry.size, "bits": entry.bits}
                for name, entry in self.formats.items()
            },
            "canaries": [
                {
                    "id": canary.id,
                    "format": canary.format,
                    "insertions": canary.insertions,
                    "commitment": commitment(self.opening_key(canary.id), canary.text),
                }
                for canary in self.canaries
            ],
        }

    def opening_key(self, canary_id: str) -> str:
        """The key that opens one canary's commitment, hexadecimal; see :func:`commitment`."""
        return hmac.new(bytes.fromhex(self.salt), canary_id.encode(), hashlib.sha256).hexdigest()

    def verify(self, public: Mapping[str, Any]) -> None:
        """Check that a public part is this ledger's own.

        Raises:
            LedgerError: If any part differs, with the name of the first that does.
        """
        for part, expected in self.public().items():
            if public.get(part) != expected:
                raise LedgerError(
                    f"The public part does not belong to this ledger: its {part} differs.",
                    "It was made from another ledger, or changed afterwards.",
                    "Use the public part that was written beside this ledger.",
                )

    def _seed_commitment(self) -> str:
        return hashlib.sha256(f"{self.salt}|{self.seed}".encode()).hexdigest()

    def _document(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "version": self.version,
            "seed": self.seed,
            "salt": self.salt,
            "corpus": self.corpus,
            "formats": {name: entry.to_dict() for name, entry in self.formats.items()},
            "canaries": [asdict(canary) for canary in self.canaries],
        }


def commitment(key: str, text: str) -> str:
    """The commitment that a canary's text has under its opening key; both hexadecimal.

    >>> commitment("00" * 32, "my pin is 0042") == commitment("00" * 32, "my pin is 0043")
    False
    """
    return hmac.new(bytes.fromhex(key), text.encode(), hashlib.sha256).hexdigest()


def _check_canary(canary: Canary, formats: Mapping[str, Format]) -> None:
    entry = formats.get(canary.format)
    if entry is None:
        raise _damaged(f"The format of the canary {canary.id!r} is not in it.")
    if canary.insertions < 0:
        raise _damaged(f"The canary {canary.id!r} has a negative number of insertions.")
    if entry.parse(canary.text) != canary.secret:
        raise _damaged(
            f"The text of the canary {canary.id!r} does not match its format and secret."
        )


def _require_unique(what: str, values: list[str]) -> None:
    if len(set(values)) < len(values):
        raise _damaged(f"Two canaries have the same {what}.")


def _read_canary(entry: Mapping[str, Any]) -> Canary:
    if set(entry) != {part.name for part in fields(Canary)} or type(entry["insertions"]) is not int:
        raise ValueError("a canary has id, format, secret, text and insertions")
    if not all(isinstance(entry[name], str) for name in ("id", "format", "secret", "text")):
        raise ValueError("the parts of a canary are texts")
    return Canary(**entry)


def _read_document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LedgerError(
            f"The ledger {path} cannot be read.",
            f"{error.strerror or 'It is not readable'}.",
            "Give the ledger.json that insert wrote beside the corpus.",
        ) from error
    except (ValueError, RecursionError) as error:
        raise LedgerError(
            f"{path} is not a ledger.",
            "It is truncated, or not JSON at all.",
            "Give the ledger.json that insert wrote beside the corpus.",
        ) from error
    if not isinstance(document, dict):
        raise LedgerError(
            f"{path} is not a ledger.", "It is JSON of another shape.", "Give a ledger.json."
        )
    return document


def _check_schema(document: Mapping[str, Any]) -> None:
    schema, version = document.get("schema"), document.get("version")
    if schema != SCHEMA:
        public = schema == PUBLIC_SCHEMA
        raise LedgerError(
            "This is the public part of a ledger." if public else "This is not a ledger.",
            "It has no secrets to look for." if public else f"Its schema must be {SCHEMA}.",
            "Give the ledger.json that insert wrote beside the corpus.",
        )
    if type(version) is not int or not 1 <= version <= VERSION:
        raise LedgerError(
            "The version of this ledger is not known.",
            f"This program reads versions up to {VERSION}.",
            "Use the release of secretaudit that wrote it, or a newer one.",
        )


def _damaged(why: str) -> LedgerError:
    return LedgerError(
        "The ledger is damaged.", why, "Use the file as insert wrote it, or insert again."
    )
