"""The console that tables are printed on.

Colours are off when stdout is not a terminal or ``NO_COLOR`` is set (rich sees to both); the width without a terminal
is 80 columns.
"""

from __future__ import annotations

import sys
from typing import NoReturn

from rich.console import Console


class _AnswerConsole(Console):
    def on_broken_pipe(self) -> NoReturn:
        """Let the caller decide: rich would exit with 1, which here means that a gate failed."""
        raise BrokenPipeError


def answer_console() -> Console:
    """A console on stdout; texts are printed as they are, without markup or guessed highlights."""
    return _AnswerConsole(file=sys.stdout, highlight=False, markup=False, emoji=False)
