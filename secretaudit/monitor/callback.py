"""Exposure in a training that is somebody else's: a callback of the ``Trainer`` of transformers.

The callback asks an ``ExposureMonitor`` after every step and epoch and gives it the model in evaluation mode (``trained_module``); the training
goes on bit for bit as without it. What is seen goes three ways: every entry into a record of kind "monitoring", written with each checkpoint
of the Trainer and at the end; the largest exposure, and the mean of the controls, into the Trainer's log, and from there, when the callback is
``attach``-ed, to everything that ``report_to`` names; and, with ``stop_over``, the end of the training into ``control``.

A text is framed as ``secretaudit.expose`` frames it for the same tokenizer, so the last entry says what ``expose`` would say of the model that is
saved. Where the texts of the training end with an end-of-text token, say so with ``ModelOptions(close="on")``.

With several processes the first one looks, and tells the others when to stop.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import distributed, nn
from transformers import (
    PreTrainedTokenizerFast,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from secretaudit.canary.ledger import Ledger
from secretaudit.errors import UsageError
from secretaudit.models.language_model import LanguageModel
from secretaudit.models.model_options import ModelOptions
from secretaudit.monitor.exposure_monitor import DRAWS, SHARE, ExposureMonitor
from secretaudit.monitor.trained_module import Texts, measurable
from secretaudit.records import Record, check_record_place, environment
from secretaudit.training.watching import Moment, Sight

if TYPE_CHECKING:
    from transformers import Trainer

RECORD_NAME = "monitoring.json"


class ExposureCallback(TrainerCallback):
    """Measures the exposure of a ledger's canaries while a ``Trainer`` trains any causal language model.

    Args:
        ledger: The canaries, or the ``ledger.json`` that ``insert`` wrote beside the corpus.
        every: Steps between looks; ``None``: the end of every epoch.
        draws: Secrets drawn per format and look.
        share: Most of the training time that looks may take; ``None``: any.
        formats: Names of the formats to watch; ``None``: all of the ledger.
        stop_over: Bits of exposure over which the training stops; ``None`` never stops.
        seed: Of the draws, with the step.
        record: Where the record goes; ``None``: ``monitoring.json`` in the Trainer's ``output_dir``.
        tokenizer: ``None`` takes the Trainer's ``processing_class``.
        options: How texts are framed: ``bos``, ``close`` and ``chat`` are read.

    Attributes:
        entries: What was seen so far, as ``found["watched"]`` of the record.

    Raises:
        LedgerError: The ledger is missing or damaged.
        UsageError: A setting out of its range.
    """

    def __init__(
        self,
        ledger: str | Path | Ledger,
        *,
        every: int | None = None,
        draws: int = DRAWS,
        share: float | None = SHARE,
        formats: Sequence[str] | None = None,
        stop_over: float | None = None,
        seed: int = 0,
        record: str | Path | None = None,
        tokenizer: PreTrainedTokenizerFast | None = None,
        options: ModelOptions | None = None,
    ) -> None:
        self.entries: list[dict[str, Any]] = []
        self._monitor = ExposureMonitor(
            every=every, draws=draws, share=share, formats=formats, stop_over=stop_over, seed=seed
        )
        self._ledger_path = None if isinstance(ledger, Ledger) else str(ledger)
        self._ledger = ledger if isinstance(ledger, Ledger) else Ledger.read(ledger)
        self._record = record
        self._tokenizer = tokenizer
        self._options = options or ModelOptions()
        self._trainer: Trainer | None = None
        self._texts: Texts | None = None
        self._module: nn.Module | None = None
        self._stopped = ""
        self._clock = _Clock()

    def attach(self, trainer: Trainer) -> ExposureCallback:
        """Let the numbers go through the Trainer's own log, and so to all that ``report_to`` names.

        Args:
            trainer: The callback is added to it unless it has it already.

        Returns:
            This callback.
        """
        if not any(callback is self for callback in trainer.callback_handler.callbacks):
            trainer.add_callback(self)
        self._trainer = trainer
        return self

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **given: Any,
    ) -> None:
        """Get ready, or refuse before the first step.

        Raises:
            ModelError: The model cannot be measured, or there is no fast tokenizer.
            UsageError: Nothing to watch, no place for the record, or weights that are spread over devices.
        """
        _check_whole(args)
        if not state.is_world_process_zero:
            return
        place = self._place(args)
        place.parent.mkdir(parents=True, exist_ok=True)
        check_record_place(place, "monitoring")
        if self._trainer is None and args.report_to:
            warnings.warn(
                "ExposureCallback is not attached, so exposures do not reach report_to; after making the Trainer, call "
                "callback.attach(trainer).",
                stacklevel=2,
            )
        self._texts = Texts(self._tokenizer or given.get("processing_class"), self._options)
        self._stopped, self._clock, self.entries = "", _Clock(), []
        if state.global_step > 0:
            self._take_up(place, state.global_step)
        with measurable(given["model"]) as self._module:
            self._monitor.begin(self._ledger, self._language_model, self.entries)
        self._clock.start()

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **given: Any,
    ) -> None:
        """Look, when a look is due at this step."""
        self._ask(state, control, given["model"], ends_epoch=False)

    def on_epoch_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **given: Any,
    ) -> None:
        """Look, when one is due at the end of an epoch, or when the training ends here."""
        self._ask(state, control, given["model"], ends_epoch=True)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Write the record as far as it is, so that a resumption finds it."""
        self._write(args, state, given["model"], "unfinished")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Write the record."""
        self._write(args, state, given["model"], self._stopped or "finished")

    def _ask(
        self, state: TrainerState, control: TrainerControl, model: nn.Module, *, ends_epoch: bool
    ) -> None:
        """Look if it is time, and stop the training in all processes if it is to stop."""
        ends = bool(control.should_training_stop) or state.global_step >= state.max_steps
        looked = bool(self.entries) and self.entries[-1]["step"] == state.global_step
        if state.is_world_process_zero and not looked:
            moment = self._clock.moment(state, ends_epoch=ends_epoch, ends_training=ends)
            if self._monitor.wants(moment):
                self._stopped = self._look(moment, state, control, model).stop
        if self._monitor.settings.stop_over is not None and _in_any_process(bool(self._stopped)):
            control.should_training_stop = True

    def _look(
        self, moment: Moment, state: TrainerState, control: TrainerControl, model: nn.Module
    ) -> Sight:
        with self._clock.watching(), measurable(model) as self._module:
            sight = self._monitor.look(moment)
        self.entries.append({"step": moment.step, "epoch": moment.epoch, **sight.entry})
        figures = {
            "exposure_bits": sight.entry["largest_bits"],
            "exposure_controls_bits": sight.entry["control_mean_bits"],
        }
        self._log({k: v for k, v in figures.items() if v is not None}, state, control)
        return sight

    def _log(self, figures: dict[str, float], state: TrainerState, control: TrainerControl) -> None:
        """Into the Trainer's log; a log of its own that is due at this step stays due."""
        if self._trainer is None:
            state.log_history.append({**figures, "epoch": state.epoch, "step": state.global_step})
            return
        due = control.should_log
        self._trainer.log(figures)
        control.should_log = due

    def _language_model(self) -> LanguageModel:
        """The weights of the moment, as an audit sees them."""
        if self._module is None or self._texts is None:
            raise ValueError("the training has not begun")
        return self._texts.model(self._module)

    def _place(self, args: TrainingArguments) -> Path:
        return Path(self._record or Path(str(args.output_dir)) / RECORD_NAME)

    def _take_up(self, place: Path, step: int) -> None:
        """What was seen before a resumption from a checkpoint of the Trainer at this step.

        Raises:
            UsageError: The record that is there is of other canaries.
        """
        if not place.is_file():
            warnings.warn(
                f"There is no {place}, so what was seen before step {step} is not known.",
                stacklevel=3,
            )
            return
        found = Record.read(place, "monitoring").found
        if found["ledger_identity"] != self._ledger.identity:
            raise UsageError(
                f"{place} is the record of another ledger.",
                "The training that goes on here was watched for other canaries.",
                "Give the callback the ledger of that training, or another place for its record.",
            )
        self.entries = [entry for entry in found["watched"] if entry["step"] <= step]
        self._clock = _Clock(found["training_seconds"], found["watching_seconds"])

    def _write(
        self, args: TrainingArguments, state: TrainerState, model: nn.Module, stopped: str
    ) -> None:
        if not state.is_world_process_zero or self._texts is None:
            return
        settings, framing = self._monitor.settings, self._texts.framing
        device = next(model.parameters()).device
        Record(
            kind="monitoring",
            asked={
                "ledger": self._ledger_path,
                **self._monitor.asked(),
                "options": asdict(self._options),
                "attached": self._trainer is not None,
            },
            found={
                "model": type(model).__name__,
                "ledger_identity": self._ledger.identity,
                "tokens_before": list(framing.before),
                "tokens_after": list(framing.after),
                "stopped": stopped,
                "watched": self.entries,
                "training_seconds": self._clock.training_seconds,
                "watching_seconds": self._clock.watching_seconds,
            },
            environment=environment(
                seed=settings.seed, started=self._clock.began, device=str(device)
            ),
        ).write(self._place(args))


