"""Opacus, unchanged, on a model with the layers: its clipped sums equal those of records taken one by one through torch's own layer."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from opacus import GradSampleModule, PrivacyEngine
from opacus.validators import ModuleValidator
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from secretaudit.errors import UsageError
from secretaudit.training.per_example import opacus_rules, per_example
from tests.training.per_example.subject import Shape, record_losses

pytestmark = pytest.mark.filterwarnings(
    "ignore:Secure RNG turned off", "ignore:Full backward hook is firing"
)

LENGTHS, VOCABULARY, CLIP = (6, 4, 3, 1), 7, 0.3
IGNORED = -100


class LanguageModel(nn.Module):
    """Embedding, two recurrent layers, output layer."""

    def __init__(self, cell: str, batch_first: bool = True) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, 5)
        self.rnn = {"lstm": nn.LSTM, "gru": nn.GRU}[cell](5, 6, 2, batch_first=batch_first)
        self.head = nn.Linear(6, VOCABULARY)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        vectors = self.embed(tokens)
        if self.rnn.batch_first:
            return self.head(self.rnn(vectors, None)[0])
        return self.head(self.rnn(vectors.transpose(0, 1), None)[0].transpose(0, 1))


class Nats(nn.Module):
    """Mean cross-entropy of each record over its own tokens, reduced over the records as asked."""

    def __init__(self, reduction: str) -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        flat = functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
        )
        per_record = flat.view_as(targets).sum(1) / (targets != IGNORED).sum(1).clamp(min=1)
        match self.reduction:
            case "mean":
                return per_record.mean()
            case "sum":
                return per_record.sum()
        return per_record


def model_of(cell: str, batch_first: bool = True) -> LanguageModel:
    torch.manual_seed(0)
    model = LanguageModel(cell, batch_first).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-1.0, 1.0)
    return model


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and targets of right-padded records."""
    generator = torch.Generator().manual_seed(1)
    size = (len(LENGTHS), max(LENGTHS))
    tokens, targets = (torch.randint(VOCABULARY, size, generator=generator) for _ in range(2))
    for row, length in zip(targets, LENGTHS, strict=True):
        row[length:] = IGNORED
    return tokens, targets


def clipped_sum(model: LanguageModel) -> list[torch.Tensor]:
    """Σ of the records' gradients, each scaled to a norm of at most ``CLIP``: one record at a time, cut to its length."""
    tokens, targets = batch()
    total = [torch.zeros_like(parameter) for parameter in model.parameters()]
    clipped = 0
    for row, wanted, length in zip(tokens, targets, LENGTHS, strict=True):
        loss = Nats("sum")(model(row[None, :length]), wanted[None, :length])
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        norm = torch.stack([g.square().sum() for g in gradients]).sum().sqrt()
        factor = (CLIP / (norm + 1e-6)).clamp(max=1.0)
        clipped += int(factor < 1.0)
        for place, gradient in zip(total, gradients, strict=True):
            place += factor * gradient
    assert clipped == len(LENGTHS)
    return total


def private(model: LanguageModel, mode: str, reduction: str) -> tuple[Any, Any, Any]:
    """What Opacus makes of the model, its optimizer and the loss; without noise and with all records in a batch."""
    loader = DataLoader(TensorDataset(*batch()), batch_size=len(LENGTHS))
    kept = {"criterion": Nats(reduction)} if mode == "ghost" else {}
    made = PrivacyEngine(accountant="rdp").make_private(
        module=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=1.0),
        data_loader=loader,
        noise_multiplier=0.0,
        max_grad_norm=CLIP,
        poisson_sampling=False,
        loss_reduction=reduction,
        grad_sample_mode=mode,
        **kept,
    )
    wrapped, optimizer, *criterion, _ = made
    return wrapped, optimizer, criterion[0] if criterion else Nats(reduction)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("mode", ["hooks", "ghost"])
