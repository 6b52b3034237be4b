"""The training loop, the same for every family of models.

    for each step:  set the learning rate → read the step's batches → update the weights → look at what is due → checkpoint

A step's batches and its learning rate are functions of its number, so that where a training stands is a number and a few tensors. What is due:
the validation loss (each epoch, or every n steps), whatever a watcher wants to see, progress, and a checkpoint (at each look at the
validation loss, and whenever ``checkpoint_seconds`` have passed). Losses are nats inside and bits per token outside; they are read from the device
only when something is shown or written, never at each step.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from secretaudit.progress import Progress
from secretaudit.training.checkpoint import (
    PAUSED,
    Checkpoint,
    Position,
    ProcessState,
    check_finite,
    diverged,
    is_better,
    save_checkpoint,
)
from secretaudit.training.evaluation import bits_per_token
from secretaudit.training.interruption import interruption
from secretaudit.training.layout import Laid
from secretaudit.training.memory import memory_errors
from secretaudit.training.processes import Processes
from secretaudit.training.schedule import learning_rate
from secretaudit.training.settings import TrainingSettings
from secretaudit.training.subject import Subject
from secretaudit.training.update import Forward, Update
from secretaudit.training.watching import Moment, Watcher

#: A model that knows nothing costs log2 V bits a token; an epoch that costs so many times more has diverged.
DIVERGED = 3.0
#: Seconds between two reports of progress.
REPORT_SECONDS = 0.25


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What changes no number: how often to save, and how long to train at most.

    Attributes:
        checkpoint_seconds: Longest time between two checkpoints.
        max_seconds: Longest time that this run may train; ``None``: as long as it takes.
    """

    checkpoint_seconds: float = 60.0
    max_seconds: float | None = None


