"""Recurrent language models (LSTM and GRU) in the form of the ``transformers`` library.

With the embedding e_t of token t, layers 1 … n and their states, one step of a layer reads

    LSTM   i, f, o = σ(W x + U h + b),  g = tanh(W x + U h + b),  c' = f ∘ c + i ∘ g,  h' = o ∘ tanh(c')
    GRU    r, z = σ(W x + U h + b),  n = tanh(W x + b + r ∘ (U h + b_h)),              h' = (1 − z) ∘ n + z ∘ h

and the logits of the next token are V h_n + b_V, where V may be the embedding itself (tied weights). Dropout stands
on the embedding, between layers and before the logits (Zaremba, Sutskever, Vinyals 2014).

The state takes the place of ``past_key_values``: a tuple of tensors with shape (layers, batch, units), two of them
(h, c) for an LSTM and one (h) for a GRU. Weights are written as safetensors and never pickled.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GenerationMixin,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import CausalLMOutputWithPast

from secretaudit.models.embedding_and_head import EmbeddingAndHead

CELLS = ("lstm", "gru")
#: Label that carries no loss, as everywhere in ``transformers``.
IGNORED = -100


class RecurrentConfig(PreTrainedConfig):
    """Shape of a recurrent language model.

    Attributes:
        vocab_size: Number of tokens, special ones included.
        cell: "lstm" or "gru".
        layers: Number of recurrent layers, at least 1.
        units: Width of each layer.
        embedding: Width of the token embedding; ``None`` means ``units``.
        dropout: Probability that an activation is dropped in training, in [0, 1).
        bos_token_id: The separator, which starts a record.
        eos_token_id: The separator, which ends a record.
        tie_word_embeddings: The output layer uses the embedding's weights; needs ``embedding == units``.

    Raises:
        ValueError: A field is out of its range.

    >>> RecurrentConfig(vocab_size=40, units=16).embedding
    16
    """

    model_type = "secretaudit-recurrent"
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["past_key_values"]
    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "units",
        "num_hidden_layers": "layers",
    }

    vocab_size: int = 256
    cell: str = "lstm"
    layers: int = 2
    units: int = 200
    embedding: int | None = None
    dropout: float = 0.0
    use_cache: bool = True
    tie_word_embeddings: bool = False
    bos_token_id: int | None = None
    eos_token_id: int | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        """Fill the default width and check every field."""
        if self.embedding is None:
            self.embedding = self.units
        if self.cell not in CELLS:
            raise ValueError(f"cell must be one of {', '.join(CELLS)}, got {self.cell!r}")
        for name in ("vocab_size", "layers", "units", "embedding"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout!r}")
        if self.tie_word_embeddings and self.embedding != self.units:
            raise ValueError(
                "tied weights must have embedding equal to units, "
                f"got embedding {self.embedding} and units {self.units}"
            )
        super().__post_init__(**kwargs)


class RecurrentForCausalLM(EmbeddingAndHead, PreTrainedModel, GenerationMixin):
    """An LSTM or GRU that predicts the next token.

    >>> model = RecurrentForCausalLM(RecurrentConfig(vocab_size=10, units=8, layers=1)).eval()
    >>> output = model(torch.tensor([[1, 2, 3]]))
    >>> tuple(output.logits.shape), tuple(output.past_key_values[0].shape)
    ((1, 3, 10), (1, 1, 8))
    """

    config_class = RecurrentConfig
    config: RecurrentConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    _tied_weights_keys = {"head.weight": "embed.weight"}  # noqa: RUF012  # declared by transformers

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__(config)
        width = config.embedding or config.units
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}[config.cell]
        between = config.dropout if config.layers > 1 else 0.0
        self.embed = nn.Embedding(config.vocab_size, width)
        self.rnn = kind(width, config.units, config.layers, batch_first=True, dropout=between)
        self.head = nn.Linear(config.units, config.vocab_size)
        self.drop = nn.Dropout(config.dropout)
        self.post_init()

    def forward(
        self,
        input_ids: torch.Tensor,
        past_key_values: tuple[torch.Tensor, ...] | None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        **_: Any,
    ) -> CausalLMOutputWithPast:
        """Read tokens and predict, at each place, the one that follows.

        Args:
            input_ids: int64, shape (B, T).
            past_key_values: State after everything read before, tensors of shape (layers, B, units); ``None`` is zero.
            labels: The same tokens as ``input_ids`` (the shift happens here); -100 carries no loss.
            use_cache: Whether to hand the new state back; by default yes.

        Returns:
            Logits of shape (B, T, vocab_size), the state, and with ``labels`` the mean loss in nats per token.
        """
        inputs = self.drop(self.embed(input_ids))
        features, state = self.rnn(inputs, _as_rnn_state(past_key_values))
        logits = self.head(self.drop(features))
        keep = self.config.use_cache if use_cache is None else use_cache
        state = state if isinstance(state, tuple) else (state,)
        loss = None if labels is None else _next_token_loss(logits, labels)
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=state if keep else None,  # type: ignore[arg-type]  # typed as a Cache there
        )

    def prepare_inputs_for_generation(  # type: ignore[override]  # the names that a Cache needs are in **_
        self,
        input_ids: torch.Tensor,
        past_key_values: tuple[torch.Tensor, ...] | None = None,
        **_: Any,
    ) -> dict[str, Any]:
        """All tokens on the first call, afterwards only the newest: the state stands for the rest."""
        recent = input_ids if past_key_values is None else input_ids[:, -1:]
        return {"input_ids": recent, "past_key_values": past_key_values, "use_cache": True}

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        """Our state is a tuple of tensors, not a cache of keys and values."""
        return False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Weights of a module that was not loaded, from torch's global generator (``initialize`` takes its own)."""
        if isinstance(module, (nn.Embedding, nn.Linear, nn.LSTM, nn.GRU)):
            for parameter in module.parameters(recurse=False):
                if not getattr(parameter, "_is_hf_initialized", False):
                    _draw(self.config, module, parameter, None)


@torch.no_grad()
def initialize(model: RecurrentForCausalLM, generator: torch.Generator) -> None:
    """Draw all weights anew: uniform in ±1/√units, an untied embedding standard normal.

    Args:
        model: Changed in place.
        generator: The only source of randomness.
    """
    for module in (model.embed, model.rnn, model.head):
        for parameter in module.parameters(recurse=False):
            if parameter is model.embed.weight and module is model.head:
                continue
            _draw(model.config, module, parameter, generator)


def _draw(
    config: RecurrentConfig,
    module: nn.Module,
    parameter: torch.Tensor,
    generator: torch.Generator | None,
) -> None:
    """Fill one tensor in place."""
    if isinstance(module, nn.Embedding) and not config.tie_word_embeddings:
        parameter.normal_(generator=generator)
    else:
        bound = 1.0 / math.sqrt(config.units)
        parameter.uniform_(-bound, bound, generator=generator)


def _as_rnn_state(
    state: tuple[torch.Tensor, ...] | None,
) -> torch.Tensor | tuple[torch.Tensor, ...] | None:
    """The form in which nn.LSTM (a pair) and nn.GRU (a tensor) take their state."""
    return state[0] if state is not None and len(state) == 1 else state


def _next_token_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean nats per token of labels[:, 1:], given the logits one place earlier."""
    return nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED
    )


AutoConfig.register(RecurrentConfig.model_type, RecurrentConfig)
AutoModelForCausalLM.register(RecurrentConfig, RecurrentForCausalLM)
