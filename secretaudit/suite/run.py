"""From data and a model to the record of a module, or of all: ``run_suite``.

The output directory holds ``MODULE.json``, the record; ``cells/``, every finished training, which a run that was stopped or killed finds again;
and ``work/``, which is removed at the end. With "all" each module leaves its record, and ``suite.json`` says how each of them went: one that
could not measure does not keep the others from measuring.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from secretaudit._checks import at_least, one_of
from secretaudit.errors import CouldNotMeasure, ModelError, UsageError
from secretaudit.progress import Progress, SilentProgress
from secretaudit.records import Record, check_record_place, directory_lock, environment
from secretaudit.suite.cells import Cells
from secretaudit.suite.learner import refuse_unfit
from secretaudit.suite.modules import MODULES, settings_class, work_of
from secretaudit.suite.subject import ClassifierSubject, Run, Subject

__all__ = ["could_not_measure", "run_all", "run_suite"]

CELLS, WORK = "cells", "work"


def run_suite(
    module: str,
    subject: Subject,
    output: str | Path,
    *,
    settings: Any = None,
    seed: int = 0,
    workers: int = 0,
    progress: Progress | None = None,
    force: bool = False,
) -> Record:
    """Run one module of the suite.

    Args:
        module: "noise", "neighbours", "pretraining" or "dissection".
        subject: From ``open_subject``, or made by hand.
        output: Directory of the record; made if it is not there.
        settings: The module's dials; ``None`` takes every default.
        seed: All randomness of the run comes from it.
        workers: Processes that train side by side; 0 takes one per core.
        progress: Told after each training.
        force: Train again what an earlier run has finished.

    Returns:
        The record that is also written to ``MODULE.json``, of kind "suite-MODULE".

    Raises:
        UsageError: No such module, or a value out of range.
        CouldNotMeasure: The data or the model does not allow it.
    """
    one_of("module", module, MODULES)
    at_least("seed", seed, 0)
    at_least("workers", workers, 0)
    settings = settings if settings is not None else settings_class(module)()
    if not isinstance(settings, settings_class(module)):
        raise UsageError(
            f"settings must be {MODULES[module][0]}, got {type(settings).__name__}.",
            f"They are the dials of {module}.",
            f"Pass secretaudit.suite.{module}.settings.{MODULES[module][0]}(…).",
        )
    if not settings.parts:
        raise UsageError(
            "No part is named.", "There would be nothing to measure.", "Name some with --parts."
        )
    if isinstance(subject, ClassifierSubject):
        refuse_unfit(subject.learner, subject.task)
    directory = made(Path(output))
    kind = f"suite-{module}"
    with directory_lock(directory):
        check_record_place(directory / f"{module}.json", kind)
        if force:
            shutil.rmtree(directory / CELLS, ignore_errors=True)
        started = time.time()
        described = described_subject(subject)
        run = Run(
            seed=seed,
            cells=Cells(
                place=directory / CELLS, workers=workers, progress=progress or SilentProgress()
            ),
            identity=identity(described, seed),
            place=made(directory / WORK),
        )
        try:
            found = work_of(module)(subject, settings, run)
        finally:
            shutil.rmtree(directory / WORK, ignore_errors=True)
        if all(part["status"] == "not applicable" for part in found["parts"].values()):
            raise CouldNotMeasure(
                f"None of these parts applies: {', '.join(settings.parts)}.",
                "They are of another kind of model, or need something that is not there.",
                "Choose other parts, or leave --parts out.",
            )
        record = Record(
            kind=kind,
            asked={
                "subject": described,
                "settings": asdict(settings),
                "seed": seed,
                "output": str(directory.resolve()),
            },
            found=found,
            environment=environment(seed=seed, started=started),
        )
        record.write(directory / f"{module}.json")
    return record


def run_all(
    subject: Subject,
    output: str | Path,
    *,
    modules: Sequence[str] = tuple(MODULES),
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    workers: int = 0,
    progress: Progress | None = None,
    force: bool = False,
) -> tuple[Record, list[Record]]:
    """Run several modules on one subject, and say how each went.

    Args:
        subject: As in ``run_suite``.
        output: Directory of all records.
        modules: Their names.
        settings: Dials by module; a module that is not named takes its defaults.
        seed: As in ``run_suite``.
        workers: As in ``run_suite``.
        progress: As in ``run_suite``.
        force: As in ``run_suite``.

    Returns:
        The record of kind "suite" that is also written to ``suite.json``, and the records of the modules that measured.
    """
    if isinstance(subject, ClassifierSubject):
        refuse_unfit(subject.learner, subject.task)
    directory = made(Path(output))
    check_record_place(directory / "suite.json", "suite")
    started = time.time()
    records: list[Record] = []
    went: dict[str, dict[str, Any]] = {}
    for module in modules:
        if progress is not None:
            progress.announce(f"suite {module}: {MODULES[module][1]}")
        try:
            record = run_suite(
                module,
                subject,
                directory,
                settings=(settings or {}).get(module),
                seed=seed,
                workers=workers,
                progress=progress,
                force=force and module == modules[0],
            )
        except (CouldNotMeasure, ModelError, UsageError) as error:
            went[module] = {
                "status": "could not measure",
                "sentence": " ".join(str(error).splitlines()),
            }
            continue
        records.append(record)
        went[module] = _how_it_went(module, record)
    whole = Record(
        kind="suite",
        asked={
            "subject": described_subject(subject),
            "modules": list(modules),
            "settings": {name: asdict(found) for name, found in (settings or {}).items()},
            "seed": seed,
        },
        found={"modules": went},
        environment=environment(seed=seed, started=started),
    )
    whole.write(directory / "suite.json")
    return whole, records


def could_not_measure(record: Record) -> list[str]:
    """Names of the parts (of modules, in a record of all) that could not be measured."""
    parts = record.found.get("parts", record.found.get("modules", {}))
    return [name for name, part in parts.items() if part.get("status") == "could not measure"]


def described_subject(subject: Subject) -> dict[str, Any]:
    """What a record says of data and model."""
    if isinstance(subject, ClassifierSubject):
        return {"data": subject.task.described(), "model": subject.learner.described()}
    given = None if subject.given is None else str(subject.given)
    return {
        "data": subject.task.described(),
        "model": {"kind": "language", "given": given, "training": asdict(subject.settings)},
    }


def identity(described: Mapping[str, Any], seed: int) -> str:
    """SHA-256 over data, model and seed: stands for them in the keys of the cells."""
    document = json.dumps([described, seed], sort_keys=True, default=str)
    return hashlib.sha256(document.encode()).hexdigest()


def made(directory: Path) -> Path:
    """The directory, made if it was not there."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(
            f"{directory} is not a directory.",
            "The suite writes several files.",
            "Name a directory with -o.",
        ) from error
    except OSError as error:
        raise UsageError(
            f"The directory {directory} cannot be made.",
            f"The system says: {error.strerror}.",
            "Choose another output with -o.",
        ) from error
    return directory


def _how_it_went(module: str, record: Record) -> dict[str, Any]:
    missing = could_not_measure(record)
    judged = [ordering["holds"] for ordering in record.found.get("orderings", [])]
    return {
        "status": "could not measure" if missing else "measured",
        "sentence": f"Could not measure: {', '.join(missing)}." if missing else "",
        "record": f"{module}.json",
        "orderings": {
            "hold": judged.count(True),
            "do not hold": judged.count(False),
            "could not be judged": judged.count(None),
        },
    }