@dataclass(kw_only=True, eq=False)
class Training:
    """A training under way.

    Attributes:
        settings: What was asked, with the layout filled in.
        asked: The same and more, as compared on resumption.
        subject: Trained in place.
        forward: Reads its model.
        update: Changes its weights.
        laid: The corpus in its layout.
        processes: Who trains.
        checkpoint: File of the checkpoint.
        pace: How often to save, and how long to train.
        progress: Told how far the training is.
        watcher: Looks at the model while it trains, or ``None``.
        read: bool, shape (n,): which training records were read.
    """

    settings: TrainingSettings
    asked: dict[str, Any]
    subject: Subject
    forward: Forward
    update: Update
    laid: Laid
    processes: Processes
    checkpoint: Path
    pace: Pace
    progress: Progress
    watcher: Watcher | None
    read: NDArray[np.bool_]
    position: Position = field(default_factory=Position)
    best: dict[str, torch.Tensor] | None = None

    def __post_init__(self) -> None:
        self.device = next(iter(self.subject.trained.values())).device
        self._nats = torch.zeros((), dtype=torch.float64, device=self.device)
        self._saved = self._clock = self._started = time.monotonic()
        self._display = _Display(self.progress, self._clock)
        self._figures: dict[str, object] = {}

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass."""
        return self.laid.training.steps_per_epoch

    @property
    def total_steps(self) -> int:
        """Steps after which the training has finished."""
        return self.settings.steps or self.settings.epochs * self.steps_per_epoch

    @property
    def epoch(self) -> float:
        """Passes done."""
        return self.position.step / self.steps_per_epoch

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from where a checkpoint was written."""
        self.position = checkpoint.position
        if self.position.stopped in PAUSED:
            self.position.stopped = ""
        carried = checkpoint.restore(
            self.subject.trained,
            self.update.optimizer,
            rank=self.processes.rank,
            device=self.device,
        )
        self.update.restore(carried)
        best = checkpoint.part("best")
        self.best = {name: tensor.to(self.device) for name, tensor in best.items()} or None
        self.read[:] = checkpoint.tensors["read"].numpy()
        self._nats.fill_(self.position.nats if self.processes.leads else 0.0)

    def run(self) -> None:
        """Train to the end, or until Ctrl-C or the time is over; ``position.stopped`` says which.

        Raises:
            TrainingError: The training diverged, memory ran out, or a checkpoint could not be written.
        """
        self.subject.model.train()
        self._saved = self._clock = self._started = time.monotonic()
        self._display.start(self.position, self._clock)
        with interruption() as interrupted, memory_errors(self.position):
            while not self.position.stopped:
                self._step()
                at_look = self._is_due()
                if at_look:
                    self._look_at_losses()
                if self.position.step >= self.total_steps and not self.position.stopped:
                    self.position.stopped = "finished"
                self._watch()
                self._check_time(interrupted.is_set())
                self._report_and_save(at_look)

    def _step(self) -> None:
        """One update."""
        settings, position = self.settings, self.position
        rate = learning_rate(
            position.step,
            base=settings.rate,
            schedule=settings.schedule,
            warmup=settings.warmup_steps,
            total=self.total_steps,
        )
        for group in self.update.optimizer.param_groups:
            group["lr"] = rate
        batches = self.laid.training[position.step]
        self._nats += self.update.step(batches)
        tokens = int(self.processes.sum(sum(batch.tokens for batch in batches)))
        position.tokens += tokens
        position.nats_tokens += tokens
        self.read[self.laid.training.records(position.step)] = True
        position.step += 1

    def _is_due(self) -> bool:
        """Whether the losses are to be looked at after this step."""
        every = self.settings.validate_every or self.steps_per_epoch
        return self.position.step % every == 0 or self.position.step == self.total_steps

    def _look_at_losses(self) -> None:
        """Judge the model, remember it when it is the best, and start the losses at zero."""
        position = self.position
        self._gather_nats()
        bits = position.nats / math.log(2.0) / max(position.nats_tokens, 1)
        with self.processes.together():
            if bits > DIVERGED * math.log2(self.subject.model.config.vocab_size):
                raise diverged(position.step)
        judged = None
        if self.laid.validation is not None:
            judged = bits_per_token(self.forward, self.laid.validation, self.processes)
            self._judge(judged)
        position.history.append(
            {"step": position.step, "epoch": self.epoch, "training": bits, "validation": judged}
        )
        self._nats.zero_()
        position.nats, position.nats_tokens = 0.0, 0

    def _judge(self, bits: float) -> None:
        """Keep the best weights, and stop when they are too long ago."""
        position, patience = self.position, self.settings.patience
        if is_better(bits, position.best_bits):
            position.best_bits, position.best_step, position.stale = bits, position.step, 0
            if self.settings.keep == "best":
                self.best = {k: v.detach().clone() for k, v in self.subject.trained.items()}
        else:
            position.stale += 1
        if patience is not None and position.stale >= patience:
            position.stopped = "early"

    def _watch(self) -> None:
        """Let the watcher look when it wants to; the leading process does so for all."""
        if self.watcher is None:
            return
        moment = self._moment()
        if not self.processes.any(self.processes.leads and self.watcher.wants(moment)):
            return
        began, stop = time.monotonic(), ""
        self.position.seconds += began - self._clock
        with self.processes.together():
            if self.processes.leads:
                stop = self._look(self.watcher, moment)
        stop = self.processes.gather(stop)[0]
        self._clock = time.monotonic()
        self.position.watching_seconds += self._clock - began
        if stop and self.position.stopped in ("", "finished"):
            self.position.stopped = stop

    def _look(self, watcher: Watcher, moment: Moment) -> str:
        """One look, which leaves model and generators as they were."""
        model = self.subject.model
        devices = [self.device] if self.device.type == "cuda" else []
        model.eval()
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            sight = watcher.look(moment)
        model.train()
        self.position.watched.append({"step": moment.step, "epoch": moment.epoch, **sight.entry})
        self._figures = sight.figures
        return sight.stop

    def _moment(self) -> Moment:
        seconds = self.position.seconds + time.monotonic() - self._clock
        return Moment(
            step=self.position.step,
            epoch=self.epoch,
            ends_epoch=self.position.step % self.steps_per_epoch == 0,
            ends_training=bool(self.position.stopped),
            training_seconds=seconds,
            watching_seconds=self.position.watching_seconds,
        )

    def _check_time(self, interrupted: bool) -> None:
        """Stop when asked to, or when this run has trained long enough."""
        most = self.pace.max_seconds
        over = most is not None and time.monotonic() - self._started >= most
        if self.processes.any(interrupted or over) and not self.position.stopped:
            self.position.stopped = "interrupted" if self.processes.any(interrupted) else "time"

    def _report_and_save(self, at_look: bool) -> None:
        """Show progress and write a checkpoint when it is time."""
        now = time.monotonic()
        must = at_look or bool(self.position.stopped)
        due = now - self._saved >= self.pace.checkpoint_seconds
        if self.processes.leads and (must or now - self._display.shown >= REPORT_SECONDS):
            nats = float(self._nats)
            due = due or not math.isfinite(nats)  # the checkpoint is refused, in all processes
            self._display.show(
                self.position,
                nats * self.processes.count,  # the others' are about as many
                self.total_steps,
                self.laid.training,
                self._figures,
            )
        if must or self.processes.any(due):
            self.save()

    def save(self) -> None:
        """Write a checkpoint now.

        Raises:
            TrainingError: The training diverged, or the disk is full.
        """
        self._gather_nats()
        now = time.monotonic()
        self.position.seconds += now - self._clock
        self._clock = now
        states = self.processes.gather(ProcessState.take(self.update.state(), self.device))
        with self.processes.together():
            check_finite(self.subject.trained, self.position.step)
            if self.processes.leads:
                save_checkpoint(
                    self.checkpoint,
                    asked=self.asked,
                    position=self.position,
                    trained=self.subject.trained,
                    optimizer=self.update.optimizer,
                    processes=states,
                    read=torch.from_numpy(self.read),
                    best=self.best,
                )
        self._saved = time.monotonic()

    def _gather_nats(self) -> None:
        """Bring the nats of all processes into the position, and keep them with the leading one."""
        self.position.nats = self.processes.sum(float(self._nats))
        with self.processes.together():
            if not math.isfinite(self.position.nats):
                raise diverged(self.position.step)
        self._nats.fill_(self.position.nats if self.processes.leads else 0.0)


