"""What is examined: a classifier on labelled examples, or a language model on text.

A module's ``run`` is given one of the two and a ``Run``, and returns the ``found`` of its record.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from secretaudit.suite.cells import Cells
from secretaudit.suite.labelled import Task
from secretaudit.suite.language.task import LanguageTask
from secretaudit.suite.learner import Learner
from secretaudit.training.settings import TrainingSettings

__all__ = ["ClassifierSubject", "LanguageSubject", "Run", "Subject"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassifierSubject:
    """A kind of classifier and the examples it learns from.

    Attributes:
        task: The examples.
        learner: Makes the classifiers.
    """

    task: Task
    learner: Learner


@dataclass(frozen=True, kw_only=True, eq=False)
class LanguageSubject:
    """A kind of language model and the text it learns from.

    Attributes:
        task: The text.
        settings: How models are trained on it; also says which kind of model.
        given: Directory of a model that was trained already, looked at as it is where no training is needed.
    """

    task: LanguageTask
    settings: TrainingSettings
    given: Path | None = None


Subject = ClassifierSubject | LanguageSubject


@dataclass(frozen=True, kw_only=True)
class Run:
    """How a module works: where its pieces of work run, and its seed.

    Attributes:
        seed: All randomness of the run comes from it.
        cells: Runs pieces of work side by side and keeps them.
        identity: Stands for the subject in the keys of the cells.
        place: A directory for files that are needed while the run lasts, such as trained models.
    """

    seed: int = 0
    cells: Cells = field(default_factory=Cells)
    identity: str = ""
    place: Path | None = None
