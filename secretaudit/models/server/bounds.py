"""A model of which only the likeliest next tokens are known, read in two ways; see ``server.top_k`` for what is known of the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from secretaudit.errors import CouldNotMeasure
from secretaudit.models.language_model import Framing, TokenView
from secretaudit.models.server.asking import Asker
from secretaudit.models.server.dialects import Prompt
from secretaudit.models.server.handshake import Handshake
from secretaudit.models.server.language_model import NATS_PER_BIT, ServedModel
from secretaudit.models.server.top_k import BoundingDialect


class TopKServerModel(ServedModel):
    """A model whose server lists the likeliest next tokens and nothing else.

    Attributes:
        reading: What a token that is not listed is taken for: "exact" (refused), "optimistic" (as likely as it can be) or "pessimistic"
            (impossible, ln p = −∞).
        rules_out: Whether this reading gives a token probability 0.
    """

    def __init__(
        self,
        asker: Asker,
        handshake: Handshake,
        tokenizer: TokenView,
        framing: Framing,
        *,
        reading: str = "exact",
    ) -> None:
        super().__init__(asker, handshake, tokenizer, framing)
        self.reading = reading
        self.rules_out = reading == "pessimistic"

    @property
    def bounds(self) -> tuple[TopKServerModel, TopKServerModel]:
        """(optimistic, pessimistic): costs that are never too high, and costs that are never too low, from the same replies."""
        parts = (self._asker, self._handshake, self.tokenizer, self.framing)
        return (
            TopKServerModel(*parts, reading="optimistic"),
            TopKServerModel(*parts, reading="pessimistic"),
        )

    def score(self, sequences: Sequence[Sequence[int]], given: int = 1) -> NDArray[np.float64]:
        """Bits that each sequence costs under this reading, token by token: shape (N,); may be infinite.

        Raises:
            CouldNotMeasure: The server does not answer, or (reading "exact") does not list a token.
            ModelError: A sequence is longer than the server reads.
        """
        self._check(sequences)
        prefixes: list[tuple[int, ...]] = []
        children: list[tuple[int, ...]] = []
        owner: list[int] = []
        for number, sequence in enumerate(sequences):
            for place in range(given, len(sequence)):
                prefixes.append(tuple(sequence[:place]))
                children.append((sequence[place],))
                owner.append(number)
        nats = np.zeros(len(sequences))
        for number, (value,) in zip(owner, self._children(prefixes, children), strict=True):
            nats[number] -= value
        return nats / NATS_PER_BIT

    def _children(
        self, prefixes: list[tuple[int, ...]], children: list[tuple[int, ...]]
    ) -> list[list[float]]:
        told = self._asker.readings([Prompt(tokens=p, listed=True) for p in prefixes])
        return [
            [self._read(reading.following, token) for token in tokens]
            for reading, tokens in zip(told, children, strict=True)
        ]

    def _read(self, following: dict[int, float], token: int) -> float:
        if token in following:
            return following[token]
        if self.reading == "exact":
            raise CouldNotMeasure(
                f"The server {self._asker.served} does not say how likely a secret's token is.",
                f"It lists the {self._asker.dialect.lists} likeliest next tokens only, and the token is not among them.",
                "Ask for bounds, or use a server with prompt log-probabilities (vLLM, SGLang).",
            )
        return following[self._others(token)] if self.reading == "optimistic" else -math.inf

    def _others(self, token: int) -> int:
        return cast(BoundingDialect, self._asker.dialect).others(token)
