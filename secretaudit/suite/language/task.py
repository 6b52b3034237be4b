"""The text that language models of the suite learn from.

Lines to train on and lines held out; formats of the canaries that go into every training, so that what a measure says can be held against
exposure. Lines are records: a model reads each from its beginning.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from secretaudit._checks import at_least
from secretaudit.errors import CorpusError

__all__ = ["LanguageTask"]


@dataclass(frozen=True, kw_only=True)
class LanguageTask:
    """Lines of text, and the canaries that go with them.

    Attributes:
        name: What it is called in the record.
        train: Lines to train on, without canaries.
        held_out: Lines never trained on.
        formats: Names of canary formats, as ``insert`` takes them.
        canaries: Canaries per format and number of insertions, as ``insert`` counts them.
        repeats: The numbers of insertions.
        controls: Canaries per format that are not inserted.
        source: Where the text was read.

    Raises:
        CorpusError: Fewer than two lines in a part.
    """

    name: str
    train: tuple[str, ...]
    held_out: tuple[str, ...]
    formats: tuple[str, ...] = ("random-number",)
    canaries: int = 6
    repeats: tuple[int, ...] = (1, 8)
    controls: int = 10
    source: str = ""

    def __post_init__(self) -> None:
        for part in (self.train, self.held_out):
            if len(part) < 2:
                raise CorpusError(
                    f"{self.name} has {len(self.train)} lines to train on and {len(self.held_out)} held out.",
                    "Each part needs at least two.",
                    "Give a longer text.",
                )
        at_least("canaries", self.canaries, 1)
        at_least("controls", self.controls, 0)

    def fingerprint(self) -> str:
        """SHA-256 over both parts, in hexadecimal."""
        digest = hashlib.sha256()
        for part in (self.train, self.held_out):
            digest.update("\n".join(part).encode() + b"\0")
        digest.update(repr((self.formats, self.canaries, self.repeats, self.controls)).encode())
        return digest.hexdigest()

    def described(self) -> dict[str, object]:
        """What a record says of it; no text."""
        return {
            "name": self.name,
            "source": self.source,
            "kind": "language",
            "train": len(self.train),
            "held_out": len(self.held_out),
            "formats": list(self.formats),
            "canaries": self.canaries,
            "repeats": list(self.repeats),
            "controls": self.controls,
            "sha256": self.fingerprint(),
        }
