from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from secretaudit.errors import UsageError
from secretaudit.training.per_example import PerExampleGRU, PerExampleLSTM, per_example
from secretaudit.training.per_example.recurrent_rules import (
    forget,
    gram_is_cheaper,
    per_example_gradients,
    squared_norms,
    weighted_sum,
)
from tests.training.per_example.subject import (
    Shape,
    one_by_one,
    record_losses,
    relative_error,
)

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


def recorded(
    shape: Shape,
) -> tuple[PerExampleLSTM | PerExampleGRU, dict[str, torch.Tensor]]:
    """A twin after one recorded pass over the shape's batch, and the gradients by brute force."""
    layer = shape.layer()
    expected = one_by_one(layer, shape)
    twin = per_example(layer)
    twin.recording = True
    run(twin, shape)
    return twin, expected


def run(twin: PerExampleLSTM | PerExampleGRU, shape: Shape) -> None:
    record_losses(twin, shape, shape.rows(), shape.pull()).sum().backward()


def squared(gradients: dict[str, torch.Tensor]) -> torch.Tensor:
    """Squared norm of each record's gradient, in float64."""
    parts = [g.double().flatten(1).square().sum(1) for g in gradients.values()]
    return torch.stack(parts).sum(0)


class TestOfEveryRecord:
    @given(shape=shapes)
    @settings(max_examples=60, deadline=None)
    def test_gradients_are_those_of_the_record_alone(self, shape: Shape) -> None:
        """Whatever the cell, the layers, the lengths and the junk on the padding: 1e-6 relative in float64."""
        twin, expected = recorded(shape)
        found = per_example_gradients(twin, twin.finished[0])
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            assert relative_error(found[name], gradient) < 1e-6, name

    @given(shape=shapes)
    @settings(max_examples=60, deadline=None)
    def test_squared_norms_are_those_of_the_written_out_gradients(self, shape: Shape) -> None:
        """Norms from Gram matrices, or from gradients made one by one, equal brute force, record by record."""
        twin, expected = recorded(shape)
        torch.testing.assert_close(squared_norms(twin), squared(expected), rtol=1e-6, atol=1e-12)

    @given(shape=shapes)
    @settings(max_examples=60, deadline=None)
    def test_weighted_sum_is_the_sum_of_weighted_gradients(self, shape: Shape) -> None:
        """One product over all records gives the same as adding up what brute force found."""
        twin, expected = recorded(shape)
        weights = torch.rand(len(shape.lengths), generator=shape.generator(), dtype=shape.dtype)
        found = weighted_sum(twin, weights)
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            wanted = torch.einsum("b,b...->...", weights, gradient)
            assert found[name].shape == wanted.shape
            assert relative_error(found[name], wanted) < 1e-6, name


@pytest.mark.parametrize("cell", ["lstm", "gru"])
class TestEitherCell:
    SIZES: ClassVar[dict[str, Any]] = {"inputs": 20, "units": 30, "lengths": (40, 31, 7, 1)}

    def test_float32_is_right_to_float_noise(self, cell: str) -> None:
        """Single precision costs about the digits that it lacks."""
        twin, _ = recorded(Shape(cell=cell, double=False, **self.SIZES))
        _, exact = recorded(Shape(cell=cell, double=True, **self.SIZES))
        found = per_example_gradients(twin, twin.finished[0])
        summed = weighted_sum(twin, torch.ones(4))
        norms = squared_norms(twin)
        assert norms.dtype == torch.float32
        torch.testing.assert_close(norms.double(), squared(exact), rtol=2e-5, atol=0.0)
        for name, gradient in exact.items():
            assert relative_error(found[name], gradient) < 2e-5, name
            assert relative_error(summed[name], gradient.sum(0)) < 2e-5, name

    @pytest.mark.parametrize("length", [2, 50])
    def test_both_ways_to_a_norm_agree(self, cell: str, length: int) -> None:
        """Two places are cheaper by Gram matrices, fifty by the gradient itself; both are right."""
        shape = Shape(cell=cell, inputs=20, units=20, lengths=(length, 1))
        twin, expected = recorded(shape)
        trace = twin.finished[0].traces[0]
        assert gram_is_cheaper(trace.input_side, trace.inputs) == (length == 2)
        torch.testing.assert_close(squared_norms(twin), squared(expected), rtol=1e-9, atol=0.0)

    def test_frozen_parameters_count_for_nothing(self, cell: str) -> None:
        """Neither in the norm nor among the sums."""
        layer = (shape := Shape(cell=cell)).layer()
        expected = one_by_one(layer, shape)
        frozen = ("weight_hh_l0", "bias_ih_l1")
        for name in frozen:
            layer.get_parameter(name).requires_grad_(False)
            del expected[name]
        twin = per_example(layer)
        twin.recording = True
        run(twin, shape)
        torch.testing.assert_close(squared_norms(twin), squared(expected))
        assert weighted_sum(twin, torch.ones(3)).keys() == expected.keys()

    def test_no_ordinary_gradient_is_made(self, cell: str) -> None:
        """The rules replace it; the inputs still get theirs."""
        twin = per_example((shape := Shape(cell=cell)).layer())
        twin.recording = True
        rows = shape.rows().requires_grad_()
        record_losses(twin, shape, rows, shape.pull()).sum().backward()
        assert all(parameter.grad is None for parameter in twin.parameters())
        wanted = shape.rows().requires_grad_()
        record_losses(shape.layer(), shape, wanted, shape.pull()).sum().backward()
        torch.testing.assert_close(rows.grad, wanted.grad)

    def test_a_batch_without_records_is_a_sum_of_nothing(self, cell: str) -> None:
        """Poisson sampling draws such batches."""
        twin = per_example((shape := Shape(cell=cell)).layer())
        twin.recording = True
        record_losses(twin, shape, shape.rows()[:0], shape.pull()[:0]).sum().backward()
        assert squared_norms(twin).shape == (0,)
        sums = weighted_sum(twin, torch.ones(0))
        assert all(not gradient.any() for gradient in sums.values())
        assert sums["weight_ih_l0"].shape == twin.weight_ih_l0.shape


class TestReading:
    def test_without_a_pass_there_is_nothing_to_read(self) -> None:
        """The refusal says how to get something."""
        twin = per_example(Shape().layer())
        run(twin, Shape())
        with pytest.raises(UsageError, match="No backward pass left per-example gradients"):
            squared_norms(twin)

    def test_two_passes_are_not_told_apart(self) -> None:
        """A layer called twice in one step has two rows for a record."""
        twin = per_example((shape := Shape()).layer())
        twin.recording = True
        losses = [record_losses(twin, shape, shape.rows(), shape.pull()) for _ in range(2)]
        (losses[0] + losses[1]).sum().backward()
        with pytest.raises(UsageError, match="2 passes left per-example gradients"):
            weighted_sum(twin, torch.ones(3))

    def test_the_next_pass_replaces_the_last(self) -> None:
        """A step that was not read does not spoil the following one."""
        shape = Shape()
        twin, expected = recorded(shape)
        run(twin, shape)
        torch.testing.assert_close(squared_norms(twin), squared(expected))

    def test_forgetting_frees_the_trace(self) -> None:
        """Nothing is left to read afterwards."""
        twin, _ = recorded(Shape())
        forget(twin)
        assert twin.finished == []
