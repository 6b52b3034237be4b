"""Causal convolutional language models in the form of the ``transformers`` library.

Layer l = 0 … L − 1 reads k places, 1, g^l, 2 g^l … apart and none of them ahead, and gates what it finds (Dauphin et al. 2017; dilation: van den
Oord et al. 2016, "WaveNet"):

    y_t = LayerNorm(x_t),    (a_t, b_t) = Σ_j W_j y_{t − j g^l} + c  (j = 0 … k − 1),    x'_t = x_t + V (a_t ∘ σ(b_t)) + v

with y = 0 before the first token. The logits of the next token are a linear function of the last layer's normalized output. What is said after a token
depends on it and the R − 1 tokens before it, with the *reach*  R = 1 + (k − 1)(1 + g + … + g^(L−1)); places have no number, so that
texts may be of any length.

Configuration and model are registered under the type "secretaudit-convolution" when this file is imported.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GenerationMixin,
    PreTrainedConfig,
    PreTrainedModel,
    initialization,
)
from transformers.modeling_outputs import CausalLMOutput

from secretaudit.models.embedding_and_head import EmbeddingAndHead


class ConvolutionConfig(PreTrainedConfig):
    """Shape of a causal convolutional language model.

    Attributes:
        vocab_size: Number of tokens, special ones included.
        layers: L, at least 1.
        units: Width of each layer and of the embedding.
        kernel: k, places that a layer reads.
        growth: g, by which the distance between them grows from layer to layer; at most k, so that no token is passed over.
        dropout: Probability that an activation is dropped in training, in [0, 1).
        tie_word_embeddings: The output layer uses the embedding's weights.

    Raises:
        ValueError: A field is out of its range.

    >>> ConvolutionConfig(vocab_size=40, units=16, layers=3).reach
    85
    """

    model_type = "secretaudit-convolution"
    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "units",
        "num_hidden_layers": "layers",
    }

    vocab_size: int = 256
    layers: int = 3
    units: int = 200
    kernel: int = 5
    growth: int = 4
    dropout: float = 0.0
    use_cache: bool = False
    tie_word_embeddings: bool = False
    bos_token_id: int | None = None
    eos_token_id: int | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        """Check every field."""
        for name in ("vocab_size", "layers", "units", "kernel", "growth"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")
        if self.growth > self.kernel:
            raise ValueError(
                f"growth must be at most kernel = {self.kernel}, got {self.growth}: tokens would be passed over"
            )
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout!r}")
        super().__post_init__(**kwargs)

    @property
    def reach(self) -> int:
        """R: tokens that the next one is predicted from."""
        places: int = sum(self.growth**layer for layer in range(self.layers))
        return 1 + (self.kernel - 1) * places


class GatedConvolution(nn.Module):
    """One layer, added to what it reads."""

    def __init__(self, config: ConvolutionConfig, dilation: int) -> None:
        super().__init__()
        units = config.units
        self.norm = nn.LayerNorm(units)
        self.convolution = nn.Conv1d(units, 2 * units, config.kernel, dilation=dilation)
        self.output = nn.Linear(units, units)
        self.drop = nn.Dropout(config.dropout)
        self._before = (config.kernel - 1) * dilation

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Features (B, T, units) → features of the same shape."""
        read = nn.functional.pad(self.norm(inputs).transpose(1, 2), (self._before, 0))
        found, gate = self.convolution(read).transpose(1, 2).chunk(2, dim=2)
        added: torch.Tensor = self.drop(self.output(found * torch.sigmoid(gate)))
        return inputs + added


class ConvolutionForCausalLM(EmbeddingAndHead, PreTrainedModel, GenerationMixin):
    """A stack of gated convolutions that predicts the next token.

    >>> model = ConvolutionForCausalLM(ConvolutionConfig(vocab_size=10, units=8, layers=2)).eval()
    >>> tuple(model(torch.tensor([[1, 2, 3]])).logits.shape)
    (1, 3, 10)
    """

    config_class = ConvolutionConfig
    config: ConvolutionConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    _tied_weights_keys = {"head.weight": "embed.weight"}  # noqa: RUF012  # declared by transformers

    def __init__(self, config: ConvolutionConfig) -> None:
        super().__init__(config)
        self.embed = nn.Embedding(config.vocab_size, config.units)
        self.drop = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(
            GatedConvolution(config, config.growth**layer) for layer in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.units)
        self.head = nn.Linear(config.units, config.vocab_size)
        self.post_init()

    def forward(
        self, input_ids: torch.Tensor, labels: torch.Tensor | None = None, **_: Any
    ) -> CausalLMOutput:
        """Read tokens and predict, at each place, the one that follows.

        Args:
            input_ids: int64, shape (B, T), padded on the right.
            labels: The same tokens as ``input_ids`` (the shift happens here); -100 carries no loss.

        Returns:
            Logits of shape (B, T, vocab_size), and with ``labels`` the mean loss in nats per token.
        """
        features = self.drop(self.embed(input_ids))
        for layer in self.layers:
            features = layer(features)
        logits = self.head(self.norm(features))
        loss = None
        if labels is not None:
            loss = nn.functional.cross_entropy(
                logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
            )
        return CausalLMOutput(loss=loss, logits=logits)

    def prepare_inputs_for_generation(  # type: ignore[override]  # the names that a Cache needs are in **_
        self, input_ids: torch.Tensor, **_: Any
    ) -> dict[str, Any]:
        """All tokens that the next one depends on."""
        return {"input_ids": input_ids[:, -self.config.reach :]}

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        """There are no keys and values to be kept."""
        return False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Normal weights with variance 1/n for n inputs, and biases of 0, from torch's global generator."""
        if not isinstance(module, (nn.Embedding, nn.Linear, nn.Conv1d, nn.LayerNorm)):
            return
        if isinstance(module, nn.LayerNorm):
            initialization.ones_(module.weight)
        else:
            initialization.normal_(module.weight, 0.0, module.weight[0].numel() ** -0.5)
        if not isinstance(module, nn.Embedding) and module.bias is not None:
            initialization.zeros_(module.bias)


AutoConfig.register(ConvolutionConfig.model_type, ConvolutionConfig)
AutoModelForCausalLM.register(ConvolutionConfig, ConvolutionForCausalLM)
