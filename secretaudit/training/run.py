"""From a corpus to a model directory: ``train``.

The directory holds, when training has ended, the model (``config.json``, ``model.safetensors``; an adapter: ``adapter_model.safetensors``), its
tokenizer, the record ``training.json``, and ``checkpoint/``. From the first step on there is a checkpoint, so a training that was killed
at any moment goes on with ``resume``. The model's files are written beside their places and renamed, the weights after
everything they need and the record last.

Started by ``torchrun``, several processes train one model; the first of them watches, reports and writes.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from secretaudit._checks import positive
from secretaudit.corpus.canaried import open_canaried
from secretaudit.errors import ModelError
from secretaudit.progress import Progress, SilentProgress
from secretaudit.records import Record, directory_lock, environment
from secretaudit.training.base import check_apart
from secretaudit.training.checkpoint import CHECKPOINT, check_same, load_checkpoint
from secretaudit.training.data import TrainingData, encode_corpus, make_tokenizer, open_corpus
from secretaudit.training.families import make_subject
from secretaudit.training.layout import lay_out, resolve_layout
from secretaudit.training.loop import Pace, Training
from secretaudit.training.memory import memory_errors
from secretaudit.training.output import RECORD_NAME, check_place, clear_directory, write_model
from secretaudit.training.processes import Processes, joined_processes
from secretaudit.training.settings import TrainingSettings
from secretaudit.training.survival import count_copies
from secretaudit.training.update import Forward
from secretaudit.training.updates import make_update
from secretaudit.training.watching import Watcher


def train(
    corpus: str | Path,
    output: str | Path,
    *,
    settings: TrainingSettings | None = None,
    text_column: str = "text",
    source_column: str | None = None,
    device: str = "cpu",
    checkpoint_seconds: float = 60.0,
    max_seconds: float | None = None,
    watcher: Watcher | None = None,
    progress: Progress | None = None,
    resume: bool = False,
    force: bool = False,
) -> Record:
    """Train or fine-tune a language model on a corpus, with or without canaries.

    Ctrl-C finishes the step under way and writes a usable model; the record then says "interrupted", and ``resume``
    goes on from there.

    Args:
        corpus: A directory made by ``insert``, or a plain corpus.
        output: Directory of the model.
        settings: The dials; ``None`` takes every default.
        text_column: For a plain corpus; a canaried one remembers its own.
        source_column: The same for the sources of parallel text, which an encoder–decoder model reads.
        device: Where to train, in torch's words.
        checkpoint_seconds: Longest time between two checkpoints.
        max_seconds: Longest time that this run may train; the model is then written as it is, and ``resume`` goes on.
        watcher: Looks at the model while it trains, such as an ``ExposureMonitor``.
        progress: Told the loss, the speed and the time left.
        resume: Go on with a training that was stopped or killed; the result is the same as if it had not been.
        force: Replace an output directory that secretaudit wrote.

    Returns:
        The record that is also written to ``training.json``.

    Raises:
        UsageError: The output exists, is being written, or was trained with other settings (``resume``); settings that contradict each other.
        CorpusError: The corpus is missing, empty or damaged.
        LedgerError: The ledger is damaged or not the one of this corpus.
        ModelError: A canary has a word that the tokenizer lacks, a base cannot be used, or there is no such device.
        TrainingError: The training diverged, memory ran out, or the disk is full.
    """
    started = time.time()
    settings = settings or TrainingSettings()
    positive("checkpoint_seconds", checkpoint_seconds)
    if max_seconds is not None:
        positive("max_seconds", max_seconds)
    directory = Path(output)
    paths = {"corpus": str(Path(corpus).resolve()), "output": str(directory.resolve())}
    with joined_processes() as processes, ExitStack() as held:
        with processes.together():
            if processes.leads:
                held.enter_context(directory_lock(directory))
                check_apart(directory, settings)
                check_place(directory, Path(corpus), resume=resume, force=force)
            place = usable_device(device, processes)
        held.enter_context(torch.random.fork_rng(devices=_cuda_devices(place)))
        with processes.together(), memory_errors():
            training, data = _prepare(
                Path(corpus),
                directory,
                settings,
                text_column=text_column,
                source_column=source_column,
                place=place,
                processes=processes,
                pace=Pace(checkpoint_seconds=checkpoint_seconds, max_seconds=max_seconds),
                watcher=watcher,
                progress=progress if progress and processes.leads else SilentProgress(),
            )
            _begin(training, data, paths, resume=resume, started=started)
        if not resume:
            with memory_errors():
                training.save()
        training.run()
        record = _record(data, training, paths, started)
        with processes.together():
            if processes.leads:
                quantize = training.settings.quantize is not None
                write_model(directory, training.subject, training.best, record, quantize=quantize)
    return record


def _prepare(
    corpus: Path,
    directory: Path,
    settings: TrainingSettings,
    *,
    text_column: str,
    source_column: str | None,
    place: torch.device,
    processes: Processes,
    pace: Pace,
    watcher: Watcher | None,
    progress: Progress,
) -> tuple[Training, TrainingData]:
    """Read the corpus, make the model, and put both together."""
    progress.update(done=0, total=None, stage="reading the corpus")
    opened = open_corpus(
        open_canaried(corpus, text_column=text_column, source_column=source_column)
    )
    # inside fork_rng: first for weights that transformers draws, then for each process' dropout
    torch.manual_seed(settings.seed)
    subject = make_subject(settings, make_tokenizer(opened, settings))
    torch.manual_seed(settings.seed + 1_000_003 * processes.rank)
    data = encode_corpus(opened, subject.view, settings, subject.encode_source)
    settings = resolve_layout(settings, subject)
    subject.model.to(place)
    laid = lay_out(data.split.training, data.split.validation, subject, settings, place, processes)
    forward = Forward(subject.model, settings.precision)
    if laid.rows < settings.batch_size:
        progress.announce(
            f"The corpus fills {laid.rows} {'lanes' if settings.layout == 'lanes' else 'rows'}, "
            f"fewer than the batch size {settings.batch_size}: every step reads all of them."
        )
    dials = {**asdict(settings), "learning_rate": settings.rate, "processes": processes.count}
    dials["device"] = str(place) if processes.count == 1 else place.type
    training = Training(
        settings=settings,
        asked={
            **dials,
            "tokens_sha256": data.split.fingerprint(),
            "frozen_sha256": subject.frozen_sha256(),
        },
        subject=subject,
        forward=forward,
        update=make_update(
            forward,
            subject,
            settings,
            laid,
            processes,
            records=len(data.split.training),
            progress=progress,
        ),
        laid=laid,
        processes=processes,
        checkpoint=directory / CHECKPOINT,
        pace=pace,
        progress=progress,
        watcher=watcher,
        read=np.zeros(len(data.split.training), np.bool_),
    )
    return training, data


def _begin(
    training: Training, data: TrainingData, paths: dict[str, Any], *, resume: bool, started: float
) -> None:
    """Take up the checkpoint, or clear the directory; only when nothing more can be refused."""
    directory = training.checkpoint.parent.parent
    if resume:
        checkpoint = load_checkpoint(training.checkpoint)
        check_same(training.asked, checkpoint.asked)
        training.resume(checkpoint)
    if not training.processes.leads:
        return
    if training.watcher is not None:
        training.watcher.begin(
            data.corpus.ledger,
            training.subject.language_models(data.corpus.ledger),
            training.position.watched,
        )
    if not resume:
        clear_directory(directory)
        _record(data, training, paths, started).write(directory / RECORD_NAME)


def usable_device(name: str, processes: Processes | None = None) -> torch.device:
    """The device of that name, tried out; "cuda" is a device of its own for each process of a machine.

    Raises:
        ModelError: This torch or this machine has no such device.
    """
    try:
        device = torch.device(name)
        if device.type == "cuda" and device.index is None and processes and processes.count > 1:
            device = torch.device("cuda", processes.local_rank)
            torch.cuda.set_device(device)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts when built without CUDA
        raise ModelError(
            f"The device {name!r} cannot be used.",
            f"{str(error).splitlines()[0].strip().rstrip('.')}.",
            "Use cpu, or a device that torch finds on this machine.",
        ) from error
    return device


def _cuda_devices(device: torch.device) -> list[torch.device]:
    """The GPUs whose random state must be put back after training."""
    return [device] if device.type == "cuda" else []


def _record(
    data: TrainingData, training: Training, paths: dict[str, Any], started: float
) -> Record:
    """What a training has found so far."""
    position, history = training.position, training.position.history
    last = history[-1] if history else {"training": None, "validation": None}
    subject, settings = training.subject, training.settings
    asked = {**paths, **training.asked}
    for name in ("tokens_sha256", "frozen_sha256"):
        asked.pop(name)
    if training.watcher is not None:
        asked["watcher"] = training.watcher.asked()
    found = {
        "stopped": position.stopped or "unfinished",
        "family": subject.family,
        "ledger": data.corpus.ledger_entry,
        "corpus": data.corpus.corpus_entry,
        **_copies(data, training),
        "separator": subject.framing.after[-1] if subject.framing.after else None,
        "train_loss_bits_per_token": last["training"],
        "validation_loss_bits_per_token": last["validation"],
        "best_validation_loss_bits_per_token": position.best_bits,
        "best_step": position.best_step,
        "kept": "best" if training.best is not None else "last",
        "losses": history,
        "watched": position.watched,
        "records": len(data.split.training),
        "validation_records": len(data.split.validation or ()),
        "duplicates_left_out": data.split.duplicates,
        "records_cut": training.laid.cut,
        "tokens": training.laid.training.tokens_per_epoch,
        "tokens_seen": position.tokens,
        "tokens_per_second": position.tokens / position.seconds if position.seconds else None,
        "training_seconds": position.seconds,
        "watching_seconds": position.watching_seconds,
        "steps": position.step,
        "epochs": training.epoch,
        "parameters": sum(p.numel() for p in subject.model.parameters()),
        "trained_parameters": sum(p.numel() for p in subject.trained.values()),
        "vocabulary_size": len(subject.tokenizer),
        "privacy": training.update.found() or None,
    }
    where = environment(seed=settings.seed, started=started, device=str(asked["device"]))
    return Record(kind="training", asked=asked, found=found, environment=where)


def _copies(data: TrainingData, training: Training) -> dict[str, Any]:
    """Copies of each canary that were read at least once, and what differs from the ledger."""
    if training.position.step == 0:
        return {}
    seen = count_copies(
        data.split.training,
        data.canary_ids,
        read=training.read,
        longest=training.laid.longest,
    )
    canaries = data.corpus.ledger.canaries if data.corpus.ledger else ()
    most = 1 if training.settings.deduplicate else None
    expected = {c.id: min(c.insertions, most or c.insertions) for c in canaries}
    return {
        "copies_seen": seen,
        "copies_expected": expected,
        "canaries_lost": [name for name, count in expected.items() if seen[name] < count],
        "canaries_in_excess": [c.id for c in canaries if seen[c.id] > c.insertions],
    }
