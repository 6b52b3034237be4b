"""The four papers by name: where each one's settings and its ``run`` are, imported when they are used.

A module's folder has ``settings.py`` with one class of dials and ``run.py`` with ``run(subject, settings, run) -> found``. To add a paper: a folder and
one line here.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from secretaudit._checks import one_of

if TYPE_CHECKING:
    from secretaudit.suite.subject import Run, Subject

__all__ = ["MODULES", "settings_class", "work_of"]

#: Name → the class of its dials, and the line that says what it measures.
MODULES = {
    "noise": (
        "NoiseSettings",
        "Real data against noise: which examples are easy, which matter, how much is memorized.",
    ),
    "neighbours": (
        "NeighboursSettings",
        "Is the network a nearest-neighbour rule in its own embedding?",
    ),
    "pretraining": ("PretrainingSettings", "Does memorizing random labels first help later?"),
    "dissection": (
        "DissectionSettings",
        "One way to learn, N ways to memorize: how alike are networks?",
    ),
}


def settings_class(module: str) -> type[Any]:
    """The dataclass of a module's dials.

    Raises:
        UsageError: There is no such module.
    """
    one_of("module", module, MODULES)
    found: type[Any] = getattr(
        import_module(f"secretaudit.suite.{module}.settings"), MODULES[module][0]
    )
    return found


def work_of(module: str) -> Callable[[Subject, Any, Run], dict[str, Any]]:
    """A module's ``run``."""
    found: Callable[[Subject, Any, Run], dict[str, Any]] = import_module(
        f"secretaudit.suite.{module}.run"
    ).run
    return found