class TestPrivacyEngine:
    @pytest.mark.parametrize("reduction", ["mean", "sum"])
    def test_a_step_follows_the_clipped_sum(self, cell: str, mode: str, reduction: str) -> None:
        """Three steps, so that nothing is left over from one to the next."""
        plain = model_of(cell)
        model = copy.deepcopy(plain)
        model.rnn = per_example(model.rnn)
        wrapped, optimizer, criterion = private(model, mode, reduction)
        tokens, targets = batch()
        for _ in range(3):
            expected = clipped_sum(plain)
            optimizer.zero_grad()
            criterion(wrapped(tokens), targets).backward()
            optimizer.step()
            with torch.no_grad():
                for parameter, change in zip(plain.parameters(), expected, strict=True):
                    parameter -= change / (len(LENGTHS) if reduction == "mean" else 1)
            for found, wanted in zip(model.parameters(), plain.parameters(), strict=True):
                torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)

    def test_time_major_layers_are_known_by_their_records(self, cell: str, mode: str) -> None:
        """The rest of the model counts records first; the layer inside does not."""
        plain = model_of(cell, batch_first=False)
        model = copy.deepcopy(plain)
        model.rnn = per_example(model.rnn)
        wrapped, optimizer, criterion = private(model, mode, "mean")
        tokens, targets = batch()
        before = [parameter.detach().clone() for parameter in model.parameters()]
        criterion(wrapped(tokens), targets).backward()
        optimizer.step()
        moved = [b - p for b, p in zip(before, model.parameters(), strict=True)]
        for found, wanted in zip(moved, clipped_sum(plain), strict=True):
            torch.testing.assert_close(found, wanted / len(LENGTHS), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
class TestHooks:
    def test_the_validator_takes_the_layer(self, cell: str) -> None:
        """It refuses torch's own."""
        model = model_of(cell)
        assert ModuleValidator.validate(model)
        model.rnn = per_example(model.rnn)
        assert not ModuleValidator.validate(model)

    def test_ordinary_gradients_are_there_too(self, cell: str) -> None:
        """As with every other layer under Opacus' hooks."""
        plain = model_of(cell)
        model = copy.deepcopy(plain)
        model.rnn = per_example(model.rnn)
        wrapped = GradSampleModule(model)
        tokens, targets = batch()
        Nats("mean")(wrapped(tokens), targets).backward()
        Nats("mean")(plain(tokens), targets).backward()
        for found, wanted in zip(model.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(found.grad, wanted.grad)
            torch.testing.assert_close(found.grad_sample.mean(0), wanted.grad)

    def test_inputs_without_gradients_do_not_matter(self, cell: str) -> None:
        """Below a frozen embedding, too, the rule runs after the layer's backward pass."""
        model = model_of(cell)
        model.embed.requires_grad_(False)
        model.rnn = per_example(model.rnn)
        wrapped = GradSampleModule(model)
        tokens, targets = batch()
        Nats("mean")(wrapped(tokens), targets).backward()
        assert model.rnn.weight_ih_l0.grad_sample.shape == (
            len(LENGTHS),
            *model.rnn.weight_ih_l0.shape,
        )

    def test_a_layer_called_twice_adds_up(self, cell: str) -> None:
        """Opacus adds the passes of one step, record by record."""
        layer = (shape := Shape(cell=cell)).layer()
        wrapped = GradSampleModule(twin := per_example(copy.deepcopy(layer)), loss_reduction="sum")
        for module in (layer, wrapped):
            first = record_losses(module, shape, shape.rows(), shape.pull())
            second = record_losses(module, shape, shape.rows().sin(), shape.pull())
            (first + 2.0 * second).sum().backward()
        for found, wanted in zip(twin.parameters(), layer.parameters(), strict=True):
            assert found.grad_sample.shape == (3, *wanted.shape)
            torch.testing.assert_close(found.grad_sample.sum(0), wanted.grad)

    def test_a_batch_without_records_gives_none(self, cell: str) -> None:
        """Poisson sampling draws such batches."""
        model = model_of(cell)
        model.rnn = per_example(model.rnn)
        wrapped = GradSampleModule(model)
        tokens, targets = batch()
        Nats("sum")(wrapped(tokens[:0]), targets[:0]).backward()
        for parameter in model.rnn.parameters():
            assert parameter.grad_sample.shape == (0, *parameter.shape)

    def test_once_the_hooks_are_gone_the_fused_kernels_run(self, cell: str) -> None:
        """``to_standard_module`` ends the recording."""
        model = model_of(cell)
        model.rnn = per_example(model.rnn)
        wrapped = GradSampleModule(model)
        assert model.rnn.is_recorded
        assert not wrapped.to_standard_module().rnn.is_recorded


class TestRefusals:
    def test_a_rule_without_a_backward_pass(self) -> None:
        """Nothing was left to read."""
        twin = per_example(Shape().layer())
        wrapped = GradSampleModule(twin)
        wrapped(Shape().rows())
        with pytest.raises(UsageError, match="that are not there"):
            opacus_rules.gradients(twin, [], torch.zeros(()))

    def test_an_unknown_reduction(self) -> None:
        """Whether to multiply by the number of records is never guessed."""
        twin = per_example((shape := Shape()).layer())
        twin.recording = True
        record_losses(twin, shape, shape.rows(), shape.pull()).sum().backward()
        with pytest.raises(UsageError, match="a mean or a sum over the records"):
            opacus_rules.norms(twin, [], torch.zeros(()))
