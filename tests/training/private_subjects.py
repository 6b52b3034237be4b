"""Tiny models of every family, batches for them, and clipping by brute force."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import peft
import torch
from torch import nn
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    GPT2Config,
    GPT2LMHeadModel,
)
from transformers.modeling_outputs import CausalLMOutput

from secretaudit.models.recurrent.network import RecurrentConfig, RecurrentForCausalLM
from secretaudit.training.batch import Batch
from secretaudit.training.private.update import PrivateUpdate
from secretaudit.training.processes import Processes
from secretaudit.training.settings import PrivacySettings, TrainingSettings
from secretaudit.training.update import Forward

VOCABULARY, PAD = 40, 0
_SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "max_position_embeddings": 32,
    "pad_token_id": PAD,
}
_PAIR_SHAPE = {
    "vocab_size": VOCABULARY,
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "max_position_embeddings": 32,
    "pad_token_id": PAD,
    "decoder_start_token_id": 1,
    "dropout": 0.0,
}


def gpt2(*, tied: bool = True, dropout: float = 0.0) -> nn.Module:
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=32,
            n_embd=16,
            n_layer=2,
            n_head=2,
            tie_word_embeddings=tied,
            embd_pdrop=dropout,
            resid_pdrop=dropout,
            attn_pdrop=dropout,
            bos_token_id=1,
            eos_token_id=1,
        )
    )


def decoder(kind: str, **fields: Any) -> nn.Module:
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**_SHAPE, **fields}))


def recurrent(**fields: Any) -> nn.Module:
    return RecurrentForCausalLM(RecurrentConfig(vocab_size=VOCABULARY, units=12, **fields))


def pair_model(kind: str, **fields: Any) -> nn.Module:
    return AutoModelForSeq2SeqLM.from_config(
        AutoConfig.for_model(kind, **{**_PAIR_SHAPE, **fields})
    )


def t5() -> nn.Module:
    shape = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2}
    rest = {"vocab_size": VOCABULARY, "dropout_rate": 0.0, "decoder_start_token_id": 0}
    return AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model("t5", **shape, **rest))


def adapted() -> nn.Module:
    base = gpt2()
    adapters = peft.LoraConfig(r=2, task_type="CAUSAL_LM", fan_in_fan_out=True)
    model = peft.get_peft_model(base, adapters)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(
                    std=0.1
                )  # zero at the start, which would hide half of the gradient
    return model


class Small(nn.Module):
    """An embedding, something in between, and logits."""

    def __init__(self, between: nn.Module, *, tied: bool = False) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, 12, padding_idx=3)
        self.between = between
        self.head = nn.Linear(12, VOCABULARY)
        if tied:
            self.head.weight = self.embed.weight

    def forward(self, input_ids: torch.Tensor, **_: Any) -> CausalLMOutput:
        return CausalLMOutput(logits=self.head(self.between(self.embed(input_ids))))


class CausalConvolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(12, 12, 3, dilation=2)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.convolution(functional.pad(values.mT, (4, 0)))).mT


class Scale(nn.Module):
    """A layer that only Opacus' functorch knows."""

    def __init__(self) -> None:
        super().__init__()
        self.exponent = nn.Parameter(torch.full((12,), 0.5))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values * self.exponent.exp()


class Positions(nn.Module):
    """Position embeddings without a dimension for records."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(32, 12)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return torch.tanh(values + self.table(torch.arange(values.shape[1])))


class ShiftedScale(nn.Module):
    """A scale of 1 + weight, as in Gemma's normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.linspace(-0.5, 0.5, 12))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return torch.tanh(values * (1.0 + self.scale.float()))


class ShiftedExponent(ShiftedScale):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values * (1.0 + self.scale).exp()


class _Product(torch.autograd.Function):
    """values · scale, in an operation that shows torch's function modes nothing of the scale."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(values, scale)
        with torch._C.DisableTorchFunction():
            return values * scale

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values, scale = ctx.saved_tensors
        return gradient * scale, (gradient * values).sum((0, 1))


class Hidden(ShiftedScale):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return _Product.apply(values, self.scale)


class Norm(nn.Module):
    """Batch normalization over records and places."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(12)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.norm(values.mT).mT


