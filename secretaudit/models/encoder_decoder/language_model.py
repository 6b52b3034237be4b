"""Encoder–decoder models: what a target costs, given a source.

A translation model reads a source x once, with its encoder, and predicts the target y token by token, with its decoder:

    cost(y | x) = −Σ_i log2 p(y_i | start, y_1 … y_{i−1}, x)      bits,

the sum of the losses that a training on the pair (x, y) takes. ``start`` is the token that the decoder begins with, and where the tokenizer
puts a mark of its own before a target (the language of mBART, the <s> of BART) it is read too; neither is charged. A target ends, so the
token that says so is charged.

Bound to one source (``given``), such a model is a ``LanguageModel`` like any other, and its secrets stand in a tree. The encoder runs once per
source, and what the decoder sees of it is shared by all rows; a row of the state holds what the decoder itself has read
(``KeyValueState``). Rows of one length are read together, without padding, since position biases (T5) and position embeddings (BART, Marian)
count from the first slot.

Where the source holds the secret too, every candidate has a source of its own and there is no tree: a ``PairScorer`` prices candidates as whole
pairs, many at a time (Carlini et al. 2019, the translation experiment).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from transformers.cache_utils import EncoderDecoderCache

from secretaudit.canary.format import Format
from secretaudit.canary.source_text import PLACEHOLDER, filled
from secretaudit.errors import UsageError
from secretaudit.models.batch_size import BatchSize
from secretaudit.models.encoder_decoder.network import (
    Cross,
    Encoded,
    EncoderDecoderNetwork,
    shared_cross,
)
from secretaudit.models.language_model import Framing, State, TokenView
from secretaudit.models.transformer.causal_network import check_finite, check_length, check_tokens
from secretaudit.models.transformer.key_value_state import (
    KeyValueState,
    Prefix,
    after_reading,
    empty_cache,
    join,
    prefix_of,
    reading_cache,
)

#: Distinct sources that the encoder reads at a time.
SOURCES_AT_A_TIME = 256
#: Rows read at a time at most.
_MOST_ROWS = 2048

#: Token ids of sources, with all that the encoder is to read (special tokens included).
SourceEncoder = Callable[[Sequence[str]], list[list[int]]]


class EncoderDecoderLanguageModel:
    """A sequence-to-sequence model, bound to a source or not yet.

    Args:
        network: The model.
        tokenizer: The view of the tokenizer as it writes targets.
        encode_source: The tokenizer as it writes sources.
        framing: The decoder's first tokens, and the token that ends a target.
        source: The source; ``given`` binds to another.
        name: What reports call the model.
    """

    def __init__(
        self,
        network: EncoderDecoderNetwork,
        tokenizer: TokenView,
        encode_source: SourceEncoder,
        *,
        framing: Framing,
        source: str | None = None,
        name: str = "encoder-decoder",
    ) -> None:
        self.name = name
        self.tokenizer = tokenizer
        self.framing = framing
        self.source = source
        self.vocabulary_size = network.vocabulary_size
        self.context = network.context
        self.source_context = network.source_context
        self._network = network
        self._encode_source = encode_source
        self._rows = BatchSize(_MOST_ROWS)
        self._encoded: Encoded | None = None
        self._cross: Cross = []

    def given(self, source: str) -> EncoderDecoderLanguageModel:
        """The same model bound to a source; the weights are shared."""
        bound = copy.copy(self)
        bound.source, bound._encoded, bound._cross = source, None, []
        return bound

    def asked(self, source: str) -> EncoderDecoderLanguageModel | PairScorer:
        """The same model, bound to a source; or where the source holds ``{secret}``, what prices whole pairs."""
        return PairScorer(self, source) if PLACEHOLDER in source else self.given(source)

    def row_bytes(self, tokens: int) -> int:
        """Bytes that one row of state occupies once it has read this many tokens since ``start``."""
        self._read_source()
        return tokens * sum(
            2 * keys.shape[1] * keys.shape[3] * keys.element_size() for keys, _ in self._cross
        )

    @torch.inference_mode()
    def start(self, tokens: Sequence[int] = ()) -> KeyValueState:
        """One row: the decoder has read these tokens; they are kept once for all rows that grow from it.

        Raises:
            UsageError: The model is bound to no source.
            ModelError: The tokens or the source are too many, or none of the model's.
        """
        nobody = torch.zeros(1, dtype=torch.int64)
        encoded = self._read_source()
        if not len(tokens):
            return KeyValueState(prefix=Prefix(length=0, keys=(), values=()), lengths=nobody)
        table = torch.tensor([list(tokens)], dtype=torch.int64)
        self._check(table)
        cache = EncoderDecoderCache(empty_cache(), shared_cross(self._cross, 1))
        self._network.read(table, encoded, cache)
        prefix = prefix_of(cache.self_attention_cache, len(tokens))
        return KeyValueState(prefix=prefix, lengths=nobody)

    def step(
        self, state: State, rows: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[torch.Tensor, KeyValueState]:
        """Read one more token after each chosen prefix; see ``LanguageModel.step``.

        Raises:
            ModelError: A prefix longer than the context, or a log-probability that is not finite.
        """
        result = torch.empty((len(rows), self.vocabulary_size), device=self._network.device)

        def take(part: torch.Tensor, log_p: torch.Tensor) -> None:
            result[part] = log_p

        after = self._read(state, rows, tokens, take)
        return result, after

    def price(
        self,
        state: State,
        rows: torch.Tensor,
        tokens: torch.Tensor,
        parent: torch.Tensor,
        child: torch.Tensor,
    ) -> tuple[torch.Tensor, KeyValueState]:
        """Read one more token after each chosen prefix, and price chosen next tokens; see ``LanguageModel.price``.

        Raises:
            ModelError: A prefix longer than the context, or a log-probability that is not finite.
        """
        device = self._network.device
        result = torch.empty(len(parent), device=device)
        parent, child = parent.to(device), child.to(device)

        def take(part: torch.Tensor, log_p: torch.Tensor) -> None:
            place = torch.full((len(rows),), -1, device=device)
            place[part] = torch.arange(len(part), device=device)
            asked = torch.nonzero(place[parent] >= 0)[:, 0]
            result[asked] = log_p[place[parent[asked]], child[asked]]

        after = self._read(state, rows, tokens, take)
        return result, after

    def score(self, sequences: Sequence[Sequence[int]], given: int = 1) -> NDArray[np.float64]:
        """Bits that each target record costs, given its first ``given`` tokens and the source: shape (N,).

        Raises:
            UsageError: The model is bound to no source.
            ModelError: A token that the model lacks, a record longer than the context, or a log-probability that is not finite.
        """
        owner = np.zeros(len(sequences), dtype=np.int64)
        return self._score(sequences, self._read_source(), owner, given)

    def score_pairs(self, sources: Sequence[str], targets: Sequence[str]) -> NDArray[np.float64]:
        """Bits that each target costs given the source beside it: shape (N,); the end of the target is charged.

        Each distinct source is encoded once, many at a time.

        Raises:
            UsageError: Not as many sources as targets.
            ModelError: As for ``score``.
        """
        if len(sources) != len(targets):
            raise UsageError(
                f"There are {len(sources)} sources and {len(targets)} targets.",
                "A pair is one source and one target.",
                "Give one source for each target; it may be the same text every time.",
            )
        records = [self.framing.record(ids) for ids in self.tokenizer.encode(targets)]
        number = {source: place for place, source in enumerate(dict.fromkeys(sources))}
        owner = np.array([number[source] for source in sources], dtype=np.int64)
        ids = self._encode_source(list(number)) if number else []
        by_length = np.argsort([len(source) for source in ids], kind="stable")
        bits = np.zeros(len(records), dtype=np.float64)
        for begin in range(0, len(ids), SOURCES_AT_A_TIME):
            part = by_length[begin : begin + SOURCES_AT_A_TIME]
            place = np.full(len(ids), -1, dtype=np.int64)
            place[part] = np.arange(len(part))
            pairs = np.flatnonzero(place[owner] >= 0)
            encoded = self._encode([ids[i] for i in part.tolist()])
            chosen = [records[i] for i in pairs.tolist()]
            bits[pairs] = self._score(chosen, encoded, place[owner[pairs]], self.framing.given)
        return bits

    def _score(
        self,
        sequences: Sequence[Sequence[int]],
        encoded: Encoded,
        owner: NDArray[np.int64],
        given: int,
    ) -> NDArray[np.float64]:
        """Bits of records, each given the source that ``owner`` names, all checked first."""
        for sequence in sequences:
            self._check(torch.tensor([list(sequence)], dtype=torch.int64))
        return self._network.costs(sequences, encoded, owner, max(1, given), self._rows)

    def _read_source(self) -> Encoded:
        """The source, encoded, and each layer's keys and values of it; once per source."""
        if self._encoded is None:
            if self.source is None:
                raise UsageError(
                    f"The model {self.name!r} needs a source.",
                    "It prices a target given a source text, and none was named.",
                    f"Say what stands on the other side: --source TEXT ({PLACEHOLDER} in it stands for the secret).",
                )
            encoded = self._encode(self._encode_source([self.source]))
            self._cross = self._network.cross(encoded, self.framing.before[0])
            self._encoded = encoded
        return self._encoded

    def _encode(self, sources: Sequence[Sequence[int]]) -> Encoded:
        """Run the encoder, once all sources were found to fit."""
        for source in sources:
            check_tokens(torch.tensor(source), self.vocabulary_size, self.name)
            check_length(len(source), self._network.source_context, f"{self.name} (its source)")
        return self._network.encode(sources)

    def _check(self, table: torch.Tensor) -> None:
        """Refuse ids that the model lacks, and prefixes that are too long; (B, T)."""
        check_tokens(table, self.vocabulary_size, self.name)
        check_length(table.shape[1], self.context, self.name)

    @torch.inference_mode()
    def _read(
        self,
        state: State,
        rows: torch.Tensor,
        tokens: torch.Tensor,
        take: Callable[[torch.Tensor, torch.Tensor], None],
    ) -> KeyValueState:
        """Read one token after each chosen row; ``take`` gets row numbers and their log-probabilities, part by part."""
        if not isinstance(state, KeyValueState):
            raise TypeError(f"state must be a KeyValueState, got {type(state).__name__}")
        rows, tokens = rows.cpu(), tokens.cpu()
        if not len(rows):
            return state.select(rows)
        lengths = state.lengths[rows]
        check_length(state.prefix.length + int(lengths.max()) + 1, self.context, self.name)
        check_tokens(tokens, self.vocabulary_size, self.name)
        encoded = self._read_source()
        order = torch.argsort(lengths, stable=True)
        ends: list[int] = torch.searchsorted(lengths[order], lengths[order], right=True).tolist()

        def fitting(begin: int) -> int:
            """Rows of one length, as many as fit."""
            return min(self._network.rows_at_a_time, ends[begin] - begin)

        def work(piece: slice) -> KeyValueState:
            part = order[piece]
            held = state.select(rows[part])
            shared = shared_cross(self._cross, len(part))
            cache = EncoderDecoderCache(reading_cache(held), shared)
            logits = self._network.read(tokens[part, None], encoded, cache)
            log_p = torch.log_softmax(logits, dim=-1)
            check_finite(log_p)
            take(part.to(log_p.device), log_p)
            return after_reading(cache.self_attention_cache, held)

        after = join(list(self._rows.pieces(len(order), fitting, work)))
        back = torch.argsort(order)
        return after if torch.equal(back, order) else after.select(back)


class PairScorer:
    """Prices secrets that stand on both sides: each has a source of its own.

    Args:
        model: The model, bound to no source.
        source: The source with ``{secret}`` where the secret stands.
    """

    def __init__(self, model: EncoderDecoderLanguageModel, source: str) -> None:
        self.name = model.name
        self.model = model
        self.source = source

    def score_secrets(self, form: Format, secrets: Sequence[str]) -> NDArray[np.float64]:
        """Bits that the canary of each secret costs as a target, given the source with the same secret: shape (N,).

        Raises:
            ModelError: A text that is too long or cannot be read, or a cost that is not finite.
        """
        sources = [filled(self.source, secret) for secret in secrets]
        return self.model.score_pairs(sources, [form.render(secret) for secret in secrets])
