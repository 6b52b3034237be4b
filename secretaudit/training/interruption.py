"""Stopping a training between two steps, when its user or a scheduler asks for it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruption() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets, so that the step under way is finished; the second one ends the program at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in _SIGNALS}

    def first(_number: int, _frame: FrameType | None) -> None:
        event.set()
        _put_back()

    def _put_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in _SIGNALS:
        signal.signal(number, first)
    try:
        yield event
    finally:
        _put_back()
