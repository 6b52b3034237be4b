"""The ``LanguageModel`` protocol over a server.

A state is the prefix itself, since a server keeps none for us. What a node's children cost is asked in the cheapest way that the server offers:

1. all children in one request, where next tokens can be chosen (SGLang, newer vLLM);
2. the k likeliest next tokens in one request, and each child that is not among them by a prompt of its own, which ends with that child;
3. a prompt for every child.

Any of them gives ln p(child | prefix), and the handshake has seen that they agree on this server. Whole sequences are priced by the
log-probabilities of their own tokens, one prompt each.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from secretaudit.errors import CouldNotMeasure, ModelError
from secretaudit.models.language_model import Framing, State, TokenView
from secretaudit.models.server.asking import Asker
from secretaudit.models.server.dialects import Prompt, Reading
from secretaudit.models.server.handshake import Handshake
from secretaudit.models.transformer.causal_network import check_length, check_tokens

_OBJECT_BYTES = 56
NATS_PER_BIT = math.log(2.0)


@dataclass(frozen=True, kw_only=True)
class ServerState:
    """Prefixes, as they are sent.

    Attributes:
        prefixes: One tuple of token ids per row.
    """

    prefixes: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.prefixes)

    def select(self, rows: torch.Tensor) -> ServerState:
        """The rows with these indices."""
        return ServerState(prefixes=tuple(self.prefixes[row] for row in rows.tolist()))

    def append(self, other: State) -> ServerState:
        """The rows of this state followed by those of another."""
        return ServerState(prefixes=self.prefixes + cast(ServerState, other).prefixes)


class ServedModel(ABC):
    """What all models behind servers share.

    Args:
        asker: Asks the server.
        handshake: What was checked, and what is checked again.
        tokenizer: The local view of the model's tokenizer.
        framing: What stands around the tokens of a text.

    Attributes:
        context: Most tokens of a record; one less than the server reads, since every request generates one more.
        dtype: What records say of the precision: the server's own, which is not known here.
    """

    dtype = "as served"

    def __init__(
        self, asker: Asker, handshake: Handshake, tokenizer: TokenView, framing: Framing
    ) -> None:
        self._asker = asker
        self._handshake = handshake
        self.tokenizer = tokenizer
        self.framing = framing
        self.name = asker.served.model
        self.vocabulary_size = len(tokenizer.token_bytes)
        longest = asker.served.context
        self.context: int | None = None if longest is None else longest - 1

    @property
    def handshake(self) -> list[dict[str, Any]]:
        """The checks that this server passed: name, passed, detail."""
        return self._handshake.report

    @property
    def server(self) -> dict[str, Any]:
        """What a record says of the server; no key is in it."""
        served = self._asker.served
        return {
            "url": served.url,
            "model": served.model,
            "software": served.software,
            "dialect": self._asker.dialect.name,
            "context": served.context,
            "requests": self._asker.requests,
            "prompts": self._asker.prompts,
            "replies_kept": self._asker.replies_kept,
        }

    def verify(self) -> None:
        """Ask the probes of the handshake again, at the end of an audit.

        Raises:
            CouldNotMeasure: They cost something else now, so the audit's numbers are of more than one model.
        """
        self._handshake.verify()

    def estimate(self, prompts: int) -> tuple[int, float]:
        """(requests, seconds) that so many prompts will take, at the rate measured so far."""
        return self._asker.estimate(prompts)

    def close(self) -> None:
        """Let go of connections and of the reply cache."""
        self._asker.client.close()
        self._asker.cache.close()

    def row_bytes(self, tokens: int) -> int:
        """Bytes that one prefix occupies, about."""
        return _OBJECT_BYTES + 8 * (tokens + 64)

    def start(self, tokens: Sequence[int] = ()) -> ServerState:
        """One row: these tokens have been read. Nothing is sent.

        Raises:
            ModelError: More tokens than the server reads, or an id that the model lacks.
        """
        self._check([tokens])
        return ServerState(prefixes=(tuple(tokens),))

    def price(
        self,
        state: State,
        rows: torch.Tensor,
        tokens: torch.Tensor,
        parent: torch.Tensor,
        child: torch.Tensor,
    ) -> tuple[torch.Tensor, ServerState]:
        """Say what chosen next tokens cost; see ``LanguageModel.price``.

        Raises:
            CouldNotMeasure: The server does not answer, or not what was asked.
            ModelError: A prefix is longer than the server reads.
        """
        after = self._extended(state, rows, tokens)
        self._check(after.prefixes)
        children: list[list[int]] = [[] for _ in after.prefixes]
        for node, token in zip(parent.tolist(), child.tolist(), strict=True):
            children[node].append(token)
        asked = [(p, tuple(c)) for p, c in zip(after.prefixes, children, strict=True) if c]
        priced = self._children([p for p, _ in asked], [c for _, c in asked])
        flat = [value for values in priced for value in values]
        return torch.tensor(flat, dtype=torch.float32), after

    def step(
        self, state: State, rows: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[torch.Tensor, ServerState]:
        """Full distributions, where the server lists its whole vocabulary; see ``LanguageModel.step``.

        Raises:
            ModelError: It lists only some next tokens.
        """
        size = self.vocabulary_size
        if self._asker.dialect.lists < size:
            raise ModelError(
                f"The server {self._asker.served} does not list whole distributions.",
                f"It lists {self._asker.dialect.lists} of {size:,} next tokens at most.",
                "Use a method that prices the secrets only, such as exact or importance.",
            )
        after = self._extended(state, rows, tokens)
        self._check(after.prefixes)
        listed = self._asker.readings([Prompt(tokens=p, listed=True) for p in after.prefixes])
        result = torch.full((len(listed), size), -math.inf)
        for row, reading in enumerate(listed):
            told = [token for token in reading.following if 0 <= token < size]
            result[row, told] = torch.tensor([reading.following[token] for token in told])
        if not bool(torch.isfinite(result).all()):
            raise CouldNotMeasure(
                f"The server {self._asker.served} left tokens out of a list of its whole vocabulary.",
                f"It was asked for {size:,} next tokens, which is as many as the tokenizer has.",
                "Use a method that prices the secrets only, such as exact or importance.",
            )
        return result, after

    @abstractmethod
    def score(self, sequences: Sequence[Sequence[int]], given: int = 1) -> NDArray[np.float64]:
        """Bits that each sequence costs, given its first tokens."""

    @abstractmethod
    def _children(
        self, prefixes: list[tuple[int, ...]], children: list[tuple[int, ...]]
    ) -> list[list[float]]:
        """ln p of each child of each prefix."""

    def _extended(self, state: State, rows: torch.Tensor, tokens: torch.Tensor) -> ServerState:
        prefixes = cast(ServerState, state).prefixes
        pairs = zip(rows.tolist(), tokens.tolist(), strict=True)
        return ServerState(prefixes=tuple((*prefixes[row], token) for row, token in pairs))

    def _check(self, sequences: Sequence[Sequence[int]]) -> None:
        """Refuse what the server cannot read."""
        check_length(max(map(len, sequences), default=0), self.context, self.name)
        every = [token for sequence in sequences for token in sequence]
        check_tokens(torch.tensor(every), self.vocabulary_size, self.name)


class ServerLanguageModel(ServedModel):
    """A model whose server prices the tokens of prompts."""

    def score(self, sequences: Sequence[Sequence[int]], given: int = 1) -> NDArray[np.float64]:
        """Bits that each sequence costs, given its first ``given`` tokens: shape (N,).

        Raises:
            CouldNotMeasure: The server does not answer, or not what was asked.
            ModelError: A sequence is longer than the server reads.
        """
        self._check(sequences)
        told = self._asker.readings([Prompt(tokens=tuple(s)) for s in sequences])
        return np.array([-math.fsum(r.log_p[given:]) / NATS_PER_BIT for r in told])

    def _children(
        self, prefixes: list[tuple[int, ...]], children: list[tuple[int, ...]]
    ) -> list[list[float]]:
        known = self._chosen(prefixes, children) or self._likeliest(prefixes, children)
        missing = [
            (row, token)
            for row, tokens in enumerate(children)
            for token in tokens
            if token not in known[row]
        ]
        one_more = [Prompt(tokens=(*prefixes[row], token)) for row, token in missing]
        self._check([prompt.tokens for prompt in one_more])
        for (row, token), reading in zip(missing, self._asker.readings(one_more), strict=True):
            known[row][token] = float(reading.log_p[-1])
        return [[known[row][token] for token in tokens] for row, tokens in enumerate(children)]

    def _chosen(
        self, prefixes: list[tuple[int, ...]], children: list[tuple[int, ...]]
    ) -> list[dict[int, float]]:
        """All children, a few requests per prefix; nothing where next tokens cannot be chosen."""
        most = self._asker.dialect.chooses
        if not most:
            return []
        prompts, owner = [], []
        for row, tokens in enumerate(children):
            distinct = sorted(set(tokens))
            for low in range(0, len(distinct), most):
                prompts.append(
                    Prompt(tokens=prefixes[row], wanted=tuple(distinct[low : low + most]))
                )
                owner.append(row)
        return _collected(self._asker.readings(prompts), owner, len(prefixes))

    def _likeliest(
        self, prefixes: list[tuple[int, ...]], children: list[tuple[int, ...]]
    ) -> list[dict[int, float]]:
        """The children among the likeliest next tokens, for prefixes with more than one child."""
        owner = [row for row, tokens in enumerate(children) if len(set(tokens)) > 1]
        if not self._asker.dialect.lists:
            owner = []
        prompts = [Prompt(tokens=prefixes[row], listed=True) for row in owner]
        return _collected(self._asker.readings(prompts), owner, len(prefixes))


def _collected(readings: list[Reading], owner: list[int], rows: int) -> list[dict[int, float]]:
    """What was told of the next tokens of each row."""
    known: list[dict[int, float]] = [{} for _ in range(rows)]
    for row, reading in zip(owner, readings, strict=True):
        known[row] |= reading.following
    return known
