"""What per-example gradients of a recurrent model cost: one step of a 2×200 LSTM, batch 64 × 64 characters.

``python -m tests.benchmarks.bench_private_recurrent [ROUNDS] [THREADS] [--gru] [--no-dplstm]``: all kinds of step take turns in one process
on the same batch; the ratios of the medians count.

    plain         embedding, torch.nn.LSTM with its fused kernels, output layer; cross-entropy, backward, SGD
    DPLSTM        the same with Opacus' own layer and its hooks
    ours, hooks   the same with our layer and Opacus' hooks
    ours, ghost   the same with our layer and Opacus' ghost clipping
    ours          one backward pass, norms from Gram matrices, weighted sums (book-keeping), noise, SGD
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable

import torch
from opacus import GradSampleModule
from opacus.grad_sample import GradSampleModuleFastGradientClipping
from opacus.layers import DPGRU, DPLSTM
from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping
from torch import nn
from torch.nn import functional

from secretaudit.training.per_example import per_example
from secretaudit.training.per_example.recurrent_rules import squared_norms, weighted_sum
from tests.benchmarks.timing import row, take_turns

VOCABULARY, BATCH, LENGTH, UNITS, LAYERS = 50, 64, 64, 200, 2
OPACUS = "Opacus' layer"
CLIP, NOISE, RATE = 1.0, 1.0, 0.1

Step = Callable[[], object]


class LanguageModel(nn.Module):
    """Embedding, recurrent layers, output layer."""

    def __init__(self, rnn: nn.Module) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, UNITS)
        self.rnn = rnn
        self.head = nn.Linear(UNITS, VOCABULARY)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(self.embed(tokens))[0])


def nats(model: nn.Module, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of each record, (B,)."""
    logits = model(tokens).flatten(0, 1)
    flat = functional.cross_entropy(logits, targets.flatten(), reduction="none")
    return flat.view_as(targets).mean(1)


def plain(model: LanguageModel, tokens: torch.Tensor, targets: torch.Tensor) -> Step:
    """A step without privacy."""
    optimizer = torch.optim.SGD(model.parameters(), RATE)

    def step() -> None:
        optimizer.zero_grad()
        nats(model, tokens, targets).mean().backward()
        optimizer.step()

    return step


def hooks(model: LanguageModel, tokens: torch.Tensor, targets: torch.Tensor) -> Step:
    """Opacus, gradients of all records written out."""
    wrapped = GradSampleModule(model)
    optimizer = DPOptimizer(
        torch.optim.SGD(wrapped.parameters(), RATE),
        noise_multiplier=NOISE,
        max_grad_norm=CLIP,
        expected_batch_size=BATCH,
    )

    def step() -> None:
        optimizer.zero_grad()
        nats(wrapped, tokens, targets).mean().backward()
        optimizer.step()

    return step


def ghost(model: LanguageModel, tokens: torch.Tensor, targets: torch.Tensor) -> Step:
    """Opacus, ghost clipping: norms first, then a second backward pass."""
    wrapped = GradSampleModuleFastGradientClipping(model, max_grad_norm=CLIP)
    optimizer = DPOptimizerFastGradientClipping(
        torch.optim.SGD(wrapped.parameters(), RATE),
        noise_multiplier=NOISE,
        max_grad_norm=CLIP,
        expected_batch_size=BATCH,
    )
    criterion = DPLossFastGradientClipping(wrapped, optimizer, nn.CrossEntropyLoss())

    def step() -> None:
        optimizer.zero_grad()
        logits = wrapped(tokens)
        criterion(logits.flatten(0, 1), targets.flatten(), shape=logits.shape).backward()
        optimizer.step()

    return step


