"""A training stopped between two steps, in one file.

``checkpoint/checkpoint.safetensors`` holds the weights, the optimizer's moments, the carried recurrent state, the state of
torch's random generator, the best weights so far, and (as JSON in the header) the position and the losses. It is written
beside its place, flushed and renamed, so a kill at any moment leaves the previous one or the new one, whole. Reading it
runs no code.

Going on from it gives the same weights, bit for bit, as never having stopped.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from secretaudit.atomic import disk_errors
from secretaudit.errors import CouldNotMeasure, TrainingError, UsageError
from secretaudit.models.recurrent.network import RecurrentForCausalLM

CHECKPOINT = Path("checkpoint") / "checkpoint.safetensors"


@dataclass(kw_only=True)
class Position:
    """Where a training stands; everything in it is plain JSON.

    Attributes:
        step: Steps done.
        epoch_nats: Cost of the tokens predicted so far in this epoch.
        history: One entry per finished epoch: training and validation loss in bits per token.
        best_bits: Lowest validation loss so far, ``None`` before the first.
        stale: Epochs since ``best_bits`` fell.
        tokens: Tokens predicted so far.
        seconds: Time spent training so far, over all resumptions.
        stopped: Why training ended, "" while it has not.
    """

    step: int = 0
    epoch_nats: float = 0.0
    history: list[dict[str, float | None]] = field(default_factory=list)
    best_bits: float | None = None
    stale: int = 0
    tokens: int = 0
    seconds: float = 0.0
    stopped: str = ""


def save_checkpoint(
    path: Path,
    *,
    asked: dict[str, Any],
    position: Position,
    model: RecurrentForCausalLM,
    optimizer: torch.optim.Optimizer,
    state: tuple[torch.Tensor, ...] | None,
    best: dict[str, torch.Tensor] | None,
) -> None:
    """Write everything that going on needs.

    Args:
        path: The file; its directory is made.
        asked: What the training was asked, compared on resumption.
        position: Where it stands.
        model: Its weights.
        optimizer: Its moments.
        state: The recurrent state at the end of the last window.
        best: The best weights so far, when they are kept.

    Raises:
        TrainingError: The weights are not finite, or the disk is full; the previous file is kept.
    """
    weights = {name: tensor.detach() for name, tensor in model.named_parameters()}
    check_finite(weights, position.step)
    tensors = {f"model.{name}": tensor for name, tensor in weights.items()}
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            if value is not None:
                tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value)
    tensors |= {f"state.{i}": tensor for i, tensor in enumerate(state or ())}
    tensors |= {f"best.{name}": tensor for name, tensor in (best or {}).items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if model.head.weight.is_cuda:
        tensors["random.cuda"] = torch.cuda.get_rng_state(model.head.weight.device)
    header = {"asked": json.dumps(asked), "position": json.dumps(asdict(position))}
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    _write_bytes(path, save(contiguous, metadata=header))


def check_finite(weights: dict[str, torch.Tensor], step: int) -> None:
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
        self, model: RecurrentForCausalLM, optimizer: torch.optim.Optimizer
    ) -> tuple[tuple[torch.Tensor, ...] | None, dict[str, torch.Tensor] | None]:
        """Bring model, optimizer and torch's generator back; the recurrent state and the best weights are returned."""
        device = model.head.weight.device
        saved = self.part("model")
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(saved[name])
        values: dict[int, dict[str, torch.Tensor]] = {}
        for key, tensor in self.part("optimizer").items():
            index, name = key.split(".", 1)
            values.setdefault(int(index), {})[name] = tensor
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": values, "param_groups": groups})
        torch.set_rng_state(self.tensors["random.cpu"])
        if "random.cuda" in self.tensors:
            torch.cuda.set_rng_state(self.tensors["random.cuda"], device)
        state = tuple(tensor.to(device) for _, tensor in sorted(self.part("state").items()))
        best = {name: tensor.to(device) for name, tensor in self.part("best").items()}
        return state or None, best or None


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
    names = [name for name in {**before, **asked} if before.get(name) != asked.get(name)]
    if names:
        listed = ", ".join(
            f"{name} was {before.get(name)!r} and is {asked.get(name)!r}"
            if name != "tokens_sha256"
            else "the corpus has changed"
            for name in names
        )
        raise UsageError(
            "The training cannot be resumed with other settings.",
            f"Between then and now: {listed}.",
            "Resume with the same settings and corpus, or start again with --force.",
        )


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
