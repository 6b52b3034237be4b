"""A user's own function that makes a model, named as ``package.module:function``.

It is imported from the current directory on, like a module of ``python -m``. Given the task when it takes an argument, it returns a torch module from inputs
to class scores.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path

from torch import nn

from secretaudit.errors import ModelError
from secretaudit.suite.labelled import Task
from secretaudit.suite.learner import Factory, Learner

__all__ = ["learner_of_function"]


def learner_of_function(model: str, task: Task, weights: Path | None) -> Learner:
    """A user's function, perhaps with weights."""
    make = _imported(model)
    takes_task = any(
        p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        for p in inspect.signature(make).parameters.values()
    )
    bound: Callable[[], nn.Module] = functools.partial(make, task) if takes_task else make
    return Factory(make=bound, name=model, weights=weights)


def _imported(model: str) -> Callable[..., nn.Module]:
    """The function named by package.module:function, looked for from the current directory on."""
    module, _, name = model.partition(":")
    if (here := os.getcwd()) not in sys.path:  # noqa: PTH109  (sys.path holds strings)
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ModelError(
            f"There is no function {model}.",
            f"Python says: {error}.",
            "Name it as package.module:function, as Python imports it from the current directory.",
        ) from error
    if not callable(found):
        raise ModelError(
            f"{model} is no function.",
            f"It is of type {type(found).__name__}.",
            "Name a function or class that makes a torch module.",
        )
    return found  # type: ignore[no-any-return]  # whatever the user's module holds
