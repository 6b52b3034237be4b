"""``torch.nn.LSTM`` and ``torch.nn.GRU`` that also know the gradient of each record.

The layers have the parameters of their base classes, name by name, so that state dictionaries are interchangeable. Their forward pass is
the base class' own, with its fused kernels, unless per-example gradients are wanted, which is the case

    while ``recording`` is true, or while Opacus has its hooks on the parameters,

and then only in training mode, with gradients enabled, and if some parameter is trained. Such a pass runs layer by layer in code of ours
(``lstm``, ``gru``); its backward pass leaves a ``Trace`` per layer, which ``recurrent_rules`` and ``opacus_rules`` read.

``recording`` by hand replaces the ordinary gradients: ``loss.backward()`` leaves ``.grad`` of the layer's parameters alone, and
``recurrent_rules`` gives norms and weighted sums. With Opacus both are there, as with every other layer.

A record is a row, and its state is zero at its start, or what the caller gives, through which no gradient flows. Places after a record's
end (padding on the right) change nothing as long as no loss is taken there. Padding on the left is read like any other token.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from secretaudit.errors import UsageError
from secretaudit.training.per_example.gru import GRULayer
from secretaudit.training.per_example.lstm import LSTMLayer
from secretaudit.training.per_example.trace import Call

Kind = TypeVar("Kind", bound=nn.RNNBase)


class PerExampleRecurrence(nn.RNNBase):
    """What the two layers share; not used alone.

    Attributes:
        recording: Whether training passes leave traces instead of ordinary gradients.
        finished: Recorded passes whose backward pass is done and that nobody has read, oldest first.
    """

    recording: bool
    finished: list[Call]
    _layer: ClassVar[type[torch.autograd.Function]]
    _states: ClassVar[int]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _refuse_unknown_shapes(self)
        self.recording = False
        self.finished = []

    def __call__(self, input: torch.Tensor | PackedSequence, hx: Any = None) -> Any:  # noqa: A002  # the base class' name
        """As ``forward``, but hooks see the input alone and run after the backward pass of the last layer."""
        if self.is_recorded and isinstance(input, torch.Tensor) and not input.requires_grad:
            input = input.detach().requires_grad_()  # noqa: A001
        return super().__call__(input) if hx is None else super().__call__(input, hx=hx)

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return next(self.parameters()).dtype

    @property
    def is_recorded(self) -> bool:
        """Whether a forward pass made now would leave traces."""
        if not (self.training and torch.is_grad_enabled()):
            return False
        trained = any(parameter.requires_grad for parameter in self.parameters())
        return trained and (self.recording or has_opacus_hooks(self))

    def forward(self, input: Any, hx: Any = None) -> Any:  # noqa: A002  # the base class' name
        """Read sequences.

        Args:
            input: Shape (B, T, D) with ``batch_first``, else (T, B, D). Packed sequences and single sequences only where nothing is
                recorded.
            hx: State at the start, as the base class takes it; ``None`` is zero.

        Returns:
            Outputs of the last layer and the state at the end, as the base class returns them.

        Raises:
            UsageError: A recorded pass over what has no records side by side, or with a state that wants a gradient.
        """
        if not self.is_recorded:
            return super().forward(input, hx)
        _refuse_unrecordable(input, hx)
        # The loops below make some thousand small calls: nobody watches them one by one.
        unwatched = torch._C.DisableTorchFunction()
        with torch.autocast(input.device.type, enabled=False), unwatched:
            return self._recorded(input.to(self.dtype), hx)

    def _recorded(self, rows: torch.Tensor, hx: Any) -> Any:
        """The pass that leaves traces."""
        self.check_input(rows, None)
        inputs = rows.transpose(0, 1) if self.batch_first else rows
        if not len(inputs):
            raise UsageError(
                "Per-example gradients need records of at least one place.",
                "The sequences given have none.",
                "Leave empty records out.",
            )
        states = self._start(inputs, hx)
        by_opacus = has_opacus_hooks(self)
        if by_opacus:
            self.max_batch_len = inputs.shape[1]
        self.finished.clear()
        call = Call(finished=self.finished, summed=by_opacus)
        last: list[tuple[torch.Tensor, ...]] = []
        for layer, weights in enumerate(self.all_weights):
            if layer and self.dropout:
                inputs = functional.dropout(inputs, self.dropout)
            biases = weights[2:] if self.bias else (None, None)
            start = tuple(state[layer].detach() for state in states)
            found = self._layer.apply(inputs, start, *weights[:2], *biases, call, layer)
            inputs, *ends = found if isinstance(found, tuple) else (found,)
            last.append((inputs[-1], *ends))
        outputs = inputs.transpose(0, 1) if self.batch_first else inputs
        end = tuple(torch.stack(parts) for parts in zip(*last, strict=True))
        return outputs, end if self._states > 1 else end[0]

    def _start(self, inputs: torch.Tensor, hx: Any) -> tuple[torch.Tensor, ...]:
        """The state of all layers at the start, tensors of shape (layers, B, H), the inputs being (T, B, D)."""
        shape = (self.num_layers, inputs.shape[1], self.hidden_size)
        if hx is None:
            return (inputs.new_zeros(shape),) * self._states
        states: tuple[torch.Tensor, ...] = tuple(hx) if isinstance(hx, (tuple, list)) else (hx,)
        for state in states:
            self.check_hidden_size(state, shape)
        return states


class PerExampleLSTM(PerExampleRecurrence, nn.LSTM):
    """``torch.nn.LSTM`` with the gradient of each record; not bidirectional, no projection.

    >>> layer = PerExampleLSTM(3, 4, batch_first=True)
    >>> sorted(layer.state_dict()) == sorted(nn.LSTM(3, 4).state_dict())
    True
    """

    _layer = LSTMLayer
    _states = 2


class PerExampleGRU(PerExampleRecurrence, nn.GRU):
    """``torch.nn.GRU`` with the gradient of each record; not bidirectional."""

    _layer = GRULayer
    _states = 1


def per_example(layer: nn.LSTM | nn.GRU) -> PerExampleLSTM | PerExampleGRU:
    """The same layer with per-example gradients: the new module holds the very parameters of the old one.

    Args:
        layer: Of any number of layers, in one direction, without projection.

    Returns:
        A module that takes the place of ``layer``; not yet recording. Hooks on ``layer`` do not move along.

    Raises:
        UsageError: A layer of another kind, in both directions, or with a projection.

    >>> layer = nn.GRU(3, 4)
    >>> per_example(layer).weight_hh_l0 is layer.weight_hh_l0
    True
    """
    if isinstance(layer, nn.LSTM):
        return _with_parameters_of(layer, PerExampleLSTM)
    if isinstance(layer, nn.GRU):
        return _with_parameters_of(layer, PerExampleGRU)
    raise UsageError(
        f"{type(layer).__name__} has no twin with per-example gradients.",
        "There is one for torch.nn.LSTM and one for torch.nn.GRU.",
        "Use one of those layers.",
    )


def ordinary(layer: PerExampleLSTM | PerExampleGRU) -> nn.LSTM | nn.GRU:
    """The way back from ``per_example``: a layer of torch's own class with the very same parameters."""
    if isinstance(layer, nn.LSTM):
        return _with_parameters_of(layer, nn.LSTM)
    return _with_parameters_of(layer, nn.GRU)


