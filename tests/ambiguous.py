"""A tokenizer with many ways to cut a text, and the naive twin of everything that is said of them: listing all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from secretaudit.canary.format import Format, parse_format
from secretaudit.errors import ModelError
from secretaudit.models.language_model import Framing
from secretaudit.tree.segmentations import SegmentationTree
from tests.fakes import HistoryModel

#: Digits alone, in pairs, across the edge of the hole and across the edge behind it.
PIECES = (
    *(bytes([b]) for b in b"x 123y"),
    b"12",
    b"21",
    b"33",
    b"123",
    b" 1",
    b"x 2",
    b"3y",
    b"213",
)
#: Pieces of at most two bytes: adjacent pairs say what is canonical, so spaces of any size have a tree.
PAIRS = (*PIECES[:6], b"12", b"21", b"33", b" 1", b"3y")
#: A text of two and three bytes to a character, with whole characters, bytes, and tokens that end inside a character.
UTF8_PIECES = (
    *(bytes([b]) for b in sorted(set("pé€ß".encode()))),
    "é".encode(),
    "€".encode(),
    "éé".encode(),
    "€".encode()[:2],
    "é€".encode()[:3],
    b"p\xc3",
)


class PieceView:
    """Pieces of bytes; the canonical segmentation takes the longest that fits. Id 0 is the separator and spells nothing."""

    unambiguous = False

    def __init__(self, pieces: Sequence[bytes], lead: bytes = b"") -> None:
        self.token_bytes: list[bytes | None] = [None, *pieces]
        self.lead = lead

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [self._cut(self.lead + text.encode()) for text in texts]

    def _cut(self, text: bytes) -> list[int]:
        found = []
        while text:
            fits = [t for t, b in enumerate(self.token_bytes) if b and text.startswith(b)]
            if not fits:
                raise ModelError("A text has a byte that is not known.", "x", "y")
            longest = max(fits, key=lambda t: len(self.token_bytes[t] or b""))
            found.append(longest)
            text = text[len(self.token_bytes[longest] or b"") :]
        return found

    def segmentations(self, text: bytes) -> list[list[int]]:
        """All of them, by plain recursion."""
        if not text:
            return [[]]
        return [
            [token, *rest]
            for token, spelled in enumerate(self.token_bytes)
            if spelled and text.startswith(spelled)
            for rest in self.segmentations(text[len(spelled) :])
        ]


@dataclass(frozen=True)
class Truth:
    """All secrets of a format in order, with what listing all their segmentations says of each."""

    secrets: list[str]
    canonical: NDArray[np.float64]
    best: NDArray[np.float64]
    marginal: NDArray[np.float64]
    segmentations: list[list[list[int]]]

    def costs(self, kind: str) -> NDArray[np.float64]:
        return self.best if kind == "best" else self.marginal

    def ranks(self, kind: str, secrets: Sequence[str], tolerance: float = 1e-3) -> list[int]:
        """Secrets that cost at most as much as each of these."""
        costs = self.costs(kind)
        own = [costs[self.secrets.index(s)] for s in secrets]
        return [int((costs <= c + tolerance).sum()) for c in own]


def listed(form: Format, model: HistoryModel) -> Truth:
    """The naive twin: what the tokenizer's sequences of all secrets have in common is fixed, the rest is cut in every way."""
    view: PieceView = model.tokenizer  # type: ignore[assignment]
    secrets = form.automaton.unrank_many(np.arange(form.size))
    canonical = view.encode([form.render(s) for s in secrets])
    shared = _in_common(canonical)
    given = b"".join(view.token_bytes[t] or b"" for t in shared)
    texts = [view.lead + form.render(s).encode() for s in secrets]
    cut = [[[*shared, *rest] for rest in view.segmentations(t[len(given) :])] for t in texts]
    costs = [np.array([cost(model, path) for path in paths]) for paths in cut]
    return Truth(
        secrets=secrets,
        canonical=np.array([cost(model, path) for path in canonical]),
        best=np.array([c.min() for c in costs]),
        marginal=np.array([-math.log2(np.exp2(-c).sum()) for c in costs]),
        segmentations=cut,
    )


def _in_common(sequences: list[list[int]]) -> list[int]:
    """What all of them begin with."""
    columns = zip(*sequences, strict=False)
    return [column[0] for column in takewhile(lambda c: len(set(c)) == 1, columns)]


def cost(model: HistoryModel, tokens: Sequence[int]) -> float:
    """Bits of one token sequence, with what stands before and after it."""
    return model.cost(model.framing.record(tokens), model.framing.given)


def ambiguous_model(
    pieces: Sequence[bytes] = PIECES,
    *,
    closing: bool | int = True,
    lead: bytes = b"",
    sharpness: float = 2.0,
    seed: int = 0,
) -> HistoryModel:
    """A model over pieces; ``closing`` is how many separators end a record."""
    model = HistoryModel(PieceView(pieces, lead), sharpness=sharpness, seed=seed)
    model.framing = Framing(before=(0,), after=(0,) * int(closing))
    return model


def ambiguous_tree(template: str, kind: str, model: HistoryModel | None = None) -> SegmentationTree:
    """The tree of all segmentations of a template."""
    return SegmentationTree(parse_format(template), model or ambiguous_model(), kind=kind)
