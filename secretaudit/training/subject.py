"""What is trained: a model with its tokenizer and what stands around each text.

Every family of models (``families``) makes a ``Subject`` of settings and tokenizer; from there on the training knows only this: tokens go in,
logits come out, and the weights can be written where ``load_model`` finds them again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerFast

from secretaudit.canary.ledger import Ledger
from secretaudit.models.language_model import Framing, LanguageModel
from secretaudit.models.tokens.view import FastTokenizerView
from secretaudit.tree.scored_space import SecretScorer


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A model in training.

    Attributes:
        model: Trained in place; a ``PreTrainedModel``, or a ``PeftModel`` around one.
        family: "recurrent", "transformer", "convolution" or "encoder-decoder".
        tokenizer: Written beside the model.
        view: What encodes texts.
        framing: What stands around each text.
        context: Most tokens that a row may have; ``None``: any number.
        make_language_model: Wraps the weights as they are for an audit.
        encode_source: Encoder–decoders only: token ids of sources, with all that the encoder reads.
    """

    model: Any
    family: str
    tokenizer: PreTrainedTokenizerFast
    view: FastTokenizerView
    framing: Framing
    context: int | None
    make_language_model: Callable[[], LanguageModel]
    encode_source: Callable[[Sequence[str]], list[list[int]]] | None = None

    def language_models(
        self,
        ledger: Ledger | None,  # noqa: ARG002  # the canaries of pairs stand beside a source
    ) -> Callable[[], LanguageModel | SecretScorer]:
        """What wraps the weights as they are, ready to be asked for the canaries of a ledger."""
        return self.make_language_model

    def save(self, folder: str | Path) -> None:
        """Write the model (an adapter: without its base) and the tokenizer."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def frozen_sha256(self) -> str | None:
        """SHA-256 of the weights that training leaves alone, which no checkpoint holds; ``None`` when there are none."""
        frozen = [(n, p) for n, p in self.model.named_parameters() if not p.requires_grad]
        digest = hashlib.sha256()
        for name, parameter in frozen:
            digest.update(name.encode())
            digest.update(parameter.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest() if frozen else None

    @property
    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that training changes, by name; tied ones once."""
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}