def has_opacus_hooks(layer: nn.Module) -> bool:
    """Whether a ``GradSampleModule`` of Opacus holds the layer: it counts passes on each parameter."""
    return any(hasattr(parameter, "_forward_counter") for parameter in layer.parameters())


def _with_parameters_of(layer: nn.LSTM | nn.GRU, kind: Callable[..., Kind]) -> Kind:
    """A module of another class with the same shape, mode and parameters."""
    _refuse_unknown_shapes(layer)
    shape = {name: getattr(layer, name) for name in _SHAPE}
    twin = kind(layer.input_size, layer.hidden_size, device="meta", **shape)
    for name, parameter in layer.named_parameters():
        setattr(twin, name, parameter)
    twin._init_flat_weights()
    return twin.train(layer.training)


_SHAPE = ("num_layers", "bias", "batch_first", "dropout")


def _refuse_unknown_shapes(layer: nn.RNNBase) -> None:
    """Refuse layers for which there is no backward pass here."""
    if layer.bidirectional:
        raise UsageError(
            "A recurrent layer with per-example gradients reads in one direction.",
            "This one is bidirectional, which a model that predicts the next token cannot be.",
            "Use bidirectional=False.",
        )
    if layer.proj_size:
        raise UsageError(
            "A recurrent layer with per-example gradients has no projection of its state.",
            f"This one projects {layer.hidden_size} units to {layer.proj_size}.",
            "Use proj_size=0 and fewer units.",
        )


def _refuse_unrecordable(inputs: Any, hx: Any) -> None:
    """Refuse what has no records side by side, and a state through which gradients should flow."""
    if isinstance(inputs, PackedSequence) or inputs.dim() != 3:
        raise UsageError(
            "Per-example gradients need a batch of sequences with three dimensions.",
            "Packed sequences and single sequences have no dimension that counts records.",
            "Pad the records on the right and take no loss there.",
        )
    states = hx if isinstance(hx, (tuple, list)) else (hx,)
    if any(state is not None and state.requires_grad for state in states):
        raise UsageError(
            "The state at the start of a recorded pass must not want a gradient.",
            "Per-example gradients are those of records that begin with the state given.",
            "Detach the state, or leave it out.",
        )
