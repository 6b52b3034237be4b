"""Watching every use of every trained parameter in a forward pass.

While ``Uses`` is active, torch hands it every function that is called with a trained parameter among its arguments. A function that is known
is called with the parameter held constant, so that the backward pass computes no gradient for it; what reaches the function's output is
kept instead, and becomes a ``Contribution`` of the parameter. It matters which function is called and not which module calls it: tied weights,
subclasses of torch's layers and functional calls are all seen.

A function that is not known raises ``Uncovered`` with the parameter and the function. Nothing is ever left out without a word: a parameter
that was used behind torch's back would have a ``.grad`` after the backward pass, which the caller checks.

The first dimension of what a function reads must count records, alone or together with places ((B, …), or (B · T, n)).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from secretaudit.training.private.contributions import Contribution

#: Makes a contribution of the gradient of a function's output.
Make = Callable[[torch.Tensor], Contribution]
#: Takes the place of a function: the pass under way, then the function's own arguments; ``NotImplemented`` for those that it does not know.
Rule = Callable[..., Any]


class Uncovered(Exception):  # not an error of the program: another way is taken then
    """A use of a parameter for which there is no rule.

    Attributes:
        parameter: Its qualified name.
        reason: How it was used.
    """

    def __init__(self, parameter: str, reason: str) -> None:
        super().__init__(f"{parameter}: {reason}")
        self.parameter = parameter
        self.reason = reason


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Rows of a parameter that were read once, for all records together.

    Attributes:
        parameter: Whose rows they are.
        indices: Which rows, of any shape.
        order: Where each dimension of what was read has gone: the result's dimension d is dimension order[d] of what was read.
    """

    parameter: nn.Parameter
    indices: torch.Tensor
    order: tuple[int, ...]


class Uses(TorchFunctionMode):
    """The uses of parameters in one forward pass; the backward pass fills in ``contributions``.

    Args:
        names: Qualified names of the parameters to watch.
        records: B, the number of records that are read.
        rules: What is done in place of a function.
    """

    def __init__(
        self, names: Mapping[nn.Parameter, str], records: int, rules: Mapping[Any, Rule]
    ) -> None:
        super().__init__()
        self.records = records
        self._rules = rules
        self.tables: dict[int, Table] = {}
        self.contributions: dict[nn.Parameter, list[Contribution]] = {p: [] for p in names}
        self._names = names
        self._known: dict[int, nn.Parameter] = {id(p): p for p in names}
        self._derived: list[torch.Tensor] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],  # the signature is torch's
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Called by torch in place of ``func``."""
        kwargs = kwargs or {}
        used = self._first_of((*args, *kwargs.values()))
        if used is None or not torch.is_grad_enabled():
            return func(*args, **kwargs)
        rule = self._rules.get(func)
        result = NotImplemented if rule is None else rule(self, *args, **kwargs)
        if result is NotImplemented:
            result = func(*args, **kwargs)
            if result is not used and _wants_gradient(result):
                raise Uncovered(self._names[used], f"there is no rule for {_title(func)} on it")
        return result

    def parameter(self, value: Any) -> nn.Parameter | None:
        """The watched parameter that ``value`` is, or stands for."""
        return self._known.get(id(value))

    def held(self, value: Any) -> Any:
        """The same as a constant, if it is watched."""
        return value.detach() if id(value) in self._known else value

    def derive(self, parameter: nn.Parameter, value: torch.Tensor) -> torch.Tensor:
        """Let ``value``, which is new and differs from ``parameter`` by a constant, stand for it.

        It wants a gradient, so that a use of it for which there is no rule is noticed.
        """
        value.requires_grad_()
        self._derived.append(value)  # kept alive, so that its id stays its own
        self._known[id(value)] = parameter
        return value

    def name(self, value: Any) -> str:
        """Qualified name of the watched parameter that ``value`` is, or stands for."""
        return self._names[self._known[id(value)]]

    def share(self, table: Table, values: torch.Tensor) -> torch.Tensor:
        """Let ``values`` stand for a table that was read once for all records."""
        self.tables[id(values)] = table
        return self.derive(table.parameter, values)

    def watch(self, output: torch.Tensor, makers: Sequence[tuple[Any, Make]]) -> torch.Tensor:
        """Keep what the gradient of ``output`` adds to the gradients of those arguments that are watched."""
        wanted = [(p, make) for value, make in makers if (p := self.parameter(value)) is not None]
        if not output.requires_grad:
            output.requires_grad_()

        def keep(gradient: torch.Tensor) -> None:
            with torch.no_grad():
                for parameter, make in wanted:
                    self.contributions[parameter].append(make(gradient.detach()))

        output.register_hook(keep)
        return output

    def places(self, values: torch.Tensor, parameter: Any) -> torch.Tensor:
        """Vectors as (B, T, n) in float32 or wider."""
        if values.dim() < 2 or values.shape[0] % self.records:
            raise self.without_records(parameter)
        return wide(values.detach().reshape(self.records, -1, values.shape[-1]))

    def without_records(self, value: Any) -> Uncovered:
        """The complaint about a use in which no dimension counts records."""
        parameter = self.parameter(value)
        name = "a weight" if parameter is None else self._names[parameter]
        return Uncovered(name, "it is used where no dimension counts records")

    def _first_of(self, values: Sequence[Any]) -> nn.Parameter | None:
        """The first watched parameter among arguments, one level deep."""
        for value in values:
            if isinstance(value, (tuple, list)):
                if (inner := self._first_of(value)) is not None:
                    return inner
            elif (parameter := self._known.get(id(value))) is not None:
                return parameter
        return None


def wide(values: torch.Tensor) -> torch.Tensor:
    """The same in float32, if they are narrower."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _wants_gradient(result: Any) -> bool:
    """Whether a gradient could flow back through a function's result."""
    if isinstance(result, (tuple, list)):
        return any(_wants_gradient(part) for part in result)
    return isinstance(result, torch.Tensor) and result.requires_grad


def _title(func: Callable[..., Any]) -> str:
    return str(getattr(func, "__name__", func))
