"""A sequence-to-sequence model of transformers as three functions: source → states, target prefix → logits, pairs → costs.

*Encoding* runs the encoder over sources, padded on the right and masked. *Reading* lets the decoder read one token after each of many
prefixes of one source: each layer's keys and values of that source are computed once, and all rows see them as one view. *Costs* reads whole targets
in one pass each, without any state; that is what every number means.

The decoder's attention is causal, so that padding behind a target changes nothing; padding is known by length and never by token.
Logits are made float32 before anything is computed with them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers.cache_utils import Cache, DynamicLayer, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from secretaudit.errors import ModelError
from secretaudit.models.batch_size import BatchSize
from secretaudit.models.quiet import quiet
from secretaudit.models.transformer.causal_network import check_finite, padded
from secretaudit.models.transformer.key_value_state import empty_cache

#: Logits held at a time, about; three copies of them exist for a moment.
LOGITS_BYTES = 64 * 2**20
#: Names under which configurations state how many positions the decoder (the encoder) has.
_POSITIONS = ("max_position_embeddings", "max_decoder_position_embeddings")

#: Per layer of the decoder: keys and values of a source, each (1, heads, S, size).
Cross = list[tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoded:
    """What the encoder says of K sources.

    Attributes:
        hidden: shape (K, S, D), padded on the right.
        mask: int64 (K, S): 1 where there is a token.
    """

    hidden: torch.Tensor
    mask: torch.Tensor

    def rows(self, which: torch.Tensor) -> Encoded:
        """The sources with these indices."""
        return Encoded(hidden=self.hidden[which], mask=self.mask[which])


class EncoderDecoderNetwork:
    """A sequence-to-sequence model.

    Args:
        module: Any ``AutoModelForSeq2SeqLM``; put into evaluation mode.

    Attributes:
        module: The model.
        vocabulary_size: V, the width of the logits.
        context: Most tokens of a target record; ``None`` when positions are relative (T5).
        source_context: Most tokens of a source; ``None`` when positions are relative.

    Raises:
        ModelError: The model has no output layer over a vocabulary.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module: Any = module.eval()  # a PreTrainedModel, whose methods nn.Module does not tell
        head = module.get_output_embeddings()  # type: ignore[operator] # a method of PreTrainedModel
        if head is None or getattr(head, "weight", None) is None:
            raise ModelError(
                f"{type(module).__name__} does not predict tokens.",
                "It has no output layer over a vocabulary.",
                "Give a sequence-to-sequence language model.",
            )
        self.vocabulary_size = int(head.weight.shape[0])
        config = self.module.config
        self.context: int | None = next(
            (int(n) for name in _POSITIONS if (n := getattr(config, name, None))), None
        )
        self.source_context: int | None = (
            getattr(config, "max_encoder_position_embeddings", None) or self.context
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self.module.device
        return device

    @property
    def rows_at_a_time(self) -> int:
        """Rows whose logits of one place fit."""
        return max(1, LOGITS_BYTES // (4 * self.vocabulary_size))

    @torch.inference_mode()
    def encode(self, sources: Sequence[Sequence[int]]) -> Encoded:
        """Run the encoder once over sources: token ids with all that it is to read."""
        tokens = padded(sources).to(self.device)
        lengths = torch.tensor([len(source) for source in sources], device=self.device)
        mask = (torch.arange(tokens.shape[1], device=self.device) < lengths[:, None]).long()
        with quiet():
            output = self.module.get_encoder()(input_ids=tokens, attention_mask=mask)
        return Encoded(hidden=output.last_hidden_state, mask=mask)

    @torch.inference_mode()
    def cross(self, encoded: Encoded, first: int) -> Cross:
        """Each decoder layer's keys and values of one source; ``first`` is any token that the decoder can read."""
        cache = EncoderDecoderCache(empty_cache(), empty_cache())
        self.read(torch.tensor([[first]]), encoded, cache)
        layers: Sequence[Any] = cache.cross_attention_cache.layers
        return [(layer.keys, layer.values) for layer in layers]

    @torch.inference_mode()
    def read(
        self, tokens: torch.Tensor, encoded: Encoded, cache: EncoderDecoderCache
    ) -> torch.Tensor:
        """Let the decoder read tokens (B, T) after what the cache holds, given one source; float32 logits after the last (B, V)."""
        hidden = encoded.hidden.expand(len(tokens), -1, -1)
        with quiet():
            output = self.module(
                encoder_outputs=BaseModelOutput(last_hidden_state=hidden),
                decoder_input_ids=tokens.to(self.device),
                past_key_values=cache,
                use_cache=True,
            )
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits

    def costs(
        self,
        sequences: Sequence[Sequence[int]],
        encoded: Encoded,
        owner: NDArray[np.int64],
        given: int,
        rows: BatchSize,
    ) -> NDArray[np.float64]:
        """Bits of each target record after its first ``given`` tokens: shape (N,); 0 where nothing follows them.

        Args:
            sequences: Token ids that the model has, no more than its context each.
            encoded: K sources.
            owner: int64 (N,): the source of each record.
            given: Tokens that are not charged.
            rows: Records at a time; it learns from running out of memory.

        Raises:
            ModelError: A log-probability is not finite.
            CouldNotMeasure: Not even one record fits into the memory.
        """
        bits = np.zeros(len(sequences), dtype=np.float64)
        order = [i for i in range(len(sequences)) if len(sequences[i]) > given]
        order.sort(key=lambda i: len(sequences[i]))

        def fitting(begin: int) -> int:
            """Records from this place of the order on that fit; they grow longer, so the last one decides."""
            count = max(1, self.rows_at_a_time // len(sequences[order[begin]]))
            last = order[min(begin + count, len(order)) - 1]
            return max(1, min(count, self.rows_at_a_time // len(sequences[last])))

        def work(piece: slice) -> tuple[list[int], NDArray[np.float64]]:
            batch = order[piece]
            sources = encoded.rows(torch.from_numpy(owner[batch]).to(self.device))
            return batch, self._costs([sequences[i] for i in batch], sources, given)

        for batch, costs in rows.pieces(len(order), fitting, work):
            bits[batch] = costs
        return bits

    @torch.inference_mode()
    def _costs(
        self, sequences: list[Sequence[int]], sources: Encoded, given: int
    ) -> NDArray[np.float64]:
        """Bits of records that fit into one pass, each longer than ``given`` and with its own source."""
        tokens = padded(sequences).to(self.device)
        lengths = torch.tensor([len(s) for s in sequences], device=self.device)
        read = tokens[:, :-1]
        with quiet():
            logits = self.module(
                encoder_outputs=BaseModelOutput(last_hidden_state=sources.hidden),
                attention_mask=sources.mask,
                decoder_input_ids=read,
                decoder_attention_mask=torch.ones_like(read),
                use_cache=False,
            ).logits[:, given - 1 :]
        log_p = torch.log_softmax(logits.float(), dim=-1)
        chosen = log_p.gather(2, tokens[:, given:, None])[..., 0]
        place = torch.arange(given, tokens.shape[1], device=self.device)
        nats = torch.where(place < lengths[:, None], chosen, 0.0).sum(dim=1, dtype=torch.float64)
        check_finite(nats)
        bits: NDArray[np.float64] = nats.cpu().numpy() / -math.log(2.0)
        return bits


def shared_cross(cross: Cross, rows: int) -> Cache:
    """The keys and values of one source as every one of these rows sees them: views, not copies."""
    layers: list[Any] = []  # Cache names all kinds of layer that it may hold
    for keys, values in cross:
        layer = DynamicLayer()
        layer.is_initialized = True
        layer.keys = keys.expand(rows, -1, -1, -1)
        layer.values = values.expand(rows, -1, -1, -1)
        layers.append(layer)
    return Cache(layers=layers)
