"""From a corpus to a model directory: ``train``.

The directory holds, when training has ended, the model (``config.json``, ``model.safetensors``), its tokenizer, the
record ``training.json``, and ``checkpoint/``. From the first step on there is a checkpoint, so a training that was killed
at any moment goes on with ``resume``. The model's files are written beside their places and renamed, the weights after
everything they need and the record last.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from secretaudit._checks import positive
from secretaudit.corpus.canaried import open_canaried
from secretaudit.errors import ModelError
from secretaudit.models.recurrent.network import RecurrentConfig, RecurrentForCausalLM, initialize
from secretaudit.progress import Progress, SilentProgress
from secretaudit.records import Record, directory_lock, environment
from secretaudit.training.checkpoint import CHECKPOINT, check_same, load_checkpoint
from secretaudit.training.data import TrainingData, read_training_data
from secretaudit.training.loop import Training
from secretaudit.training.output import RECORD_NAME, check_place, clear_directory, write_model
from secretaudit.training.settings import TrainingSettings
from secretaudit.training.stream import Windows
from secretaudit.training.survival import count_copies


def train(
    corpus: str | Path,
    output: str | Path,
    *,
    settings: TrainingSettings | None = None,
    text_column: str = "text",
    device: str = "cpu",
    checkpoint_seconds: float = 60.0,
    progress: Progress | None = None,
    resume: bool = False,
    force: bool = False,
) -> Record:
    """Train a recurrent language model on a corpus, with or without canaries.

    Ctrl-C finishes the step under way and writes a usable model; the record then says "interrupted", and ``resume``
    goes on from there.

    Args:
        corpus: A directory made by ``insert``, or a plain corpus.
        output: Directory of the model.
        settings: The dials; ``None`` takes every default.
        text_column: For a plain corpus; a canaried one remembers its own.
        device: Where to train, in torch's words.
        checkpoint_seconds: Longest time between two checkpoints.
        progress: Told the loss, the speed and the time left.
        resume: Go on with a training that was stopped or killed; the result is the same as if it had not been.
        force: Replace an output directory that secretaudit wrote.

    Returns:
        The record that is also written to ``training.json``.

    Raises:
        UsageError: The output exists, is being written, or was trained with other settings (``resume``).
        CorpusError: The corpus is missing, empty or damaged.
        LedgerError: The ledger is damaged or not the one of this corpus.
        ModelError: A canary has a word that the tokenizer lacks, or there is no such device.
        TrainingError: The training diverged, or the disk is full.
    """
    started = time.time()
    settings = settings or TrainingSettings()
    positive("checkpoint_seconds", checkpoint_seconds)
    progress = progress or SilentProgress()
    directory, place = Path(output), usable_device(device)
    with directory_lock(directory), torch.random.fork_rng(devices=_cuda_devices(place)):
        check_place(directory, Path(corpus), resume=resume, force=force)
        progress.update(done=0, total=None, stage="reading the corpus")
        data = read_training_data(open_canaried(corpus, text_column=text_column), settings)
        dials = {**asdict(settings), "learning_rate": settings.rate, "device": str(place)}
        paths = {"corpus": str(Path(corpus).resolve()), "output": str(directory.resolve())}
        training = Training(
            settings=settings,
            asked={**dials, "tokens_sha256": data.split.fingerprint()},
            model=_new_model(data, settings, place),
            training=Windows(data.split.training, settings.sequence_length, place),
            validation=_validation_windows(data, settings, place),
            checkpoint=directory / CHECKPOINT,
            checkpoint_seconds=checkpoint_seconds,
            progress=progress,
        )
        if resume:
            checkpoint = load_checkpoint(directory / CHECKPOINT)
            check_same(training.asked, checkpoint.asked)
            training.resume(checkpoint)
        else:
            clear_directory(directory)
            _record(data, training, paths | dials, started).write(directory / RECORD_NAME)
            training.save()
        training.run()
        record = _record(data, training, paths | dials, started)
        write_model(directory, training.model, training.best, data.tokenizer, record)
    return record


def usable_device(name: str) -> torch.device:
    """The device of that name, tried out.

    Raises:
        ModelError: This torch or this machine has no such device.
    """
    try:
        device = torch.device(name)
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


def _new_model(
    data: TrainingData, settings: TrainingSettings, device: torch.device
) -> RecurrentForCausalLM:
    """A model with fresh weights; torch's own generator is seeded for the dropout to come."""
    config = RecurrentConfig(
        vocab_size=len(data.tokenizer),
        cell=settings.arch,
        layers=settings.layers,
        units=settings.units,
        embedding=settings.embedding,
        dropout=settings.dropout,
        tie_word_embeddings=settings.tied,
        bos_token_id=data.separator,
        eos_token_id=data.separator,
    )
    model = RecurrentForCausalLM(config)
    initialize(model, torch.Generator().manual_seed(settings.seed))
    torch.manual_seed(settings.seed)  # inside fork_rng of train; every checkpoint has its state
    nn.Module.to(model, device)
    return model


def _validation_windows(
    data: TrainingData, settings: TrainingSettings, device: torch.device
) -> Windows | None:
    """The windows to judge by, if any record was kept out."""
    lanes = data.split.validation
    return None if lanes is None else Windows(lanes, settings.sequence_length, device)


def _record(
    data: TrainingData, training: Training, asked: dict[str, Any], started: float
) -> Record:
    """What a training has found so far."""
    position, history = training.position, training.position.history
    last = history[-1] if history else {"training": None, "validation": None}
    found = {
        "stopped": position.stopped or "unfinished",
        "ledger": data.ledger_entry,
        "corpus": data.corpus_entry,
        **_copies(data, training),
        "separator": data.separator,
        "train_loss_bits_per_token": last["training"],
        "validation_loss_bits_per_token": last["validation"],
        "best_validation_loss_bits_per_token": position.best_bits,
        "kept": "best" if training.best is not None else "last",
        "losses": history,
        "records": data.split.records[0],
        "validation_records": data.split.records[1],
        "tokens": data.split.training.predicted,
        "tokens_seen": position.tokens,
        "tokens_per_second": position.tokens / position.seconds if position.seconds else None,
        "steps": position.step,
        "epochs": position.step / training.training.count,
        "parameters": sum(p.numel() for p in training.model.parameters()),
        "vocabulary_size": len(data.tokenizer),
    }
    where = environment(seed=training.settings.seed, started=started, device=str(asked["device"]))
    return Record(kind="training", asked=asked, found=found, environment=where)


def _copies(data: TrainingData, training: Training) -> dict[str, Any]:
    """Copies of each canary that were read at least once, and what differs from the ledger."""
    if training.position.step == 0:
        return {}
    columns = None
    if training.position.step < training.training.count:
        columns = training.position.step * training.settings.sequence_length + 1
    seen = count_copies(data.split.training, data.separator, data.canary_ids, columns=columns)
    canaries = data.ledger.canaries if data.ledger else ()
    return {
        "copies_seen": seen,
        "canaries_lost": [c.id for c in canaries if seen[c.id] < c.insertions],
        "canaries_in_excess": [c.id for c in canaries if seen[c.id] > c.insertions],
    }
