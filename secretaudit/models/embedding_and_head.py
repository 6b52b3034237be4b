"""How ``transformers`` finds the embedding and the output layer of our own networks, which call them ``embed`` and ``head``.

Tying weights, resizing a vocabulary and adapters ask a model for the two; a network of ours inherits the answers from here.
"""

from __future__ import annotations

from torch import nn


class EmbeddingAndHead:
    """To be inherited before ``PreTrainedModel``.

    Attributes:
        embed: The token embedding.
        head: The layer that makes logits.
    """

    embed: nn.Embedding
    head: nn.Linear

    def get_input_embeddings(self) -> nn.Module:
        """The token embedding."""
        return self.embed

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embedding."""
        self.embed = value  # type: ignore[assignment]  # the base class' signature says Module

    def get_output_embeddings(self) -> nn.Module:
        """The layer that makes logits."""
        return self.head

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the layer that makes logits."""
        self.head = new_embeddings  # type: ignore[assignment]  # the base class' signature says Module