class _Display:
    """Loss, speed and time left, as they are told to the progress."""

    def __init__(self, progress: Progress, now: float) -> None:
        self._progress = progress
        self.shown = now
        self._tokens = 0
        self._nats = 0.0

    def start(self, position: Position, now: float) -> None:
        """Training goes on from here."""
        self.shown, self._tokens, self._nats = now, position.tokens, position.nats

    def show(
        self, position: Position, nats: float, total: int, batches: Any, figures: dict[str, object]
    ) -> None:
        """Tell where the training stands; ``nats`` are those since the last look at the losses."""
        now = time.monotonic()
        tokens = position.tokens - self._tokens
        speed = tokens / max(now - self.shown, 1e-9)
        per_step = batches.tokens_per_epoch / batches.steps_per_epoch
        told: dict[str, object] = {
            "stage": "training",
            "epoch": math.ceil(position.step / batches.steps_per_epoch),
            "tokens_per_second": speed,
            "seconds_left": (total - position.step) * per_step / max(speed, 1e-9),
        }
        if nats > self._nats and tokens:
            told["loss_bits"] = (nats - self._nats) / math.log(2.0) / tokens
        elif position.history:
            told["loss_bits"] = position.history[-1]["training"]
        if position.history:
            told["validation_bits"] = position.history[-1]["validation"]
        self._progress.update(done=position.step, total=total, **told, **figures)
        self.shown, self._tokens, self._nats = now, position.tokens, nats
