"""The model behind the test server: a real causal model of transformers, and the ways in which its numbers can be bent.

All dialects are answered from two tables, ln p of each prompt's own tokens and ln p of everything that could follow it, computed in padded batches. A *bend*
changes the logits as some real server has done: after a temperature, depending on what else is in the batch, on how much was asked before, all the same.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

#: Bends of logits.
BENDS = ("temperature", "constant", "order", "noise", "drift", "unnormalized")


@dataclass
class Engine:
    """A model and its tokenizer.

    Attributes:
        bends: Which of ``BENDS`` are on.
        most: Prompts computed at a time.
        passes: Forward passes so far.
    """

    model: nn.Module
    tokenizer: PreTrainedTokenizerFast
    directory: str = ""
    bends: set[str] = field(default_factory=set)
    most: int = 64
    passes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def context(self) -> int:
        return int(self.model.config.max_position_embeddings)

    @property
    def vocabulary(self) -> int:
        return int(self.model.config.vocab_size)

    def own(self, prompts: Sequence[Sequence[int]], temperature: float = 1.0) -> list[list[float]]:
        """ln p of each token of each prompt but the first."""
        found: list[list[float]] = []
        for hidden, part in self._batches(prompts):
            logits = self._bent(hidden[:, :-1], temperature, len(prompts))
            tokens = _padded(part)[:, 1:, None]
            values = logits.gather(2, tokens)[:, :, 0]
            if "unnormalized" not in self.bends:
                values = values - logits.logsumexp(dim=2)
            found += [v[: len(p) - 1] for v, p in zip(values.tolist(), part, strict=True)]
        return found

    def following(
        self, prompts: Sequence[Sequence[int]], temperature: float = 1.0
    ) -> list[torch.Tensor]:
        """ln p of every next token after each prompt, shape (V,)."""
        found: list[torch.Tensor] = []
        for logits, part in self._batches(prompts):
            last = logits[range(len(part)), [len(p) - 1 for p in part]]
            found += self._distributions(last, temperature, len(prompts))
        return found

    def everywhere(self, prompt: Sequence[int], temperature: float = 1.0) -> torch.Tensor:
        """Row i: ln p of everything that could follow tokens 0 … i, shape (n, V)."""
        ((logits, _),) = self._batches([prompt])
        return self._distributions(logits[0], temperature, 1)

    def _distributions(self, logits: torch.Tensor, temperature: float, count: int) -> torch.Tensor:
        bent = self._bent(logits, temperature, count)
        return bent if "unnormalized" in self.bends else torch.log_softmax(bent, dim=-1)

    def _batches(
        self, prompts: Sequence[Sequence[int]]
    ) -> list[tuple[torch.Tensor, Sequence[Sequence[int]]]]:
        found = []
        for low in range(0, len(prompts), self.most):
            part = prompts[low : low + self.most]
            with self._lock, torch.inference_mode():
                self.passes += 1
                found.append((self.model(_padded(part)).logits.float(), part))
        return found

    def _bent(self, logits: torch.Tensor, temperature: float, count: int) -> torch.Tensor:
        if "temperature" in self.bends:
            logits = logits / max(temperature, 1e-3)
        if "constant" in self.bends:
            logits = torch.zeros_like(logits)
        if "order" in self.bends and count > 1:
            logits = logits * 1.01
        if "noise" in self.bends:
            logits = logits + 0.05 * torch.sin(torch.arange(logits.shape[-1]) * 0.7 + self.passes)
        if "drift" in self.bends:
            logits = logits * 1.05
        return logits


def _padded(prompts: Sequence[Sequence[int]]) -> torch.Tensor:
    """Prompts as rows, filled up on the right; a causal model does not look there."""
    width = max(map(len, prompts))
    return torch.tensor([[*p, *[0] * (width - len(p))] for p in prompts])


def load_engine(directory: str | Path) -> Engine:
    """The engine of a model directory."""
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    return Engine(model.eval(), tokenizer, str(directory))
