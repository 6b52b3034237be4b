"""The processes that train together, one per device, as ``torchrun`` starts them.

Every process holds all weights and reads its own rows of each step. Gradients are summed once a step over all processes, in one flat
tensor; since each loss is divided by the tokens of *all* rows, the sum is the gradient that a single process would have had.
A process alone is the ordinary case and does nothing here.

An error in one process must end all of them, and be told once. Where all are at the same place (``together``), they tell each other; anywhere else the
others notice that it has gone, since they wait for its numbers in vain.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed, nn

from secretaudit.errors import EndedElsewhere, SecretauditError, TrainingError


@dataclass(frozen=True, kw_only=True)
class Processes:
    """A group of processes.

    Attributes:
        rank: Which one this is, from 0.
        count: How many there are.
        local_rank: Which one this is on its machine.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    def sum(self, value: float) -> float:
        """The sum of a number over all processes."""
        if self.count == 1:
            return value
        tensor = torch.tensor([value], dtype=torch.float64)
        distributed.all_reduce(tensor)
        return float(tensor)

    def add_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace each gradient by its sum over all processes; a process without rows counts as zero."""
        if self.count == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        for gradient, piece in zip(
            gradients, flat.split([g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(piece.view_as(gradient))

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, in order of rank, in every process."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        distributed.all_gather_object(values, value)
        return values

    def any(self, value: bool) -> bool:
        """Whether it is true in any process."""
        return self.sum(float(value)) > 0

    @contextmanager
    def together(self) -> Iterator[None]:
        """A piece of work that all processes do, or none: they wait for each other at its end; inside, none waits for another.

        Raises:
            EndedElsewhere: It failed in another process; of several, the one with the lowest rank tells its error.
        """
        if self.count == 1:
            yield
            return
        failed: Exception | None = None
        try:
            yield
        except Exception as error:  # noqa: BLE001 # told by one process below
            failed = error
        codes = self.gather(None if failed is None else _exit_code(failed))
        failures = {rank: code for rank, code in enumerate(codes) if code is not None}
        if failures:
            told_by = min(failures)
            raise (
                EndedElsewhere(failures[told_by])
                if failed is None or told_by != self.rank
                else failed
            )


@contextmanager
def joined_processes() -> Iterator[Processes]:
    """The group that ``torchrun`` started, or a process alone."""
    if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Processes()
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend)
    try:
        with _lost_peers():
            yield Processes(
                rank=distributed.get_rank(),
                count=distributed.get_world_size(),
                local_rank=int(os.environ.get("LOCAL_RANK", "0")),
            )
    finally:
        distributed.destroy_process_group()


@contextmanager
def _lost_peers() -> Iterator[None]:
    """Turn what torch says when another process has gone into an error that says so."""
    try:
        yield
    except RuntimeError as error:  # gloo has no class of its own
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error):
            raise
        raise TrainingError(
            "Another process of this training has ended.",
            "It had an error of its own or was killed, and none goes on without the others.",
            "See what it said; then run the same command with --resume.",
        ) from error


def _exit_code(error: Exception) -> int:
    return error.exit_code if isinstance(error, SecretauditError) else TrainingError.exit_code