class BookKeeping:
    """One backward pass, norms, clipped sum, noise; for this model only."""

    def __init__(self, model: LanguageModel, tokens: torch.Tensor, targets: torch.Tensor) -> None:
        self.model, self.tokens, self.targets = model, tokens, targets
        self.optimizer = torch.optim.SGD(model.parameters(), RATE)
        model.rnn.recording = True

    def __call__(self) -> None:
        model, kept = self.model, {}
        vectors = model.embed(self.tokens).detach().requires_grad_()
        features = model.rnn(vectors)[0]
        logits = functional.linear(features, model.head.weight.detach(), model.head.bias.detach())
        logits.register_hook(lambda gradient: kept.update(logits=gradient))
        losses = functional.cross_entropy(
            logits.flatten(0, 1), self.targets.flatten(), reduction="none"
        )
        (losses.sum() / LENGTH).backward()
        seen, said, felt = features.detach(), kept["logits"], vectors.grad
        same = self.tokens[:, :, None] == self.tokens[:, None, :]
        norms = squared_norms(model.rnn)
        norms += (gram(said) * (gram(seen) + 1.0)).sum((1, 2))
        norms += (gram(felt) * same).sum((1, 2))
        factors = (CLIP / norms.sqrt().clamp(min=1e-12)).clamp(max=1.0)
        self.set_gradients(seen * factors[:, None, None], said, felt, factors)
        for parameter in model.parameters():
            noise = torch.normal(0.0, NOISE * CLIP, parameter.shape)
            parameter.grad = (parameter.grad + noise) / BATCH
        self.optimizer.step()

    def set_gradients(
        self, seen: torch.Tensor, said: torch.Tensor, felt: torch.Tensor, factors: torch.Tensor
    ) -> None:
        """Clipped sums into ``.grad``."""
        model = self.model
        model.head.weight.grad = said.flatten(0, 1).t() @ seen.flatten(0, 1)
        model.head.bias.grad = said.flatten(0, 1).t() @ factors.repeat_interleave(LENGTH)
        model.embed.weight.grad = torch.zeros_like(model.embed.weight).index_add_(
            0, self.tokens.flatten(), (felt * factors[:, None, None]).flatten(0, 1)
        )
        for name, gradient in weighted_sum(model.rnn, factors).items():
            model.rnn.get_parameter(name).grad = gradient


def gram(tensor: torch.Tensor) -> torch.Tensor:
    """Inner products between the places of each record, (B, T, N) → (B, T, T)."""
    return tensor @ tensor.transpose(1, 2)


def contenders(cell: str, with_opacus_layer: bool) -> dict[str, Step]:
    """All kinds of step, on the same batch."""
    own, private = {"lstm": (nn.LSTM, DPLSTM), "gru": (nn.GRU, DPGRU)}[cell]
    generator = torch.Generator().manual_seed(0)
    shape = (BATCH, LENGTH)
    batch = [torch.randint(VOCABULARY, shape, generator=generator) for _ in range(2)]

    def fused() -> nn.Module:
        return own(UNITS, UNITS, LAYERS, batch_first=True)

    steps: dict[str, Step] = {"plain": plain(LanguageModel(fused()), *batch)}
    if with_opacus_layer:
        layer = private(UNITS, UNITS, LAYERS, batch_first=True)
        steps[OPACUS] = hooks(LanguageModel(layer), *batch)
    steps["ours, hooks"] = hooks(LanguageModel(per_example(fused())), *batch)
    steps["ours, ghost"] = ghost(LanguageModel(per_example(fused())), *batch)
    steps["ours"] = BookKeeping(LanguageModel(per_example(fused())), *batch)
    return steps


def main(*arguments: str) -> None:
    """Print the table."""
    numbers = [int(a) for a in arguments if a.isdigit()]
    rounds = numbers[0] if numbers else 9
    torch.set_num_threads(numbers[1] if len(numbers) > 1 else 2)
    warnings.filterwarnings("ignore", message="Full backward hook is firing")
    cell = "gru" if "--gru" in arguments else "lstm"
    seconds = take_turns(contenders(cell, "--no-dplstm" not in arguments), rounds)
    row(f"{cell}, {torch.get_num_threads()} threads", "wanted", "measured (median)")
    for name, value in seconds.items():
        row(f"{name}, step", "", f"{value * 1000:.0f} ms")
    for name in ("ours, hooks", "ours, ghost"):
        row(f"{name} / plain", "", f"{seconds[name] / seconds['plain']:.2f}")
    row("ours / plain", "<= 2.0", f"{seconds['ours'] / seconds['plain']:.2f}")
    if OPACUS in seconds:
        row(f"{OPACUS} / ours", ">= 15", f"{seconds[OPACUS] / seconds['ours']:.1f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
