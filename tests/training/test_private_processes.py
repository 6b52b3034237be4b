"""Private training by two processes gives what one process gives."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import distributed, multiprocessing

from secretaudit.training.processes import Processes
from tests.training import private_subjects as subjects
from tests.training.private_subjects import build, private, records, some, weights

SHARES = [[[0, 1, 2], [3, 4]], [[], [0, 1]], [[], []], [[2, 3], []]]


def train(rank: int, folder: str) -> None:
    """One of two processes: four steps, some of which give it no record."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    model = build("gpt2, tied")
    update = private(model, noise=1.0, processes=Processes(rank=rank, count=2))
    for shares in SHARES:
        update.step([some(records(), shares[rank])] if shares[rank] else [])
    torch.save(weights(model), f"{folder}/weights{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_equal_one(tmp_path: Path) -> None:
    """Sums are added before the noise, and the noise, which all draw alike, enters once; both end with the same weights."""
    multiprocessing.spawn(train, (str(tmp_path),), nprocs=2)
    model = build("gpt2, tied")
    update = private(model, noise=1.0)
    for shares in SHARES:
        rows = shares[0] + shares[1]
        update.step([some(records(), rows)] if rows else [])
    one, two = (torch.load(tmp_path / f"weights{rank}.pt") for rank in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    started = weights(build("gpt2, tied"))
    both, alone = (
        {name: w[name] - started[name] for name in started} for w in (one, weights(model))
    )
    assert subjects.relative_difference(both, alone) < 1e-4