class _Clock:
    """Seconds spent training and seconds spent watching, over all resumptions."""

    def __init__(self, training_seconds: float = 0.0, watching_seconds: float = 0.0) -> None:
        self.began = time.time()
        self.watching_seconds = watching_seconds
        self._before = training_seconds + watching_seconds
        self._started = time.monotonic()

    def start(self) -> None:
        """The training starts now."""
        self._started = time.monotonic()

    @property
    def training_seconds(self) -> float:
        """All but the watching."""
        return self._before + time.monotonic() - self._started - self.watching_seconds

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count the block as watching."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.watching_seconds += time.monotonic() - started

    def moment(self, state: TrainerState, *, ends_epoch: bool, ends_training: bool) -> Moment:
        """Where the training stands."""
        return Moment(
            step=state.global_step,
            epoch=float(state.epoch or 0.0),
            ends_epoch=ends_epoch,
            ends_training=ends_training,
            training_seconds=self.training_seconds,
            watching_seconds=self.watching_seconds,
        )


def _check_whole(args: TrainingArguments) -> None:
    """Refuse weights of which each process holds only a part."""
    if args.fsdp or args.deepspeed:
        raise UsageError(
            "Exposure cannot be measured while the weights are spread over processes.",
            "With FSDP or DeepSpeed no process can run the model alone.",
            "Leave the callback out, and measure the checkpoints with secretaudit expose.",
        )


def _in_any_process(is_true: bool) -> bool:
    """Whether it is true in the process that looks; all processes of the training must ask."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return is_true
    values = [is_true]
    distributed.broadcast_object_list(values, src=0)
    return values[0]
