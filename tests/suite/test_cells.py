"""Pieces of work run once, side by side, and are found again after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from secretaudit.errors import CouldNotMeasure, UsageError
from secretaudit.suite.cells import Cell, Cells


def square(shared: int, *, x: int, log: str = "") -> dict[str, Any]:
    """x² + shared; leaves a line in ``log`` when it really ran."""
    if log:
        with Path(log).open("a") as file:
            file.write(f"{x}\n")
    noise = torch.randn(50, generator=torch.Generator().manual_seed(x))
    return {
        "value": x * x + shared,
        "noise": float(noise @ noise),
        "threads": torch.get_num_threads(),
    }


def die(shared: int) -> dict[str, Any]:
    """What the system does when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def cells(log: Path | None = None, n: int = 4) -> list[Cell]:
    arguments = {} if log is None else {"log": str(log)}
    return [
        Cell(name=f"square/{x}", work=square, arguments={"x": x, **arguments}) for x in range(n)
    ]


def test_several_processes_give_what_one_gives() -> None:
    """In the order of the cells, bit for bit, one thread each."""
    alone = Cells(workers=1).run(cells(), 10, identity="a")
    together = Cells(workers=2).run(cells(), 10, identity="a")
    assert alone == together
    assert [found["value"] for found in together.values()] == [10, 11, 14, 19]
    assert {found["threads"] for found in together.values()} == {1}


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    """Unless what it depends on is different: the identity or the arguments."""
    place, log = tmp_path / "cells", tmp_path / "log"
    first = Cells(place=place).run(cells(log), 0, identity="a")
    assert Cells(place=place).run(cells(log), 0, identity="a") == first
    assert len(log.read_text().split()) == 4
    Cells(place=place).run(cells(log, 5), 0, identity="a")
    assert log.read_text().split()[4:] == ["4"]
    Cells(place=place).run(cells(log), 0, identity="b")
    assert len(log.read_text().split()) == 9


def test_a_damaged_result_is_made_again(tmp_path: Path) -> None:
    """A file cut short is no result."""
    place = tmp_path / "cells"
    first = Cells(place=place).run(cells(), 0, identity="a")
    for file in place.iterdir():
        file.write_text(file.read_text()[:10])
    assert Cells(place=place).run(cells(), 0, identity="a") == first


def test_a_killed_process_is_an_answer() -> None:
    """And what can be done about it."""
    with pytest.raises(CouldNotMeasure, match="A process that trained a model was killed") as found:
        Cells(workers=2).run([Cell(name="a", work=die), *cells()], 0, identity="a")
    assert "--workers" in found.value.way_out


def test_what_cannot_be_sent_is_refused() -> None:
    """A function made on the spot has no name that another process could import."""
    with pytest.raises(UsageError, match="cannot be sent to other processes"):
        Cells(workers=2).run(cells(), lambda: 0, identity="a")


def test_a_run_that_was_killed_goes_on(tmp_path: Path) -> None:
    """Kill −9 in the middle: finished cells are there, whole, and the rest is done by the next run."""
    script = tmp_path / "slow_work.py"
    script.write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "from secretaudit.suite.cells import Cell, Cells\n"
        "def slow(shared, *, x):\n"
        "    time.sleep(0.1 if x < 2 else 60)\n"
        "    return {'x': x}\n"
        "if __name__ == '__main__':\n"
        "    work = [Cell(name=str(x), work=slow, arguments={'x': x}) for x in range(3)]\n"
        "    Cells(place=Path(sys.argv[1])).run(work, 0, identity='a')\n"
    )
    place = tmp_path / "cells"
    running = subprocess.Popen([sys.executable, str(script), str(place)])
    deadline = time.time() + 60
    while len(list(place.glob("*.json"))) < 2 and time.time() < deadline:
        time.sleep(0.05)
    running.kill()
    running.wait()
    kept = [json.loads(file.read_text())["result"]["x"] for file in place.glob("*.json")]
    assert sorted(kept) == [0, 1]
