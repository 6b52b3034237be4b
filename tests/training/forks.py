"""Children of the test process: to be killed at any moment, or to train together.

A forked child has torch loaded already, so that it costs milliseconds where a fresh interpreter costs seconds.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context

from secretaudit.errors import SecretauditError

#: Longest time that a child may take.
PATIENCE = 60.0


def forked(work: Callable[[], object]) -> int:
    """Start a child that does some work and ends with 0, with an error's exit code, or with 99; its pid."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        work()
        code = 0
    except SecretauditError as error:
        code = error.exit_code
    finally:
        os._exit(code)


def killed(work: Callable[[], object], after: float) -> bool:
    """Whether a child was killed before it was done: with SIGKILL, so many seconds after its start, or by itself."""
    pid = forked(work)
    deadline = time.monotonic() + after
    ended, status = os.waitpid(pid, os.WNOHANG)
    while not ended and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, 0.01))
        ended, status = os.waitpid(pid, os.WNOHANG)
    if not ended:
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status):
        assert os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def trained_together(work: Callable[[], object], count: int = 2) -> list[str]:
    """What some processes, started as ``torchrun`` starts them, ended with: "done", an error's name and words, or "" when killed.

    Args:
        work: What each does.
        count: How many there are.
    """
    context = get_context("fork")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    ends = context.SimpleQueue()

    def child(rank: int) -> None:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        try:
            work()
            ends.put((rank, "done"))
        except Exception as error:  # noqa: BLE001 # whatever it was is handed to the test
            ends.put((rank, f"{type(error).__name__}: {error}"))

    children = [context.Process(target=child, args=(rank,)) for rank in range(count)]
    for process in children:
        process.start()
    for process in children:
        process.join(PATIENCE)
        if process.is_alive():
            process.kill()
    said = ["" for _ in children]
    while not ends.empty():
        rank, end = ends.get()
        said[rank] = end
    return said
