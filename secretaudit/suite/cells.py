"""Many small trainings side by side, each done once.

An experiment is a list of *cells*: a function at the top of a module, given what all cells share (data, learner, settings) and its own arguments,
that returns plain JSON. A cell is known by a key: SHA-256 over what is shared, the function's name, the arguments, and the code of the suite and of
training, so that a result is never older than what would make it. Its result is written to
``cells/KEY.json`` as soon as it is there, atomically; a run that was killed finds the results again and does the rest.

Cells run in separate processes, one thread each, so that a result does not depend on how many run at once; with one worker they run in this
process, with one thread as well.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch

from secretaudit.errors import CouldNotMeasure, UsageError
from secretaudit.progress import Progress, SilentProgress
from secretaudit.records import write_json

__all__ = ["Cell", "Cells"]

#: (what is shared, arguments) → plain JSON.
Work = Callable[..., dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One piece of work.

    Attributes:
        name: Its name among the cells of a run, such as "ease/random inputs/17".
        work: A function at the top of a module; called as ``work(shared, **arguments)``.
        arguments: Plain JSON; with what is shared, all that the result depends on.
    """

    name: str
    work: Work
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Where and how cells run.

    Attributes:
        place: Directory of finished cells; ``None`` keeps nothing.
        workers: Processes; 0 takes one per core.
        progress: Told after each cell.
    """

    place: Path | None = None
    workers: int = 1
    progress: Progress = field(default_factory=SilentProgress)

    def run(
        self, cells: Sequence[Cell], shared: Any, *, identity: str, stage: str = ""
    ) -> dict[str, dict[str, Any]]:
        """Run what is not there yet.

        Args:
            cells: The work; names must differ.
            shared: Given to every cell; pickled once per process where there are several.
            identity: Stands for ``shared`` in the keys, such as the data's SHA-256 and the settings.
            stage: Shown with the progress.

        Returns:
            The result of each cell by its name, in the order of ``cells``.

        Raises:
            UsageError: ``shared`` cannot be sent to another process.
            CouldNotMeasure: A process was killed, as the system does when memory runs out.
        """
        if len({cell.name for cell in cells}) != len(cells):
            raise ValueError("names of cells must differ")
        keys = {cell.name: _key(cell, identity) for cell in cells}
        done = {
            cell.name: found for cell in cells if (found := self._kept(keys[cell.name])) is not None
        }
        if done:
            self.progress.announce(
                f"{len(done)} of {len(cells)} trainings ({stage}) were done already."
            )
        missing = [cell for cell in cells if cell.name not in done]
        for cell, found in self._fresh(missing, shared):
            done[cell.name] = found
            self._keep(keys[cell.name], cell.name, found)
            self.progress.update(done=len(done), total=len(cells), stage=stage)
        return {cell.name: done[cell.name] for cell in cells}

    def _fresh(self, cells: Sequence[Cell], shared: Any) -> Iterator[tuple[Cell, dict[str, Any]]]:
        """Results as they come."""
        workers = min(self.workers or os.cpu_count() or 1, len(cells))
        if workers <= 1:
            with _one_thread():
                for cell in cells:
                    yield cell, _plain(cell.work(shared, **cell.arguments))
            return
        yield from _in_processes(cells, shared, workers)

    def _kept(self, key: str) -> dict[str, Any] | None:
        """A finished cell; one that cannot be read is done again."""
        if self.place is None:
            return None
        try:
            document = json.loads((self.place / f"{key}.json").read_text("utf-8"))
            result = document["result"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return result if isinstance(result, dict) else None

    def _keep(self, key: str, name: str, result: dict[str, Any]) -> None:
        if self.place is not None:
            self.place.mkdir(parents=True, exist_ok=True)
            write_json(self.place / f"{key}.json", {"cell": name, "result": result})


def _in_processes(
    cells: Sequence[Cell], shared: Any, workers: int
) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """Results of cells that run in several processes, as they come."""
    try:
        packed = pickle.dumps(shared)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UsageError(
            "The model or the data cannot be sent to other processes.",
            f"Python says: {error}.",
            "Use one worker (--workers 1), or make the model by a function at the top of a module.",
        ) from error
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=_begin, initargs=(packed,)
    ) as pool:
        waiting: dict[Future[dict[str, Any]], Cell] = {
            pool.submit(_work, cell.work, cell.arguments): cell for cell in cells
        }
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        except BrokenProcessPool as error:
            raise CouldNotMeasure(
                "A process that trained a model was killed.",
                "The system does so when memory runs out.",
                "Run the same command again with fewer --workers; what is finished is kept.",
            ) from error
        finally:
            for future in waiting:
                future.cancel()


_SHARED: Any = None


def _begin(packed: bytes) -> None:
    """Prepare a process."""
    global _SHARED
    torch.set_num_threads(1)
    _SHARED = pickle.loads(packed)  # noqa: S301  (from our own process)


def _work(work: Work, arguments: dict[str, Any]) -> dict[str, Any]:
    return _plain(work(_SHARED, **arguments))


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    """As it will be read back, so that a fresh result equals a kept one."""
    plain: dict[str, Any] = json.loads(json.dumps(found, allow_nan=False))
    return plain


@cache
def _code() -> str:
    """SHA-256 over the source of all that a cell may run."""
    digest = hashlib.sha256()
    package = Path(__file__).parents[1]
    for folder in ("suite", "training", "models", "insertion.py", "exposure"):
        place = package / folder
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(file.relative_to(package).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()


def _key(cell: Cell, identity: str) -> str:
    named = f"{cell.work.__module__}.{cell.work.__qualname__}"
    document = [_code(), torch.__version__, identity, named, cell.name, cell.arguments]
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread while the block runs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
