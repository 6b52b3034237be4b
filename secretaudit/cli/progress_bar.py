"""Progress of a long run, drawn on stderr and gone when it is over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Display

from secretaudit.progress import Progress


class _Bar:
    """Draws one bar; a new ``stage`` begins a new one."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._stage = ""
        self._task = display.add_task("working", total=None, figures="")

    def update(self, *, done: float, total: float | None, **figures: object) -> None:
        stage = str(figures.pop("stage", self._stage or "working"))
        if stage != self._stage:
            self._display.reset(self._task, total=total, description=stage)
            self._stage = stage
        self._display.update(
            self._task, completed=done, total=total, description=stage, figures=shown(figures)
        )

    def announce(self, sentence: str) -> None:
        self._display.console.print(sentence, markup=False, highlight=False)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar with what the run reports, the share done, and the time left."""
    with Display(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        transient=True,
    ) as display:
        yield _Bar(display)


def shown(figures: dict[str, object]) -> str:
    """Named figures in one line.

    >>> shown({"loss_bits": 1.9312, "tokens_per_second": 41234.5, "epoch": 3})
    'loss bits 1.93  tokens/second 41,234  epoch 3'
    """
    return "  ".join(
        f"{name.replace('_per_', '/').replace('_', ' ')} {_number(value)}"
        for name, value in figures.items()
    )


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
