"""What a corpus holds before anything is inserted, and whether these canaries may go in.

One pass counts the records and looks for every canary and control. In parallel text both sides are searched, since a secret that the encoder reads
is seen by the model as well. A text that is there already is refused; a secret by itself only where it is *telling*: its space is so large that
it cannot be there by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secretaudit.corpus.occurrences import Needles
from secretaudit.corpus.reading import empty, sha256_of, state_of
from secretaudit.corpus.stream import Source
from secretaudit.corpus.survey import passing, survey
from secretaudit.errors import CorpusError
from secretaudit.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Unseen:
    """A canary or control that may not be there.

    Attributes:
        id: Of the canary.
        texts: What may not stand in any record.
        secret: Its secret.
        telling: Whether the secret by itself may not stand there either.
    """

    id: str
    texts: tuple[str, ...]
    secret: str
    telling: bool


@dataclass(frozen=True, kw_only=True)
class InputSurvey:
    """A corpus before insertion.

    Attributes:
        name: Of its file or directory.
        records: How many it has.
        sha256: Of its data files.
        by_chance: Canary id → occurrences of its secret; only those that occur.
        state: Size and time of last change of each data file.
    """

    name: str
    records: int
    sha256: str
    by_chance: dict[str, int]
    state: tuple[tuple[int, int], ...]

    def described(self) -> dict[str, Any]:
        """What the ledger remembers."""
        return {"name": self.name, "sha256": self.sha256, "records": self.records}


def read_input(source: Source, unseen: Sequence[Unseen], progress: Progress) -> InputSurvey:
    """Count, hash and search the input.

    Raises:
        CorpusError: It is empty, or holds a canary.
    """
    state = state_of(source)
    strings = {entry.secret for entry in unseen}.union(*(entry.texts for entry in unseen))
    needles = Needles(sorted(strings - {""}))
    surveyed = survey(source, needles, passing(progress, "checking", None))
    if surveyed.records == 0:
        raise empty(source.path)
    counts = (surveyed.occurrences.inside + surveyed.inside_sources).tolist()
    times = {"": 0, **dict(zip(needles.texts, counts, strict=True))}
    present = [
        entry.id
        for entry in unseen
        if any(times[text] for text in entry.texts) or (entry.telling and times[entry.secret])
    ]
    if present:
        raise _already_there(source.path, present)
    return InputSurvey(
        name=source.path.name,
        records=surveyed.records,
        sha256=sha256_of(source),
        by_chance={entry.id: times[entry.secret] for entry in unseen if times[entry.secret]},
        state=state,
    )


def _already_there(path: Path, present: Sequence[str]) -> CorpusError:
    shown = ", ".join(present[:3]) + (" …" if len(present) > 3 else "")
    return CorpusError(
        f"{path} already holds the text or the secret of {len(present)} canaries ({shown}).",
        "A canary counts its insertions and a control must be unseen; here the model would see more of them.",
        "Choose another --seed; if the corpus was canaried before, use the original.",
    )
