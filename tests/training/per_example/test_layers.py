from __future__ import annotations

import copy
import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_sequence

from secretaudit.errors import UsageError
from secretaudit.models.recurrent.network import RecurrentConfig, RecurrentForCausalLM
from secretaudit.training.per_example import (
    PerExampleGRU,
    PerExampleLSTM,
    ordinary,
    per_example,
)
from secretaudit.training.per_example.recurrent_rules import per_example_gradients, squared_norms
from tests.training.per_example.subject import Shape, as_input, record_losses

CELLS = pytest.mark.parametrize("cell", ["lstm", "gru"])

shapes = st.builds(
    Shape,
    cell=st.sampled_from(["lstm", "gru"]),
    layers=st.integers(1, 3),
    inputs=st.integers(1, 6),
    units=st.integers(1, 6),
    bias=st.booleans(),
    batch_first=st.booleans(),
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=5).map(tuple),
    seed=st.integers(0, 2**31),
)


def twin_of(layer: nn.LSTM | nn.GRU) -> PerExampleLSTM | PerExampleGRU:
    """Already recording."""
    twin = per_example(layer)
    twin.recording = True
    return twin


def states_of(state: torch.Tensor | tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


def start(shape: Shape) -> torch.Tensor | tuple[torch.Tensor, ...]:
    """A state at the start that is not zero, as the layer takes it."""
    size = (shape.layers, len(shape.lengths), shape.units)
    state = torch.randn(size, generator=shape.generator(), dtype=torch.float64)
    return (state, state.flip(0)) if shape.cell == "lstm" else state


class TestForward:
    @given(shape=shapes, given_state=st.booleans())
    @settings(max_examples=60, deadline=None)
    def test_recorded_passes_compute_what_torch_does(self, shape: Shape, given_state: bool) -> None:
        """Outputs and the state at the end, from zero and from a given state."""
        layer, rows = shape.layer(), as_input(shape, shape.rows())
        state = start(shape) if given_state else None
        expected, expected_state = layer(rows, state)
        found, found_state = twin_of(layer)(rows, state)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        for f, e in zip(states_of(found_state), states_of(expected_state), strict=True):
            torch.testing.assert_close(f, e, rtol=1e-12, atol=1e-12)

    @CELLS
    def test_dropout_between_layers_is_torchs(self, cell: str) -> None:
        """The same generator drops the same activations."""
        shape = Shape(cell=cell, layers=3, units=8)
        layer, rows = shape.layer(dropout=0.5), shape.rows()
        twin = twin_of(layer)
        torch.manual_seed(1)
        expected = layer(rows)[0]
        torch.manual_seed(1)
        torch.testing.assert_close(twin(rows)[0], expected)
        assert not torch.allclose(twin(rows)[0], expected)

    @CELLS
    def test_dropped_activations_are_dropped_in_the_gradients(self, cell: str) -> None:
        """With one record, its gradient is the ordinary one under the same mask."""
        shape = Shape(cell=cell, layers=3, units=8, lengths=(6,))
        layer = shape.layer(dropout=0.5)
        twin = twin_of(layer)
        torch.manual_seed(1)
        loss = record_losses(layer, shape, shape.rows(), shape.pull())
        expected = torch.autograd.grad(loss.sum(), list(layer.parameters()))
        torch.manual_seed(1)
        record_losses(twin, shape, shape.rows(), shape.pull()).sum().backward()
        found = per_example_gradients(twin, twin.finished[0])
        for (name, _), gradient in zip(layer.named_parameters(), expected, strict=True):
            torch.testing.assert_close(found[name][0], gradient)

    @pytest.mark.parametrize("mode", ["not recording", "eval", "no gradients", "frozen"])
    @CELLS
    def test_other_passes_are_the_base_class_own(
        self, cell: str, mode: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Fused kernels, packed sequences and all; the training of a model without privacy among them."""

        def refuse(*_: object) -> None:
            raise AssertionError("the recorded pass was taken")

        layer = (shape := Shape(cell=cell)).layer()
        twin = twin_of(layer)
        monkeypatch.setattr(type(twin), "_recorded", refuse)
        twin.recording = mode != "not recording"
        twin.train(mode != "eval")
        twin.requires_grad_(mode != "frozen")
        with torch.set_grad_enabled(mode != "no gradients"):
            assert torch.equal(twin(shape.rows())[0], layer(shape.rows())[0])
            packed = pack_sequence(list(shape.rows()))
            assert torch.equal(twin(packed)[0].data, layer(packed)[0].data)

    @CELLS
    def test_under_autocast_the_layer_keeps_its_precision(self, cell: str) -> None:
        """Whatever comes in, the recurrence is computed in the precision of the weights."""
        layer = (shape := Shape(cell=cell, double=False)).layer()
        twin, rows = twin_of(layer), shape.rows().bfloat16()
        with torch.autocast("cpu", torch.bfloat16):
            found = twin(rows)[0]
        torch.testing.assert_close(found, layer(rows.float())[0])


@CELLS
class TestBackward:
    def test_a_given_state_is_part_of_the_gradient_of_the_weights(self, cell: str) -> None:
        """The recurrent weight reads it at the first place."""
        layer = (shape := Shape(cell=cell, lengths=(3,))).layer()
        twin, state = twin_of(layer), start(shape)
        loss = (layer(shape.rows(), state)[0] * shape.pull()).sum()
        expected = torch.autograd.grad(loss, list(layer.parameters()))
        (twin(shape.rows(), state)[0] * shape.pull()).sum().backward()
        found = per_example_gradients(twin, twin.finished[0])
        for (name, _), gradient in zip(layer.named_parameters(), expected, strict=True):
            torch.testing.assert_close(found[name][0], gradient)

    def test_losses_on_the_last_state_are_counted(self, cell: str) -> None:
        """A classifier reads the state at the end, the cell's own included."""
        layer = (shape := Shape(cell=cell, lengths=(4,))).layer()
        twin = twin_of(layer)

        def loss(module: nn.Module) -> torch.Tensor:
            state = states_of(module(shape.rows())[1])
            return sum((part.sin().sum() for part in state), torch.zeros(()))

        expected = torch.autograd.grad(loss(layer), list(layer.parameters()))
        loss(twin).backward()
        found = per_example_gradients(twin, twin.finished[0])
        for (name, _), gradient in zip(layer.named_parameters(), expected, strict=True):
            torch.testing.assert_close(found[name][0], gradient)

    def test_junk_on_the_right_changes_nothing(self, cell: str) -> None:
        """Not even in the last bit: what a record gives does not depend on what fills its row."""
        shape = Shape(cell=cell)
        norms = []
        for junk in (0.0, 1e3):
            rows = shape.rows()
            for row, length in zip(rows, shape.lengths, strict=True):
                row[length:] = junk
            twin = twin_of(shape.layer())
            record_losses(twin, shape, rows, shape.pull()).sum().backward()
            norms.append(squared_norms(twin))
        assert torch.equal(*norms)

    def test_junk_on_the_left_is_read(self, cell: str) -> None:
        """The layer has no mask: rows must be padded on the right."""
        layer = (shape := Shape(cell=cell, lengths=(3,))).layer()
        left = nn.functional.pad(shape.rows(), (0, 0, 2, 0), value=1.0)
        read = twin_of(layer)(left)[0][:, 2:]
        assert not torch.allclose(read, layer(shape.rows())[0], atol=1e-3)

    def test_a_record_does_not_depend_on_its_neighbours(self, cell: str) -> None:
        """The unit of privacy is a row: other rows in the batch leave its norm as it is."""
        shape = Shape(cell=cell)
        rows = shape.rows()
        twin = twin_of(shape.layer())
        record_losses(twin, shape, rows, shape.pull()).sum().backward()
        first = squared_norms(twin)[0]
        rows[1:] *= -3.0
        record_losses(twin, shape, rows, shape.pull()).sum().backward()
        torch.testing.assert_close(squared_norms(twin)[0], first, rtol=1e-12, atol=0.0)


@CELLS
class TestTwins:
    def test_parameters_are_shared_both_ways(self, cell: str) -> None:
        """Training the twin trains the layer."""
        layer = Shape(cell=cell).layer()
        twin = per_example(layer.eval())
        back = ordinary(twin)
        assert type(back) is type(layer)
        assert not twin.training and not back.training
        for name, parameter in layer.named_parameters():
            assert twin.get_parameter(name) is parameter
            assert back.get_parameter(name) is parameter
        with torch.no_grad():
            twin.weight_ih_l0.zero_()
        rows = Shape(cell=cell).rows()
        assert torch.equal(back(rows)[0], twin(rows)[0])

    @pytest.mark.parametrize("bias", [True, False])
    def test_state_dictionaries_are_interchangeable(self, cell: str, bias: bool) -> None:
        """Names, order and shapes are torch's, strictly and in both directions."""
        layer = Shape(cell=cell, layers=3, bias=bias).layer()
        kind = PerExampleLSTM if cell == "lstm" else PerExampleGRU
        twin = kind(3, 4, 3, bias=bias, batch_first=True).double()
        twin.load_state_dict(layer.state_dict())
        assert list(twin.state_dict()) == list(layer.state_dict())
        other = Shape(cell=cell, layers=3, bias=bias, seed=1).layer()
        other.load_state_dict(twin.state_dict())
        rows = Shape().rows()
        assert torch.equal(other(rows)[0], layer(rows)[0])

    def test_random_numbers_are_left_alone(self, cell: str) -> None:
        """Making a twin draws nothing, so that a seeded training goes on as it would."""
        layer = Shape(cell=cell).layer()
        before = torch.get_rng_state()
        ordinary(per_example(layer))
        assert torch.equal(torch.get_rng_state(), before)

    def test_copies_and_pickles_work_after_a_pass(self, cell: str) -> None:
        """Opacus clones models; traces that are left do not stand in the way."""
        twin = twin_of((shape := Shape(cell=cell)).layer())
        record_losses(twin, shape, shape.rows(), shape.pull()).sum().backward()
        file = io.BytesIO()
        torch.save(twin, file)
        file.seek(0)
        for other in (copy.deepcopy(twin), torch.load(file, weights_only=False)):
            assert torch.equal(other(shape.rows())[0], twin(shape.rows())[0])

    def test_the_project_model_takes_a_twin(self, cell: str) -> None:
        """Its calls hand the state over as a second argument, or ``None``."""
        config = RecurrentConfig(vocab_size=7, units=4, cell=cell)
        model = RecurrentForCausalLM(config).train()
        tokens = torch.tensor([[1, 2, 3], [4, 5, 6]])
        expected = model(tokens).logits
        model.rnn = twin_of(model.rnn)
        torch.testing.assert_close(model(tokens).logits, expected)
        model(tokens).logits.sum().backward()
        assert squared_norms(model.rnn).shape == (2,)


class TestRefusals:
    @pytest.mark.parametrize("kind", [PerExampleLSTM, PerExampleGRU])
    def test_both_directions(self, kind: type[nn.RNNBase]) -> None:
        """A model that predicts the next token reads in one direction."""
        with pytest.raises(UsageError, match="reads in one direction"):
            kind(3, 4, bidirectional=True)
        with pytest.raises(UsageError, match="reads in one direction"):
            per_example(kind.__mro__[2](3, 4, bidirectional=True))

    def test_projections(self) -> None:
        """There is no backward pass for them here."""
        with pytest.raises(UsageError, match="no projection of its state"):
            per_example(nn.LSTM(3, 4, proj_size=2))

    def test_other_layers(self) -> None:
        """Elman's network has no twin, and the error names what has."""
        with pytest.raises(UsageError, match=r"RNN has no twin.*torch\.nn\.LSTM"):
            per_example(nn.RNN(3, 4))

    def test_packed_and_single_sequences(self) -> None:
        """Neither has a dimension that counts records."""
        twin = twin_of((shape := Shape()).layer())
        for inputs in (pack_sequence(list(shape.rows())), shape.rows()[0]):
            with pytest.raises(UsageError, match="a batch of sequences with three dimensions"):
                twin(inputs)

    def test_sequences_without_places(self) -> None:
        """As torch's own layer."""
        with pytest.raises(UsageError, match="at least one place"):
            twin_of(Shape().layer())(torch.zeros(2, 0, 3, dtype=torch.float64))

    def test_a_state_that_wants_a_gradient(self) -> None:
        """It would silently get none."""
        twin = twin_of((shape := Shape(cell="gru")).layer())
        state = torch.zeros(2, 3, 4, dtype=torch.float64, requires_grad=True)
        with pytest.raises(UsageError, match="must not want a gradient"):
            twin(shape.rows(), state)

    def test_shapes_that_do_not_fit(self) -> None:
        """Torch's own words for inputs and states of a wrong size."""
        twin = twin_of((shape := Shape(cell="gru")).layer())
        with pytest.raises(RuntimeError, match="must be equal to input_size"):
            twin(shape.rows()[..., :2])
        with pytest.raises(RuntimeError, match="Expected hidden size"):
            twin(shape.rows(), torch.zeros(2, 5, 4, dtype=torch.float64))