class Centred(nn.Module):
    """No parameters, and yet every record changes all others."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values - values.mean(0, keepdim=True)


CAUSAL: dict[str, Callable[[], nn.Module]] = {
    "gpt2, tied": gpt2,
    "gpt2, untied": lambda: gpt2(tied=False),
    "llama": lambda: decoder("llama"),
    "gemma": lambda: decoder("gemma", tie_word_embeddings=True),
    "qwen3": lambda: decoder("qwen3"),
    "adapters": adapted,
    "lstm": recurrent,
    "gru, tied": lambda: recurrent(cell="gru", tie_word_embeddings=True),
    "convolution": lambda: Small(CausalConvolution()),
    "normalized, tied": lambda: Small(nn.RMSNorm(12), tied=True),
}
PAIRS: dict[str, Callable[[], nn.Module]] = {
    "marian": lambda: pair_model("marian"),
    "bart": lambda: pair_model("bart"),
    "t5": t5,
}


def build(name: str) -> nn.Module:
    """A model of that name in training mode, always with the same weights, large enough to have real gradients."""
    torch.manual_seed(1)
    model = {**CAUSAL, **PAIRS}[name]().train()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1 and parameter.requires_grad:
                parameter.mul_(3.0)
    return model


def records(count: int = 5, places: int = 9, *, pairs: bool = False, seed: int = 0) -> Batch:
    """Records of different lengths, padded on the right."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(2, VOCABULARY, (count, places + 1), generator=generator)
    lengths = [places - (3 * row) % (places - 1) for row in range(count)]
    targets = tokens[:, 1:].clone()
    for row, length in enumerate(lengths):
        targets[row, length:] = -100
        tokens[row, length + 1 :] = PAD
    inputs = {"input_ids": tokens[:, :-1].clone()}
    if pairs:
        source = torch.randint(2, VOCABULARY, (count, places - 2), generator=generator)
        mask = torch.ones_like(source)
        mask[0, -3:] = 0
        inputs = {
            "input_ids": source,
            "attention_mask": mask,
            "decoder_input_ids": inputs["input_ids"],
        }
    return Batch(inputs=inputs, targets=targets, tokens=int((targets != -100).sum()))


def some(batch: Batch, rows: Sequence[int]) -> Batch:
    """Some rows of a batch."""
    index = torch.tensor(list(rows), dtype=torch.int64)
    targets = batch.targets[index]
    inputs = {name: tensor[index] for name, tensor in batch.inputs.items()}
    return Batch(inputs=inputs, targets=targets, tokens=int((targets != -100).sum()))


def one_by_one(model: nn.Module, batch: Batch) -> list[dict[str, torch.Tensor]]:
    """Each record's own gradient, by a backward pass for that record alone: the naive twin."""
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    found = []
    for row in range(len(batch.targets)):
        one = some(batch, [row])
        logits = model(**one.inputs).logits
        loss = functional.cross_entropy(logits[0], one.targets[0])
        gradients = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
        pairs = zip(trained.items(), gradients, strict=True)
        found.append({n: torch.zeros_like(p) if g is None else g for (n, p), g in pairs})
    return found


def norm(gradient: Mapping[str, torch.Tensor]) -> float:
    """Over all parameters."""
    return float(sum(float(g.double().square().sum()) for g in gradient.values())) ** 0.5


def clipped_by_hand(
    gradients: Sequence[Mapping[str, torch.Tensor]], clip: float
) -> dict[str, torch.Tensor]:
    """The sum of gradients cut to the norm."""
    factors = [min(1.0, clip / norm(gradient)) for gradient in gradients]
    return {
        name: sum(f * g[name] for f, g in zip(factors, gradients, strict=True))
        for name in gradients[0]
    }


def private(
    model: nn.Module,
    *,
    noise: float = 0.0,
    clip: float = 1.0,
    rate: float = 1.0,
    expected: float = 5.0,
    optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer] | None = None,
    processes: Processes | None = None,
    poisson: bool = True,
    gradients: str = "auto",
    **fields: Any,
) -> PrivateUpdate:
    """A private update by SGD."""
    privacy = PrivacySettings(
        noise_multiplier=noise, max_grad_norm=clip, poisson=poisson, gradients=gradients
    )
    settings = TrainingSettings(privacy=privacy, **fields)
    return PrivateUpdate(
        Forward(model, settings.precision),
        optimizer or (lambda parameters: torch.optim.SGD(parameters, lr=rate)),
        settings=settings,
        processes=processes or Processes(),
        sample_rate=0.1,
        expected_batch_size=expected,
        steps=10,
        delta=1e-5,
    )


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of the trained parameters."""
    return {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}


def relative_difference(
    one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]
) -> float:
    """‖one − other‖ / ‖other‖ over all parameters."""
    assert one.keys() == other.keys()
    return norm({name: one[name] - other[name] for name in other}) / norm(other)
