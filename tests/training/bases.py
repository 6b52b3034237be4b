"""What trainings of transformers start from: tokenizers of other makers, and directories with tiny models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from secretaudit.models.tokens.building import build_tokenizer
from secretaudit.training.base import base_tokenizer
from secretaudit.training.families import make_subject
from secretaudit.training.settings import TrainingSettings
from secretaudit.training.subject import Subject
from secretaudit.training.update import token_nats
from tests.models.tiny_transformers import tiny

LINES = ["the order was sent on monday", "my pin is 0412", "please call me back about your ticket"]
PLAIN = torch.arange(1, 9)[None]


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer; token 0 begins and ends texts, as in GPT-2."""
    return build_tokenizer("bpe", LINES, vocabulary_size=280)


def opening_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer that puts <s> before each text and ends texts with </s>, as Llama's does."""
    backend = byte_tokenizer().backend_tokenizer
    backend.add_special_tokens(["<s>", "</s>"])
    first = backend.token_to_id("<s>")
    backend.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", first)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>")


def endless_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer that names no token to end a text with."""
    return PreTrainedTokenizerFast(tokenizer_object=byte_tokenizer().backend_tokenizer)


def save_base(directory: Path, make: str = "gpt2", **fields: Any) -> Path:
    """A directory with a tiny model of this make, its weights and its tokenizer."""
    tokenizer = byte_tokenizer()
    tiny(make, **{"vocab_size": len(tokenizer), **fields}).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def subject_of(tokenizer: PreTrainedTokenizerFast | None = None, **dials: Any) -> Subject:
    """The subject that these dials ask for, drawn with seed 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        settings = TrainingSettings(**dials)
        usual = byte_tokenizer() if settings.base is None else base_tokenizer(settings)
        return make_subject(settings, tokenizer or usual)


def tuning(base: Path, **dials: Any) -> TrainingSettings:
    """Settings of a fine-tuning that takes a fraction of a second."""
    return TrainingSettings(
        **{"base": str(base), "batch_size": 4, "sequence_length": 48, "epochs": 1, **dials}
    )


@torch.no_grad()
def record_nats(subject: Subject, tokens: list[int]) -> torch.Tensor:
    """What one record costs the module itself, in a plain pass in evaluation mode."""
    subject.model.eval()
    row = torch.tensor([subject.framing.record(tokens)])
    given = subject.framing.given
    logits = subject.model(input_ids=row[:, :-1]).logits[:, given - 1 :]
    return token_nats(logits, row[:, given:]).sum()
