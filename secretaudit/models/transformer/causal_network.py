"""A causal language model of transformers as two functions: tokens → features, features → logits.

Let d be the width of the body's last hidden state. *Features* are that state, and *logits* the output layer's product with it, so that
logits, V numbers a token, are computed only where they are asked for. Where a model does more than this product (it scales or caps
its logits), which is found by trying, its features are the logits themselves.

Logits are made float32 before anything is computed with them.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from transformers.cache_utils import Cache

from secretaudit.errors import ModelError
from secretaudit.models.quiet import no_warnings
from secretaudit.models.transformer.prefix_attention import common_prefix

#: Names under which configurations state how many tokens a model reads at most.
_CONTEXTS = (
    "max_position_embeddings",
    "n_positions",
    "n_ctx",
    "max_seq_len",
    "max_sequence_length",
)
#: Names under which configurations state that tokens further back are not seen by some layers.
_WINDOWS = ("sliding_window", "attention_chunk_size", "window_size", "attention_window_size")
#: Position schemes whose frequencies change once a text is longer than the one they were made for.
_LENGTH_DEPENDENT = ("dynamic", "longrope")
#: Largest distance between the two ways to logits that rounding explains, relative to the largest logit.
_SAME = {torch.float32: 1e-5, torch.float64: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}


class CausalNetwork:
    """A causal model with its output layer split off where that is exact.

    Args:
        module: A causal language model of transformers; put into evaluation mode.

    Attributes:
        module: The model.
        vocabulary_size: V, the width of the logits.
        context: Most tokens that the model reads; ``None`` when there is no limit.
        window: Number of tokens beyond which some layers do not look back; ``None`` when all see everything.
        split: Whether features are hidden states (and not logits).
        width: Numbers per token in the features.

    Raises:
        ModelError: The model has no output layer over a vocabulary.
    """

    def __init__(self, module: Any) -> None:
        self.module: Any = module.eval()
        self._text: Any = module.config.get_text_config()
        found = (part.config for part in module.modules() if hasattr(part, "config"))
        self._configurations = list({id(config): config for config in found}.values())
        head = module.get_output_embeddings()
        if head is None or getattr(head, "weight", None) is None:
            raise ModelError(
                f"{type(module).__name__} does not predict tokens.",
                "It has no output layer over a vocabulary.",
                "Give a causal language model.",
            )
        self._head: Any = head
        self._body: Any = module.base_model
        self.vocabulary_size = int(head.weight.shape[0])
        self.context = _context(self._text)
        self.window = _smallest(self._text, _WINDOWS)
        self.split = False
        self.width = self.vocabulary_size
        if self._body is not module and self._is_exact():
            self.split = True
            self.width = int(head.weight.shape[1])
        forward = inspect.signature((self._body if self.split else module).forward).parameters
        self._takes_positions = "position_ids" in forward

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self._head.weight.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the output layer's weights and of the products."""
        dtype: torch.dtype = self._head.weight.dtype
        return dtype

    @property
    def layers(self) -> int:
        """Number of layers, as the configuration says."""
        return int(getattr(self._text, "num_hidden_layers", 1))

    @property
    def hidden_size(self) -> int:
        """Width of the hidden state."""
        return int(getattr(self._text, "hidden_size", self._head.weight.shape[1]))

    @property
    def heads(self) -> int:
        """Attention heads of a layer."""
        return int(getattr(self._text, "num_attention_heads", 1) or 1)

    def features(
        self,
        tokens: torch.Tensor,
        *,
        cache: Cache | None = None,
        seen: torch.Tensor | None = None,
        positions: torch.Tensor | None = None,
        shared: bool = False,
    ) -> torch.Tensor:
        """Read tokens.

        Args:
            tokens: int64 (B, T).
            cache: What was read before, which is extended; ``None`` for a plain pass.
            seen: bool or int64 (B, slots): which slots of the cache count; ``None`` when all do.
            positions: int64 (B, T): place of each token in its text; ``None`` in a plain pass.
            shared: Whether the cache hands a common prefix to ``prefix_attention``.

        Returns:
            Features after each token, shape (B, T, width).
        """
        asked: dict[str, Any] = {"use_cache": cache is not None}
        if cache is not None:
            asked["past_key_values"] = cache
        if seen is not None:
            asked["attention_mask"] = seen
        if positions is not None and self._takes_positions:
            asked["position_ids"] = positions
        attention = common_prefix(self._configurations) if shared else nullcontext()
        with no_warnings(), attention:
            output = (self._body if self.split else self.module)(input_ids=tokens, **asked)
        features: torch.Tensor = output.last_hidden_state if self.split else output.logits
        return features

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Float32 logits, shape (N, V), of features of shape (N, width)."""
        logits: torch.Tensor = self._head(features) if self.split else features
        return logits.float()

    def plain(self, sequences: Sequence[Sequence[int]]) -> torch.Tensor:
        """Features after each token of each sequence, shape (N, T, width), padded on the right, from a plain pass."""
        return self.features(padded(sequences).to(self.device))

    @torch.inference_mode()
    def _is_exact(self) -> bool:
        """Whether the output layer over the body's last hidden state gives the model's own logits."""
        tokens = torch.arange(min(4, self.vocabulary_size), device=self.device)[None]
        with no_warnings():
            whole = self.module(input_ids=tokens, use_cache=False).logits
            hidden = getattr(
                self._body(input_ids=tokens, use_cache=False), "last_hidden_state", None
            )
            if hidden is None or hidden.shape[-1] != self._head.weight.shape[1]:
                return False
            ours = self._head(hidden)
        distance = float((ours - whole).abs().max())
        return distance <= _SAME.get(self.dtype, 0.0) * max(1.0, float(whole.abs().max()))


def padded(sequences: Sequence[Sequence[int]]) -> torch.Tensor:
    """Sequences as rows of one int64 tensor, zeros behind the shorter ones."""
    tokens = torch.zeros((len(sequences), max(map(len, sequences))), dtype=torch.int64)
    for row, sequence in enumerate(sequences):
        tokens[row, : len(sequence)] = torch.as_tensor(sequence, dtype=torch.int64)
    return tokens


def check_finite(values: torch.Tensor) -> None:
    """Refuse NaN and infinite log-probabilities: a rank made from them would mean nothing."""
    if not bool(torch.isfinite(values).all()):
        raise ModelError(
            "The model gives log-probabilities that are not finite.",
            "Its weights are too large or were damaged, or its number format is too small for them.",
            "Use --dtype float32, or an earlier checkpoint of the training.",
        )


def check_tokens(tokens: torch.Tensor, vocabulary_size: int, name: str) -> None:
    """Refuse ids outside the vocabulary."""
    if not len(tokens):
        return
    low, high = int(tokens.min()), int(tokens.max())
    if low < 0 or high >= vocabulary_size:
        raise ModelError(
            f"Token id {low if low < 0 else high} cannot be scored.",
            f"The model {name} has the tokens 0 to {vocabulary_size - 1}.",
            "Encode the text with the tokenizer that the model was trained with.",
        )


def check_length(tokens: int, context: int | None, name: str) -> None:
    """Refuse texts that are longer than the model reads."""
    if context is not None and tokens > context:
        raise ModelError(
            f"A text of {tokens} tokens is too long for the model {name}.",
            f"It reads {context} tokens at most.",
            "Shorten the text, or use a model with a longer context.",
        )


def _smallest(config: Any, names: tuple[str, ...]) -> int | None:
    """The smallest positive whole number that stands under one of these names."""
    found = [getattr(config, name, None) for name in names]
    numbers = [n for n in found if isinstance(n, int) and not isinstance(n, bool) and n > 0]
    return min(numbers, default=None)


def _context(config: Any) -> int | None:
    """Most tokens that a model reads, and reads the same way whatever the length of the text."""
    limits = [_smallest(config, _CONTEXTS)]
    schemes = getattr(config, "rope_parameters", None) or {}
    for scheme in [schemes, *schemes.values()]:
        if isinstance(scheme, dict) and scheme.get("rope_type") in _LENGTH_DEPENDENT:
            original = scheme.get("original_max_position_embeddings")
            original = original or getattr(config, "original_max_position_embeddings", None)
            limits.append(None if original is None else math.floor(original))
    return min((limit for limit in limits if limit is not None), default=None)
