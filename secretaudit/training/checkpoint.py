"""A training stopped between two steps, in one file.

``checkpoint/checkpoint.safetensors`` holds the weights that are trained, the optimizer's moments, the best weights so far, which records were
read, for each process its torch generator and what its update carries on (recurrent states, the privacy accountant), and, as JSON in the header,
the position and the losses. It is written beside its place, flushed and renamed, so a kill at any moment leaves the previous one or the new one,
whole. Reading it runs no code.

Going on from it gives the same weights, bit for bit, as never having stopped.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from secretaudit.atomic import disk_errors
from secretaudit.errors import CouldNotMeasure, TrainingError, UsageError

CHECKPOINT = Path("checkpoint") / "checkpoint.safetensors"
#: What is compared by its hash, in words.
_HASHES = {
    "tokens_sha256": "the corpus has changed",
    "frozen_sha256": "the base has changed",
}
#: Ways of having stopped from which a resumed training goes on.
PAUSED = ("interrupted", "time")
#: Settings that change no more than the memory used; a training that ran out of it goes on with others.
_MEMORY_ONLY = ("physical_batch_size", "gradient_checkpointing")


@dataclass(kw_only=True)
class Position:
    """Where a training stands; everything in it is plain JSON.

    Attributes:
        step: Steps done.
        nats: Cost of the tokens predicted since the last look at the losses.
        nats_tokens: How many they are.
        history: One entry per look: step, epoch, training and validation loss in bits per token.
        watched: What a watcher saw, in order.
        best_bits: Lowest validation loss so far, ``None`` before the first.
        best_step: Steps done when it was reached.
        stale: Looks since ``best_bits`` fell.
        tokens: Tokens predicted so far.
        seconds: Time spent training so far, over all resumptions.
        watching_seconds: Time spent watching, not counted in ``seconds``.
        stopped: Why training ended, "" while it has not.
    """

    step: int = 0
    nats: float = 0.0
    nats_tokens: int = 0
    history: list[dict[str, float | None]] = field(default_factory=list)
    watched: list[dict[str, Any]] = field(default_factory=list)
    best_bits: float | None = None
    best_step: int | None = None
    stale: int = 0
    tokens: int = 0
    seconds: float = 0.0
    watching_seconds: float = 0.0
    stopped: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class ProcessState:
    """What a checkpoint holds of one process.

    Attributes:
        tensors: On the CPU, by name: "update.…" of its update, "random.…" of torch's generators.
    """

    tensors: dict[str, torch.Tensor]

    @classmethod
    def take(cls, update: Mapping[str, torch.Tensor], device: torch.device) -> ProcessState:
        """The state of this process now."""
        tensors = {f"update.{name}": t.detach().cpu() for name, t in update.items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(device)
        return cls(tensors=tensors)


def save_checkpoint(
    path: Path,
    *,
    asked: dict[str, Any],
    position: Position,
    trained: Mapping[str, torch.Tensor],
    optimizer: torch.optim.Optimizer,
    processes: list[ProcessState],
    read: torch.Tensor,
    best: Mapping[str, torch.Tensor] | None,
) -> None:
    """Write everything that going on needs.

    Args:
        path: The file; its directory is made.
        asked: What the training was asked, compared on resumption.
        position: Where it stands.
        trained: The weights that are trained, by name.
        optimizer: Its moments.
        processes: Of each process, in order of rank.
        read: bool, shape (n,): which records were read.
        best: The best weights so far, when they are kept.

    Raises:
        TrainingError: The disk is full; the previous file is kept.
    """
    tensors = {f"model.{name}": tensor for name, tensor in trained.items()}
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            if value is not None:
                tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value)
    for rank, process in enumerate(processes):
        tensors |= {f"rank{rank}.{name}": tensor for name, tensor in process.tensors.items()}
    tensors |= {f"best.{name}": tensor for name, tensor in (best or {}).items()}
    tensors["read"] = read
    header = {"asked": json.dumps(asked), "position": json.dumps(asdict(position))}
    # a copy of each: a tied weight or a view would share memory, which the format refuses
    whole = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    _write_bytes(path, save(whole, metadata=header))


def check_finite(weights: Mapping[str, torch.Tensor], step: int) -> None:
    """Refuse to keep weights that are NaN or infinite."""
    if not all(bool(torch.isfinite(tensor).all()) for tensor in weights.values()):
        raise diverged(step)


def diverged(step: int) -> TrainingError:
    """The error of a loss or weight that is not finite, or of a loss far above that of knowing nothing."""
    return TrainingError(
        f"The training diverged before step {step + 1}.",
        "The loss or a weight became NaN, infinite, or far larger than that of a model that knows nothing.",
        "Use a smaller learning rate or a smaller gradient clip; the last good checkpoint was kept.",
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """What was read from a file.

    Attributes:
        asked: What the training was asked.
        position: Where it stood.
        tensors: Everything else, by the names that ``save_checkpoint`` gave.
    """

    asked: dict[str, Any]
    position: Position
    tensors: dict[str, torch.Tensor]

    def part(self, name: str) -> dict[str, torch.Tensor]:
        """The tensors under ``name``, by the rest of their names."""
        prefix = f"{name}."
        return {k[len(prefix) :]: v for k, v in self.tensors.items() if k.startswith(prefix)}

    def restore(
        self,
        trained: Mapping[str, torch.Tensor],
        optimizer: torch.optim.Optimizer,
        *,
        rank: int,
        device: torch.device,
    ) -> dict[str, torch.Tensor]:
        """Bring weights, optimizer and torch's generators back; what the update of this process carries on is returned."""
        saved = self.part("model")
        with torch.no_grad():
            for name, parameter in trained.items():
                parameter.copy_(saved[name])
        values: dict[int, dict[str, torch.Tensor]] = {}
        for key, tensor in self.part("optimizer").items():
            index, name = key.split(".", 1)
            values.setdefault(int(index), {})[name] = tensor
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": values, "param_groups": groups})
        random = self.part(f"rank{rank}.random")
        torch.set_rng_state(random["cpu"])
        if "cuda" in random and device.type == "cuda":
            torch.cuda.set_rng_state(random["cuda"], device)
        return self.part(f"rank{rank}.update")


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        UsageError: There is none.
        TrainingError: The file is damaged.
    """
    if not path.is_file():
        raise UsageError(
            f"There is nothing to resume in {path.parent.parent}.",
            "It has no checkpoint.",
            "Start the training without --resume; add --force if the directory is not empty.",
        )
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 # not a dict
        position = Position(**json.loads(header["position"]))
        asked = json.loads(header["asked"])
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"{path} cannot be read.",
            "The file is truncated or was not written by this version.",
            "Start the training again with --force.",
        ) from error
    return Checkpoint(asked=asked, position=position, tensors=tensors)


def check_same(asked: dict[str, Any], before: dict[str, Any]) -> None:
    """Refuse to go on with another training than the one that was started.

    Raises:
        UsageError: Names everything that differs.
    """
    then, now = _flat(before), _flat(asked)
    names = [
        name
        for name in {**then, **now}
        if then.get(name) != now.get(name) and name not in _MEMORY_ONLY
    ]
    dials = [name for name in names if name not in _HASHES]
    if names:
        # Another seed, share or tokenizer gives other tokens and weights of the same files.
        listed = ", ".join(
            _HASHES.get(name, f"{name} was {then.get(name)!r} and is {now.get(name)!r}")
            for name in dials or names
        )
        raise UsageError(
            "The training cannot be resumed with other settings.",
            f"Between then and now: {listed}.",
            "Resume with the same settings and corpus, or start again with --force.",
        )


def _flat(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The same as a file would hold it, settings within settings by the path to them."""
    flat: dict[str, Any] = {}
    for name, value in json.loads(json.dumps(asked)).items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": deeper for inner, deeper in _flat(value).items()}
        else:
            flat[name] = value
    return flat


def is_better(bits: float, best: float | None) -> bool:
    """Whether a validation loss is lower than the best so far."""
    return math.isfinite(bits) and (best is None or bits < best)


def _write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file or leave what was there."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.partial")
    try:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            for left_over in path.parent.glob(f".{path.name}.*.partial"):
                left_over.unlink()
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
    except CouldNotMeasure as error:
        raise TrainingError(error.what, error.why, error.way_out) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
