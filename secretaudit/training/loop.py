"""The training loop: truncated backpropagation through time.

Each step reads one window of S tokens from every lane, starting from the recurrent state that the previous window ended
with; the gradient stops at the window's edge, the state does not. At the start of an epoch the state is zero. The loss
is the mean over the window's tokens in nats; what is reported is bits per token.

An epoch ends with the validation loss and a checkpoint; another checkpoint is written whenever ``checkpoint_seconds``
have passed. Losses are read from the device only when something is shown or written, never at each step.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch.nn import functional

from secretaudit.models.recurrent.network import IGNORED, RecurrentForCausalLM
from secretaudit.progress import Progress
from secretaudit.training.checkpoint import (
    Checkpoint,
    Position,
    diverged,
    is_better,
    save_checkpoint,
)
from secretaudit.training.evaluation import bits_per_token
from secretaudit.training.settings import TrainingSettings
from secretaudit.training.stream import Windows

#: A model that knows nothing costs log2 V bits a token; an epoch that costs so many times more has diverged.
DIVERGED = 3.0
#: Seconds between two reports of progress.
REPORT_SECONDS = 0.25


def make_optimizer(
    settings: TrainingSettings, model: RecurrentForCausalLM
) -> torch.optim.Optimizer:
    """The optimizer that the settings name."""
    parameters = list(model.parameters())
    match settings.optimizer:
        case "adam":
            return torch.optim.Adam(parameters, lr=settings.rate, fused=True)
        case "sgd":
            return torch.optim.SGD(parameters, lr=settings.rate, fused=True)
        case "rmsprop":
            return torch.optim.RMSprop(parameters, lr=settings.rate)
        case other:
            raise ValueError(f"optimizer must be adam, sgd or rmsprop, got {other!r}")


@dataclass(kw_only=True, eq=False)
class Training:
    """A training under way.

    Attributes:
        settings: What was asked.
        asked: The same and more, as compared on resumption.
        model: Trained in place.
        training: Windows to train on.
        validation: Windows to judge by, or ``None``.
        checkpoint: File of the checkpoint.
        checkpoint_seconds: Longest time between two of them.
        progress: Told how far the training is.
    """

    settings: TrainingSettings
    asked: dict[str, Any]
    model: RecurrentForCausalLM
    training: Windows
    validation: Windows | None
    checkpoint: Path
    checkpoint_seconds: float
    progress: Progress
    position: Position = field(default_factory=Position)
    best: dict[str, torch.Tensor] | None = None

    def __post_init__(self) -> None:
        self.optimizer = make_optimizer(self.settings, self.model)
        self.state: tuple[torch.Tensor, ...] | None = None
        self._nats = torch.zeros((), dtype=torch.float64, device=self.model.head.weight.device)
        self._shown = self._saved = self._clock = time.monotonic()
        self._shown_tokens = 0
        self._shown_bits = 0.0

    @property
    def total_steps(self) -> int:
        """Steps after which the training has finished."""
        return self.settings.steps or self.settings.epochs * self.training.count

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from where a checkpoint was written."""
        self.position = checkpoint.position
        if self.position.stopped == "interrupted":
            self.position.stopped = ""
        self.state, self.best = checkpoint.restore(self.model, self.optimizer)
        self._nats.fill_(self.position.epoch_nats)
        self._shown_bits = self._read_bits()
        self._shown_tokens = self.position.tokens

    def run(self) -> None:
        """Train to the end, or until Ctrl-C; ``position.stopped`` says which.

        Raises:
            TrainingError: The training diverged, or a checkpoint could not be written.
        """
        self.model.train()
        self._shown = self._saved = self._clock = time.monotonic()
        with _interruption() as interrupted:
            while not self.position.stopped:
                self._step()
                if self.position.step % self.training.count == 0:
                    self._end_epoch()
                if self.position.step >= self.total_steps:
                    self.position.stopped = "finished"
                elif interrupted.is_set() and not self.position.stopped:
                    self.position.stopped = "interrupted"
                self._report_and_save()

    def _step(self) -> None:
        """One window forwards and backwards."""
        index = self.position.step % self.training.count
        inputs, targets = self.training[index]
        output = self.model(inputs, past_key_values=self.state if index else None)
        loss = functional.cross_entropy(
            output.logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED
        )
        self.optimizer.zero_grad()
        loss.backward()
        if self.settings.gradient_clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.gradient_clip)
        self.optimizer.step()
        self.state = tuple(tensor.detach() for tensor in output.past_key_values)
        self._nats += loss.detach().double() * self.training.predicted[index]
        self.position.tokens += self.training.predicted[index]
        self.position.step += 1

    def _end_epoch(self) -> None:
        """Judge the model, remember it when it is the best, and start the next epoch's losses at zero."""
        bits = self._read_bits() / sum(self.training.predicted)
        if bits > DIVERGED * math.log2(self.model.config.vocab_size):
            raise diverged(self.position.step)
        judged = None if self.validation is None else bits_per_token(self.model, self.validation)
        position = self.position
        if judged is not None:
            if is_better(judged, position.best_bits):
                position.best_bits, position.stale = judged, 0
                if self.settings.keep == "best":
                    self.best = {k: v.detach().clone() for k, v in self.model.named_parameters()}
            else:
                position.stale += 1
        position.history.append({"training": bits, "validation": judged})
        if self.settings.patience is not None and position.stale >= self.settings.patience:
            position.stopped = "early"
        self._nats.zero_()
        self._shown_bits = 0.0

    def _report_and_save(self) -> None:
        """Show progress and write a checkpoint when it is time."""
        now = time.monotonic()
        at_boundary = self.position.step % self.training.count == 0
        stopped = bool(self.position.stopped)
        if stopped or at_boundary or now - self._shown >= REPORT_SECONDS:
            self._report(now)
        if stopped or at_boundary or now - self._saved >= self.checkpoint_seconds:
            self.save()

    def save(self) -> None:
        """Write a checkpoint now.

        Raises:
            TrainingError: The training diverged, or the disk is full.
        """
        self._read_bits()
        self.position.epoch_nats = float(self._nats)
        now = time.monotonic()
        self.position.seconds += now - self._clock
        self._clock = now
        save_checkpoint(
            self.checkpoint,
            asked=self.asked,
            position=self.position,
            model=self.model,
            optimizer=self.optimizer,
            state=self.state,
            best=self.best,
        )
        self._saved = time.monotonic()

    def _report(self, now: float) -> None:
        """Tell the loss since the last report, the speed and the time left."""
        bits = self._read_bits()
        tokens = self.position.tokens - self._shown_tokens
        speed = tokens / max(now - self._shown, 1e-9)
        left = self.total_steps - self.position.step
        per_step = sum(self.training.predicted) / self.training.count
        figures: dict[str, object] = {
            "stage": "training",
            "epoch": len(self.position.history) + (self.position.step % self.training.count > 0),
            "tokens_per_second": speed,
            "seconds_left": left * per_step / max(speed, 1e-9),
        }
        if bits > self._shown_bits and tokens:
            figures["loss_bits"] = (bits - self._shown_bits) / tokens
        elif self.position.history:
            figures["loss_bits"] = self.position.history[-1]["training"]
        if self.position.history:
            figures["validation_bits"] = self.position.history[-1]["validation"]
        self.progress.update(done=self.position.step, total=self.total_steps, **figures)
        self._shown, self._shown_tokens, self._shown_bits = now, self.position.tokens, bits

    def _read_bits(self) -> float:
        """Bits of this epoch's tokens so far; the place where a diverged training is noticed."""
        nats = float(self._nats)
        if not math.isfinite(nats):
            raise diverged(self.position.step)
        return nats / math.log(2.0)


@contextmanager
def _interruption() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets, so that the step under way is finished; the second one interrupts at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.getsignal(signal.SIGINT) or signal.SIG_DFL

    def first(_number: int, _frame: FrameType | None) -> None:
        event.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, first)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
