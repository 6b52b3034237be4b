"""Writing a trained model, so that what lies under its final name is always whole: the weights after everything they need."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError

from secretaudit.errors import CouldNotMeasure, TrainingError, UsageError
from secretaudit.models.quiet import quiet
from secretaudit.records import Record, check_output, disk_errors
from secretaudit.training.checkpoint import CHECKPOINT, load_checkpoint
from secretaudit.training.quantization import quantize_weights
from secretaudit.training.subject import Subject

RECORD_NAME = "training.json"


def check_place(directory: Path, corpus: Path, *, resume: bool, force: bool) -> None:
    """Refuse a place that must not be written, naming the way out that fits."""
    if corpus.resolve().is_relative_to(directory.resolve()):
        raise UsageError(
            f"{directory} cannot be the output directory.",
            "The corpus lies in it, and what an output directory holds is replaced.",
            "Choose a directory beside the corpus.",
        )
    if resume and force:
        raise UsageError(
            "A training is either resumed or replaced.",
            "--resume and --force were both given.",
            "Leave one of them out.",
        )
    if resume:
        if not (directory / CHECKPOINT).is_file():
            load_checkpoint(directory / CHECKPOINT)
        return
    if not force and (directory / CHECKPOINT).is_file():
        raise UsageError(
            f"{directory} holds a training already.",
            "It is not empty, and nothing is overwritten unasked.",
            "Add --resume to go on with it, --force to replace it, or choose another directory.",
        )
    with writing(directory):
        for left_over in directory.glob(f".{RECORD_NAME}.*.partial"):  # of a kill at the very start
            left_over.unlink()
    check_output(directory, force=force, kind="training")


def clear_directory(directory: Path) -> None:
    """An empty output directory; ``check_place`` has allowed it."""
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        # the record last: a kill on the way leaves what says that the directory is ours
        for entry in sorted(directory.iterdir(), key=lambda entry: entry.name == RECORD_NAME):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()


def write_model(
    directory: Path,
    subject: Subject,
    best: Mapping[str, torch.Tensor] | None,
    record: Record,
    *,
    quantize: bool = False,
) -> None:
    """Write the model, its tokenizer and the record.

    Args:
        directory: Where; what is there under the same names is replaced.
        subject: The last weights; with ``best`` given, it takes those.
        best: The weights to keep, by parameter name.
        record: Written last.
        quantize: Whether the weights are rounded to 8 bits before they are written; a resumed training goes on from the
            checkpoint, where they are whole.

    Raises:
        TrainingError: The disk is full.
    """
    with torch.no_grad():
        for name, parameter in subject.trained.items():
            parameter.copy_(parameter if best is None else best[name])
    if quantize:
        quantize_weights(subject.model)
    with writing(directory), quiet():
        for left_over in directory.glob(".model.*"):
            shutil.rmtree(left_over)
        with tempfile.TemporaryDirectory(prefix=".model.", dir=directory) as folder:
            subject.model.eval()
            subject.save(folder)
            for file in sorted(
                Path(folder).iterdir(), key=lambda file: file.suffix == ".safetensors"
            ):
                file.chmod(directory.stat().st_mode & 0o666)  # safetensors makes its files 0600
                _flush(file)
                file.replace(directory / file.name)
        record.write(directory / RECORD_NAME)


def _flush(file: Path) -> None:
    """Bring a file's content to the disk, so that renaming it cannot show an empty one after a crash."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())


@contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Turn a full disk into an error of training, with its way out."""
    try:
        with disk_errors(directory):
            yield
    except (CouldNotMeasure, SafetensorError) as error:
        if isinstance(error, TrainingError):
            raise
        why = error.why if isinstance(error, CouldNotMeasure) else f"{error}."
        raise TrainingError(
            f"The model could not be written to {directory}.",
            why,
            "Free some space and run the same command with --resume; the last checkpoint was kept.",
        ) from error
